//! A node session on a SQLite store of which calls can fail.

mod command;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use self::command::{TestCommand, completed};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use weft_model::clock::{SharedClock, SystemClock, Timestamp};
use weft_model::ids::Ids;
use weft_model::*;
use weft_project::ProjectCatalogue;
use weft_project::command::CommandFactory;
use weft_project::interface::Environment;
use weft_sqlite::{Options, SqliteStore};
pub(crate) use weft_store::faulty::{Fault, FaultyStore};
use weft_store::{SelfFence, Settled, SharedStore, Store};

use crate::heartbeat::HeartbeatWriter;
use crate::kind::JobKinds;
use crate::scheduler::submission_of;
use crate::tasks::Tasks;
use crate::{Context, Membership, NodeConfig, NodeSession, Wake};

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// Fails the test where `future` does not resolve.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let answer = tokio::time::timeout(PATIENCE, future).await;
    answer.unwrap_or_else(|_| panic!("{what} did not come"))
}

/// A node session that nothing was started in.
pub(crate) struct Bench {
    folder: TempDir,
    pub(crate) store: Arc<FaultyStore>,
    pub(crate) session: NodeSession,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(None, |_| ())
    }

    /// With these commands instead of those of projects, and a changed configuration.
    pub(crate) fn with(
        factory: Option<Arc<dyn CommandFactory>>,
        configure: impl FnOnce(&mut NodeConfig),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock: SharedClock = Arc::new(SystemClock);
        let inner = SqliteStore::open(
            folder.path().join("weft.db"),
            Options::new(Arc::clone(&clock)),
        );
        let store = Arc::new(FaultyStore::new(Arc::new(inner.unwrap())));
        let shared: SharedStore = store.clone();
        let data = folder.path().join("data");
        let environment = Environment::from_map(BTreeMap::new());
        let catalogue =
            ProjectCatalogue::new(Arc::clone(&shared), Arc::clone(&clock), &data, environment);
        let mut config = NodeConfig::with_defaults(NodeId("n1".to_owned()), data);
        config.poll_interval = Duration::from_millis(20);
        configure(&mut config);
        let me = Holder {
            node: config.guid.clone(),
            incarnation: Incarnation(Uuid::from_u128(1)),
        };
        let membership = Membership::new(me.clone(), config.dead_after());
        let context = Arc::new(Context::new(
            shared,
            Arc::clone(&clock),
            Ids::seeded(5),
            config,
            factory.unwrap_or_else(|| Arc::new(catalogue)),
            JobKinds::new([]),
            Wake::default(),
        ));
        let (beater, heartbeat) =
            HeartbeatWriter::new(Arc::clone(&context), &me, None, clock.now());
        let now = clock.monotonic();
        membership.observe(vec![beater.row().clone()], now, now);
        let session = NodeSession {
            context,
            me,
            self_fence: SelfFence::until(clock, Duration::MAX, CancellationToken::new()),
            tasks: Tasks::default(),
            membership: Arc::new(membership),
            heartbeat,
            in_use: CancellationToken::new(),
            draining: CancellationToken::new(),
        };
        Self {
            folder,
            store,
            session,
        }
    }

    /// Whether `holds` becomes true soon.
    pub(crate) async fn becomes(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let met = async {
            while !holds() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        soon(what, met).await;
    }

    /// Submits a batch of these ids.
    pub(crate) async fn submit(&self, batch: Batch) -> BatchId {
        let submit = submission_of(batch, self.session.context.ids.token());
        let settled = self.session.settle(&submit).await.unwrap();
        assert!(matches!(settled, Settled::Applied));
        submit.batch.id
    }

    /// A batch of a list of ids.
    pub(crate) fn batch(&self, ids: &[&str], command: &str) -> Batch {
        let ids = ids.iter().map(|id| (*id).to_owned()).collect();
        let source = EntitySource::List { ids };
        let spec = BatchSpec {
            asynchronous: true,
            allow_multiple: true,
            ..BatchSpec::new("LU", source, command)
        };
        let context = &self.session.context;
        Batch::waiting(BatchId(context.ids.uuid()), spec, context.clock.now())
    }

    /// The head of a chunk.
    pub(crate) async fn head(&self, batch: BatchId, number: i64) -> ChunkHead {
        let heads = self.store.chunk_heads(batch, number, number + 1).await;
        heads.unwrap().pop().unwrap()
    }

    /// Ends what the session started, before the folder of the store goes.
    pub(crate) async fn end(self) {
        self.session.self_fence.fence();
        self.session.tasks.end(Duration::ZERO).await;
        self.folder.close().unwrap();
    }
}

/// The row of a node that is alive.
pub(crate) fn node_row(guid: &str, session: u128, hb_seq: i64) -> NodeRow {
    NodeRow {
        guid: NodeId(guid.to_owned()),
        dc: "DC1".to_owned(),
        effective_ip: "127.0.0.1".to_owned(),
        ips: Vec::new(),
        logical_ids: Vec::new(),
        incarnation: Incarnation(Uuid::from_u128(session)),
        hb_seq,
        heartbeat_at: Timestamp(0),
        state: NodeState::Alive,
        version: "test".to_owned(),
        http_address: None,
        coordinates: Vec::new(),
    }
}

/// The key of a job `a.sh`.
pub(crate) fn job_key(uid: &str) -> JobKey {
    JobKey {
        job_type: "PROCESS".to_owned(),
        name: "a.sh".to_owned(),
        uid: uid.to_owned(),
    }
}
