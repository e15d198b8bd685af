//! CDC_REPUBLISH: the rows of stored instances, published again as lines of JSON to a file or a server.
//!
//! Blocks of lines are handed over first and where one is behind them is written down second, so a run that is cut short
//! anywhere is gone on with: a file is cut back to what counts of it, and a server is called again with the same key.

mod lines;
mod order;
mod progress;
mod sink;
#[cfg(test)]
mod tests;

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::{Stream, StreamExt, stream};
use lines::{Block, Ends, Fetched, Size};
use order::{Order, Target};
use progress::{Progress, State};
use serde_json::json;
use sink::{FileSink, HttpSink};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::info;
use uuid::Uuid;
use weft_model::Job;
use weft_node::job::{
    Check, CheckpointHolder, CheckpointStore, Checkpoints, JobKind, Run, RunEnd, RunFailure,
    RunOutput,
};
use weft_store::{SharedStore, StoreError, StoreResult};

use crate::files::Files;
use crate::http::{Call, Http};
use crate::on_thread::on_thread;
use crate::{DeployedProject, Parts, arguments, must_be_deployed};

/// Ids in a page.
const PAGE: usize = 500;
/// Instances that are read from the store at once.
const SIDE_BY_SIDE: usize = 8;
/// How often it is written down how far the run has come.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// How often the log tells.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// How long a store that does not answer is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// A block for a file.
const FILE_BLOCK: Size = Size {
    lines: u64::MAX,
    bytes: 256 * 1024,
};
/// A call has no more than this and one line.
const CALL_BYTES: usize = 1024 * 1024;
/// The item of the ledger.
const ITEM: &str = "state";

/// Publishes stored instances.
#[derive(Debug)]
pub struct CdcRepublish {
    projects: Arc<dyn DeployedProject>,
    http: Http,
    files: Files,
    store: SharedStore,
    checkpoints: CheckpointStore,
    save_every: Duration,
    file_block: Size,
}

/// Where a job's rows go to.
enum Way {
    File(String),
    Http { call: Call, batch: u64 },
}

