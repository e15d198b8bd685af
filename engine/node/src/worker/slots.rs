//! The worker slots of a node: how many are free, and how many blocked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;

/// The slots of all workers of a node session. Shared by the dispatcher, its handles and the workers.
#[derive(Debug)]
pub(super) struct WorkerSlots {
    total: usize,
    free: AtomicUsize,
    freed: Notify,
    /// The free ones may not be taken.
    held: AtomicBool,
    blocked: AtomicUsize,
}

impl WorkerSlots {
    /// All free.
    pub fn new(total: usize) -> Arc<Self> {
        Arc::new(Self {
            total,
            free: AtomicUsize::new(total),
            freed: Notify::new(),
            held: AtomicBool::new(false),
            blocked: AtomicUsize::new(0),
        })
    }

    /// How many may be taken.
    pub fn free(&self) -> usize {
        match self.held.load(Ordering::Acquire) {
            true => 0,
            false => self.free.load(Ordering::Acquire),
        }
    }

    /// From now on no free slot may be taken, until the result is dropped. Only one caller at a time may hold them.
    pub fn hold(self: &Arc<Self>) -> HeldSlots {
        self.held.store(true, Ordering::Release);
        HeldSlots(Arc::clone(self))
    }

    /// Takes a free slot. Only the dispatcher takes slots, so one that it has seen free still is.
    pub fn take(self: &Arc<Self>) -> WorkerSlot {
        self.free.fetch_sub(1, Ordering::AcqRel);
        WorkerSlot(Arc::clone(self))
    }

    /// Resolves when all are free.
    pub async fn idle(&self) {
        loop {
            let freed = self.freed.notified();
            if self.free.load(Ordering::Acquire) >= self.total {
                return;
            }
            freed.await;
        }
    }

    /// See [`Dispatcher::blocked_slots`](super::Dispatcher::blocked_slots).
    pub fn blocked(&self) -> usize {
        self.blocked.load(Ordering::Acquire)
    }

    pub fn set_blocked(&self, blocked: usize) {
        self.blocked.store(blocked, Ordering::Release);
        #[expect(clippy::cast_precision_loss, reason = "a node has at most 1,024 slots")]
        metrics::gauge!("worker_slots_blocked").set(blocked as f64);
    }
}

/// Releases the slot of a worker when it is dropped, also when its task is aborted.
pub(super) struct WorkerSlot(Arc<WorkerSlots>);

impl Drop for WorkerSlot {
    fn drop(&mut self) {
        self.0.free.fetch_add(1, Ordering::AcqRel);
        self.0.freed.notify_waiters();
    }
}

/// Lets the free slots be taken again when it is dropped.
#[derive(Debug)]
pub(super) struct HeldSlots(Arc<WorkerSlots>);

impl Drop for HeldSlots {
    fn drop(&mut self) {
        self.0.held.store(false, Ordering::Release);
    }
}
