//! An engine that does what the test says, and a server in front of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use weft_model::Session;
use weft_model::clock::Timestamp;
use weft_model::{BatchId, Job, JobKey, JobRun, JobStatus, NodeId};
use weft_statement::inspect::{self, NextRun};
use weft_statement::{End, EndStatus, Frame, JobDraft};
use weft_web::*;

pub const TOKEN: &str = "a-token-for-tests-only";
pub const BATCH: Uuid = Uuid::from_u128(0x35408af6_b26a_4243_bc95_f114335bfa5e);

/// What the engine saw and what it shall answer.
#[derive(Default)]
pub struct Fake {
    /// Where the statements that were started go, for the test to play the engine.
    pub started: Mutex<Option<mpsc::UnboundedSender<StatementRun>>>,
    pub not_ready: Mutex<Vec<String>>,
    pub principals: Mutex<Vec<String>>,
    pub batches_asked: Mutex<Vec<BatchesQuery>>,
    pub jobs_asked: Mutex<Vec<JobsQuery>>,
    /// The key, and what shall become of it.
    pub changes: Mutex<Vec<(JobKey, ChangeJob)>>,
    /// What shall be gone.
    pub removals: Mutex<Vec<JobKey>>,
    /// What shall be started, and under which idempotency key.
    pub starts: Mutex<Vec<(JobDraft, Option<String>)>>,
    /// The job that is started was started before.
    pub was_there: AtomicBool,
    pub panics: AtomicBool,
    /// How many statements came to their own end.
    pub finished: AtomicUsize,
    pub fail_with: Mutex<Option<ApiError>>,
}

impl Fake {
    fn answer<T>(&self, principal: &Principal, answer: T) -> ApiResult<T> {
        self.principals.lock().unwrap().push(principal.name.clone());
        match self.fail_with.lock().unwrap().clone() {
            Some(error) => Err(error),
            None => Ok(answer),
        }
    }
}

#[async_trait]
impl Api for Fake {
    async fn run_statement(&self, principal: &Principal, run: StatementRun) {
        self.principals.lock().unwrap().push(principal.name.clone());
        let started = self.started.lock().unwrap().clone();
        match started {
            Some(started) => {
                let (stop, frames) = (run.stop.clone(), run.frames.clone());
                started.send(run).unwrap();
                // Runs on until the test has let go of the statement or the client has gone.
                drop(frames);
                stop.cancelled().await;
                tokio::task::yield_now().await;
                self.finished.fetch_add(1, Ordering::SeqCst);
            }
            None => run.frames.send(end(EndStatus::Ok)).await.unwrap(),
        }
    }

    async fn batches(&self, principal: &Principal, query: BatchesQuery) -> ApiResult<BatchPage> {
        self.batches_asked.lock().unwrap().push(query);
        self.answer(principal, BatchPage::default())
    }

    async fn batch(&self, principal: &Principal, id: BatchId) -> ApiResult<BatchDetail> {
        self.answer(principal, ())?;
        Err(ApiError::NotFound(format!("there is no batch {id}")))
    }

    async fn batch_summary(&self, principal: &Principal, _: BatchId) -> ApiResult<BatchSummary> {
        self.answer(principal, BatchSummary::default())
    }

    async fn batch_entities(
        &self,
        principal: &Principal,
        _: BatchId,
        _: EntitiesQuery,
    ) -> ApiResult<EntityPage> {
        self.answer(principal, EntityPage::default())
    }

    async fn jobs(&self, principal: &Principal, query: JobsQuery) -> ApiResult<JobPage> {
        self.jobs_asked.lock().unwrap().push(query);
        self.answer(principal, JobPage::default())
    }

    async fn job(&self, principal: &Principal, key: JobKey) -> ApiResult<JobItem> {
        self.answer(principal, job(key))
    }

    async fn job_runs(&self, principal: &Principal, key: JobKey, limit: u32) -> ApiResult<RunPage> {
        let items = (0..limit).map(|_| run(&key).into()).collect();
        self.answer(principal, RunPage { items })
    }

    async fn run_output(
        &self,
        principal: &Principal,
        key: JobKey,
        id: RunId,
    ) -> ApiResult<Option<String>> {
        let run = run(&key);
        assert_eq!((run.started, run.fence), (id.started, id.fence));
        self.answer(principal, run.output)
    }