impl Way {
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
            save_every: SAVE_EVERY,
            file_block: FILE_BLOCK,
        }
    }

    /// What the job publishes, and where to.
    async fn read(&self, job: &Job) -> Result<(Order, Way), Check> {
        let project = must_be_deployed(self.projects.project().await)?;
        let unit = project.logical_unit(&job.key.name);
        let unit = unit.map_err(|error| Check {
            message: error.to_string(),
            hint: Some("NAME is the logical unit whose instances are published".to_owned()),
        })?;
        let (order, target) = order::read(unit, &arguments::of(job)?)?;
        let way = match target {
            Target::File(path) => Way::File(path),
            Target::Url { call, batch } => Way::Http {
                call: self.http.read(&call)?,
                batch,
            },
        };
        Ok((order, way))
    }

    async fn publish(&self, run: &Run) -> Result<RunOutput, RunFailure> {
        let job = &run.job;
        let (order, way) = self
            .read(job)
            .await
            // Another node may allow it: whether it is tried again is up to the policy.
            .map_err(|check| RunFailure::new("Arguments", check.message))?;
        let key = &job.key;
        let scope = format!("job/{}/{}/{}", key.job_type, key.name, key.uid);
        let checkpoints = self
            .checkpoints
            .take(&scope, &CheckpointHolder::of(job))
            .await?;
        let known = checkpoints.all().await?;
        let known = known.into_iter().find(|found| found.item == ITEM);
        let known = known.and_then(|found| serde_json::from_str::<State>(&found.value).ok());
        let of = run_of(run, &order);
        let label = way.label();
        let (state, sink) = match self.begin(known, of, job.fence, way).await? {
            Begun::Complete(progress) => return Ok(output(&progress, &label)),
            Begun::At(state, sink) => (*state, sink),
        };
        let mut publishing = Publishing {
            stop: &run.stop,
            http: &self.http,
            name: format!("CDC_REPUBLISH {}", order.logical_unit),
            label,
            checkpoints,
            state,
            sink,
            save_every: self.save_every,
            saved_at: Instant::now(),
            told_at: Instant::now(),
        };
        let from = publishing.state.progress.clone();
        if from.passed > 0 {
            let (name, passed) = (&publishing.name, from.passed);
            info!(
                job.uid = key.uid,
                "{name} goes on behind {passed} instances"
            );
        }
        // Whoever comes after knows what to take away, however this run ends.
        publishing.save(false).await?;
        let size = match &publishing.sink {
            Sink::File(_) => self.file_block,
            Sink::Http { batch, .. } => Size {
                lines: *batch,
                bytes: CALL_BYTES,
            },
        };
        let Ends { instances, blocks } = lines::start(&order, from.clone(), size)
            .map_err(|message| RunFailure::new("Thread", message))?;
        let feed = async {
            let fed = self.feed(&order, &from, instances, &run.stop).await;
            match fed {
                // The end of the blocks is the end of the run.
                Ok(()) => pending().await,
                Err(failure) => failure,
            }
        };
        let end = tokio::select! {
            biased;
            end = publishing.hand_over(blocks) => end,
            failure = feed => Err(failure),
        };
        publishing.end(end, job).await
    }

    /// Opens the sink, at the place where an earlier try of the run was.
    async fn begin(
        &self,
        known: Option<State>,
        of: Uuid,
        fence: i64,
        way: Way,
    ) -> Result<Begun, RunFailure> {
        let known = match known {
            Some(state) if state.of == of && state.is_complete => {
                let is_there = match state.part {
                    Some(part) => sink::finish(&self.files, part).await?,
                    None => true,
                };
                if is_there {
                    return Ok(Begun::Complete(state.progress));
                }
                None
            }
            Some(state) if state.of == of => Some(state),
            Some(State {
                part: Some(part),
                is_complete: false,
                ..
            }) => {
                sink::remove(&self.files, part).await;
                None
            }
            Some(_) | None => None,
        };
        let fresh = State {
            of,
            part: None,
            calls: 0,
            progress: Progress::default(),
            is_complete: false,
        };
        match way {
            Way::File(path) => {
                let part = known.as_ref().and_then(|state| state.part.clone());
                let other = Uuid::new_v5(&of, &fence.to_be_bytes());
                let opened = FileSink::open(&self.files, &path, part.clone(), of, other).await;
                let (sink, is_gone_on) = opened?;
                // It is of no use to anybody, or of somebody who shall not go on with it.
                if let Some(part) = part.filter(|part| part.name != sink.part().name) {
                    sink::remove(&self.files, part).await;
                }
                let state = known.filter(|_| is_gone_on).unwrap_or(fresh);
                Ok(Begun::At(Box::new(state), Sink::File(sink)))
            }
            Way::Http { call, batch } => {
                let state = known.unwrap_or(fresh);
                let sink = HttpSink::open(call, of, state.calls)?;
                Ok(Begun::At(Box::new(state), Sink::Http { sink, batch }))
            }
        }
    }

    /// Reads instances, several at once, and gives them on in their order.
    async fn feed(
        &self,
        order: &Order,
        from: &Progress,
        to: mpsc::Sender<Fetched>,
        stop: &CancellationToken,
    ) -> Result<(), RunFailure> {
        let fetch = |id: Result<String, StoreError>| async move {
            let id = id?;
            let read = || self.store.instance(&order.logical_unit, &id);
            let instance = patiently(stop, read).await?;
            Ok::<_, StoreError>(Fetched { id, instance })
        };
        let ids = self.ids(order, from, stop);
        let mut found = std::pin::pin!(ids.map(fetch).buffered(SIDE_BY_SIDE));
        while let Some(fetched) = found.next().await {
            let fetched =
                fetched.map_err(|error| RunFailure::new("Store", format!("instances: {error}")))?;
            if to.send(fetched).await.is_err() {
                // Why, the other end says.
                break;
            }
        }
        Ok(())
    }

    fn ids<'a>(
        &'a self,
        order: &'a Order,
        from: &Progress,
        stop: &'a CancellationToken,
    ) -> futures::stream::BoxStream<'a, StoreResult<String>> {
        match &order.instances {
            Some(ids) => {
                let passed = usize::try_from(from.passed).unwrap_or(usize::MAX);
                stream::iter(ids.iter().skip(passed).cloned().map(Ok)).boxed()
            }
            None => self.stored_ids(order, from.after.clone(), stop).boxed(),
        }
    }

    /// The ids of all stored instances behind one, page after page.
    fn stored_ids<'a>(
        &'a self,
        order: &'a Order,
        after: Option<String>,
        stop: &'a CancellationToken,
    ) -> impl Stream<Item = StoreResult<String>> + Send + 'a {
        let pages = stream::unfold(Some(after), move |after| async move {
            let after = after?;
            let unit = &order.logical_unit;
            let read = || self.store.instance_ids(unit, after.as_deref(), PAGE);
            match patiently(stop, read).await {
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

    async fn check(&self, job: &Job) -> Result<(), Check> {
        match self.read(job).await? {
            (_, Way::Http { .. }) => Ok(()),
            (_, Way::File(path)) => {
                let files = self.files.clone();
                let looked = move || files.place(&path)?.check();
                let looked = on_thread("weft-republish-look", looked).await;
                looked.map_err(|message| Check {
                    message,
                    hint: Some(
                        "the sink is a file in a folder that is there, below FILE_ROOTS".to_owned(),
                    ),
                })
            }
        }
    }

    async fn run(&self, run: Run) -> RunEnd {
        // Boxed: a run is a large future, and most of its life it waits.
        match Box::pin(self.publish(&run)).await {
            Ok(output) => RunEnd::Succeeded(output),
            Err(failure) => RunEnd::Failed(failure),
        }
    }
}

/// The run, and what it publishes: what an earlier try wrote down counts for no other.
fn run_of(run: &Run, order: &Order) -> Uuid {
    let parts = [&run.job.arguments, &order.tables.join("\0")];
    let what = parts.map(String::as_str).join("\0\0");
    Uuid::new_v5(&run.idempotency_key(), what.as_bytes())
}

fn output(progress: &Progress, sink: &str) -> RunOutput {
    let mut counts = json!({
        "instances": progress.instances,
        "rows": progress.rows,
        "bytes": progress.bytes,
        "sink": sink,
    });
    if progress.missing > 0 {
        counts["missing"] = json!(progress.missing);
        counts["missing_ids"] = json!(progress.missing_ids);
    }
    RunOutput {
        text: Some(counts.to_string()),
        exit_code: None,
    }
}

enum Begun {
    /// An earlier try came to the end.
    Complete(Progress),
    At(Box<State>, Sink),
}

enum Sink {
    File(FileSink),
    Http { sink: HttpSink, batch: u64 },
}

/// One run.
struct Publishing<'a> {
    stop: &'a CancellationToken,
    http: &'a Http,
    name: String,
    label: String,
    checkpoints: Checkpoints,
    state: State,
    sink: Sink,
    save_every: Duration,
    saved_at: Instant,
    told_at: Instant,
}

impl Publishing<'_> {
    /// All blocks, until the last.
    async fn hand_over(
        &mut self,
        mut blocks: mpsc::Receiver<Result<Block, String>>,
    ) -> Result<(), RunFailure> {
        loop {
            let block = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(RunFailure::stopped()),
                block = blocks.recv() => block,
            };
            let block = block.unwrap_or_else(|| Err("the thread broke off".to_owned()));
            let block = block.map_err(|message| RunFailure::new("Instance", message))?;
            self.put(block.lines).await?;
            self.state.progress = block.behind;
            if block.is_last {
                return Ok(());
            }
            if self.saved_at.elapsed() >= self.save_every {
                self.save(false).await?;
            }
        }
    }

    async fn put(&mut self, lines: String) -> Result<(), RunFailure> {
        match &mut self.sink {
            // A write is short, and has to be whole.
            Sink::File(file) => file.put(lines).await,
            Sink::Http { sink, .. } => tokio::select! {
                biased;
                () = self.stop.cancelled() => Err(RunFailure::stopped()),
                put = sink.put(self.http, lines) => put,
            },
        }
    }

    /// What was handed over stays so, then the place behind it is written down.
    async fn save(&mut self, is_complete: bool) -> Result<(), RunFailure> {
        match &mut self.sink {
            Sink::File(file) => {
                file.keep().await?;
                self.state.part = Some(file.part());
            }
            Sink::Http { sink, .. } => self.state.calls = sink.calls(),
        }
        self.state.is_complete = is_complete;
        let text = serde_json::to_string(&self.state)
            .map_err(|error| RunFailure::new("Store", error.to_string()))?;
        self.checkpoints.put(ITEM, text).await?;
        self.saved_at = Instant::now();
        if self.told_at.elapsed() >= TELL_EVERY {
            self.told_at = Instant::now();
            let Progress {
                instances, rows, ..
            } = self.state.progress;
            info!(
                "{} has published {instances} instances, {rows} rows",
                self.name
            );
        }
        Ok(())
    }

    /// Ends the run, however it went.
    async fn end(
        mut self,
        end: Result<(), RunFailure>,
        job: &Job,
    ) -> Result<RunOutput, RunFailure> {
        let ended = match end {
            Ok(()) => self.save(true).await,
            Err(failure) => {
                // The next try goes on from here. Without it, it begins a little earlier.
                let _ = self.save(false).await;
                Err(failure)
            }
        };
        let output = output(&self.state.progress, &self.label);
        let told = output.text.clone().unwrap_or_default();
        let ended = match (ended, self.sink) {
            (Ok(()), Sink::File(file)) => file.finish().await,
            (ended, _) => ended,
        };
        match ended {
            Ok(()) => {
                info!(job.uid = job.key.uid, "{} ended: {told}", self.name);
                Ok(output)
            }
            Err(failure) => Err(RunFailure { output, ..failure }),
        }
    }
}

/// Reads from the store; waits a while for one that does not answer.
async fn patiently<T, F>(stop: &CancellationToken, read: impl Fn() -> F + Send) -> StoreResult<T>
where
    F: Future<Output = StoreResult<T>> + Send,
{
    let began = Instant::now();
    let mut pause = Duration::from_millis(100);
    loop {
        match read().await {
            Err(error) if error.is_transient() && began.elapsed() < PATIENCE => {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return Err(error),
                    () = sleep(pause) => pause = (pause * 2).min(Duration::from_secs(5)),
                }
            }
            answer => return answer,
        }
    }
}
