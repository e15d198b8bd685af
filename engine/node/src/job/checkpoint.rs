//! Durable checkpoints of a run, so that the next run can continue where it stopped.
//!
//! A run takes its scope and owns it until another run takes it. A run that was replaced while it was suspended can neither
//! write nor take the scope back: every write carries the fence of the take, and a take checks the current owner.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use weft_model::clock::{SharedClock, Timestamp};
use weft_model::ids::Ids;
use weft_model::{Checkpoint, CheckpointHead, Fence, Job};
use weft_store::SelfFence;
use weft_store::{
    Conditional, Decided, Decision, ForgetCheckpoints, Freshness, SaveCheckpoints, Settled,
    SharedStore, Store, StoreError, StoreResult, TakeCheckpoints, decide_and_settle, settle,
};

use crate::kind::RunFailure;

/// The pause between two tries to read. A write is settled, which has pauses of its own.
const READ_PAUSE: Duration = Duration::from_millis(500);

/// Why checkpoints cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// Another run owns the scope; this run can no longer write.
    #[error("another run has taken over the checkpoints of {scope}: {holder}")]
    TakenOver {
        /// The scope.
        scope: String,
        /// The current owner.
        holder: String,
    },
    /// The outcome of the last write is unknown until a run takes the scope again.
    #[error("the store did not say whether the checkpoints of {scope} were written")]
    Unsettled {
        /// The scope.
        scope: String,
    },
    /// The store refused; nothing was written.
    #[error("the checkpoints of {scope} cannot be written or read")]
    Store {
        /// The scope.
        scope: String,
        /// The error of the store.
        #[source]
        source: StoreError,
    },
}

/// The failure of a run that cannot write its checkpoints.
impl From<CheckpointError> for RunFailure {
    fn from(error: CheckpointError) -> Self {
        match &error {
            CheckpointError::TakenOver { .. } => Self::new("TakenOver", error.to_string()),
            CheckpointError::Unsettled { .. } => Self::new("Store", error.to_string()),
            CheckpointError::Store { source, .. } => {
                Self::new("Store", format!("{error}: {source}"))
            }
        }
    }
}

/// The run that owns a scope, as in the column `s_holder`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointHolder {
    /// Type, name and uid of the job.
    pub job: String,
    /// When the job was created.
    pub created: Timestamp,
    /// The fence of the run's claim.
    pub fence: Fence,
    /// The node that runs it.
    pub node: String,
}

impl CheckpointHolder {
    /// The claimed run of a job.
    pub fn of_run(job: &Job) -> Self {
        let key = &job.key;
        Self {
            job: [&key.job_type, " ", &key.name, " ", &key.uid].concat(),
            created: job.creation_time,
            fence: job.fence,
            node: job
                .worker
                .as_ref()
                .map(|node| node.0.clone())
                .unwrap_or_default(),
        }
    }

    /// Whether `other` is a later run of the same job. Fences grow with every claim. They restart only when a job was removed
    /// and started again; then its creation time is later.
    fn is_replaced_by(&self, other: &Self) -> bool {
        let (mine, theirs) = ((self.fence, self.created), (other.fence, other.created));
        self.job == other.job && theirs != mine && theirs.0 >= mine.0 && theirs.1 >= mine.1
    }

    fn to_json(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers are valid JSON")
    }
}

/// Gives runs their checkpoints. Cheap to clone.
#[derive(Clone, Debug)]
pub struct CheckpointStore {
    store: SharedStore,
    ids: Ids,
    clock: SharedClock,
}

impl CheckpointStore {
    /// Checkpoints in `store`.
    pub fn new(store: SharedStore, ids: Ids, clock: SharedClock) -> Self {
        Self { store, ids, clock }
    }

