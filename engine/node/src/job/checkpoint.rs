//! What a run writes down durably, so that the next one can go on where it stopped.
//!
//! A run takes its scope and holds it until another run takes it. A run that was replaced while it slept can neither
//! write nor take the scope back: every write carries the fence it was taken under, and whoever takes it looks at who
//! has it.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use weft_model::clock::{SharedClock, Timestamp};
use weft_model::ids::Ids;
use weft_model::{Checkpoint, CheckpointHead, Fence, Job};
use weft_store::SelfFence;
use weft_store::{
    Conditional, Decided, Decision, ForgetCheckpoints, Freshness, SaveCheckpoints, Settled,
    SharedStore, Store, StoreError, StoreResult, TakeCheckpoints, decide_and_settle, settle,
};

use crate::kind::RunFailure;

/// How long one write may take. Longer than a store is usually away; a fence, not time, keeps two runs apart.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why checkpoints cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// This run records nothing more.
    #[error("another run has taken over the checkpoints of {scope}: {holder}")]
    TakenOver {
        /// The scope.
        scope: String,
        /// Who has it now.
        holder: String,
    },
    /// Whether the last write took effect is not known; a run that takes the scope again finds out.
    #[error("the store did not say whether the checkpoints of {scope} were written")]
    Unsettled {
        /// The scope.
        scope: String,
    },
    /// The store refused, and nothing was written.
    #[error("the checkpoints of {scope} cannot be written or read")]
    Store {
        /// The scope.
        scope: String,
        /// What it said.
        #[source]
        source: StoreError,
    },
}

/// How a run ends that cannot write down what it did.
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

/// Who takes a scope, as the column `s_holder` has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointHolder {
    /// Type, name and uid of the job.
    pub job: String,
    /// When the job was started.
    pub created: Timestamp,
    /// The fence of the run's claim.
    pub fence: Fence,
    /// The node that runs it.
    pub node: String,
}

impl CheckpointHolder {
    /// The run of a job as it was claimed.
    pub fn of(job: &Job) -> Self {
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

    /// `other` is a later run of the same job. Fences grow with every claim, and begin anew only where a job was removed
    /// and started again, which makes its start later.
    fn is_replaced_by(&self, other: &Self) -> bool {
        let (mine, theirs) = ((self.fence, self.created), (other.fence, other.created));
        self.job == other.job && theirs != mine && theirs.0 >= mine.0 && theirs.1 >= mine.1
    }

    fn text(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers are valid JSON")
    }
}

/// Where runs get their checkpoints from. Cheap to clone.
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

    /// `holder` takes the scope: from now on nobody who took it before can write, and everything they wrote is readable.
    ///
    /// # Errors
    /// [`CheckpointError::TakenOver`] where a later run of the same job has it.
    pub async fn take(
        &self,
        scope: &str,
        holder: &CheckpointHolder,
    ) -> Result<Checkpoints, CheckpointError> {
        let read = self.store.checkpoint_head(scope, Freshness::Serial);
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
                    holder: holder.text(),
                    seen,
                    token: self.ids.token(),
                }),
            }))
        };
        let self_fence = SelfFence::for_duration(Arc::clone(&self.clock), PATIENCE);
        let store: &dyn Store = self.store.as_ref();
        let decided = decide_and_settle(store, &self.ids, &self_fence, read, decide)
            .await
            .map_err(|source| refused(scope, source))?;
        match decided {
            Decided::Applied {
                operation: take, ..
            } => Ok(Checkpoints {
                place: self.clone(),
                scope: scope.to_owned(),
                fence: take.fence(),
                seq: 0,
                is_sure: true,
            }),
            // A run that loses so often is not the one that is meant to have the scope.
            Decided::Stopped(head) | Decided::MovedTooFast(Some(head)) => {
                Err(taken_over(scope, &head))
            }
            Decided::StillUnknown(_) | Decided::MovedTooFast(None) => Err(unsettled(scope)),
        }
    }

    /// The moment that a write would be dated with now.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// What stands in a scope behind `after`, for whoever does not hold it: a write under way may be missed.
    ///
    /// # Errors
    /// What the store says.
    pub async fn look(
        &self,
        scope: &str,
        after: Option<&str>,
        limit: usize,
    ) -> StoreResult<Vec<Checkpoint>> {
        self.store.checkpoints(scope, after, limit).await
    }

    async fn settle<C: Conditional>(
        &self,
        scope: &str,
        operation: &C,
    ) -> Result<Settled<C::Found>, CheckpointError> {
        let self_fence = SelfFence::for_duration(Arc::clone(&self.clock), PATIENCE);
        let store: &dyn Store = self.store.as_ref();
        settle(store, &self.ids, &self_fence, operation)
            .await
            .map_err(|source| refused(scope, source))
    }
}