    async fn start_job(
        &self,
        principal: &Principal,
        draft: JobDraft,
        key: Option<String>,
    ) -> ApiResult<StartedJob> {
        let item = job(JobKey {
            job_type: draft.job_type.clone(),
            name: draft.name.clone(),
            uid: draft.uid.clone().unwrap_or_else(|| "1".to_owned()),
        });
        self.starts.lock().unwrap().push((draft, key));
        let was_there = self.was_there.load(Ordering::SeqCst);
        self.answer(principal, StartedJob { item, was_there })
    }

    async fn change_job(
        &self,
        principal: &Principal,
        key: JobKey,
        change: ChangeJob,
    ) -> ApiResult<JobItem> {
        self.changes.lock().unwrap().push((key.clone(), change));
        self.answer(principal, job(key))
    }

    async fn remove_job(&self, principal: &Principal, key: JobKey) -> ApiResult<()> {
        self.removals.lock().unwrap().push(key);
        self.answer(principal, ())
    }

    async fn nodes(&self, principal: &Principal) -> ApiResult<NodeList> {
        assert!(!self.panics.load(Ordering::SeqCst), "as the test wishes");
        self.answer(principal, NodeList::default())
    }

    async fn complete(&self, principal: &Principal, query: CompleteQuery) -> ApiResult<Completion> {
        let end = query.cursor.unwrap();
        let replace = TextRange { start: 0, end };
        self.answer(
            principal,
            Completion {
                replace,
                candidates: Vec::new(),
            },
        )
    }

    async fn ready(&self) -> Readiness {
        let reasons = self.not_ready.lock().unwrap().clone();
        Readiness {
            ready: reasons.is_empty(),
            reasons,
        }
    }

    fn version(&self) -> VersionInfo {
        VersionInfo {
            name: "weft".to_owned(),
            version: "0.0.0".to_owned(),
            commit: None,
        }
    }
}

fn job(key: JobKey) -> JobItem {
    let job = Job {
        execution_interval: Some("0 3 * * *".to_owned()),
        next_run: Some(Timestamp(1_767_323_045_000)),
        status: JobStatus::Scheduled,
        created_by: "tester".to_owned(),
        runs: 7,
        ..Job::waiting(key, Timestamp(1_767_000_000_000))
    };
    JobItem::from(inspect::JobItem {
        next_run: NextRun::At(Timestamp(1_767_323_045_000)),
        candidates: 2,
        error: None,
        note: Some("no node is there".to_owned()),
        schedule: Some("every day at 03:00".to_owned()),
        job,
    })
}

/// A run whose output is as long as none that is kept.
fn run(key: &JobKey) -> JobRun {
    JobRun {
        key: key.clone(),
        started: Timestamp(1_767_323_045_000),
        ended: Timestamp(1_767_323_046_500),
        fence: 3,
        node: NodeId("n1".to_owned()),
        status: JobStatus::Processed,
        attempt: 1,
        planned: None,
        exit_code: Some(0),
        error: None,
        output: Some("ü".repeat(40_000)),
    }
}

pub fn end(status: EndStatus) -> Frame {
    Frame::End(End {
        status,
        error: None,
        session: Session::default(),
    })
}

/// A running server; it ends with the test.
pub struct Server {
    pub address: SocketAddr,
    pub api: Arc<Fake>,
    pub shutdown: CancellationToken,
    pub ended: JoinHandle<std::io::Result<()>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl Server {
    pub async fn start() -> Self {
        Self::start_with(|_| ()).await
    }

    pub async fn start_with(change: impl FnOnce(&mut Options)) -> Self {
        install_metrics().unwrap();
        let token = LocalToken::from_text(TOKEN, "test").unwrap();
        let mut options = Options::new(
            token,
            Principal {
                name: "tester".to_owned(),
            },
        );
        change(&mut options);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let api = Arc::new(Fake::default());
        let shutdown = CancellationToken::new();
        let ended = tokio::spawn(serve(listener, api.clone(), options, shutdown.clone()));
        Self {
            address,
            api,
            shutdown,
            ended,
        }
    }

    /// Statements that are started come out here, and the test plays the engine.
    pub fn statements(&self) -> mpsc::UnboundedReceiver<StatementRun> {
        let (sender, receiver) = mpsc::unbounded_channel();
        *self.api.started.lock().unwrap() = Some(sender);
        receiver
    }
}
