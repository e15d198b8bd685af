//! What is run for each entity of a batch.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use weft_model::{BatchId, BatchSpec, Fence, Instance, NodeId};

/// What a command knows of the chunk it works on.
#[derive(Clone, Debug)]
pub struct ChunkContext {
    /// The batch.
    pub batch: BatchId,
    /// What the batch was asked to do.
    pub spec: Arc<BatchSpec>,
    /// With the entity's id the idempotency key, stable across takeovers.
    pub execution_id: String,
    /// Grows with every change of hands: side effects may reject older ones.
    pub fence: Fence,
    /// Where it runs.
    pub node: NodeId,
}

/// What came of one entity.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It ran.
    Completed {
        /// The result as JSON text, e.g. `{"Added":1,"Updated":0,"Unchanged":0}`.
        result: String,
        /// The instance to save with the record, where one changed.
        instance: Option<Instance>,
    },
    /// It failed; what a person shall read.
    Failed(String),
}

/// A command template bound to the deployed project, ready to run for ids.
#[async_trait]
pub trait EntityCommand: Send + Sync + fmt::Debug {
    /// The logical unit whose instances it writes; none where it writes none.
    fn writes(&self) -> Option<&str>;

    /// Reads ahead what the ids of a chunk need, in set-based queries where the command allows.
    ///
    /// An error that concerns single entities is reported by `run` of these; one that concerns all of them
    /// (the source is down) by `run` of each, so that the batch goes on and a retry can follow.
    async fn prepare(&self, context: &ChunkContext, ids: &[String]) -> Box<dyn PreparedChunk>;
}

/// A chunk that was read ahead.
#[async_trait]
pub trait PreparedChunk: Send {
    /// Runs the command for one id of the chunk. May be called again for the same id (retry).
    async fn run(&mut self, id: &str) -> Outcome;
}

/// Turns the FABRIC_COMMAND of a batch into something that runs. The seam to projects and languages.
#[async_trait]
pub trait CommandFactory: Send + Sync + fmt::Debug {
    /// Binds the command of `spec` in the project version that the batch started with.
    ///
    /// # Errors
    /// A sentence for the column `error` of the batch.
    async fn bind(&self, spec: &BatchSpec) -> Result<Arc<dyn EntityCommand>, String>;

    /// The stream of ids of `spec`'s source behind `after`, for the sources that this factory knows
    /// (interfaces of the project); lists and stored instances are read by the engine itself.
    ///
    /// # Errors
    /// A sentence for the column `error` of the batch.
    async fn ids(
        &self,
        spec: &BatchSpec,
        after: Option<String>,
    ) -> Result<crate::source::IdStream, String>;
}
