//! A running node with a kind of job whose runs do what their name says.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use weft_model::{Job, JobKey, JobStatus, NodeId};
use weft_node::job::{
    DefinitionError, JobKind, JobKinds, Retry, Run, RunEnd, RunFailure, RunOutput,
};
use weft_node::{Context, Node, NodeConfig, NodeHandle};
use weft_store::Freshness;

use super::fixture::Fixture;
use crate::Coordinator;
use crate::{BatchSchedule, LateStatements, Migrate, Services, Statements};

/// A stand-in for PROCESS. The name of a job says what its runs do.
#[derive(Debug, Default)]
struct Named {
    running: AtomicUsize,
    most: AtomicUsize,
    met: Notify,
}

#[async_trait]
impl JobKind for Named {
    fn job_type(&self) -> &'static str {
        "PROCESS"
    }

    fn uses_project(&self) -> bool {
        true
    }

    async fn check(&self, job: &Job) -> Result<(), DefinitionError> {
        match job.key.name.as_str() {
            "missing" => Err(DefinitionError {
                message: "there is no script `missing`".to_owned(),
                hint: Some("did you mean `mission`?".to_owned()),
            }),
            _ => Ok(()),
        }
    }

    async fn run(&self, run: Run) -> RunEnd {
        let now = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        let left = Left(&self.running);
        let failed = |retry| {
            let failure = RunFailure::new("Oops", "it went wrong");
            RunEnd::Failed(RunFailure { retry, ..failure })
        };
        let name = run.job.key.name.rsplit('.').next();
        let end = match name.unwrap_or_default() {
            "fail" => failed(Retry::AsPolicy),
            "fail-once" if run.attempt() == 1 => failed(Retry::AsPolicy),
            "fail-for-good" => failed(Retry::Never),
            "fail-for-ever" => failed(Retry::Always),
            "panic" => panic!("on purpose"),
            "hang" => {
                run.stop.cancelled().await;
                failed(Retry::AsPolicy)
            }
            "deaf" => std::future::pending().await,
            // Waits for a run of another job, and lends its slot meanwhile.
            "wait-for-met" => {
                let _lent = run.slot.lend();
                let _also = run.slot.lend();
                self.met.notified().await;
                RunEnd::Succeeded(RunOutput::default())
            }
            "met" => {
                self.met.notify_one();
                RunEnd::Succeeded(RunOutput::default())
            }
            _ => RunEnd::Succeeded(RunOutput {
                text: Some(run.job.arguments.clone()),
                exit_code: Some(0),
            }),
        };
        drop(left);
        end
    }
}

struct Left<'a>(&'a AtomicUsize);

impl Drop for Left<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(super) struct Jobs {
    pub(super) fixture: Fixture,
    pub(super) node: NodeHandle,
    kind: Arc<Named>,
}

impl Jobs {
    pub(super) async fn new() -> Self {
        Self::with(|_| ()).await
    }

    pub(super) async fn with(configure: impl FnOnce(&mut NodeConfig)) -> Self {
        let mut fixture = Fixture::deployed().await;
        let services = fixture.statements.services().clone();
        let data = services.config.data.clone();
        let mut config = NodeConfig::with_defaults(NodeId("n1".to_owned()), data);
        configure(&mut config);
        let kind = Arc::new(Named::default());
        let late = LateStatements::default();
        let schedule = Arc::new(BatchSchedule::new(late.clone()));
        let kinds = JobKinds::new([
            kind.clone() as Arc<dyn JobKind>,
            schedule.clone() as Arc<dyn JobKind>,
            Arc::new(Migrate::new(schedule.clone())) as Arc<dyn JobKind>,
            Arc::new(Coordinator::new(
                services.store.clone(),
                services.clock.clone(),
                services.ids.clone(),
                &config,
                late.clone(),
            )) as Arc<dyn JobKind>,
        ]);
        let context = Context::new(
            services.store.clone(),
            services.clock.clone(),
            services.ids.clone(),
            config.clone(),
            services.catalogue.clone(),
            kinds.clone(),
            services.wake.clone(),
        );
        let context = context.with_traces(services.traces.clone());
        let node = Node::start(Arc::new(context));
        node.serving().await;
        let services = Services {
            config: Arc::new(config),
            nodes: Arc::new(node.clone()),
            kinds,
            ..services
        };
        late.serve(Statements::new(services.clone()));
        fixture.statements = Statements::new(services);
        Self {
            fixture,
            node,
            kind,
        }
    }

    pub(super) async fn run(&self, text: &str) -> super::fixture::Answer {
        self.fixture.run(text).await
    }

    /// Starts a job; answers its key.
    pub(super) async fn start(&self, name: &str, options: &str) -> JobKey {
        let text = format!("STARTJOB PROCESS NAME='{name}' {options}");
        let answer = self.run(&text).await.ok();
        JobKey {
            job_type: "PROCESS".to_owned(),
            name: name.to_owned(),
            uid: answer.cell("UID").as_str().unwrap().to_owned(),
        }
    }

    pub(super) async fn job(&self, key: &JobKey) -> Job {
        let job = self.fixture.store.job(key, Freshness::Serial).await;
        job.unwrap().expect("it was started")
    }

    /// Waits until the row is as expected.
    pub(super) async fn until(&self, key: &JobKey, what: impl Fn(&Job) -> bool) -> Job {
        let waiting = async {
            loop {
                let job = self.job(key).await;
                if what(&job) {
                    return job;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        match tokio::time::timeout(Duration::from_secs(30), waiting).await {
            Ok(job) => job,
            Err(_) => panic!("still {:?}", self.job(key).await),
        }
    }

    pub(super) async fn until_status(&self, key: &JobKey, status: JobStatus) -> Job {
        self.until(key, |job| job.status == status).await
    }

    /// How many runs there were at most at the same time.
    pub(super) fn most_at_once(&self) -> usize {
        self.kind.most.load(Ordering::SeqCst)
    }

    pub(super) async fn leave(self) {
        self.node.drain();
        self.node.ended().await.unwrap();
    }
}

pub(super) fn command(verb: &str, key: &JobKey) -> String {
    format!("{verb} PROCESS NAME='{}' UID='{}'", key.name, key.uid)
}
