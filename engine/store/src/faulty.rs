//! A store of which calls fail when a test says so.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use weft_model::clock::Timestamp;
use weft_model::*;

use super::*;

/// What is wrong with calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A call fails and may be tried again.
    Unavailable,
    /// A call is refused for good, with the text [`HIDDEN`].
    Refused,
    /// The outcome of a compare-and-set is unknown, and it has had no effect.
    Unknown,
    /// The outcome of a compare-and-set is unknown, and it has taken effect.
    UnknownApplied,
    /// A call waits until the fault is over.
    Hang,
    /// A call panics.
    Panic,
}

/// The text of [`Fault::Refused`].
pub const HIDDEN: &str = "a text for the log only";

/// The calls of a verb, or of all verbs, whose arguments, as `{:?}`, contain a text.
#[derive(Debug)]
struct Calls {
    about: String,
    fault: Option<Fault>,
    /// How many more calls have the fault.
    remaining: usize,
    count: usize,
}

/// How long a test waits for calls.
const PATIENCE: Duration = Duration::from_secs(20);

/// Stands for all verbs.
const ALL: &str = "";

/// A store that passes its calls on to another one, except for those that have a fault.
#[derive(Debug)]
pub struct FaultyStore {
    inner: SharedStore,
    verbs: watch::Sender<BTreeMap<&'static str, Calls>>,
}

impl FaultyStore {
    /// Without faults.
    pub fn new(inner: SharedStore) -> Self {
        Self {
            inner,
            verbs: watch::Sender::default(),
        }
    }

    /// Sets the fault of all calls.
    pub fn set_all(&self, fault: impl Into<Option<Fault>>) {
        self.set(ALL, "", fault);
    }

    /// Sets the fault of all calls whose arguments, as `{:?}`, contain `about`. The fault of a verb goes first.
    pub fn set_all_about(&self, about: impl Into<String>, fault: impl Into<Option<Fault>>) {
        self.set(ALL, about, fault);
    }

    /// Sets the fault of the calls of a verb whose arguments, as `{:?}`, contain `about`.
    pub fn set(
        &self,
        verb: &'static str,
        about: impl Into<String>,
        fault: impl Into<Option<Fault>>,
    ) {
        self.set_times(verb, about, fault, usize::MAX);
    }

    /// Sets the fault of the next `times` such calls.
    pub fn set_times(
        &self,
        verb: &'static str,
        about: impl Into<String>,
        fault: impl Into<Option<Fault>>,
        times: usize,
    ) {
        let calls = Calls {
            about: about.into(),
            fault: fault.into(),
            remaining: times,
            count: 0,
        };
        self.verbs.send_modify(|verbs| {
            verbs.insert(verb, calls);
        });
    }

    /// Resolves after this many such calls since the fault of the verb was set.
    pub async fn called(&self, verb: &'static str, times: usize) {
        let mut verbs = self.verbs.subscribe();
        let called =
            verbs.wait_for(|verbs| verbs.get(verb).is_some_and(|calls| calls.count >= times));
        tokio::time::timeout(PATIENCE, called)
            .await
            .expect("the calls of the verb come")
            .expect("the store holds the sender");
    }

    /// The number of such calls since the fault of the verb was set; the verb `""` stands for all.
    pub fn calls(&self, verb: &str) -> usize {
        self.verbs.borrow().get(verb).map_or(0, |calls| calls.count)
    }

    /// Counts a call; answers its fault.
    fn fault_of(&self, verb: &'static str, arguments: &str) -> Option<Fault> {
        let mut fault = None;
        self.verbs.send_if_modified(|verbs| {
            let mut is_counted = false;
            for name in [verb, ALL] {
                let calls = verbs.get_mut(name);
                let Some(calls) = calls.filter(|calls| arguments.contains(&calls.about)) else {
                    continue;
                };
                calls.count += 1;
                is_counted = true;
                if calls.fault.is_some() && calls.remaining > 0 {
                    calls.remaining -= 1;
                    fault = fault.or(calls.fault);
                }
            }
            is_counted
        });
        fault
    }

