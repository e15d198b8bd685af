//! A SQLite store of which single verbs fail when a test says so, and a node session on it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use weft_model::Value;
use weft_model::clock::{SharedClock, SystemClock, Timestamp};
use weft_model::ids::Ids;
use weft_model::*;
use weft_project::ProjectCatalogue;
use weft_project::interface::Environment;
use weft_sqlite::{Options, SqliteStore};
use weft_store::*;

use crate::heartbeat::HeartbeatWriter;
use crate::kind::JobKinds;
use crate::tasks::Tasks;
use crate::{Context, Membership, NodeConfig, NodeSession, Wake};

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is wrong with the calls of a verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A call fails and may be tried again.
    Unavailable,
    /// The outcome of a compare-and-set is unknown, and it has had no effect.
    Unknown,
    /// A call never returns.
    Hang,
}

/// The calls of a verb whose arguments, as `{:?}`, contain a text.
#[derive(Debug)]
struct Calls {
    about: String,
    fault: Option<Fault>,
    count: usize,
}

#[derive(Debug)]
pub(crate) struct FaultyStore {
    inner: SqliteStore,
    verbs: watch::Sender<BTreeMap<&'static str, Calls>>,
}

impl FaultyStore {
    /// Sets the fault of those calls of a verb that are about something.
    pub(crate) fn set(
        &self,
        verb: &'static str,
        about: impl Into<String>,
        fault: impl Into<Option<Fault>>,
    ) {
        let calls = Calls {
            about: about.into(),
            fault: fault.into(),
            count: 0,
        };
        self.verbs.send_modify(|verbs| {
            verbs.insert(verb, calls);
        });
    }

    /// Resolves after this many such calls since [`FaultyStore::set`].
    pub(crate) async fn called(&self, verb: &'static str, times: usize) {
        let mut verbs = self.verbs.subscribe();
        let called =
            verbs.wait_for(|verbs| verbs.get(verb).is_some_and(|calls| calls.count >= times));
        soon("the calls of a verb", called)
            .await
            .expect("the store holds the sender");
    }

    /// The fault of one call, if it does not fail the call itself.
    async fn reach(&self, verb: &'static str, arguments: String) -> StoreResult<Option<Fault>> {
        let is_about = |calls: &&mut Calls| arguments.contains(&calls.about);
        let mut fault = None;
        self.verbs.send_if_modified(|verbs| {
            let calls = verbs.get_mut(verb).filter(is_about);
            fault = calls.as_ref().and_then(|calls| calls.fault);
            calls.map(|calls| calls.count += 1).is_some()
        });
        match fault {
            Some(Fault::Unavailable) => Err(StoreError::Unavailable("no answer".to_owned())),
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::Unknown) | None => Ok(fault),
        }
    }
}

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
        let folder = tempfile::tempdir().unwrap();
        let clock: SharedClock = Arc::new(SystemClock);
        let inner = SqliteStore::open(
            folder.path().join("weft.db"),
            Options::new(Arc::clone(&clock)),
        );
        let store = Arc::new(FaultyStore {
            inner: inner.unwrap(),
            verbs: watch::Sender::default(),
        });
        let shared: SharedStore = store.clone();
        let data = folder.path().join("data");
        let environment = Environment::from_map(BTreeMap::new());
        let catalogue =
            ProjectCatalogue::new(Arc::clone(&shared), Arc::clone(&clock), &data, environment);
        let mut config = NodeConfig::with_defaults(NodeId("n1".to_owned()), data);
        config.poll_interval = Duration::from_millis(20);
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
            Arc::new(catalogue),
            JobKinds::new([]),
            Wake::default(),
        ));
        let (beater, heartbeat) = HeartbeatWriter::new(Arc::clone(&context), &me, None);
        membership.observe(vec![beater.row().clone()], clock.monotonic());
        let session = NodeSession {
            context,
            me,
            self_fence: SelfFence::until(clock, Duration::MAX, CancellationToken::new()),
            tasks: Tasks::default(),
            membership: Arc::new(membership),
            heartbeat,
            earlier_heartbeat: None,
            draining: CancellationToken::new(),
        };
        Self {
            folder,
            store,
            session,
        }
    }

    /// Ends what the session started, before the folder of the store goes.
    pub(crate) async fn end(self) {
        self.session.self_fence.fence();
        self.session.tasks.end(Duration::ZERO).await;
        self.folder.close().unwrap();
    }
}

macro_rules! delegate {
    (
        swaps { $(fn $swap:ident($request:ty) -> $lost:ty;)* }
        plain { $(fn $plain:ident($($argument:ident: $type:ty),*) -> $answer:ty;)* }
    ) => {
        #[async_trait]
        impl Store for FaultyStore {
            fn kind(&self) -> &'static str {
                self.inner.kind()
            }

            fn is_exclusive(&self) -> bool {
                self.inner.is_exclusive()
            }

            fn statistics(&self) -> StoreStatistics {
                self.inner.statistics()
            }

            $(async fn $swap(&self, request: &$request) -> AttemptResult<$lost> {
                match self.reach(stringify!($swap), format!("{request:?}")).await? {
                    Some(Fault::Unknown) => Ok(Attempt::Unknown("no answer".to_owned())),
                    _ => self.inner.$swap(request).await,
                }
            })*

            $(async fn $plain(&self $(, $argument: $type)*) -> StoreResult<$answer> {
                self.reach(stringify!($plain), format!("{:?}", ($($argument,)*))).await?;
                self.inner.$plain($($argument),*).await
            })*
        }
    };
}

