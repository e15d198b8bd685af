//! Wake-ups inside one process. They only shorten the wait: whoever waits also looks by itself.

use std::sync::Arc;

use tokio::sync::Notify;

/// What can be woken. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Wake {
    jobs: Arc<Notify>,
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
