//! A deployed project in a temporary folder, and runs of jobs in it.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use weft_connect::{CallBack, DeployedProject, Grant, Parts, kinds};
use weft_model::clock::{SharedClock, SystemClock, Timestamp};
use weft_model::ids::Ids;
use weft_model::{Job, JobKey, NodeId};
use weft_node::NodeConfig;
use weft_node::job::{
    CheckpointStore, DefinitionError, JobKind, JobKinds, Run, RunEnd, RunFailure, RunOutput, Slot,
};
use weft_node::trace::Traces;
use weft_project::interface::{Environment, Secret};
use weft_project::{CatalogueError, Project};
use weft_sqlite::{Options, SqliteStore};
use weft_statement::LateStatements;
use weft_store::SharedStore;

/// Longer than any step takes, so that an error fails a test instead of hanging it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The data folder of a node, and a project.
pub struct Bench {
    pub folder: tempfile::TempDir,
    pub calls: Arc<Calls>,
    kinds: JobKinds,
}

/// Grants tokens to runs and counts the valid ones.
#[derive(Debug, Default)]
pub struct Calls {
    pub refuses: Mutex<bool>,
    pub granted: AtomicUsize,
    held: Arc<AtomicUsize>,
}

impl Calls {
    pub fn held(&self) -> usize {
        self.held.load(Ordering::SeqCst)
    }
}

struct Held(Arc<AtomicUsize>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl CallBack for Calls {
    fn grant(&self, run: &Run) -> Option<Grant> {
        if *self.refuses.lock().unwrap() {
            return None;
        }
        self.granted.fetch_add(1, Ordering::SeqCst);
        self.held.fetch_add(1, Ordering::SeqCst);
        Some(Grant {
            server: "http://127.0.0.1:1".to_owned(),
            token: Secret::new(format!("token-of-{}", run.job.key.uid)),
            guard: Box::new(Held(Arc::clone(&self.held))),
        })
    }
}

#[derive(Debug)]
struct Folder(PathBuf);

#[async_trait]
impl DeployedProject for Folder {
    async fn folder(&self) -> Result<Option<PathBuf>, CatalogueError> {
        Ok(self.0.exists().then(|| self.0.clone()))
    }

    async fn project(&self) -> Result<Option<Arc<Project>>, CatalogueError> {
        Ok(None)
    }
}

impl Bench {
    pub fn new() -> Self {
        Self::with(&[], &[])
    }

    pub fn with(variables: &[(&str, &str)], hosts: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let project = folder.path().join("project");
        let mut config =
            NodeConfig::with_defaults(NodeId("n1".to_owned()), folder.path().join("data"));
        config.http_allowed_hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        let variables: BTreeMap<_, _> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let calls = Arc::new(Calls::default());
        let clock: SharedClock = Arc::new(SystemClock);
        let store = folder.path().join("store");
        let store = SqliteStore::open(store, Options::new(Arc::clone(&clock))).unwrap();
        let store: SharedStore = Arc::new(store);
        let parts = Parts {
            projects: Arc::new(Folder(project)),
            config,
            environment: Environment::from_map(variables),
            call_back: Arc::clone(&calls) as Arc<dyn CallBack>,
            traces: Traces::default(),
            statements: LateStatements::default(),
            checkpoints: CheckpointStore::new(Arc::clone(&store), Ids::seeded(1), clock),
            store,
        };
        let kinds = JobKinds::new(kinds(parts));
        Self {
            folder,
            calls,
            kinds,
        }
    }

    /// Puts a script of `/bin/sh` into the project.
    pub fn script(&self, name: &str, body: &str) -> &Self {
        self.file(name, &format!("#!/bin/sh\n{body}\n"))
    }

    /// Puts an executable file into the project.
    pub fn file(&self, name: &str, content: &str) -> &Self {
        let scripts = self.folder.path().join("project/scripts");
        fs::create_dir_all(&scripts).unwrap();
        for folder in [scripts.parent().unwrap(), &scripts] {
            fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
        }
        let path = scripts.join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o555)).unwrap();
        self
    }

    pub fn kind(&self, job_type: &str) -> Arc<dyn JobKind> {
        Arc::clone(self.kinds.get(job_type).unwrap())
    }

    pub async fn check(&self, job: &Job) -> Result<(), DefinitionError> {
        self.kind(&job.key.job_type).check(job).await
    }

    pub async fn run(&self, job: Job) -> RunEnd {
        self.run_until(job, CancellationToken::new()).await
    }

    pub async fn run_until(&self, job: Job, stop: CancellationToken) -> RunEnd {
        let kind = self.kind(&job.key.job_type);
        let run = kind.run(Run {
            job,
            stop,
            slot: Slot::default(),
        });
        tokio::time::timeout(PATIENCE, run)
            .await
            .expect("the run ends")
    }

    /// The output of a script that succeeds.
    pub async fn output(&self, name: &str, arguments: &Value) -> String {
        succeeded(self.run(process(name, arguments)).await)
            .text
            .unwrap_or_default()
    }

    /// The number of working folders.
    pub fn work_folders(&self) -> usize {
        fs::read_dir(self.folder.path().join("data/runs")).map_or(0, Iterator::count)
    }

    pub fn lifeline(&self) -> Lifeline {
        Lifeline::new(self.folder.path())
    }
}
pub fn job(job_type: &str, name: &str, arguments: &Value) -> Job {
    let key = JobKey {
        job_type: job_type.to_owned(),
        name: name.to_owned(),
        uid: "u1".to_owned(),
    };
    Job {
        arguments: arguments.to_string(),
        fence: 7,
        tries: 2,
        ..Job::waiting(key, Timestamp(1_000))
    }
}

