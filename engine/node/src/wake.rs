//! Wake-ups inside one process. They only shorten the wait: whoever waits also looks by itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use weft_model::DueHint;

/// What can be woken. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Wake {
    jobs: Arc<Notify>,
    due: Arc<Mutex<Vec<DueHint>>>,
    due_told: Arc<Notify>,
    wishes: Arc<Notify>,
    carries_others: Arc<AtomicBool>,
    chunks: Arc<Notify>,
    batches: Arc<Notify>,
}

impl Wake {
    /// A job became due: the scheduler should look.
    pub fn jobs(&self) {
        self.jobs.notify_one();
    }

    /// Resolves after [`Wake::jobs`]. It counts from the call, so take it before you look.
    pub fn jobs_woken(&self) -> impl Future<Output = ()> + '_ {
        self.jobs.notified()
    }

    /// This node carries other logical ids: the scheduler should look again at what it passed over.
    pub fn carries_others(&self) {
        self.carries_others.store(true, Ordering::Release);
        self.jobs();
    }

    /// Whether [`Wake::carries_others`] was called since the last call.
    pub fn take_carries_others(&self) -> bool {
        self.carries_others.swap(false, Ordering::AcqRel)
    }

    /// A hint was written by this node: its scheduler need not read it.
    pub fn due(&self, hint: DueHint) {
        self.lock().push(hint);
        self.due_told.notify_one();
    }

    /// What [`Wake::due`] was told since the last call.
    pub fn take_due(&self) -> Vec<DueHint> {
        std::mem::take(&mut *self.lock())
    }

    /// Somebody wished something about a running job: runners of this process should look.
    pub fn wishes(&self) {
        self.wishes.notify_waiters();
    }

    /// Resolves after [`Wake::wishes`]. It counts from the call, so take it before you look.
    pub fn wished(&self) -> impl Future<Output = ()> + '_ {
        self.wishes.notified()
    }

    /// Resolves after [`Wake::due`].
    pub fn due_told(&self) -> impl Future<Output = ()> + '_ {
        self.due_told.notified()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<DueHint>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A chunk was opened or handed back: workers should look.
    pub fn chunks(&self) {
        self.chunks.notify_waiters();
        self.chunks.notify_one();
    }

    /// Resolves after [`Wake::chunks`]. It counts from the call, so take it before you look.
    pub fn chunks_woken(&self) -> impl Future<Output = ()> + '_ {
        self.chunks.notified()
    }

    /// A batch moved or was asked for something: owners and waiting statements should look.
    pub fn batches(&self) {
        self.batches.notify_waiters();
        self.batches.notify_one();
    }

    /// Resolves after [`Wake::batches`]. It counts from the call, so take it before you look.
    pub fn batches_woken(&self) -> impl Future<Output = ()> + '_ {
        self.batches.notified()
    }
}
