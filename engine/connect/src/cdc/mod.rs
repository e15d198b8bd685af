//! CDC_REPUBLISH: publishes the rows of stored instances again, as JSON lines to a file or a server.
//!
//! Blocks of lines are published before their progress is saved, so another try resumes an interrupted run: it truncates
//! the file to the bytes that count, or repeats the last call of the server with the same idempotency key.

mod definition;
mod lines;
mod progress;
mod publication;
mod sink;
#[cfg(test)]
mod tests;

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use definition::{Selection, SinkDefinition};
use futures::{Stream, StreamExt, stream};
use lines::{BlockSize, FetchedInstance, LineThread};
use progress::{Progress, RunState};
use publication::{Publication, Sink, output};
use sink::{FileSink, HttpSink};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::info;
use uuid::Uuid;
use weft_model::Job;
use weft_node::job::{
    CheckpointHolder, CheckpointStore, DefinitionError, JobKind, Run, RunEnd, RunFailure, RunOutput,
};
use weft_store::{SharedStore, StoreError, StoreResult};

use crate::deployed::{DeployedProject, must_be_deployed, wait_until_readable};
use crate::files::Files;
use crate::http::{Call, Http};
use crate::on_thread::on_thread;
use crate::retry::retry_transient;
use crate::{Parts, arguments};

/// The ids of one page.
const PAGE: usize = 500;
/// Instances that are read from the store at once.
const PARALLEL_READS: usize = 8;
/// How often progress is saved.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);
/// The blocks for a file.
const FILE_BLOCK: BlockSize = BlockSize {
    lines: u64::MAX,
    bytes: 256 * 1024,
};
/// The bytes at which a block for a server ends.
const CALL_BYTES: usize = 1024 * 1024;
/// The checkpoint item of the state.
const ITEM: &str = "state";

/// Publishes stored instances again.
#[derive(Debug)]
pub struct CdcRepublish {
    projects: Arc<dyn DeployedProject>,
    http: Http,
    files: Files,
    store: SharedStore,
    checkpoints: CheckpointStore,
    save_interval: Duration,
    file_block: BlockSize,
}

/// The sink of a job before it is opened.
enum SinkTarget {
    File(String),
    Http { call: Call, batch: u64 },
}

impl SinkTarget {
    fn label(&self) -> String {
        match self {
            Self::File(path) => path.clone(),
            Self::Http { call, .. } => call.address(),
        }
    }
}

impl CdcRepublish {
    pub(crate) fn new(parts: &Parts) -> Self {
        let hosts = &parts.config.http_allowed_hosts;
        Self {
            projects: Arc::clone(&parts.projects),
            http: Http::new(hosts, parts.environment.clone()),
            files: Files::new(&parts.config.file_roots),
            store: Arc::clone(&parts.store),
            checkpoints: parts.checkpoints.clone(),
            save_interval: SAVE_INTERVAL,
            file_block: FILE_BLOCK,
        }
    }

    /// Reads the arguments of a job.
    async fn read(&self, job: &Job) -> Result<(Selection, SinkTarget), DefinitionError> {
        let project = must_be_deployed(self.projects.project().await)?;
        let unit = project.logical_unit(&job.key.name);
        let unit = unit.map_err(|error| {
            let hint = "NAME is the logical unit whose instances are published";
            arguments::refused(error.to_string(), hint)
        })?;
        let (selection, sink) = definition::read(unit, &arguments::read(job)?)?;
        let target = match sink {
            SinkDefinition::File(path) => SinkTarget::File(path),
            SinkDefinition::Url { call, batch } => SinkTarget::Http {
                call: self.http.read(&call)?,
                batch,
            },
        };
        Ok((selection, target))
    }

