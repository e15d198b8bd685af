//! The commands that batches run for each entity.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use weft_lang::Pattern;
use weft_model::{BatchId, BatchSpec, Fence, Instance, NodeId};
use weft_store::{Outage, StoreError};

use crate::source::IdStream;

/// The chunk that a command handles.
#[derive(Clone, Debug)]
pub struct ChunkContext {
    /// The batch.
    pub batch: BatchId,
    /// The parameters of the batch.
    pub spec: Arc<BatchSpec>,
    /// Together with the entity id the idempotency key. It is stable across takeovers.
    pub execution_id: String,
    /// The fence of the chunk. Receivers of side effects may reject requests with an older one.
    pub fence: Fence,
    /// The node that handles the chunk.
    pub node: NodeId,
}

/// The outcome of a command for one entity.
#[derive(Clone, Debug, PartialEq)]
pub enum EntityOutcome {
    /// The command succeeded.
    Completed {
        /// The result as JSON text, e.g. `{"Added":1,"Updated":0,"Unchanged":0}`.
        result: String,
        /// The instance to save together with the result, if it changed.
        instance: Option<Instance>,
    },
    /// The command failed; the message is for users.
    Failed(String),
}

/// A command that is bound to a project and can run for ids.
#[async_trait]
pub trait EntityCommand: Send + Sync + fmt::Debug {
    /// The logical unit whose instances it writes, if any.
    fn writes(&self) -> Option<&str>;

    /// Reads the data for the ids of a chunk in advance, with queries for many ids at once if possible.
    ///
    /// [`PreparedChunk::run`] reports the errors: an error of an entity for that entity, and an error of all entities
    /// (the source is down) for each of them, so that the batch continues and the entities can be retried.
    ///
    /// # Errors
    /// The node's own store did not answer: the worker waits and calls this again.
    async fn prepare(
        &self,
        context: &ChunkContext,
        ids: &[String],
    ) -> Result<Box<dyn PreparedChunk>, Outage>;
}

/// A chunk whose data was read.
#[async_trait]
pub trait PreparedChunk: Send {
    /// Reads again, after [`run`](Self::run) took what was read, the data for one more try at an id. The limit of time for
    /// an entity does not count it, as it does not count [`EntityCommand::prepare`].
    ///
    /// # Errors
    /// The node's own store did not answer: the worker waits and calls this again.
    async fn prepare_again(&mut self, _id: &str) -> Result<(), Outage> {
        Ok(())
    }

    /// Runs the command for one id of the chunk. A retry calls it again for the same id, after
    /// [`prepare_again`](Self::prepare_again).
    async fn run(&mut self, id: &str) -> EntityOutcome;
}

/// Why a command cannot be bound, or the ids of a batch cannot be streamed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The batch cannot run: a sentence for its column `error`.
    #[error("{0}")]
    Refused(String),
    /// This node cannot load the project now, for example because its disk is full. That says nothing about the batch.
    #[error("{0}")]
    NotNow(String),
    /// The store failed, which says nothing about the batch.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<String> for CommandError {
    fn from(reason: String) -> Self {
        Self::Refused(reason)
    }
}

/// Makes commands of scripts. This package starts no processes itself.
pub trait ScriptCommands: Send + Sync + fmt::Debug {
    /// Binds a script of the project that is unpacked in `project`. Each argument contains the id where it has a `?`.
    ///
    /// # Errors
    /// The script cannot be run.
    fn bind(
        &self,
        project: &Path,
        script: &str,
        arguments: Vec<Pattern>,
    ) -> Result<Arc<dyn EntityCommand>, CommandError>;
}

/// Makes runnable commands of FABRIC_COMMAND texts. The engine knows projects and languages only by this trait.
#[async_trait]
pub trait CommandFactory: Send + Sync + fmt::Debug {
    /// Binds the command of `spec` to the project version of the batch.
    ///
    /// # Errors
    /// The batch cannot run, or the store failed.
    async fn bind(&self, spec: &BatchSpec) -> Result<Arc<dyn EntityCommand>, CommandError>;

    /// Streams the ids of the source of `spec` after the position `after`. Only for sources that are interfaces of the
    /// project; the engine reads lists and stored instances itself.
    ///
    /// # Errors
    /// The batch cannot run, or the store failed.
    async fn ids(&self, spec: &BatchSpec, after: Option<String>) -> Result<IdStream, CommandError>;
}
