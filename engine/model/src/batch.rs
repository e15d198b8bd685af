//! A batch: one command over many entity ids.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::status::names;
use super::{BatchId, BatchStatus, Fence, Holder, Incarnation, NodeId, NodeShare, Token};
use crate::clock::Timestamp;

/// What a person wants of a batch; a weaker wish never replaces a stronger one.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum BatchDesired {
    /// Go on.
    #[default]
    Run,
    /// Stop so that it can go on later.
    Pause,
    /// Stop for good.
    Cancel,
    /// It has ended and is being removed: whatever else is wished comes too late.
    Remove,
}

names!(BatchDesired {
    Run = "RUN",
    Pause = "PAUSE",
    Cancel = "CANCEL",
    Remove = "REMOVE",
});

/// Where the ids of a batch come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EntitySource {
    /// `LU.('a','b')`.
    List {
        /// The ids as given.
        ids: Vec<String>,
    },
    /// `LU FROM interface USING ('sql')`, an instance group, or a whole LU: one query on one interface.
    Query {
        /// The interface.
        interface: String,
        /// The SQL, with `?` for the parameters.
        sql: String,
        /// Values of the parameters.
        parameters: Vec<String>,
        /// The instance group it came from, if it did.
        instance_group: Option<String>,
    },
    /// `LU FROM fabric`: the ids of stored instances.
    Stored,
}

/// How often and when a failed entity is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Attempts in all, from 1.
    pub max_attempts: i32,
    /// The upper bound of the first pause in milliseconds; doubles, with full jitter.
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

/// What a batch was asked to do. Never changes after submission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchSpec {
    /// The logical unit named behind BATCH.
    pub logical_unit: String,
    /// Where the ids come from.
    pub source: EntitySource,
    /// FABRIC_COMMAND with its `?`.
    pub fabric_command: String,
    /// Nodes and DCs that may handle entities; empty = all.
    pub affinity: Vec<String>,
    /// Nodes and DCs that may own the batch; empty = all.
    pub job_affinity: Vec<String>,
    /// The caller does not wait.
    pub asynchronous: bool,
    /// Finish the list before anything is handled.
    pub generate_entities_first: bool,
    /// The same command may run twice at once.
    pub allow_multiple: bool,
    /// At most so many nodes handle entities.
    pub max_nodes: Option<i64>,
    /// At most so many workers per node.
    pub max_workers_per_node: Option<i64>,
    /// Shown as total until the real one is known.
    pub estimated_entities: Option<i64>,
    /// What to do with a failed entity.
    pub retry: RetryPolicy,
    /// Milliseconds after which an entity is failed; none = never.
    pub entity_timeout_ms: Option<i64>,
    /// The session's SET values, inherited by every node.
    pub session_scope: BTreeMap<String, String>,
    /// Hash of the project bundle the batch was started with; it keeps that version.
    pub project: Option<String>,
}

impl BatchSpec {
    /// This command for these entities, and nothing else said.
    pub fn of(
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
    /// Where it stands.
    pub status: BatchStatus,
    /// What it was asked to do.
    pub spec: BatchSpec,
    /// The documented keys (as in Fabric) as JSON text, without secrets.
    pub arguments: String,
    /// The whole command as typed.
    pub command: String,
    /// When it was submitted.
    pub creation_time: Timestamp,
    /// When a node began.
    pub start_time: Option<Timestamp>,
    /// When it ended.
    pub end_time: Option<Timestamp>,
    /// Why the batch itself failed.
    pub error: Option<String>,
    /// The slowest entities (as in Fabric).
    pub extra_stats: Option<String>,
    /// Exact sums and percentiles, once there are some.
    pub statistics: Option<BatchStatistics>,
    /// The user that submitted it.
    pub owner: String,
    /// How many ids, once the list is complete.
    pub total_entities: Option<i64>,
    /// How many ids of the source were dropped because they had come before.
    pub duplicates: i64,
    /// Correlates log lines and runs; new with every retry.
    pub execution_id: String,
    /// Grows with every change of owner.
    pub fence: Fence,
    /// The node that owns it.
    pub owner_node: Option<NodeId>,
    /// Which life of that node.
    pub owner_incarnation: Option<Incarnation>,
    /// The last owner's attempt.
    pub op_token: Option<Token>,
    /// What shall become of it.
    pub desired: BatchDesired,
    /// Grows with every wish.
    pub desired_seq: i64,
    /// The last wisher's attempt.
    pub desired_token: Option<Token>,
    /// Chunk numbers below this are reserved.
    pub chunks: i64,
    /// Grows with every save of statistics.
    pub stats_seq: i64,
    /// Why it waits, for people.
    pub notes: Option<String>,
}

impl Batch {
    /// A batch as submitted: no command text, no arguments, no owner and no execution id yet.
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
            stats_seq: 0,
            notes: None,
        }
    }

    /// Who owns it, if a node does.
    pub fn holder(&self) -> Option<Holder> {
        match (&self.owner_node, self.owner_incarnation) {
            (Some(node), Some(incarnation)) => Some(Holder {
                node: node.clone(),
                incarnation,
            }),
            _ => None,
        }
    }
}

/// One line of the directory by day: a copy that filters use; the row itself is the truth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchListing {
    /// The batch.
    pub id: BatchId,
    /// When it was submitted; with the id the order of the list.
    pub creation_time: Timestamp,
    /// Its status when the copy was made.
    pub status: BatchStatus,
    /// Its end when the copy was made.
    pub end_time: Option<Timestamp>,
    /// The head of its command.
    pub command: String,
    /// How many entities had failed when the copy was made.
    pub failed: i64,
}

/// An entity that took long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SlowEntity {
    /// Its id.
    pub entity_id: String,
    /// How long it took, in milliseconds.
    #[serde(rename = "processTimeMS")]
    pub process_time_ms: i64,
    /// COMPLETED or FAILED.
    pub status: String,
    /// The result, absent where it failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub result: Option<String>,
    /// Where it ran.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node_id: Option<String>,
}

/// One row of `k2batchprocess.batchprocess_node_info`; only the node itself writes it.
///
/// Fresh but not exact: a crash loses what was counted since the last write. The exact figures are the
/// shares in the chunks, which the owner sums up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStats {
    /// The batch.
    pub batch: BatchId,
    /// The node.
    pub node: NodeId,
    /// Its data centre.
    pub dc: String,
    /// When it was written.
    pub updated_time: Timestamp,
    /// What it did.
    pub share: NodeShare,
    /// The slowest entities, ascending by time.
    pub slowest: Vec<SlowEntity>,
    /// Entity times in microseconds as an HDR histogram (V2 serialisation, base64).
    pub histogram: Option<String>,
    /// Entities per second in the last window, in thousandths.
    pub pace_milli: i64,
    /// Entities being handled right now.
    pub in_process: Vec<InProcess>,
}

/// An entity that is being handled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InProcess {
    /// Its id.
    pub entity: String,
    /// When it started.
    pub since: Timestamp,
}

/// What the owner keeps of a batch beyond Fabric's columns: exact sums and percentiles.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchStatistics {
    /// By node.
    pub nodes: BTreeMap<NodeId, NodeShare>,
    /// Percentiles of entity time in microseconds: `p50`, `p90`, `p99`, `p99.9`, `max`, `mean`.
    pub percentiles_us: BTreeMap<String, i64>,
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
