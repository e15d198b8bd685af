//! Tries that the death of their process cut short. A job that takes down one node after the other is ended.

use std::time::Duration;

use tracing::{debug, error};
use weft_model::{Job, JobRun, JobStatus, job_error};
use weft_store::{ClaimJob, StoreResult};

use super::try_end::record;
use crate::NodeSession;
use crate::kind::{Retry, RunFailure, RunOutput};

/// So many tries in a row that were cut short end the job.
const MAX_CRASHES: usize = 3;
/// A try that ran this long has made progress.
pub const PROGRESS_AFTER: Duration = Duration::from_secs(600);
/// How many rows of the history are searched for the latest tries.
const HISTORY: usize = 16;
/// The exception type of a try that was cut short.
const CRASHED: &str = "Crashed";
/// The exception type of the end of a job after such tries. It is another one, so that a job that is resumed counts anew.
const TOO_MANY_CRASHES: &str = "TooManyCrashes";

/// The history row of the run that `job` shows, if the death of its process cut it short. A session that left or fenced itself
/// did not die.
pub fn cut_short(session: &NodeSession, job: &Job) -> Option<JobRun> {
    let holder = job
        .holder()
        .filter(|_| job.status == JobStatus::InProcess)?;
    let started = job.start_time.filter(|_| session.has_crashed(&holder))?;
    // The end by the clock of the node that ran it, as far as this node has seen it.
    let seen = session.membership.last_heartbeat(&holder);
    let ended = seen.unwrap_or_else(|| session.context.clock.now());
    let ended = ended.max(started);
    let node = &holder.node;
    let error = format!("the process of node {node} died during the run");
    let error = job_error(CRASHED, &error, ended, node);
    let output = RunOutput::default();
    Some(record(
        job,
        &holder,
        JobStatus::Failed,
        &output,
        Some(error),
        ended,
    ))
}

/// Why the job that was just claimed must end without another run: too many tries in a row were cut short.
pub async fn failure_after(session: &NodeSession, claim: &ClaimJob) -> Option<RunFailure> {
    let cut_short = claim.cut_short.as_ref()?;
    let runs = read_history(session, claim).await?;
    let crashes = crashes_in_a_row(runs, cut_short);
    if crashes < MAX_CRASHES {
        return None;
    }
    let key = &claim.key;
    error!(
        job.name = key.name,
        job.uid = key.uid,
        "'{}.{}.{}' ends: the process of its node died during each of its last {crashes} tries",
        key.job_type,
        key.name,
        key.uid
    );
    metrics::counter!("poisoned_total", "kind" => "job").increment(1);
    let reason = format!("the process of its node died during each of the last {crashes} tries");
    Some(RunFailure {
        retry: Retry::JobEnds,
        ..RunFailure::new(TOO_MANY_CRASHES, reason)
    })
}

/// The latest runs; `None` if this node may not act any more, or the store refuses.
async fn read_history(session: &NodeSession, claim: &ClaimJob) -> Option<Vec<JobRun>> {
    let context = &session.context;
    loop {
        let read: StoreResult<Vec<JobRun>> = context.store.job_runs(&claim.key, HISTORY).await;
        match read {
            Ok(runs) => return Some(runs),
            Err(error) => {
                debug!(error = %error, "Could not read the history of a job: {error}");
                if !error.is_transient() {
                    return None;
                }
            }
        }
        let pause = context.ids.jitter(context.config.poll_interval);
        if !session.self_fence.wait(pause).await {
            return None;
        }
    }
}

/// How many of the latest tries were cut short before they made progress, the `last` one included.
fn crashes_in_a_row(mut runs: Vec<JobRun>, last: &JobRun) -> usize {
    if !is_crash(last) {
        return 0;
    }
    // Times come from several clocks; the fence only grows.
    runs.retain(|run| run.fence < last.fence);
    runs.sort_by_key(|run| std::cmp::Reverse(run.fence));
    1 + runs.iter().take_while(|run| is_crash(run)).count()
}

fn is_crash(run: &JobRun) -> bool {
    let took = Duration::from_millis(run.ended.millis_since(run.started).max(0).unsigned_abs());
    took < PROGRESS_AFTER && exception_type(run).is_some_and(|name| name == CRASHED)
}

fn exception_type(run: &JobRun) -> Option<String> {
    let error: serde_json::Value = serde_json::from_str(run.error.as_deref()?).ok()?;
    Some(error.get("exception_type")?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use weft_model::clock::Timestamp;
    use weft_model::{JobKey, NodeId};

    use super::*;

    fn run(fence: i64, exception: Option<&str>, took_s: i64) -> JobRun {
        let node = NodeId("n1".to_owned());
        JobRun {
            key: JobKey {
                job_type: "PROCESS".to_owned(),
                name: "a.sh".to_owned(),
                uid: "u".to_owned(),
            },
            started: Timestamp(0),
            ended: Timestamp(took_s * 1_000),
            fence,
            status: JobStatus::Failed,
            attempt: 1,
            planned: None,
            exit_code: None,
            error: exception.map(|name| job_error(name, "it failed", Timestamp(0), &node)),
            output: None,
            node,
        }
    }

    fn crash(fence: i64) -> JobRun {
        run(fence, Some(CRASHED), 5)
    }

    #[test]
    fn crashes_count_in_the_order_of_fences_up_to_another_end() {
        let last = crash(9);
        assert_eq!(crashes_in_a_row(vec![], &last), 1);
        assert_eq!(
            crashes_in_a_row(vec![crash(3), last.clone(), crash(6)], &last),
            3
        );
        let failed = run(6, Some("Oops"), 5);
        assert_eq!(crashes_in_a_row(vec![crash(3), failed, crash(8)], &last), 2);
        let succeeded = run(8, None, 5);
        assert_eq!(crashes_in_a_row(vec![crash(3), succeeded], &last), 1);
        let resumed = run(8, Some(TOO_MANY_CRASHES), 0);
        assert_eq!(crashes_in_a_row(vec![crash(7), resumed], &last), 1);
    }

    #[test]
    fn ten_minutes_of_running_are_progress() {
        let long = run(9, Some(CRASHED), 600);
        assert_eq!(crashes_in_a_row(vec![crash(7), crash(8)], &long), 0);
        let long_ago = run(7, Some(CRASHED), 600);
        let before = vec![crash(6), long_ago, crash(8)];
        assert_eq!(crashes_in_a_row(before, &crash(9)), 2);
    }
}
