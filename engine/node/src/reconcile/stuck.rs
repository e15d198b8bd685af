//! Says why a job or a batch makes no progress, from what is stored.

use std::time::Duration;

use weft_model::clock::Timestamp;
use weft_model::{Batch, BatchStatus, Holder, Job, JobStatus, NodeRow, NodeState};

use super::check_time;
use crate::affinity::Identity;

/// A job that is due for less than this, or a node that was silent for less, is not worth a word.
const PATIENCE: Duration = Duration::from_secs(120);
/// What repairs a missing hint or job.
const REPAIR: &str = "`weft doctor --reconcile` repairs it";

/// What is stored around a job or batch.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// The rows of all nodes.
    pub nodes: &'a [NodeRow],
    /// Whether the job has a hint that nodes read within the next minutes.
    pub has_hint: bool,
    /// The time of the store.
    pub now: Timestamp,
}

impl Surroundings<'_> {
    fn is_live(&self, row: &NodeRow) -> bool {
        row.state != NodeState::Left && row.heartbeat_at.plus(PATIENCE) >= self.now
    }

    /// What is wrong with the owner of a row; none if it works.
    fn owner_problem(&self, holder: Option<&Holder>) -> Option<String> {
        let holder = holder?;
        let row = self.nodes.iter().find(|row| row.guid == holder.node);
        let problem = match row {
            None => "has no row".to_owned(),
            Some(row) if row.incarnation != holder.incarnation => "was restarted".to_owned(),
            Some(row) if row.state == NodeState::Left => "has left".to_owned(),
            Some(row) if !self.is_live(row) => {
                format!("was last heard of at {}", row.heartbeat_at)
            }
            Some(_) => return None,
        };
        let others = self.nodes.iter().filter(|row| self.is_live(row)).count();
        let next = match others {
            0 => "no node is alive to take over",
            _ => "a live node takes over",
        };
        Some(format!("its owner {} {problem}; {next}", holder.node))
    }
}

/// Why the job does not run although a node had to check it some time ago; none if nothing is wrong with it.
pub fn why_job_is_stuck(job: &Job, around: Surroundings<'_>) -> Option<String> {
    let since = check_time(job, around.now)?;
    let is_owned = matches!(
        job.status,
        JobStatus::InProcess | JobStatus::Stopping | JobStatus::Restart
    );
    if !around.has_hint && (is_owned || since <= around.now) {
        return Some(format!("no due hint leads a node to it; {REPAIR}"));
    }
    if is_owned {
        return around.owner_problem(job.holder().as_ref());
    }
    // Since when a job without a time is due is not stored.
    let since = job.next_run.unwrap_or(job.creation_time).min(since);
    if since.plus(PATIENCE) > around.now {
        return None;
    }
    let live: Vec<_> = around
        .nodes
        .iter()
        .filter(|row| around.is_live(row) && row.state == NodeState::Alive)
        .collect();
    if live.is_empty() {
        return Some("no node is alive".to_owned());
    }
    if !live
        .iter()
        .any(|row| Identity::from(*row).matches(&job.affinity))
    {
        let affinity = job.affinity.join("', '");
        return Some(format!("no live node matches its affinity '{affinity}'"));
    }
    Some("it is due, and waits for a free slot or for a node whose clock is right".to_owned())
}

/// Why the batch makes no progress, with the row of its job; none if nothing is wrong with it.
pub fn why_batch_is_stuck(
    batch: &Batch,
    job: Option<&Job>,
    around: Surroundings<'_>,
) -> Option<String> {
    if batch.status.is_final() || batch.creation_time.plus(PATIENCE) > around.now {
        return None;
    }
    if batch.status == BatchStatus::Paused {
        return Some("it is paused, and no command of this version resumes it".to_owned());
    }
    match job {
        None => Some(format!("it has no job that runs it; {REPAIR}")),
        Some(job) if job.status.is_ended() => {
            Some(format!("the job that runs it is {}; {REPAIR}", job.status))
        }
        Some(job) => {
            why_job_is_stuck(job, around).or_else(|| around.owner_problem(batch.holder().as_ref()))
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;
    use weft_model::{BatchId, BatchSpec, EntitySource, Incarnation, NodeId};

    use super::*;
    use crate::testing::{job_key, node_row};

    const NOW: Timestamp = Timestamp(10_000_000);

    fn node(guid: &str, heartbeat_ago: u64) -> NodeRow {
        NodeRow {
            effective_ip: "10.0.0.1".to_owned(),
            heartbeat_at: NOW.minus(Duration::from_secs(heartbeat_ago)),
            ..node_row(guid, 1, 1)
        }
    }

    fn job(status: JobStatus) -> Job {
        Job {
            status,
            worker: Some(NodeId("n1".to_owned())),
            owner_incarnation: Some(Incarnation(Uuid::from_u128(1))),
            ..Job::waiting(job_key("1"), Timestamp(0))
        }
    }

    fn why(job: &Job, nodes: &[NodeRow], has_hint: bool) -> String {
        let around = Surroundings {
            nodes,
            has_hint,
            now: NOW,
        };
        why_job_is_stuck(job, around).unwrap_or_default()
    }

    #[test]
    fn a_stuck_job_is_explained() {
        let live = [node("n1", 1)];
        let silent = [node("n1", 600), node("n2", 1)];
        let waiting = job(JobStatus::Waiting);
        assert!(why(&waiting, &live, false).contains("--reconcile"));
        assert!(why(&waiting, &live, true).contains("free slot"));
        assert!(why(&waiting, &silent[..1], true).contains("no node is alive"));
        let elsewhere = Job {
            affinity: vec!["10.9.9.9".to_owned()],
            ..waiting.clone()
        };
        assert!(why(&elsewhere, &live, true).contains("matches its affinity '10.9.9.9'"));
        let later = Job {
            next_run: Some(NOW.plus(PATIENCE)),
            ..waiting
        };
        assert_eq!(why(&later, &live, false), "");
        let running = job(JobStatus::InProcess);
        assert_eq!(why(&running, &live, true), "");
        assert!(why(&running, &silent, true).contains("its owner n1 was last heard of"));
        assert!(why(&running, &[], true).contains("no node is alive to take over"));
        assert!(why(&running, &live, false).contains("no due hint"));
        assert_eq!(why(&job(JobStatus::Processed), &live, false), "");
    }

    #[test]
    fn a_stuck_batch_is_explained() {
        let source = EntitySource::List { ids: Vec::new() };
        let spec = BatchSpec::new("LU", source, "echo ?");
        let batch = Batch::waiting(BatchId(Uuid::from_u128(3)), spec, Timestamp(0));
        let around = Surroundings {
            nodes: &[node("n1", 1)],
            has_hint: true,
            now: NOW,
        };
        let why = |job: Option<&Job>| why_batch_is_stuck(&batch, job, around).unwrap_or_default();
        assert!(why(None).contains("no job that runs it"));
        assert!(why(Some(&job(JobStatus::Failed))).contains("is FAILED; `weft doctor"));
        assert_eq!(why(Some(&job(JobStatus::InProcess))), "");
    }
}