    /// Takes the scope for `holder`. From now on earlier owners cannot write, and everything that they wrote is readable.
    ///
    /// # Errors
    /// [`CheckpointError::TakenOver`] if a later run of the same job owns it.
    pub async fn take(
        &self,
        scope: &str,
        holder: &CheckpointHolder,
    ) -> Result<Checkpoints, CheckpointError> {
        let read = self.read(scope, || {
            self.store.checkpoint_head(scope, Freshness::Serial)
        });
        let decide = |found: Option<CheckpointHead>| {
            let seen = found.as_ref().map(|head| head.fence);
            let replaced_by = found.filter(|head| {
                let other = serde_json::from_str(&head.holder);
                other.is_ok_and(|other| holder.is_replaced_by(&other))
            });
            ready(StoreResult::Ok(match replaced_by {
                Some(head) => Decision::Stop(head),
                None => Decision::Settle(TakeCheckpoints {
                    scope: scope.to_owned(),
                    holder: holder.to_json(),
                    seen,
                    token: self.ids.token(),
                }),
            }))
        };
        let self_fence = self.self_fence();
        let store: &dyn Store = self.store.as_ref();
        let decided = decide_and_settle(store, &self.ids, &self_fence, read, decide)
            .await
            .map_err(|source| refused(scope, source))?;
        match decided {
            Decided::Applied {
                operation: take, ..
            } => Ok(Checkpoints {
                store: self.clone(),
                scope: scope.to_owned(),
                fence: take.fence(),
                seq: 0,
                is_settled: true,
            }),
            // A run that loses this often is not the current owner of the scope.
            Decided::Stopped(head) | Decided::MovedTooFast(Some(head)) => {
                Err(taken_over(scope, &head))
            }
            Decided::StillUnknown(_) | Decided::MovedTooFast(None) => Err(unsettled(scope)),
        }
    }

    /// The time of a write that happens now.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Items of a scope after `after`, without owning it: a concurrent write may be missed.
    ///
    /// # Errors
    /// The error of the store.
    pub async fn peek(
        &self,
        scope: &str,
        after: Option<&str>,
        limit: usize,
    ) -> StoreResult<Vec<Checkpoint>> {
        self.store.checkpoints(scope, after, limit).await
    }

    /// Never over: a run waits for the store however long an outage takes. The run ends with its node session, which fences
    /// itself, and two runs are kept apart by the fence of the scope.
    fn self_fence(&self) -> SelfFence {
        let clock = Arc::clone(&self.clock);
        SelfFence::until(clock, Duration::MAX, CancellationToken::new())
    }

    /// Reads until the store answers.
    async fn read<T, F>(&self, scope: &str, read: impl Fn() -> F) -> StoreResult<T>
    where
        F: Future<Output = StoreResult<T>>,
    {
        let mut is_logged = false;
        loop {
            match read().await {
                Err(error) if error.is_transient() => {
                    if !std::mem::replace(&mut is_logged, true) {
                        warn!(error = %error, "The checkpoints of {scope} wait for the store: {error}");
                    }
                    tokio::time::sleep(self.ids.jitter(READ_PAUSE)).await;
                }
                answer => return answer,
            }
        }
    }

    async fn settle<C: Conditional>(
        &self,
        scope: &str,
        operation: &C,
    ) -> Result<Settled<C::Found>, CheckpointError> {
        let self_fence = self.self_fence();
        let store: &dyn Store = self.store.as_ref();
        settle(store, &self.ids, &self_fence, operation)
            .await
            .map_err(|source| refused(scope, source))
    }
}

/// A scope that this run owns.
///
/// After [`CheckpointError::TakenOver`] or [`CheckpointError::Unsettled`], and after a write was dropped before its
/// answer, it writes nothing more: the run ends, or takes the scope again.
#[derive(Debug)]
pub struct Checkpoints {
    store: CheckpointStore,
    scope: String,
    fence: Fence,
    seq: i64,
    is_settled: bool,
}

