//! Jobs: what a node costs that has nothing to do, how late runs start, and how fast many end that are due at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use async_trait::async_trait;
use futures::StreamExt;
use serde::Serialize;
use tokio::sync::Notify;
use weft_model::clock::{Clock, SharedClock, SystemClock, Timestamp};
use weft_model::ids::Ids;
use weft_model::{DueHint, Job, JobKey, JobStatus, NodeId};
use weft_node::job::{DefinitionError, JobKind, JobKinds, Run, RunEnd, RunOutput};
use weft_node::{Context, Node, NodeConfig, NodeHandle, Wake};
use weft_store::{Attempt, SharedStore, WriteJob};

use crate::gauge::Gauge;
use crate::place::Place;
use crate::work::NoopFactory;

/// Rows written at once when the store is filled.
const WRITES_AT_ONCE: usize = 256;
/// How long an idle node is watched.
const IDLE: Duration = Duration::from_secs(10);
/// Ahead of the moment at which many are due: time to write and to notice them.
const AHEAD: Duration = Duration::from_secs(20);
/// Between two jobs at a low rate.
const APART: Duration = Duration::from_millis(50);
const DAY_MS: i64 = 86_400_000;

/// One measurement: a line of JSON.
#[derive(Debug, Serialize)]
pub struct Measured {
    store: &'static str,
    what: &'static str,
    jobs: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    calls_per_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_ms_per_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    late_p50_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    late_p99_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    late_max_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    all_done_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lwt_per_run: Option<f64>,
}

impl Measured {
    fn new(store: &SharedStore, what: &'static str, jobs: usize) -> Self {
        Self {
            store: store.kind(),
            what,
            jobs,
            calls_per_s: None,
            cpu_ms_per_s: None,
            late_p50_ms: None,
            late_p99_ms: None,
            late_max_ms: None,
            all_done_ms: None,
            lwt_per_run: None,
        }
    }
}

/// A kind that only notes how late it was started.
#[derive(Debug, Default)]
struct Noted {
    late_ms: Mutex<Vec<i64>>,
    runs: AtomicUsize,
    noted: Notify,
}

#[async_trait]
impl JobKind for Noted {
    fn job_type(&self) -> &'static str {
        "PROCESS"
    }

    async fn check(&self, _job: &Job) -> Result<(), DefinitionError> {
        Ok(())
    }

    async fn run(&self, run: Run) -> RunEnd {
        let planned = run.job.next_run.unwrap_or(run.job.creation_time);
        let late = SystemClock.now().millis_since(planned);
        let mut all = self.late_ms.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(late);
        drop(all);
        self.runs.fetch_add(1, Ordering::Relaxed);
        self.noted.notify_one();
        RunEnd::Succeeded(RunOutput::default())
    }
}

impl Noted {
    fn take(&self) -> Vec<i64> {
        self.runs.store(0, Ordering::Relaxed);
        let mut late = self.late_ms.lock().unwrap_or_else(PoisonError::into_inner);
        let mut late = std::mem::take(&mut *late);
        late.sort_unstable();
        late
    }

    async fn until(&self, runs: usize) {
        while self.runs.load(Ordering::Relaxed) < runs {
            self.noted.notified().await;
        }
    }
}

/// A node that serves, with the kind.
struct Serving {
    node: NodeHandle,
    store: SharedStore,
    wake: Wake,
    kind: Arc<Noted>,
    ids: Ids,
}

impl Serving {
    async fn start(store: &SharedStore, place: &Place) -> Self {
        let clock: SharedClock = Arc::new(SystemClock);
        let (ids, wake) = (Ids::from_system(), Wake::default());
        let kind = Arc::new(Noted::default());
        let name = NodeId(format!("bench-{}", ids.uuid()));
        let context = Context::new(
            Arc::clone(store),
            clock,
            ids.clone(),
            NodeConfig::with_defaults(name, place.folder.clone()),
            Arc::new(NoopFactory::new(1)),
            JobKinds::new([kind.clone() as Arc<dyn JobKind>]),
            wake.clone(),
        );
        let node = Node::start(Arc::new(context));
        node.serving().await;
        Self {
            node,
            store: Arc::clone(store),
            wake,
            kind,
            ids,
        }
    }

    async fn end(self) -> Result<()> {
        self.node.drain();
        self.node.ended().await.map_err(|error| anyhow!(error))
    }

    /// A job that runs once at this moment, as STARTJOB leaves it.
    fn write_at(&self, moment: Timestamp) -> WriteJob {
        scheduled(&self.ids, moment)
    }
}

fn scheduled(ids: &Ids, moment: Timestamp) -> WriteJob {
    let key = JobKey {
        job_type: "PROCESS".to_owned(),
        name: "noop".to_owned(),
        uid: ids.uuid().to_string(),
    };
    let job = Job {
        status: JobStatus::Scheduled,
        next_run: Some(moment),
        planned_run: Some(moment),
        execution_interval: Some(moment.to_seconds_text()),
        affinity: vec!["ANY".to_owned()],
        ..Job::waiting(key.clone(), SystemClock.now())
    };
    WriteJob {
        job,
        seen: None,
        due: Some(DueHint {
            due_at: moment,
            key,
        }),
        token: ids.token(),
    }
}

