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
use weft_engine::model::BatchId;
use weft_engine::statement::{End, EndStatus, Frame, Session};
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

    async fn jobs(&self, principal: &Principal, _: JobsQuery) -> ApiResult<JobPage> {
        self.answer(principal, JobPage::default())
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