    async fn publish(&self, run: &Run) -> Result<RunOutput, RunFailure> {
        let job = &run.job;
        wait_until_readable(self.projects.as_ref(), &run.stop).await;
        let (selection, target) = self
            .read(job)
            .await
            // Another node may allow the sink, so the policy decides whether to try again.
            .map_err(|error| RunFailure::new("Arguments", error.message))?;
        let key = &job.key;
        let scope = format!("job/{}/{}/{}", key.job_type, key.name, key.uid);
        let checkpoints = self
            .checkpoints
            .take(&scope, &CheckpointHolder::of_run(job))
            .await?;
        let saved = checkpoints.all().await?;
        let saved = saved.into_iter().find(|saved| saved.item == ITEM);
        let saved = saved.and_then(|saved| serde_json::from_str::<RunState>(&saved.value).ok());
        let run_id = run_id(run, &selection);
        let sink_label = target.label();
        let (state, sink) = match self.open(saved, run_id, job.fence, target).await? {
            Opened::Complete(progress) => return Ok(output(&progress, &sink_label)),
            Opened::Incomplete(state, sink) => (*state, sink),
        };
        let mut publication = Publication {
            stop: &run.stop,
            http: &self.http,
            name: format!("CDC_REPUBLISH {}", selection.logical_unit),
            sink_label,
            checkpoints,
            state,
            sink,
            save_interval: self.save_interval,
            saved_at: Instant::now(),
            logged_at: Instant::now(),
        };
        let from = publication.state.progress.clone();
        if from.passed > 0 {
            let (name, passed) = (&publication.name, from.passed);
            info!(
                job.uid = key.uid,
                "{name} continues after {passed} instances"
            );
        }
        // Saved first, so that the next try can remove the partial file, however this run ends.
        publication.save(false).await?;
        let size = match &publication.sink {
            Sink::File(_) => self.file_block,
            Sink::Http { batch, .. } => BlockSize {
                lines: *batch,
                bytes: CALL_BYTES,
            },
        };
        let LineThread { instances, blocks } = lines::start(&selection, from.clone(), size)
            .map_err(|message| RunFailure::new("Thread", message))?;
        let feed = async {
            let fed = self.feed(&selection, &from, instances, &run.stop).await;
            match fed {
                // The run ends with the last block.
                Ok(()) => pending().await,
                Err(failure) => failure,
            }
        };
        let end = tokio::select! {
            biased;
            end = publication.publish(blocks) => end,
            failure = feed => Err(failure),
        };
        publication.end(end, job).await
    }

    /// Opens the sink at the position of an earlier try at the run.
    async fn open(
        &self,
        saved: Option<RunState>,
        run: Uuid,
        fence: i64,
        target: SinkTarget,
    ) -> Result<Opened, RunFailure> {
        let saved = match saved {
            Some(state) if state.run == run && state.is_complete => {
                let is_there = match state.part {
                    Some(part) => sink::finish(&self.files, part).await?,
                    None => true,
                };
                if is_there {
                    return Ok(Opened::Complete(state.progress));
                }
                None
            }
            Some(state) if state.run == run => Some(state),
            Some(RunState {
                part: Some(part),
                is_complete: false,
                ..
            }) => {
                sink::remove(&self.files, part).await;
                None
            }
            Some(_) | None => None,
        };
        let new = RunState {
            run,
            part: None,
            calls: 0,
            progress: Progress::default(),
            is_complete: false,
        };
        match target {
            SinkTarget::File(path) => {
                let part = saved.as_ref().and_then(|state| state.part.clone());
                let other = Uuid::new_v5(&run, &fence.to_be_bytes());
                let opened = FileSink::open(&self.files, &path, part.clone(), run, other).await;
                let (sink, is_continued) = opened?;
                // The old partial file is not continued, perhaps because another process still writes it.
                if let Some(part) = part.filter(|part| part.name != sink.part().name) {
                    sink::remove(&self.files, part).await;
                }
                let state = saved.filter(|_| is_continued).unwrap_or(new);
                Ok(Opened::Incomplete(Box::new(state), Sink::File(sink)))
            }
            SinkTarget::Http { call, batch } => {
                let state = saved.unwrap_or(new);
                let sink = HttpSink::open(call, run, state.calls)?;
                Ok(Opened::Incomplete(
                    Box::new(state),
                    Sink::Http { sink, batch },
                ))
            }
        }
    }