/// A scope that this run has taken.
///
/// After an error of [`CheckpointError::TakenOver`] or [`CheckpointError::Unsettled`], and where a write was dropped half
/// way, it writes nothing more: the run ends, or takes the scope again.
#[derive(Debug)]
pub struct Checkpoints {
    place: CheckpointStore,
    scope: String,
    fence: Fence,
    seq: i64,
    is_sure: bool,
}

impl Checkpoints {
    /// The scope.
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// Items strictly behind `after`, in the order of their bytes, at most `limit`: everything that was written before the
    /// scope was taken, and what this run wrote since.
    ///
    /// # Errors
    /// [`CheckpointError::Store`].
    pub async fn items(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Checkpoint>, CheckpointError> {
        self.place
            .look(&self.scope, after, limit)
            .await
            .map_err(|source| refused(&self.scope, source))
    }

    /// All items, for scopes that are known to be small.
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

    /// Writes and removes items, all or none. At most 1,000 items and 256 KiB at once; each item in one of the two.
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
            now: self.place.clock.now(),
            token: self.place.ids.token(),
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

    /// Removes all items at once; the scope stays taken.
    ///
    /// # Errors
    /// See [`CheckpointError`].
    pub async fn forget(&mut self) -> Result<(), CheckpointError> {
        let forget = ForgetCheckpoints {
            scope: self.scope.clone(),
            fence: self.fence,
            seq: self.seq,
            token: self.place.ids.token(),
        };
        self.write(&forget).await
    }

    async fn write<C>(&mut self, operation: &C) -> Result<(), CheckpointError>
    where
        C: Conditional<Found = Option<CheckpointHead>>,
    {
        // Dropped while it is under way, it is as uncertain as a write without an answer.
        if !std::mem::replace(&mut self.is_sure, false) {
            return Err(unsettled(&self.scope));
        }
        match self.place.settle(&self.scope, operation).await {
            Ok(Settled::Applied) => {
                self.seq += 1;
                self.is_sure = true;
                Ok(())
            }
            Ok(Settled::Lost(Some(head))) => Err(taken_over(&self.scope, &head)),
            Ok(Settled::Lost(None) | Settled::StillUnknown) => Err(unsettled(&self.scope)),
            Err(error) => {
                self.is_sure = true;
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

    fn holder(job: &str, created: i64, fence: Fence) -> CheckpointHolder {
        CheckpointHolder {
            job: job.to_owned(),
            created: Timestamp(created),
            fence,
            node: "n".to_owned(),
        }
    }

    struct Fixture {
        place: CheckpointStore,
        /// The outcome of so many commits from now on is not known.
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
            place: CheckpointStore::new(Arc::new(store), Ids::seeded(1), clock),
            faults,
            _folder: folder,
        }
    }

    fn names(items: &[Checkpoint]) -> Vec<&str> {
        items.iter().map(|found| found.item.as_str()).collect()
    }

    #[tokio::test]
    async fn a_later_run_goes_on_and_the_earlier_one_records_nothing_more() {
        let fixture = fixture();
        let mut first = fixture
            .place
            .take("s", &holder("j", 1, 1))
            .await
            .expect("free");
        first.put("a", "1".to_owned()).await.expect("held");
        let mut second = fixture
            .place
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
        let mut heir = fixture
            .place
            .take("s", &holder("j", 1, 2))
            .await
            .expect("free");
        let sleeper = fixture.place.take("s", &holder("j", 1, 1)).await;
        let error = sleeper.expect_err("an earlier run of the job").to_string();
        assert!(error.contains("another run has taken over"), "{error}");
        heir.put("a", "1".to_owned()).await.expect("not displaced");
        // Removed and started again: fences begin anew.
        assert!(fixture.place.take("s", &holder("j", 9, 1)).await.is_ok());
        // The run itself may open it again, and another job may share it.
        assert!(fixture.place.take("s", &holder("j", 9, 1)).await.is_ok());
        assert!(fixture.place.take("s", &holder("k", 1, 1)).await.is_ok());
    }

    #[tokio::test]
    async fn answers_that_are_lost_are_settled() {
        let fixture = fixture();
        fixture.faults.store(3, Ordering::SeqCst);
        let mut held = fixture
            .place
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
    async fn what_is_refused_for_its_size_leaves_the_scope_held() {
        let fixture = fixture();
        let mut held = fixture
            .place
            .take("s", &holder("j", 1, 1))
            .await
            .expect("free");
        let large = "x".repeat(300 * 1024);
        let error = held.put("a", large).await.expect_err("too large");
        assert!(matches!(&error, CheckpointError::Store { .. }), "{error}");
        held.put("a", "1".to_owned()).await.expect("still held");
    }

    #[tokio::test]
    async fn a_write_dropped_half_way_ends_the_handle() {
        let fixture = fixture();
        let mut held = fixture
            .place
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
            .place
            .take("s", &holder("j", 1, 1))
            .await
            .expect("again");
        again.put("c", "3".to_owned()).await.expect("held");
    }
}
