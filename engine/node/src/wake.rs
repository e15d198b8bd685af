//! Wake-ups inside one process. They only shorten a wait: each waiting part also polls by itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use weft_model::DueHint;

/// What can be woken. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Wake {
    jobs: Arc<Notify>,
    due: Arc<Mutex<Vec<DueHint>>>,
    due_woken: Arc<Notify>,
    requests: Arc<Notify>,
    affinity_changed: Arc<AtomicBool>,
    chunks: Arc<Notify>,
    batches: Arc<Notify>,
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
        self.lock().push(hint);
        self.due_woken.notify_one();
    }

    /// The hints passed to [`Wake::due`] since the last call.
    pub fn take_due(&self) -> Vec<DueHint> {
        std::mem::take(&mut *self.lock())
    }

    /// A request for a running job was written: wakes the runners of this process.
    pub fn requests(&self) {
        self.requests.notify_waiters();
    }

    /// Resolves after [`Wake::requests`]. Wake-ups count from this call on, so call it before you read.
    pub fn requests_woken(&self) -> impl Future<Output = ()> + '_ {
        self.requests.notified()
    }

    /// Resolves after [`Wake::due`].
    pub fn due_woken(&self) -> impl Future<Output = ()> + '_ {
        self.due_woken.notified()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<DueHint>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A chunk was opened or handed back: wakes the workers.
    pub fn chunks(&self) {
        self.chunks.notify_waiters();
        self.chunks.notify_one();
    }

    /// Resolves after [`Wake::chunks`]. Wake-ups count from this call on, so call it before you read.
    pub fn chunks_woken(&self) -> impl Future<Output = ()> + '_ {
        self.chunks.notified()
    }

    /// A batch changed, or a request for it was written: wakes owners and waiting statements.
    pub fn batches(&self) {
        self.batches.notify_waiters();
        self.batches.notify_one();
    }

    /// Resolves after [`Wake::batches`]. Wake-ups count from this call on, so call it before you read.
    pub fn batches_woken(&self) -> impl Future<Output = ()> + '_ {
        self.batches.notified()
    }
}