pub fn process(name: &str, arguments: &Value) -> Job {
    job("PROCESS", name, arguments)
}

pub fn succeeded(end: RunEnd) -> RunOutput {
    match end {
        RunEnd::Succeeded(output) => output,
        RunEnd::Failed(failure) => panic!("{failure:?}"),
    }
}

pub fn failed(end: RunEnd) -> RunFailure {
    match end {
        RunEnd::Failed(failure) => failure,
        RunEnd::Succeeded(output) => panic!("{output:?}"),
    }
}

/// A pipe that processes hold open while they run. It reports that they have started, and that all have ended.
pub struct Lifeline {
    path: PathBuf,
    started: Option<oneshot::Receiver<String>>,
    ended: oneshot::Receiver<()>,
}

impl Lifeline {
    fn new(folder: &Path) -> Self {
        let path = folder.join("lifeline");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        let made = rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0);
        made.unwrap();
        let (starts, started) = oneshot::channel();
        let (ends, ended) = oneshot::channel();
        let opened = path.clone();
        std::thread::spawn(move || {
            // Waits for a writer.
            let mut lines = BufReader::new(File::open(opened).unwrap());
            let mut line = String::new();
            lines.read_line(&mut line).unwrap();
            let _ = starts.send(line.trim().to_owned());
            // Waits until the last writer is gone.
            lines.read_to_end(&mut Vec::new()).unwrap();
            let _ = ends.send(());
        });
        Self {
            path,
            started: Some(started),
            ended,
        }
    }

    pub fn path(&self) -> &str {
        self.path.to_str().unwrap()
    }

    /// Waits for the first line that is written into it.
    pub async fn started(&mut self) -> String {
        let started = self.started.take().unwrap();
        tokio::time::timeout(PATIENCE, started)
            .await
            .expect("it starts")
            .unwrap()
    }

    /// Waits until every process that held it has ended.
    pub async fn ended(self) {
        tokio::time::timeout(PATIENCE, self.ended)
            .await
            .expect("all of it ends")
            .unwrap();
    }
}
