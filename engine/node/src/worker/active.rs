//! A batch that this node works on, as its workers know it.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use weft_model::{Batch, BatchDesired, BatchId, BatchSpec, BatchStatus};
use weft_project::command::EntityCommand;

use super::BatchStats;

/// Shared by the workers of one batch on this node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ActiveBatch {
    /// The batch.
    pub id: BatchId,
    /// The parameters of the batch.
    pub spec: Arc<BatchSpec>,
    /// Identifies the run of the batch.
    pub execution_id: String,
    /// Its command.
    pub command: Arc<dyn EntityCommand>,
    /// The statistics of this node.
    pub stats: Arc<BatchStats>,
    /// Cancelled when the workers must flush and release their chunks.
    pub stop: CancellationToken,
}

/// Whether workers may handle entities of the batch in its present state.
pub fn admits_work(batch: &Batch) -> bool {
    batch.desired == BatchDesired::Run
        && batch.status.admits_work()
        && !(batch.spec.generate_entities_first && batch.status == BatchStatus::GenerateIid)
}