impl Checkpoints {
    /// The scope.
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// At most `limit` items strictly after `after`, in byte order: those written before the scope was taken, and those that
    /// this run has written since.
    ///
    /// # Errors
    /// [`CheckpointError::Store`].
    pub async fn items(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Checkpoint>, CheckpointError> {
        let peek = || self.store.peek(&self.scope, after, limit);
        let items = self.store.read(&self.scope, peek).await;
        items.map_err(|source| refused(&self.scope, source))
    }

    /// All items; for scopes that are known to be small.
    ///
    /// # Errors
    /// [`CheckpointError::Store`].
    pub async fn all(&self) -> Result<Vec<Checkpoint>, CheckpointError> {
        const PAGE: usize = 100;
        let mut all: Vec<Checkpoint> = Vec::new();
        loop {
            let after = all.last().map(|last| last.item.as_str());
            let page = self.items(after, PAGE).await?;
            let is_last = page.len() < PAGE;
            all.extend(page);
            if is_last {
                return Ok(all);
            }
        }
    }

    /// Writes and removes items, all or none. At most 1,000 items and 256 KiB at once; an item is in one of the two lists.
    ///
    /// # Errors
    /// See [`CheckpointError`].
    pub async fn save(
        &mut self,
        puts: Vec<(String, String)>,
        removes: Vec<String>,
    ) -> Result<(), CheckpointError> {
        let save = SaveCheckpoints {
            scope: self.scope.clone(),
            fence: self.fence,
            seq: self.seq,
            puts,
            removes,
            now: self.store.clock.now(),
            token: self.store.ids.token(),
        };
        self.write(&save).await
    }

    /// Writes one item.
    ///
    /// # Errors
    /// See [`CheckpointError`].
    pub async fn put(&mut self, item: &str, value: String) -> Result<(), CheckpointError> {
        self.save(vec![(item.to_owned(), value)], Vec::new()).await
    }

    /// Removes all items at once; the run still owns the scope.
    ///
    /// # Errors
    /// See [`CheckpointError`].
    pub async fn forget(&mut self) -> Result<(), CheckpointError> {
        let forget = ForgetCheckpoints {
            scope: self.scope.clone(),
            fence: self.fence,
            seq: self.seq,
            token: self.store.ids.token(),
        };
        self.write(&forget).await
    }

    async fn write<C>(&mut self, operation: &C) -> Result<(), CheckpointError>
    where
        C: Conditional<Found = Option<CheckpointHead>>,
    {
        // A write that is dropped before its answer is as uncertain as one without an answer.
        if !std::mem::replace(&mut self.is_settled, false) {
            return Err(unsettled(&self.scope));
        }
        match self.store.settle(&self.scope, operation).await {
            Ok(Settled::Applied) => {
                self.seq += 1;
                self.is_settled = true;
                Ok(())
            }
            Ok(Settled::Lost(Some(head))) => Err(taken_over(&self.scope, &head)),
            Ok(Settled::Lost(None) | Settled::StillUnknown) => Err(unsettled(&self.scope)),
            Err(error) => {
                self.is_settled = true;
                Err(error)
            }
        }
    }
}

fn taken_over(scope: &str, head: &CheckpointHead) -> CheckpointError {
    CheckpointError::TakenOver {
        scope: scope.to_owned(),
        holder: head.holder.clone(),
    }
}

fn unsettled(scope: &str) -> CheckpointError {
    CheckpointError::Unsettled {
        scope: scope.to_owned(),
    }
}

fn refused(scope: &str, source: StoreError) -> CheckpointError {
    CheckpointError::Store {
        scope: scope.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use weft_model::clock::SystemClock;
    use weft_sqlite::{CommitFault, Options, SqliteStore};
    use weft_store::faulty::{Fault, FaultyStore};

    fn holder(job: &str, created: i64, fence: Fence) -> CheckpointHolder {
        CheckpointHolder {
            job: job.to_owned(),
            created: Timestamp(created),
            fence,
            node: "n".to_owned(),
        }
    }

    #[tokio::test]
    async fn a_run_waits_for_checkpoints_that_the_store_cannot_give() {
        let folder = tempfile::tempdir().unwrap();
        let clock: SharedClock = Arc::new(SystemClock);
        let inner = SqliteStore::open(folder.path().join("db"), Options::new(Arc::clone(&clock)));
        let store = Arc::new(FaultyStore::new(Arc::new(inner.unwrap())));
        let checkpoints = CheckpointStore::new(store.clone(), Ids::seeded(1), clock);
        store.set_times("checkpoint_head", "", Fault::Unavailable, 1);
        store.set_times("checkpoints", "", Fault::Unavailable, 1);
        let taken = checkpoints.take("s", &holder("a", 1, 1)).await;
        assert_eq!(taken.unwrap().all().await.unwrap(), []);
    }

    struct Fixture {
        checkpoints: CheckpointStore,
        /// How many of the next commits have an unknown outcome.
        faults: Arc<AtomicUsize>,
        _folder: tempfile::TempDir,
    }

    fn fixture() -> Fixture {
        let folder = tempfile::tempdir().expect("a folder");
        let clock: SharedClock = Arc::new(SystemClock);
        let faults = Arc::new(AtomicUsize::new(0));
        let left = Arc::clone(&faults);
        let mut options = Options::new(Arc::clone(&clock));
        options.commit_fault = Some(Arc::new(move || {
            let before =
                left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
            match before {
                Ok(count) if count % 2 == 0 => Some(CommitFault::Applied),
                Ok(_) => Some(CommitFault::NotApplied),
                Err(_) => None,
            }
        }));
        let store = SqliteStore::open(folder.path().join("weft.db"), options).expect("a store");
        Fixture {
            checkpoints: CheckpointStore::new(Arc::new(store), Ids::seeded(1), clock),
            faults,
            _folder: folder,
        }
    }

    fn names(items: &[Checkpoint]) -> Vec<&str> {
        items.iter().map(|found| found.item.as_str()).collect()
    }

    #[tokio::test]
    async fn a_later_run_continues_and_the_earlier_one_writes_nothing_more() {
        let fixture = fixture();
        let mut first = fixture
            .checkpoints
            .take("s", &holder("j", 1, 1))
            .await
            .expect("free");
        first.put("a", "1".to_owned()).await.expect("held");
        let mut second = fixture
            .checkpoints
            .take("s", &holder("j", 1, 2))
            .await
            .expect("later");
        assert_eq!(names(&second.all().await.expect("readable")), ["a"]);
        let error = first.put("b", "2".to_owned()).await.expect_err("replaced");
        assert!(
            matches!(&error, CheckpointError::TakenOver { .. }),
            "{error}"
        );
        assert!(first.forget().await.is_err(), "once replaced, for good");
        second.put("c", "3".to_owned()).await.expect("held");
        assert_eq!(names(&second.all().await.expect("readable")), ["a", "c"]);
    }

    #[tokio::test]
    async fn a_run_that_was_replaced_cannot_take_the_scope_back() {
        let fixture = fixture();
        let mut owner = fixture
            .checkpoints
            .take("s", &holder("j", 1, 2))
            .await
            .expect("free");
        let earlier = fixture.checkpoints.take("s", &holder("j", 1, 1)).await;
        let error = earlier.expect_err("an earlier run of the job").to_string();
        assert!(error.contains("another run has taken over"), "{error}");
        owner.put("a", "1".to_owned()).await.expect("not displaced");
        let may_take = async |job, start, fence| {
            let holder = holder(job, start, fence);
            fixture.checkpoints.take("s", &holder).await.is_ok()
        };
        // The job was removed and started again: fences restart.
        assert!(may_take("j", 9, 1).await);
        // The run itself may open it again, and another job may share it.
        assert!(may_take("j", 9, 1).await);
        assert!(may_take("k", 1, 1).await);
    }

    #[tokio::test]
    async fn lost_answers_are_settled() {
        let fixture = fixture();
        fixture.faults.store(3, Ordering::SeqCst);
        let mut held = fixture
            .checkpoints
            .take("s", &holder("j", 1, 1))
            .await
            .expect("settled");
        fixture.faults.store(4, Ordering::SeqCst);
        held.put("a", "1".to_owned()).await.expect("settled");
        fixture.faults.store(3, Ordering::SeqCst);
        held.save(vec![("b".to_owned(), "2".to_owned())], vec!["a".to_owned()])
            .await
            .expect("settled");
        assert_eq!(names(&held.all().await.expect("readable")), ["b"]);
        fixture.faults.store(2, Ordering::SeqCst);
        held.forget().await.expect("settled");
        assert!(held.all().await.expect("readable").is_empty());
    }

    #[tokio::test]
    async fn a_write_refused_for_its_size_keeps_the_scope() {
        let fixture = fixture();
        let mut held = fixture
            .checkpoints
            .take("s", &holder("j", 1, 1))
            .await
            .expect("free");
        let large = "x".repeat(300 * 1024);
        let error = held.put("a", large).await.expect_err("too large");
        assert!(matches!(&error, CheckpointError::Store { .. }), "{error}");
        held.put("a", "1".to_owned()).await.expect("still held");
    }

    #[tokio::test]
    async fn a_write_dropped_before_its_answer_ends_the_handle() {
        let fixture = fixture();
        let mut held = fixture
            .checkpoints
            .take("s", &holder("j", 1, 1))
            .await
            .expect("free");
        let write = held.put("a", "1".to_owned());
        // Polled once: sent and not answered.
        assert!(futures::FutureExt::now_or_never(write).is_none());
        let error = held.put("b", "2".to_owned()).await.expect_err("uncertain");
        assert!(
            matches!(&error, CheckpointError::Unsettled { .. }),
            "{error}"
        );
        let mut again = fixture
            .checkpoints
            .take("s", &holder("j", 1, 1))
            .await
            .expect("again");
        again.put("c", "3".to_owned()).await.expect("held");
    }
}
