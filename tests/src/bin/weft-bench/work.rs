//! What is run for each id, where the ids come from, and how a batch of it is submitted.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use clap::ValueEnum;
use tokio::sync::mpsc;
use weft::example;
use weft_model::clock::{SharedClock, Timestamp};
use weft_model::ids::Ids;
use weft_model::{Batch, BatchId, BatchSpec, BatchStatus, EntitySource};
use weft_node::scheduler::submission_of;
use weft_project::ProjectCatalogue;
use weft_project::command::{
    ChunkContext, CommandError, CommandFactory, EntityCommand, EntityOutcome, PreparedChunk,
};
use weft_project::interface::Environment;
use weft_project::source::{IdPage, IdStream};
use weft_store::{Outage, SelfFence};
use weft_store::{SharedStore, SubmitBatch};

/// The logical unit of the example project.
pub const LOGICAL_UNIT: &str = "AUTODATA_DELTA";
/// What the no-op answers.
pub const NOOP_RESULT: &str = "{}";
/// What a first sync answers.
pub const SYNC_RESULT: &str = r#"{"Added":1,"Updated":0,"Unchanged":0}"#;
/// Ids that the generator hands over at once.
const PAGE: usize = 512;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Work {
    /// Completes at once with `{}`; ids from a generator
    Noop,
    /// `sync_instance AUTODATA_DELTA.?` over the example project; ids from its file
    Sync,
}

impl Work {
    pub fn name(self) -> &'static str {
        match self {
            Self::Noop => "noop",
            Self::Sync => "sync",
        }
    }

    pub fn spec(self, ids: usize) -> BatchSpec {
        let command = match self {
            Self::Noop => "echo ?",
            Self::Sync => "sync_instance AUTODATA_DELTA.?",
        };
        BatchSpec {
            asynchronous: true,
            allow_multiple: true,
            ..BatchSpec::new(
                LOGICAL_UNIT.to_owned(),
                EntitySource::Query {
                    interface: "idsFile".to_owned(),
                    sql: format!("select id from ids limit {ids}"),
                    parameters: Vec::new(),
                    instance_group: None,
                },
                command.to_owned(),
            )
        }
    }
}

/// The nth id, from 0: the same for the generator, the example project and the bare loop.
pub fn id(number: usize) -> String {
    example::vehicle_id(number as u64 + 1)
}

/// Writes the example project, every vehicle of it readable.
pub fn write_project(folder: &Path, ids: u64) -> Result<()> {
    let options = example::Options {
        ids,
        broken: 0,
        ..example::Options::default()
    };
    example::materialise(folder, options)?;
    Ok(())
}

/// The project in a folder, deployed.
pub async fn deployed(
    store: &SharedStore,
    clock: &SharedClock,
    data: &Path,
    project: Option<&Path>,
) -> Result<Arc<ProjectCatalogue>> {
    let project = project.context("sync needs --project")?;
    let environment = Environment::from_process();
    let (store, clock) = (Arc::clone(store), Arc::clone(clock));
    let catalogue = ProjectCatalogue::new(store, Arc::clone(&clock), data, environment);
    let self_fence = SelfFence::for_duration(clock, Duration::from_secs(60));
    let ids = Ids::from_system();
    catalogue
        .deploy(project, "bench", &ids, &self_fence)
        .await?;
    Ok(Arc::new(catalogue))
}

/// Makes commands that do nothing, and notes when the first entity of a batch is entered.
#[derive(Debug, Default)]
pub struct NoopFactory {
    first: Arc<Mutex<Option<Instant>>>,
    ids: usize,
    notes_first: bool,
}

impl NoopFactory {
    pub fn new(ids: usize) -> Self {
        Self {
            ids,
            ..Self::default()
        }
    }

    pub fn noting_first(ids: usize) -> Self {
        Self {
            ids,
            notes_first: true,
            ..Self::default()
        }
    }

    /// When the first entity since the last call was entered.
    pub fn take_first(&self) -> Option<Instant> {
        self.first
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

#[async_trait]
impl CommandFactory for NoopFactory {
    async fn bind(&self, _: &BatchSpec) -> Result<Arc<dyn EntityCommand>, CommandError> {
        let first = self.notes_first.then(|| Arc::clone(&self.first));
        Ok(Arc::new(Noop { first }))
    }

    async fn ids(&self, _: &BatchSpec, _: Option<String>) -> Result<IdStream, CommandError> {
        let (sender, stream) = mpsc::channel(4);
        let count = self.ids;
        tokio::spawn(async move {
            let mut from = 0;
            while from < count {
                let to = (from + PAGE).min(count);
                let page = IdPage {
                    ids: (from..to).map(id).collect(),
                    position: None,
                };
                if sender.send(Ok(page)).await.is_err() {
                    return;
                }
                from = to;
            }
        });
        Ok(stream)
    }
}

#[derive(Clone, Debug)]
struct Noop {
    first: Option<Arc<Mutex<Option<Instant>>>>,
}

#[async_trait]
impl EntityCommand for Noop {
    fn writes(&self) -> Option<&str> {
        None
    }

    async fn prepare(
        &self,
        _: &ChunkContext,
        _: &[String],
    ) -> Result<Box<dyn PreparedChunk>, Outage> {
        Ok(Box::new(self.clone()))
    }
}

#[async_trait]
impl PreparedChunk for Noop {
    async fn run(&mut self, _: &str) -> EntityOutcome {
        if let Some(first) = &self.first {
            let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(Instant::now);
        }
        EntityOutcome::Completed {
            result: NOOP_RESULT.to_owned(),
            instance: None,
        }
    }
}

/// A batch of this work as a statement would submit it.
pub fn submission(spec: BatchSpec, ids: &Ids, now: Timestamp) -> SubmitBatch {
    let batch = Batch {
        command: spec.fabric_command.clone(),
        owner: "bench".to_owned(),
        execution_id: ids.uuid().to_string(),
        ..Batch::waiting(BatchId(ids.uuid()), spec, now)
    };
    submission_of(batch, ids.token())
}

/// Refuses a batch that did not end as every measurement here must.
pub fn check_done(batch: &Batch, ids: usize) -> Result<()> {
    let sums = batch.statistics.as_ref().map(|sums| sums.total());
    let counts = sums.map(|sums| (sums.succeeded, sums.failed));
    if batch.status != BatchStatus::Done || counts != Some((i64::try_from(ids)?, 0)) {
        bail!(
            "batch {} ended {} with {counts:?} (succeeded, failed): {:?}",
            batch.id,
            batch.status,
            batch.error
        );
    }
    Ok(())
}
