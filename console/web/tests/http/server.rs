//! A server in front of a real statement layer, on a SQLite store that can be made to fail.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use weft_model::Principal;
use weft_model::clock::{SharedClock, SystemClock, Timestamp};
use weft_model::ids::Ids;
use weft_model::{Incarnation, Job, NodeId, NodeRow, NodeState};
use weft_node::flow::NoFlows;
use weft_node::job::{DefinitionError, JobKind, JobKinds, Run, RunEnd, RunOutput};
use weft_node::trace::Traces;
use weft_node::{Node, NodeConfig, NodeHandle, Wake};
use weft_project::ProjectCatalogue;
use weft_project::interface::Environment;
use weft_statement::inspect::{LiveNodes, StoredNodes};
use weft_statement::{Access, Policy, Services, Statements};
use weft_store::{SharedStore, Store};
use weft_web::{Backend, LocalToken, Options, install_metrics, serve};

use crate::client::{Answer, Call, call};
use weft_store::faulty::FaultyStore;

pub const TOKEN: &str = "a-token-for-tests-only";
/// A batch that does not exist.
pub const BATCH: Uuid = Uuid::from_u128(0x35408af6_b26a_4243_bc95_f114335bfa5e);
/// A batch that waits until a node can run it.
pub const WAITING_BATCH: &str = "BATCH Vehicles FROM ids USING ('select id from ids') FABRIC_COMMAND='sync_instance Vehicles.?';";
/// Longer than any output that is kept.
pub const OUTPUT_CHARS: usize = 40_000;

/// Allows everything to everyone but `eve`, and records who asked.
#[derive(Debug, Default)]
struct Recorder(Mutex<Vec<String>>);

impl Policy for Recorder {
    fn allows(&self, principal: &Principal, _: &Access) -> bool {
        self.0.lock().unwrap().push(principal.name.clone());
        principal.name != "eve"
    }
}

/// The kind PROCESS: writes a long output, and refuses jobs of one name.
#[derive(Debug)]
struct Writer;

#[async_trait]
impl JobKind for Writer {
    fn job_type(&self) -> &'static str {
        "PROCESS"
    }

    async fn check(&self, job: &Job) -> Result<(), DefinitionError> {
        match job.key.name.as_str() {
            "refused.sh" => Err(DefinitionError {
                message: "there is no scripts/refused.sh".to_owned(),
                hint: None,
            }),
            _ => Ok(()),
        }
    }

    async fn run(&self, _: Run) -> RunEnd {
        RunEnd::Succeeded(RunOutput {
            text: Some("ü".repeat(OUTPUT_CHARS)),
            exit_code: Some(0),
        })
    }
}

