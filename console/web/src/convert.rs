//! From the engine's rows to what the API shows.

use serde_json::Value;
use weft_model::schedule::{JobPolicy, Trigger};
use weft_model::{
    Batch, BatchStatus, EntityRow, EntitySource, EntityStatus, JobRun, NodeRow, NodeShare,
    SlowEntity,
};
use weft_statement::inspect::{self, NextRun};

use crate::batches::{BatchDetail, BatchItem, EntityItem, EntityStatusName};
use crate::job_runs::RunItem;
use crate::jobs::{JobCounts, JobItem, JobPolicyItem};
use crate::nodes::NodeItem;

/// Of a long list of ids the first ones are shown.
const SHOWN_IDS: usize = 100;
/// Of a kept output this much stands in lists.
const SHOWN_OUTPUT_BYTES: usize = 1_024;

impl BatchItem {
    /// A batch of which `done` was handled so far.
    pub fn of(batch: &Batch, done: &NodeShare) -> Self {
        Self {
            id: batch.id.0,
            command: batch.command.clone(),
            fabric_command: batch.spec.fabric_command.clone(),
            logical_unit: batch.spec.logical_unit.clone(),
            status: batch.status.into(),
            created_at: batch.creation_time.into(),
            started_at: batch.start_time.map(Into::into),
            ended_at: batch.end_time.map(Into::into),
            created_by: batch.owner.clone(),
            total: batch.total_entities,
            succeeded: done.succeeded,
            failed: done.failed,
            completed_percent: completed_percent(batch, done),
            execution_id: batch.execution_id.clone(),
            error: batch.error.clone(),
            note: batch.notes.clone(),
        }
    }
}

/// Never 100 before the batch is done, however far it is; a list that is still growing has no total.
fn completed_percent(batch: &Batch, done: &NodeShare) -> f64 {
    percent(batch.status, batch.total_entities, done.handled())
}

fn percent(status: BatchStatus, total: Option<i64>, handled: i64) -> f64 {
    match total {
        _ if status == BatchStatus::Done => 100.0,
        Some(total) if total > 0 => (100.0 * handled as f64 / total as f64).min(99.9),
        _ => 0.0,
    }
}

impl BatchDetail {
    /// A batch of which `done` was handled so far, with everything that its row says.
    pub fn of(batch: &Batch, done: &NodeShare) -> Self {
        let spec = &batch.spec;
        let (entity_inclusion, interface) = inclusion(&spec.source);
        Self {
            item: BatchItem::of(batch, done),
            entity_inclusion,
            interface,
            affinity: spec.affinity.clone(),
            job_affinity: spec.job_affinity.clone(),
            asynchronous: spec.asynchronous,
            generate_entities_first: spec.generate_entities_first,
            allow_multiple: spec.allow_multiple,
            max_nodes: spec.max_nodes,
            max_workers_per_node: spec.max_workers_per_node,
            owner_node: batch.owner_node.as_ref().map(|node| node.0.clone()),
            desired: batch.desired.as_str().to_owned(),
            duplicates: batch.duplicates,
            arguments: json_or_text(&batch.arguments),
            extra_stats: batch.extra_stats.as_deref().map(json_or_text),
            percentiles_us: batch
                .statistics
                .as_ref()
                .map(|statistics| statistics.percentiles_us.clone())
                .unwrap_or_default(),
        }
    }
}

/// Where the ids come from, as BATCH_INFO says it, and the interface.
fn inclusion(source: &EntitySource) -> (String, Option<String>) {
    match source {
        EntitySource::List { ids } => {
            let mut shown: Vec<&str> = ids.iter().take(SHOWN_IDS).map(String::as_str).collect();
            if ids.len() > SHOWN_IDS {
                shown.push("…");
            }
            (shown.join(","), None)
        }
        EntitySource::Query {
            instance_group: Some(group),
            interface,
            ..
        } => (group.clone(), Some(interface.clone())),
        EntitySource::Query { sql, interface, .. } => (sql.clone(), Some(interface.clone())),
        EntitySource::Stored => ("fabric".to_owned(), None),
    }
}

/// Columns hold JSON as text; one that does not is shown as it is.
fn json_or_text(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
}

impl From<EntityRow> for EntityItem {
    fn from(row: EntityRow) -> Self {
        Self {
            id: row.id,
            status: row.status.into(),
            node: Some(row.node.0),
            error: row.error,
            result: row.result,
            started_at: Some(row.start_time.into()),
            ended_at: Some(row.end_time.into()),
            duration_us: Some(row.duration_us),
            attempt: Some(row.attempt),
        }
    }
}

impl From<SlowEntity> for EntityItem {
    fn from(slow: SlowEntity) -> Self {
        let failed = slow.status == EntityStatus::Failed.as_str();
        Self {
            id: slow.entity_id,
            status: if failed {
                EntityStatusName::Failed
            } else {
                EntityStatusName::Completed
            },
            node: slow.node_id,
            error: None,
            result: slow.result,
            started_at: None,
            ended_at: None,
            duration_us: Some(slow.process_time_ms.saturating_mul(1_000)),
            attempt: None,
        }
    }
}

impl EntityItem {
    /// An entity that nobody has handled yet.
    pub fn waiting(id: String) -> Self {
        Self {
            id,
            status: EntityStatusName::Waiting,
            node: None,
            error: None,
            result: None,
            started_at: None,
            ended_at: None,
            duration_us: None,
            attempt: None,
        }
    }
}