    /// Reads instances, several at once, and sends them in their order.
    async fn feed(
        &self,
        selection: &Selection,
        from: &Progress,
        to: mpsc::Sender<FetchedInstance>,
        stop: &CancellationToken,
    ) -> Result<(), RunFailure> {
        let fetch = |id: Result<String, StoreError>| async move {
            let id = id?;
            let read = || self.store.instance(&selection.logical_unit, &id);
            let instance = retry_transient(stop, read).await?;
            Ok::<_, StoreError>(FetchedInstance { id, instance })
        };
        let ids = self.ids(selection, from, stop);
        let mut found = std::pin::pin!(ids.map(fetch).buffered(PARALLEL_READS));
        while let Some(fetched) = found.next().await {
            let fetched =
                fetched.map_err(|error| RunFailure::new("Store", format!("instances: {error}")))?;
            if to.send(fetched).await.is_err() {
                // The thread has ended, and the channel of blocks says why.
                break;
            }
        }
        Ok(())
    }

    fn ids<'a>(
        &'a self,
        selection: &'a Selection,
        from: &Progress,
        stop: &'a CancellationToken,
    ) -> futures::stream::BoxStream<'a, StoreResult<String>> {
        match &selection.instances {
            Some(ids) => {
                let passed = usize::try_from(from.passed).unwrap_or(usize::MAX);
                stream::iter(ids.iter().skip(passed).cloned().map(Ok)).boxed()
            }
            None => self.stored_ids(selection, from.after.clone(), stop).boxed(),
        }
    }

    /// The ids of all stored instances after `after`, page by page.
    fn stored_ids<'a>(
        &'a self,
        selection: &'a Selection,
        after: Option<String>,
        stop: &'a CancellationToken,
    ) -> impl Stream<Item = StoreResult<String>> + Send + 'a {
        let pages = stream::unfold(Some(after), move |after| async move {
            let after = after?;
            let unit = &selection.logical_unit;
            let read = || self.store.instance_ids(unit, after.as_deref(), PAGE);
            match retry_transient(stop, read).await {
                Ok(ids) => {
                    let next = ids.last().filter(|_| ids.len() == PAGE).cloned().map(Some);
                    let ids: Vec<_> = ids.into_iter().map(Ok).collect();
                    Some((stream::iter(ids), next))
                }
                Err(error) => Some((stream::iter(vec![Err(error)]), None)),
            }
        });
        pages.flatten()
    }
}

#[async_trait]
impl JobKind for CdcRepublish {
    fn uses_project(&self) -> bool {
        true
    }

    fn job_type(&self) -> &'static str {
        "CDC_REPUBLISH"
    }

    async fn check(&self, job: &Job) -> Result<(), DefinitionError> {
        match self.read(job).await? {
            (_, SinkTarget::Http { .. }) => Ok(()),
            (_, SinkTarget::File(path)) => {
                let files = self.files.clone();
                let check = move || files.locate(&path)?.check_writable();
                let checked = on_thread("weft-republish-look", check).await;
                checked.map_err(|message| {
                    let hint = "the sink is a file in an existing folder below FILE_ROOTS";
                    arguments::refused(message, hint)
                })
            }
        }
    }

    async fn run(&self, run: Run) -> RunEnd {
        // Boxed because the future is large.
        Box::pin(self.publish(&run)).await.into()
    }
}

/// Identifies a run with its arguments. Only tries with the same id may resume each other.
fn run_id(run: &Run, selection: &Selection) -> Uuid {
    let parts = [&run.job.arguments, &selection.tables.join("\0")];
    let arguments = parts.map(String::as_str).join("\0\0");
    Uuid::new_v5(&run.idempotency_key(), arguments.as_bytes())
}

/// The sink of a run after it was opened.
enum Opened {
    /// An earlier try has published everything.
    Complete(Progress),
    /// Publication continues with this state.
    Incomplete(Box<RunState>, Sink),
}
