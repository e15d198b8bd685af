//! From the engine's rows to what the API shows.

use serde_json::Value;
use weft_engine::model::{
    Batch, BatchStatus, EntityRow, EntitySource, EntityStatus, Job, NodeRow, NodeShare, SlowEntity,
};

use crate::batches::{BatchDetail, BatchItem, EntityItem, EntityStatusName};
use crate::jobs::JobItem;
use crate::nodes::NodeItem;

/// Of a long list of ids the first ones are shown.
const SHOWN_IDS: usize = 100;

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

impl From<&Job> for JobItem {
    fn from(job: &Job) -> Self {
        Self {
            job_type: job.key.job_type.clone(),
            name: job.key.name.clone(),
            uid: job.key.uid.clone(),
            status: job.status.into(),
            affinity: job.affinity.clone(),
            archived: job.archived,
            arguments: json_or_text(&job.arguments),
            created_at: job.creation_time.into(),
            started_at: job.start_time.map(Into::into),
            ended_at: job.end_time.map(Into::into),
            next_run_at: job.next_run.map(Into::into),
            execution_interval: job.execution_interval.clone(),
            error: job.error.clone(),
            output: job.output.clone(),
            tries: job.tries,
            node: job.worker.as_ref().map(|node| node.0.clone()),
            note: job.notes.clone(),
        }
    }
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
