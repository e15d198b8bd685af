//! A batch: one command over many entity ids.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::status::names;
use super::{BatchId, BatchStatus, Fence, Holder, Incarnation, NodeId, NodeShare, Token};
use crate::clock::Timestamp;

/// The requested state of a batch, from weakest to strongest. A weaker request never replaces a stronger one.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum BatchDesired {
    /// Keep running.
    #[default]
    Run,
    /// Stop; a later request resumes it.
    Pause,
    /// Stop finally.
    Cancel,
    /// The batch has ended and is being removed. Every other request is refused.
    Remove,
}

names!(BatchDesired {
    Run = "RUN",
    Pause = "PAUSE",
    Cancel = "CANCEL",
    Remove = "REMOVE",
});

/// The source of the ids of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EntitySource {
    /// `LU.('a','b')`.
    List {
        /// The ids in the order of the command.
        ids: Vec<String>,
    },
    /// `LU FROM interface USING ('sql')`, an instance group, or a whole LU: one query on one interface.
    Query {
        /// The name of the interface.
        interface: String,
        /// The SQL, with `?` for the parameters.
        sql: String,
        /// Values of the parameters.
        parameters: Vec<String>,
        /// The instance group whose query this is, if any.
        instance_group: Option<String>,
    },
    /// `LU FROM fabric`: the ids of stored instances.
    Stored,
}

/// When a failed entity is retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Attempts including the first, at least 1.
    pub max_attempts: i32,
    /// The upper bound of the first pause, in milliseconds. It doubles with each attempt; the pause has full jitter.
    pub delay_ms: i64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 1,
            delay_ms: 1_000,
        }
    }
}

/// The parameters of a batch. They never change after submission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchSpec {
    /// The logical unit named behind BATCH.
    pub logical_unit: String,
    /// The source of its ids.
    pub source: EntitySource,
    /// FABRIC_COMMAND, with `?` for the entity id.
    pub fabric_command: String,
    /// Nodes and data centres that may handle entities; empty = all.
    pub affinity: Vec<String>,
    /// Nodes and data centres that may own the batch; empty = all.
    pub job_affinity: Vec<String>,
    /// Whether the statement returns before the batch ends.
    pub asynchronous: bool,
    /// Whether the list of ids must be complete before the first entity is handled.
    pub generate_entities_first: bool,
    /// Whether another batch with the same command may be active at the same time.
    pub allow_multiple: bool,
    /// The maximum number of nodes that handle entities.
    pub max_nodes: Option<i64>,
    /// The maximum number of workers on each node.
    pub max_workers_per_node: Option<i64>,
    /// The total shown until the list of ids is complete.
    pub estimated_entities: Option<i64>,
    /// The rule for failed entities.
    pub retry: RetryPolicy,
    /// Milliseconds after which a running entity fails; none = no limit.
    pub entity_timeout_ms: Option<i64>,
    /// The SET values of the session that submitted it.
    pub session_scope: BTreeMap<String, String>,
    /// Hash of the project bundle that was deployed at submission. The batch keeps this version.
    pub project: Option<String>,
}

impl BatchSpec {
    /// A batch with default options.
    pub fn new(
        logical_unit: impl Into<String>,
        source: EntitySource,
        fabric_command: impl Into<String>,
    ) -> Self {
        Self {
            logical_unit: logical_unit.into(),
            source,
            fabric_command: fabric_command.into(),
            affinity: Vec::new(),
            job_affinity: Vec::new(),
            asynchronous: false,
            generate_entities_first: false,
            allow_multiple: false,
            max_nodes: None,
            max_workers_per_node: None,
            estimated_entities: None,
            retry: RetryPolicy::default(),
            entity_timeout_ms: None,
            session_scope: BTreeMap::new(),
            project: None,
        }
    }
}

/// One row of `k2batchprocess.batchprocess_list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Its id.
    pub id: BatchId,
    /// Its state.
    pub status: BatchStatus,
    /// Its parameters.
    pub spec: BatchSpec,
    /// JSON text with the keys of Fabric's documentation, without secrets.
    pub arguments: String,
    /// The whole command as the user typed it.
    pub command: String,
    /// Time of submission.
    pub creation_time: Timestamp,
    /// Time at which a node started it.
    pub start_time: Option<Timestamp>,
    /// Time of its end.
    pub end_time: Option<Timestamp>,
    /// Why the batch failed as a whole; failures of entities do not count.
    pub error: Option<String>,
    /// The slowest entities, as JSON text in Fabric's format.
    pub extra_stats: Option<String>,
    /// Exact sums and percentiles; none before the first are saved.
    pub statistics: Option<BatchStatistics>,
    /// The user who submitted it.
    pub owner: String,
    /// The number of ids; none until the list is complete.
    pub total_entities: Option<i64>,
    /// The number of ids of the source that were dropped as duplicates.
    pub duplicates: i64,
    /// Correlates log lines and runs. Every retry gets a new one.
    pub execution_id: String,
    /// Increases with every change of ownership.
    pub fence: Fence,
    /// The node that owns or last owned it.
    pub owner_node: Option<NodeId>,
    /// The incarnation of `owner_node`.
    pub owner_incarnation: Option<Incarnation>,
    /// Token of the owner's last write.
    pub op_token: Option<Token>,
    /// The requested state.
    pub desired: BatchDesired,
    /// Increases with every accepted request.
    pub desired_seq: i64,
    /// Token of the last accepted request.
    pub desired_token: Option<Token>,
    /// The number of reserved chunk numbers: all below it.
    pub chunks: i64,
    /// What was filled when the owner last reserved numbers or completed the list; none in rows of older versions.
    #[serde(default)]
    pub filled: Option<FilledChunks>,
    /// Increases with every save of statistics.
    pub stats_seq: i64,
    /// Why it waits, as a sentence for users.
    pub notes: Option<String>,
}

