//! Queries about batches, jobs and nodes: typed answers for statements and for the HTTP API.
//!
//! Lists filter on listings, which lag behind, and read the rows of the batches that they show. Every query needs a
//! [`Permit`](crate::Permit).

mod batch_details;
mod batch_in_process;
mod batch_info;
mod batch_list;
mod batch_summary;
mod cluster_status;
mod figures;
mod job_status;
mod waiting;

use std::sync::Arc;

pub use crate::live_nodes::{LiveNodes, StoredNodes};
pub use batch_details::{EntityItem, EntityPage, EntityPages, EntityPosition, EntityQuery};
pub use batch_in_process::{InProcessItem, InProcessQuery};
pub use batch_info::{BatchInfo, BatchInfoQuery, CommandType};
pub use batch_list::{BatchItem, BatchListPage, BatchListQuery, StatusFilter};
pub use batch_summary::{BatchSummary, SummaryLevel, SummaryQuery, SummaryRow};
pub use cluster_status::{NodeItem, NodeQuery};
pub use figures::{clock_text, decimal_text, progress_percent, share_percent};
pub use job_status::{
    JobCount, JobCounts, JobInfoQuery, JobItem, JobPage, JobQuery, JobSelection, NextRun, job_note,
    message_of,
};
pub use waiting::{Affinities, unmatched};

use weft_model::clock::SharedClock;
use weft_model::{Batch, BatchId, JobKey, NodeShare, NodeStats};
use weft_node::NodeConfig;
use weft_store::{Freshness, SharedStore, StoreError};

use crate::permission::needs;
use crate::refusal::Refusal;
use crate::services::Services;

/// How many rows are read at once.
const READS_AT_ONCE: usize = 16;

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The batch does not exist.
    #[error("there is no batch {0}")]
    NoSuchBatch(BatchId),
    /// The job does not exist.
    #[error("there is no job {} '{}' with UID '{}'", .0.job_type, .0.name, .0.uid)]
    NoSuchJob(JobKey),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<InspectError> for Refusal {
    fn from(error: InspectError) -> Self {
        match error {
            InspectError::NoSuchBatch(id) => Self::no_such_batch(id),
            InspectError::NoSuchJob(key) => {
                Self::no_such_job(&key.job_type, &key.name, Some(&key.uid))
            }
            InspectError::Store(error) => error.into(),
        }
    }
}

needs!(BatchRead:
    BatchInfoQuery,
    BatchListQuery,
    EntityQuery,
    InProcessQuery,
    JobInfoQuery,
    JobQuery,
    NodeQuery,
    SummaryQuery,
);

/// The answer of a query.
pub type InspectResult<T> = Result<T, InspectError>;

/// Answers queries. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Inspector {
    store: SharedStore,
    clock: SharedClock,
    config: Arc<NodeConfig>,
    nodes: Arc<dyn LiveNodes>,
}

impl Inspector {
    /// Answers from the store and the nodes of `services`.
    pub fn new(services: &Services) -> Self {
        Self {
            store: Arc::clone(&services.store),
            clock: Arc::clone(&services.clock),
            config: Arc::clone(&services.config),
            nodes: Arc::clone(&services.nodes),
        }
    }

    async fn existing(&self, id: BatchId) -> InspectResult<Batch> {
        let batch = self.store.batch(id, Freshness::Committed).await?;
        batch.ok_or(InspectError::NoSuchBatch(id))
    }

    /// The handled entities of a batch: exact once it has ended, until then as the nodes last wrote them.
    async fn share_of(&self, batch: &Batch) -> InspectResult<NodeShare> {
        if let Some(statistics) = ended_statistics(batch) {
            return Ok(statistics);
        }
        let stats = self.store.node_stats(batch.id).await?;
        Ok(sum(&stats))
    }
}

/// The exact sums of an ended batch.
fn ended_statistics(batch: &Batch) -> Option<NodeShare> {
    let ended = batch
        .statistics
        .as_ref()
        .filter(|_| batch.status.is_final());
    ended.map(weft_model::BatchStatistics::total)
}

fn sum(stats: &[NodeStats]) -> NodeShare {
    let mut total = NodeShare::default();
    for stats in stats {
        total.merge(&stats.share);
    }
    total
}