impl From<inspect::JobItem> for JobItem {
    fn from(item: inspect::JobItem) -> Self {
        let why_waiting = item.why_waiting().map(str::to_owned);
        let job = item.job;
        Self {
            job_type: job.key.job_type,
            name: job.key.name,
            uid: job.key.uid,
            status: job.status.into(),
            affinity: job.affinity,
            candidates: item.candidates,
            archived: job.archived,
            arguments: json_or_text(&job.arguments),
            created_by: job.created_by,
            created_at: job.creation_time.into(),
            started_at: job.start_time.map(Into::into),
            ended_at: job.end_time.map(Into::into),
            next_run: item.next_run.into(),
            next_run_at: match item.next_run {
                NextRun::At(time) => Some(time.into()),
                NextRun::Ready
                | NextRun::Running
                | NextRun::Awaiting
                | NextRun::Off
                | NextRun::Never => None,
            },
            exec_interval: job.execution_interval,
            schedule: item.schedule,
            policy: (&job.policy).into(),
            error: item.error,
            output: job.output.map(|output| head(output).0),
            tries: job.tries,
            runs: job.runs,
            node: job.worker.map(|node| node.0),
            why_waiting,
            note: item.note,
        }
    }
}

impl From<&JobPolicy> for JobPolicyItem {
    fn from(policy: &JobPolicy) -> Self {
        Self {
            start_at: policy.start_at.map(Into::into),
            end_at: policy.end_at.map(Into::into),
            time_zone: policy.time_zone.clone(),
            misfire: policy.misfire.to_string(),
            overlap: policy.overlap.to_string(),
            max_runs: policy.max_runs,
            jitter_ms: policy.jitter_ms,
            max_attempts: policy.max_attempts,
            retry_delay_ms: policy.retry_delay_ms,
            retry_factor: policy.retry_factor,
            retry_max_delay_ms: policy.retry_max_delay_ms,
            timeout_ms: policy.timeout_ms,
            relocate: policy.relocate,
            paused: policy.paused,
            after: (!policy.after.is_empty()).then(|| Trigger::write_all(&policy.after)),
        }
    }
}

impl From<inspect::JobCounts> for JobCounts {
    fn from(counts: inspect::JobCounts) -> Self {
        let by_status = counts.of.into_iter();
        Self {
            by_status: by_status
                .map(|count| (count.status.as_str().to_owned(), count.jobs))
                .collect(),
            is_lower_bound: counts.is_lower_bound,
        }
    }
}

impl From<JobRun> for RunItem {
    fn from(run: JobRun) -> Self {
        let (output, is_cut) = run.output.map(head).unzip();
        Self {
            id: format!("{}-{}", run.started.0, run.fence),
            node: run.node.0,
            status: run.status.into(),
            attempt: run.attempt,
            planned_at: run.planned.map(Into::into),
            started_at: run.started.into(),
            ended_at: run.ended.into(),
            duration_ms: run.ended.millis_since(run.started),
            exit_code: run.exit_code,
            error: run.error.as_deref().map(inspect::message_of),
            output,
            output_is_cut: is_cut.unwrap_or(false),
        }
    }
}

/// The head of an output, and whether there is more.
fn head(mut output: String) -> (String, bool) {
    let is_cut = output.len() > SHOWN_OUTPUT_BYTES;
    output.truncate(output.floor_char_boundary(SHOWN_OUTPUT_BYTES));
    (output, is_cut)
}

impl NodeItem {
    /// A node's row; `dead` if the answering node has not seen it move, `answering` if it is that node itself.
    pub fn of(row: &NodeRow, dead: bool, answering: bool) -> Self {
        let status = if dead { "DEAD" } else { row.state.as_str() };
        Self {
            id: row.guid.0.clone(),
            status: status.to_owned(),
            dc: row.dc.clone(),
            effective_ip: row.effective_ip.clone(),
            ips: row.ips.clone(),
            logical_ids: row.logical_ids.clone(),
            version: row.version.clone(),
            http_address: row.http_address.clone(),
            heartbeat_at: row.heartbeat_at.into(),
            batches: row.coordinates.iter().map(|batch| batch.0).collect(),
            answering,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_batch_that_is_done_is_at_100_percent() {
        assert_eq!(percent(BatchStatus::InProgress, Some(200), 50), 25.0);
        assert_eq!(percent(BatchStatus::InProgress, Some(200), 200), 99.9);
        assert_eq!(
            percent(BatchStatus::InProgress, Some(1_000_000), 999_999),
            99.9
        );
        assert_eq!(percent(BatchStatus::GenerateIid, None, 50), 0.0);
        assert_eq!(percent(BatchStatus::Done, Some(0), 0), 100.0);
        assert_eq!(percent(BatchStatus::Cancelled, Some(10), 3), 30.0);
    }

    #[test]
    fn columns_that_are_not_json_are_shown_as_they_are() {
        assert_eq!(json_or_text("{\"a\":1}"), serde_json::json!({ "a": 1 }));
        assert_eq!(json_or_text("cut off {"), Value::from("cut off {"));
    }

    #[test]
    fn of_long_outputs_the_head_is_shown() {
        assert_eq!(head("short".to_owned()), ("short".to_owned(), false));
        let (shown, is_cut) = head("ü".repeat(600) + "x");
        assert_eq!((shown.len(), is_cut), (1_024, true));
        let (shown, _) = head("x".to_owned() + &"ü".repeat(600));
        assert_eq!(shown.len(), 1_023);
    }

    #[test]
    fn of_long_lists_the_first_ids_are_shown() {
        let ids: Vec<String> = (0..1_000).map(|id| id.to_string()).collect();
        let (text, interface) = inclusion(&EntitySource::List { ids });
        assert!(
            text.starts_with("0,1,2,") && text.ends_with(",99,…"),
            "{text}"
        );
        assert_eq!(interface, None);
    }
}
