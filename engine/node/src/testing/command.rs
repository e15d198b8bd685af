//! A command that a test defines by a function.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::BoxFuture;
use weft_model::BatchSpec;
use weft_project::command::{
    ChunkContext, CommandError, CommandFactory, EntityCommand, EntityOutcome, PreparedChunk,
};
use weft_project::source::IdStream;
use weft_store::Outage;

type Handle = dyn Fn(String) -> BoxFuture<'static, EntityOutcome> + Send + Sync;

/// The command of every batch. Cheap to clone.
#[derive(Clone)]
pub(crate) struct TestCommand {
    handle: Arc<Handle>,
    in_work: Arc<AtomicUsize>,
}

impl TestCommand {
    pub(crate) fn new<F>(handle: impl Fn(String) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = EntityOutcome> + Send + 'static,
    {
        Self {
            handle: Arc::new(move |id| handle(id).boxed()),
            in_work: Arc::default(),
        }
    }

    /// The chunks that workers have not dropped yet.
    pub(crate) fn chunks_in_work(&self) -> usize {
        self.in_work.load(Ordering::Acquire)
    }
}

/// The outcome of an entity that succeeds.
pub(crate) fn completed() -> EntityOutcome {
    EntityOutcome::Completed {
        result: "{}".to_owned(),
        instance: None,
    }
}

impl fmt::Debug for TestCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestCommand").finish_non_exhaustive()
    }
}

#[async_trait]
impl CommandFactory for TestCommand {
    async fn bind(&self, _: &BatchSpec) -> Result<Arc<dyn EntityCommand>, CommandError> {
        Ok(Arc::new(self.clone()))
    }

    async fn ids(&self, _: &BatchSpec, _: Option<String>) -> Result<IdStream, CommandError> {
        Err(CommandError::Refused("tests use lists of ids".to_owned()))
    }
}

#[async_trait]
impl EntityCommand for TestCommand {
    fn writes(&self) -> Option<&str> {
        None
    }

    async fn prepare(
        &self,
        _: &ChunkContext,
        _: &[String],
    ) -> Result<Box<dyn PreparedChunk>, Outage> {
        self.in_work.fetch_add(1, Ordering::AcqRel);
        Ok(Box::new(TestChunk(self.clone())))
    }
}

struct TestChunk(TestCommand);

#[async_trait]
impl PreparedChunk for TestChunk {
    async fn run(&mut self, id: &str) -> EntityOutcome {
        (self.0.handle)(id.to_owned()).await
    }
}

impl Drop for TestChunk {
    fn drop(&mut self) {
        self.0.in_work.fetch_sub(1, Ordering::AcqRel);
    }
}