impl Batch {
    /// A batch as submitted, without command text, arguments, owner and execution id.
    pub fn waiting(id: BatchId, spec: BatchSpec, creation_time: Timestamp) -> Self {
        Self {
            id,
            status: BatchStatus::WaitingForJob,
            spec,
            arguments: "{}".to_owned(),
            command: String::new(),
            creation_time,
            start_time: None,
            end_time: None,
            error: None,
            extra_stats: None,
            statistics: None,
            owner: String::new(),
            total_entities: None,
            duplicates: 0,
            execution_id: String::new(),
            fence: 0,
            owner_node: None,
            owner_incarnation: None,
            op_token: None,
            desired: BatchDesired::Run,
            desired_seq: 0,
            desired_token: None,
            chunks: 0,
            filled: None,
            stats_seq: 0,
            notes: None,
        }
    }

    /// The node session that owns it, if any.
    pub fn holder(&self) -> Option<Holder> {
        match (&self.owner_node, self.owner_incarnation) {
            (Some(node), Some(incarnation)) => Some(Holder {
                node: node.clone(),
                incarnation,
            }),
            _ => None,
        }
    }

    /// The number of chunk numbers that can hold something: all below it. Once the list of ids is complete, these are fewer
    /// than were reserved.
    pub fn used_chunks(&self) -> i64 {
        match (self.total_entities, self.filled) {
            (Some(_), Some(filled)) => filled.chunks.min(self.chunks),
            // The list is not complete, or an older version has written the row.
            _ => self.chunks,
        }
    }
}

/// How far the list of ids has come, as its owner counts it. A store that loses writes it has acknowledged loses chunks
/// too; these counts tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilledChunks {
    /// Every chunk number below it was filled or sealed. An empty one is lost.
    pub chunks: i64,
    /// The number of ids that the chunks below it must have.
    pub entities: i64,
}

/// An entry of the directory by day: a copy for filters. Only the batch row is authoritative.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchListing {
    /// The batch.
    pub id: BatchId,
    /// Time of submission. The list is ordered by this time and the id.
    pub creation_time: Timestamp,
    /// Its status when the copy was made.
    pub status: BatchStatus,
    /// Its end when the copy was made.
    pub end_time: Option<Timestamp>,
    /// The beginning of its command.
    pub command: String,
    /// The number of failed entities when the copy was made.
    pub failed: i64,
}

/// One of the slowest entities.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SlowEntity {
    /// Its id.
    pub entity_id: String,
    /// Duration in milliseconds.
    #[serde(rename = "processTimeMS")]
    pub process_time_ms: i64,
    /// COMPLETED or FAILED.
    pub status: String,
    /// The result; none where it failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub result: Option<String>,
    /// The node that handled it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node_id: Option<String>,
}

/// One row of `k2batchprocess.batchprocess_node_info`; only the node itself writes it.
///
/// The figures are fresh but not exact: a crash loses what was counted since the last write. The exact figures are the
/// shares in the chunks, which the owner sums up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStats {
    /// The batch.
    pub batch: BatchId,
    /// The node.
    pub node: NodeId,
    /// Its data centre.
    pub dc: String,
    /// Time of the write.
    pub updated_time: Timestamp,
    /// Its part of the batch.
    pub share: NodeShare,
    /// The slowest entities, the fastest of them first.
    pub slowest: Vec<SlowEntity>,
    /// Entity times in microseconds as an HDR histogram (V2 serialisation, base64).
    pub histogram: Option<String>,
    /// Entities per second in the last window, in thousandths.
    pub pace_milli: i64,
    /// The entities that it is handling.
    pub in_process: Vec<InProcess>,
}

/// An entity that a node is handling.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InProcess {
    /// Its id.
    pub entity: String,
    /// Start of the first attempt.
    pub since: Timestamp,
}

/// Exact sums and percentiles of a batch, which Fabric has no columns for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchStatistics {
    /// The part of each node.
    pub nodes: BTreeMap<NodeId, NodeShare>,
    /// Percentiles of entity time in microseconds: `p50`, `p90`, `p99`, `p99.9`, `max`, `mean`.
    pub percentiles_us: BTreeMap<String, i64>,
    /// The last time that a source under suspicion was read; none in rows of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<SourceTrial>,
}

/// An owner is about to read a source whose earlier owners died, which it may have caused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceTrial {
    /// The fence of that owner.
    pub fence: Fence,
    /// The status in which the batch was.
    pub status: BatchStatus,
    /// The chunk numbers that were reserved. A source that gives a new id lets its owner reserve more.
    pub chunks: i64,
    /// How many owners in a row have died without progress before.
    pub deaths: i32,
}

impl BatchStatistics {
    /// The sum over all nodes.
    pub fn total(&self) -> NodeShare {
        let mut sum = NodeShare::default();
        for share in self.nodes.values() {
            sum.merge(share);
        }
        sum
    }
}