    fn hangs(verbs: &BTreeMap<&'static str, Calls>, verb: &str, arguments: &str) -> bool {
        [verb, ALL].into_iter().any(|name| {
            verbs.get(name).is_some_and(|calls| {
                calls.fault == Some(Fault::Hang) && arguments.contains(&calls.about)
            })
        })
    }

    /// The fault of one call, if it does not fail the call itself.
    async fn reach(&self, verb: &'static str, arguments: String) -> StoreResult<Option<Fault>> {
        match self.fault_of(verb, &arguments) {
            Some(Fault::Unavailable) => Err(StoreError::Unavailable("no answer".to_owned())),
            Some(Fault::Refused) => Err(StoreError::Refused(HIDDEN.to_owned())),
            Some(Fault::Panic) => panic!("as the test says"),
            Some(Fault::Hang) => {
                let mut verbs = self.verbs.subscribe();
                let over = verbs.wait_for(|verbs| !Self::hangs(verbs, verb, &arguments));
                over.await.expect("the store holds the sender");
                Ok(None)
            }
            fault => Ok(fault),
        }
    }

    /// A compare-and-set: `send` is only sent if the fault lets it through.
    async fn swap<F>(
        &self,
        verb: &'static str,
        operation: &(impl fmt::Debug + Sync),
        send: impl Future<Output = AttemptResult<F>> + Send,
    ) -> AttemptResult<F> {
        let unknown = || Ok(Attempt::Unknown("no answer".to_owned()));
        match self.reach(verb, format!("{operation:?}")).await? {
            Some(Fault::Unknown) => unknown(),
            Some(Fault::UnknownApplied) => {
                send.await?;
                unknown()
            }
            _ => send.await,
        }
    }
}

macro_rules! forward {
    ($($verb:ident: $operation:ident, $found:ty;)*) => {$(
        fn $verb<'a>(&'a self, operation: &'a $operation) -> StoreFuture<'a, AttemptResult<$found>> {
            Box::pin(self.swap(stringify!($verb), operation, self.inner.$verb(operation)))
        }
    )*};
}

macro_rules! delegate {
    (
        swaps { $(fn $swap:ident($request:ty) -> $lost:ty;)* }
        plain { $(fn $plain:ident($($argument:ident: $type:ty),*) -> $answer:ty;)* }
    ) => {
        #[async_trait]
        impl Store for FaultyStore {
            row_verbs!(forward);

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
                self.swap(stringify!($swap), request, self.inner.$swap(request)).await
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
        fn claim_job(ClaimJob) -> Option<Job>;
        fn end_job(EndJob) -> Option<Job>;
        fn delete_job(DeleteJob) -> Option<Job>;
        fn move_batch(MoveBatch) -> Option<Batch>;
        fn finish_batch(FinishBatch) -> FinishLost;
        fn delete_batch(DeleteBatch) -> Option<Batch>;
        fn open_chunk(OpenChunk) -> Option<ChunkHead>;
        fn flush_chunk(FlushChunk) -> Option<ChunkHead>;
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
        fn followers(job_type: &str, name: &str, after: Option<&JobKey>, limit: usize) -> Vec<JobKey>;
        fn forget_follower(job_type: &str, name: &str, follower: &JobKey, before: Timestamp) -> ();
        fn forget_runs(key: &JobKey, before: Timestamp) -> usize;
        fn put_due(hint: &DueHint) -> ();
        fn forget_hints(before: Timestamp) -> usize;
        fn due(after: &DueHint, to: Timestamp, limit: usize) -> Vec<DueHint>;
        fn batch(id: BatchId, freshness: Freshness) -> Option<Batch>;
        fn batches(list: &ListBatches) -> BatchPage;
        fn forget_chunks(batch: BatchId, from: i64, to: i64) -> ();
        fn chunk_heads(batch: BatchId, from: i64, to: i64) -> Vec<ChunkHead>;
        fn chunk(batch: BatchId, number: i64) -> Option<ChunkContent>;
        fn entities(batch: BatchId, number: i64) -> Vec<EntityRow>;
        fn entities_of(batch: BatchId, number: i64, ids: &[String]) -> Vec<EntityRow>;
        fn chunk_filters(batch: BatchId, from: i64, to: i64) -> Vec<(i64, ChunkFilter)>;
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