/// A running server; it ends with the test.
pub struct Server {
    pub address: SocketAddr,
    pub store: Arc<FaultyStore>,
    pub backend: Backend,
    pub shutdown: CancellationToken,
    pub ended: JoinHandle<std::io::Result<()>>,
    policy: Arc<Recorder>,
    folder: TempDir,
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
        let server = Self::without_node(change).await;
        let nodes = StoredNodes(server.shared_store());
        server
            .backend
            .serve(Statements::new(server.services(Arc::new(nodes))));
        server
    }

    /// With a node that runs jobs.
    pub async fn with_node() -> (Self, NodeHandle) {
        let server = Self::without_node(|_| ()).await;
        let services = server.services(Arc::new(StoredNodes(server.shared_store())));
        let context = weft_node::Context::new(
            services.store.clone(),
            services.clock.clone(),
            services.ids.clone(),
            NodeConfig::clone(&services.config),
            services.catalogue.clone(),
            services.kinds.clone(),
            services.wake.clone(),
        );
        let node = Node::start(Arc::new(context));
        node.serving().await;
        server.backend.serve(Statements::new(Services {
            nodes: Arc::new(node.clone()),
            ..services
        }));
        (server, node)
    }

    /// A server whose node has not started yet.
    pub async fn without_node(change: impl FnOnce(&mut Options)) -> Self {
        install_metrics().unwrap();
        let token = LocalToken::from_text(TOKEN, "test").unwrap();
        let mut options = Options::new(
            token,
            Principal {
                name: "tester".to_owned(),
            },
        );
        change(&mut options);
        let folder = tempfile::tempdir().unwrap();
        let clock: SharedClock = Arc::new(SystemClock);
        let path = folder.path().join("weft.db");
        let store = weft_sqlite::SqliteStore::open(path, weft_sqlite::Options::new(clock)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let backend = Backend::default();
        let shutdown = CancellationToken::new();
        let serving = serve(listener, backend.clone(), options, shutdown.clone());
        Self {
            address,
            store: Arc::new(FaultyStore::new(Arc::new(store))),
            backend,
            ended: tokio::spawn(serving),
            shutdown,
            policy: Arc::default(),
            folder,
        }
    }

    fn shared_store(&self) -> SharedStore {
        self.store.clone()
    }

    fn services(&self, nodes: Arc<dyn LiveNodes>) -> Services {
        let store = self.shared_store();
        let clock: SharedClock = Arc::new(SystemClock);
        let data = self.folder.path().join("data");
        let environment = Environment::from_map(BTreeMap::new());
        let catalogue = ProjectCatalogue::new(store.clone(), clock.clone(), &data, environment);
        Services {
            traces: Traces::new(&data, clock.clone()),
            config: Arc::new(NodeConfig::with_defaults(NodeId("n1".to_owned()), data)),
            ids: Ids::seeded(7),
            cluster_id: Some("c1".to_owned()),
            catalogue: Arc::new(catalogue),
            wake: Wake::default(),
            kinds: JobKinds::new([Arc::new(Writer) as Arc<dyn JobKind>]),
            flows: Arc::new(NoFlows),
            policy: self.policy.clone(),
            store,
            clock,
            nodes,
        }
    }

    /// The principals whose requests reached the statement layer.
    pub fn principals(&self) -> Vec<String> {
        self.policy.0.lock().unwrap().clone()
    }

    pub fn call(&self, method: &str, path: &str) -> Call {
        call(self.address, method, path).token()
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path).send().await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call("POST", path).json(body).send().await
    }

    /// Runs statements; the answer follows frame by frame.
    pub async fn run(&self, statement: &str) -> Answer {
        let body = json!({ "statement": statement });
        self.post("/api/v1/statements", &body).await
    }

    /// Deploys a project with the logical unit of [`WAITING_BATCH`].
    pub async fn deploy(&self) {
        let project = self.folder.path().join("project");
        let source = self.folder.path().join("source");
        let interface = format!("type: csv\npath: {}\n", source.display());
        write(&source.join("ids.csv"), "id,name\n1,one\n2,two\n");
        write(&project.join("interfaces/ids.yaml"), &interface);
        write(&project.join("logical_units/Vehicles/lu.yaml"), LU);
        let statement = format!("DEPLOY '{}';", project.display());
        let lines = self.run(&statement).await.lines().await;
        assert_eq!(lines.last().unwrap()["status"], "ok", "{lines:?}");
    }

    pub async fn put_node(&self, guid: &str, version: &str) {
        let row = NodeRow {
            guid: NodeId(guid.to_owned()),
            dc: "DC1".to_owned(),
            effective_ip: "10.0.0.1".to_owned(),
            ips: vec!["10.0.0.1".to_owned()],
            logical_ids: vec!["loaders:2-4".to_owned()],
            incarnation: Incarnation(Uuid::from_u128(1)),
            hb_seq: 1,
            heartbeat_at: Timestamp(1_767_323_045_000),
            state: NodeState::Alive,
            version: version.to_owned(),
            http_address: None,
            coordinates: Vec::new(),
        };
        self.store.put_node(&row).await.unwrap();
    }
}

fn write(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

const LU: &str = "\
root: vehicle
ids: select id from ids
tables:
  vehicle:
    interface: ids
    query: select id, name from ids where id in (:ids)
    id_column: id
    key: [id]
    columns: {id: TEXT, name: TEXT}
";
