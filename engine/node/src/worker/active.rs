//! A batch that this node works on, as its workers see it.

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
    /// What it was asked to do.
    pub spec: Arc<BatchSpec>,
    /// Correlates runs.
    pub execution_id: String,
    /// Its command.
    pub command: Arc<dyn EntityCommand>,
    /// This node's figures.
    pub stats: Arc<BatchStats>,
    /// Cancelled when workers shall flush and hand back.
    pub stop: CancellationToken,
}

/// Workers may handle entities of a batch in this state.
pub fn admits_work(batch: &Batch) -> bool {
    batch.desired == BatchDesired::Run
        && batch.status.admits_work()
        && !(batch.spec.generate_entities_first && batch.status == BatchStatus::GenerateIid)
}