delegate! {
    swaps {
        fn submit_batch(SubmitBatch) -> SubmitLost;
        fn claim_command(ClaimCommand) -> Option<BatchId>;
        fn release_command(ReleaseCommand) -> Option<BatchId>;
        fn claim_job(ClaimJob) -> Option<Job>;
        fn end_job(EndJob) -> Option<Job>;
        fn delete_job(DeleteJob) -> Option<Job>;
        fn write_job(WriteJob) -> Option<Job>;
        fn request_job(RequestJob) -> Option<Job>;
        fn claim_batch(ClaimBatch) -> Option<Batch>;
        fn move_batch(MoveBatch) -> Option<Batch>;
        fn reserve_chunks(ReserveChunks) -> Option<Batch>;
        fn save_batch_statistics(SaveBatchStatistics) -> Option<Batch>;
        fn request_batch(RequestBatch) -> Option<Batch>;
        fn finish_batch(FinishBatch) -> FinishLost;
        fn delete_batch(DeleteBatch) -> Option<Batch>;
        fn open_chunk(OpenChunk) -> Option<ChunkHead>;
        fn claim_chunk(ClaimChunk) -> Option<ChunkHead>;
        fn flush_chunk(FlushChunk) -> Option<ChunkHead>;
        fn change_chunk(ChangeChunk) -> Option<ChunkHead>;
        fn take_checkpoints(TakeCheckpoints) -> Option<CheckpointHead>;
        fn save_checkpoints(SaveCheckpoints) -> Option<CheckpointHead>;
        fn forget_checkpoints(ForgetCheckpoints) -> Option<CheckpointHead>;
        fn deploy(Deploy) -> Option<Deployment>;
        fn put_setting(PutSetting) -> Option<Setting>;
    }
    plain {
        fn schema_version() -> Option<i64>;
        fn store_time() -> Timestamp;
        fn active_command(command_key: &str) -> Option<BatchId>;
        fn job(key: &JobKey, freshness: Freshness) -> Option<Job>;
        fn jobs(list: &ListJobs) -> JobsPage;
        fn job_runs(key: &JobKey, limit: usize) -> Vec<JobRun>;
        fn put_follower(job_type: &str, name: &str, follower: &JobKey) -> ();
        fn followers(job_type: &str, name: &str, limit: usize) -> Vec<JobKey>;
        fn forget_runs(key: &JobKey, before: Timestamp) -> usize;
        fn put_due(hint: &DueHint) -> ();
        fn due(after: &DueHint, to: Timestamp, limit: usize) -> Vec<DueHint>;
        fn batch(id: BatchId, freshness: Freshness) -> Option<Batch>;
        fn batches(list: &ListBatches) -> BatchPage;
        fn forget_chunks(batch: BatchId, from: i64, to: i64) -> ();
        fn chunk_heads(batch: BatchId, from: i64, to: i64) -> Vec<ChunkHead>;
        fn chunk(batch: BatchId, number: i64) -> Option<ChunkContent>;
        fn entities(batch: BatchId, number: i64) -> Vec<EntityRow>;
        fn put_node(row: &NodeRow) -> ();
        fn nodes() -> Vec<NodeRow>;
        fn put_node_stats(stats: &NodeStats) -> ();
        fn node_stats(batch: BatchId) -> Vec<NodeStats>;
        fn instance_heads(logical_unit: &str, ids: &[String]) -> BTreeMap<String, InstanceHead>;
        fn instance(logical_unit: &str, id: &str) -> Option<Instance>;
        fn save_instances(logical_unit: &str, instances: &[Instance]) -> ();
        fn instance_ids(logical_unit: &str, after: Option<&str>, limit: usize) -> Vec<String>;
        fn checkpoint_head(scope: &str, freshness: Freshness) -> Option<CheckpointHead>;
        fn checkpoints(scope: &str, after: Option<&str>, limit: usize) -> Vec<Checkpoint>;
        fn ensure_parsed_tables(tables: &[ParsedTable]) -> ();
        fn put_parsed_rows(table: &ParsedTable, rows: &[ParsedRow]) -> ();
        fn parsed_rows(table: &ParsedTable, after: Option<&str>, limit: usize) -> ParsedPage;
        fn parsed_rows_of(table: &ParsedTable, keys: &[Value]) -> Vec<Vec<Value>>;
        fn ensure_logical_units(logical_units: &[String]) -> ();
        fn put_bundle(hash: &str, bytes: &[u8]) -> ();
        fn bundle(hash: &str) -> Option<Vec<u8>>;
        fn deployment() -> Option<Deployment>;
        fn setting(name: &str, freshness: Freshness) -> Option<Setting>;
    }
}
