//! Wake-ups inside one process. They only shorten a wait: each waiting part also polls by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{self, Poll};

use crate::lock::lock;
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;
use weft_model::{BatchId, DueHint, JobKey};

/// What can be woken. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Wake {
    jobs: Arc<Notify>,
    due: Arc<Mutex<Vec<DueHint>>>,
    to_check: Arc<Mutex<Vec<JobKey>>>,
    due_woken: Arc<Notify>,
    requests: Arc<Notify>,
    affinity_changed: Arc<AtomicBool>,
    chunks: Arc<Notify>,
    with_chunks: Arc<Mutex<BTreeSet<BatchId>>>,
    batches: Arc<Mutex<BTreeMap<BatchId, Arc<Notify>>>>,
    any_batch: Arc<Notify>,
}

/// The wait for a wake-up of one batch.
#[derive(Debug)]
pub struct BatchWoken {
    /// None only while it is dropped.
    notified: Option<Pin<Box<OwnedNotified>>>,
    batches: Arc<Mutex<BTreeMap<BatchId, Arc<Notify>>>>,
    batch: BatchId,
}

impl Future for BatchWoken {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut task::Context<'_>) -> Poll<()> {
        match &mut self.notified {
            Some(notified) => notified.as_mut().poll(context),
            None => Poll::Ready(()),
        }
    }
}

impl Drop for BatchWoken {
    /// Nothing stays behind a batch that has no waiters.
    fn drop(&mut self) {
        self.notified = None;
        let mut batches = lock(&self.batches);
        if batches
            .get(&self.batch)
            .is_some_and(|notify| Arc::strong_count(notify) == 1)
        {
            batches.remove(&self.batch);
        }
    }
}

impl Wake {
    /// A job became due: wakes the scheduler.
    pub fn jobs(&self) {
        self.jobs.notify_one();
    }

    /// Resolves after [`Wake::jobs`]. Wake-ups count from this call on, so call it before you read.
    pub fn jobs_woken(&self) -> impl Future<Output = ()> + '_ {
        self.jobs.notified()
    }

    /// The logical ids of this node changed: the scheduler reconsiders the jobs that it passed over.
    pub fn affinity_changed(&self) {
        self.affinity_changed.store(true, Ordering::Release);
        self.jobs();
    }

    /// Whether [`Wake::affinity_changed`] was called since the last call.
    pub fn take_affinity_changed(&self) -> bool {
        self.affinity_changed.swap(false, Ordering::AcqRel)
    }

    /// Passes a hint that this node wrote to its scheduler, which then need not read it.
    pub fn due(&self, hint: DueHint) {
        lock(&self.due).push(hint);
        self.due_woken.notify_one();
    }

    /// The hints passed to [`Wake::due`] since the last call.
    pub fn take_due(&self) -> Vec<DueHint> {
        std::mem::take(&mut *lock(&self.due))
    }

    /// Has the scheduler check a job now, although no hint was written for that.
    pub fn check(&self, key: JobKey) {
        lock(&self.to_check).push(key);
        self.due_woken.notify_one();
    }

    /// The jobs passed to [`Wake::check`] since the last call.
    pub fn take_to_check(&self) -> Vec<JobKey> {
        std::mem::take(&mut *lock(&self.to_check))
    }

    /// A request for a running job was written: wakes the runners of this process.
    pub fn requests(&self) {
        self.requests.notify_waiters();
    }

    /// Resolves after [`Wake::requests`]. Wake-ups count from this call on, so call it before you read.
    pub fn requests_woken(&self) -> impl Future<Output = ()> + '_ {
        self.requests.notified()
    }

    /// Resolves after [`Wake::due`] and [`Wake::check`].
    pub fn due_woken(&self) -> impl Future<Output = ()> + '_ {
        self.due_woken.notified()
    }

    /// Chunks of a batch can be claimed, or it has stopped: wakes the dispatcher.
    pub fn chunks(&self, batch: BatchId) {
        lock(&self.with_chunks).insert(batch);
        self.chunks.notify_one();
    }

    /// The batches passed to [`Wake::chunks`] since the last call.
    pub fn take_chunks(&self) -> BTreeSet<BatchId> {
        std::mem::take(&mut *lock(&self.with_chunks))
    }

    /// Resolves after [`Wake::chunks`].
    pub fn chunks_woken(&self) -> impl Future<Output = ()> + '_ {
        self.chunks.notified()
    }

    /// A batch changed, or a request for it was written: wakes its owner and the statements that wait for it.
    pub fn batch(&self, batch: BatchId) {
        let waiting = lock(&self.batches).get(&batch).cloned();
        if let Some(waiting) = waiting {
            waiting.notify_waiters();
        }
        self.any_batch.notify_waiters();
    }

    /// Resolves after [`Wake::batch`] for this batch. Wake-ups count from this call on, so call it before you read.
    pub fn batch_woken(&self, batch: BatchId) -> BatchWoken {
        let notify = Arc::clone(lock(&self.batches).entry(batch).or_default());
        BatchWoken {
            notified: Some(Box::pin(notify.notified_owned())),
            batches: Arc::clone(&self.batches),
            batch,
        }
    }

    /// Resolves after [`Wake::batch`] for any batch. Wake-ups count from this call on, so call it before you read.
    pub fn any_batch_woken(&self) -> impl Future<Output = ()> + '_ {
        self.any_batch.notified()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_wake_up_is_for_one_batch_and_leaves_nothing_behind() {
        let wake = Wake::default();
        let [one, other] = [1, 2].map(|id| BatchId(Uuid::from_u128(id)));
        let (first, second) = (wake.batch_woken(one), wake.batch_woken(one));
        let third = wake.batch_woken(other);
        let any = wake.any_batch_woken();
        wake.batch(one);
        assert_eq!(first.now_or_never(), Some(()));
        assert_eq!(second.now_or_never(), Some(()));
        assert_eq!(any.now_or_never(), Some(()));
        assert_eq!(third.now_or_never(), None);
        wake.batch(other);
        assert!(lock(&wake.batches).is_empty());
    }

    #[test]
    fn batches_with_chunks_are_named_once() {
        let wake = Wake::default();
        let batch = BatchId(Uuid::from_u128(1));
        wake.chunks(batch);
        wake.chunks(batch);
        assert_eq!(wake.chunks_woken().now_or_never(), Some(()));
        assert_eq!(wake.take_chunks(), BTreeSet::from([batch]));
        assert_eq!(wake.chunks_woken().now_or_never(), None);
    }
}