async fn write_all(store: &SharedStore, writes: impl Iterator<Item = WriteJob>) -> Result<()> {
    let writes = futures::stream::iter(writes).map(|write| async move {
        let answer = store.write_job(&write).await?;
        ensure!(matches!(answer, Attempt::Applied), "{answer:?}");
        Ok(())
    });
    let mut answers = writes.buffer_unordered(WRITES_AT_ONCE);
    while let Some(answer) = answers.next().await {
        answer?;
    }
    Ok(())
}

/// Fills the store with jobs of the next years and watches an idle node; then jobs at a low rate, then many at once.
pub async fn measure(
    place: &Place,
    server: Option<u32>,
    scheduled_jobs: usize,
    due_jobs: usize,
    low_rate_jobs: usize,
) -> Result<Vec<Measured>> {
    let store = place.open().await?;
    let mut measured = Vec::new();
    let ids = Ids::from_system();
    let now = SystemClock.now();
    let mut there = 0;
    for wanted in [1_000.min(scheduled_jobs), scheduled_jobs] {
        let writes = (there..wanted).map(|number| {
            let days = 1 + i64::try_from(number % 1_000).unwrap_or(0);
            let within = i64::try_from(number).unwrap_or(0).wrapping_mul(7_919) % DAY_MS;
            scheduled(&ids, Timestamp(now.0 + days * DAY_MS + within))
        });
        write_all(&store, writes).await?;
        there = wanted;
        measured.push(idle(&store, place, server, there).await?);
    }
    measured.push(low_rate(&store, place, low_rate_jobs).await?);
    measured.push(all_at_once(&store, place, due_jobs).await?);
    Ok(measured)
}

async fn idle(
    store: &SharedStore,
    place: &Place,
    server: Option<u32>,
    jobs: usize,
) -> Result<Measured> {
    let serving = Serving::start(store, place).await;
    // The first look reaches further back than all later ones.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let before = store.statistics();
    let gauge = Gauge::start(server)?;
    tokio::time::sleep(IDLE).await;
    let reading = gauge.read()?;
    let calls = store.statistics().call_total() - before.call_total();
    serving.end().await?;
    let seconds = IDLE.as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let calls_per_s = calls as f64 / seconds;
    Ok(Measured {
        calls_per_s: Some(calls_per_s),
        cpu_ms_per_s: Some(reading.cpu_us / 1_000.0 / seconds),
        ..Measured::new(store, "idle", jobs)
    })
}

async fn low_rate(store: &SharedStore, place: &Place, jobs: usize) -> Result<Measured> {
    let serving = Serving::start(store, place).await;
    let before = store.statistics().compare_and_set_total();
    for number in 0..jobs {
        let moment = SystemClock.now().plus(APART * 3);
        let write = serving.write_at(moment);
        write_all(&serving.store, std::iter::once(write.clone())).await?;
        serving
            .wake
            .due(write.due.expect("a job that is scheduled has a hint"));
        tokio::time::sleep(APART).await;
        if number % 100 == 99 {
            serving.kind.until(number - 5).await;
        }
    }
    serving.kind.until(jobs).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let sent = store.statistics().compare_and_set_total() - before;
    let late = serving.kind.take();
    serving.end().await?;
    lateness(Measured::new(store, "low rate", jobs), &late, sent)
}

async fn all_at_once(store: &SharedStore, place: &Place, jobs: usize) -> Result<Measured> {
    let serving = Serving::start(store, place).await;
    let moment = SystemClock.now().plus(AHEAD);
    let writes = (0..jobs).map(|_| serving.write_at(moment));
    write_all(&serving.store, writes).await?;
    ensure!(
        SystemClock.now() < moment,
        "the jobs could not be written in time; ask for fewer"
    );
    let before = store.statistics().compare_and_set_total();
    serving.kind.until(jobs).await;
    let all_done = SystemClock.now().millis_since(moment);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let sent = store.statistics().compare_and_set_total() - before;
    let late = serving.kind.take();
    serving.end().await?;
    ensure!(late.len() == jobs, "{} of {jobs} ran", late.len());
    let measured = Measured {
        all_done_ms: Some(all_done),
        ..Measured::new(store, "all at once", jobs)
    };
    lateness(measured, &late, sent)
}

fn lateness(measured: Measured, late: &[i64], sent: u64) -> Result<Measured> {
    ensure!(
        late.first().is_some_and(|first| *first >= 0),
        "a job ran before its time"
    );
    let at = |percent: usize| late.get(late.len() * percent / 100).copied();
    #[expect(clippy::cast_precision_loss, reason = "a mean")]
    let lwt_per_run = sent as f64 / late.len() as f64;
    Ok(Measured {
        late_p50_ms: at(50),
        late_p99_ms: at(99),
        late_max_ms: late.last().copied(),
        lwt_per_run: Some((lwt_per_run * 100.0).round() / 100.0),
        ..measured
    })
}
