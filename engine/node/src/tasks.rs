//! The only place that spawns tasks, so that a node session can end all that it started.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::lock::lock;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::{AbortHandle, JoinHandle};
use tokio_util::task::TaskTracker;
use weft_store::SelfFence;

/// The tasks of a node session. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    handles: Arc<Mutex<Vec<AbortHandle>>>,
}

impl Tasks {
    /// Starts a task of this node session.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the only place that spawns tasks"
    )]
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let handle = tokio::spawn(self.tracker.track_future(task));
        let mut handles = lock(&self.handles);
        handles.retain(|handle| !handle.is_finished());
        handles.push(handle.abort_handle());
        handle
    }

    /// Starts a task that the node session depends on: if it panics, the node fences itself.
    pub fn spawn_vital<F>(&self, self_fence: &SelfFence, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let guard = FenceOnPanic(self_fence.clone());
        self.spawn(async move {
            let guard = guard;
            task.await;
            drop(guard);
        });
    }

    /// Waits for all tasks. A task that still runs after `grace` is aborted at its next await. Answers whether all have ended:
    /// a task that never awaits cannot be aborted, and the fences in the rows stop its writes.
    pub async fn end(&self, grace: Duration) -> bool {
        self.tracker.close();
        let ended = tokio::time::timeout(grace, self.tracker.wait());
        if ended.await.is_ok() {
            return true;
        }
        let handles = std::mem::take(&mut *lock(&self.handles));
        for handle in handles {
            handle.abort();
        }
        let ended = tokio::time::timeout(grace, self.tracker.wait());
        ended.await.is_ok()
    }
}

/// Reads or writes a file from a task, and lets other threads run the tasks of this one meanwhile. A runtime with one thread,
/// as in tests, has none to spare.
pub fn block_on_file<T>(access: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(access),
        _ => access(),
    }
}

struct FenceOnPanic(SelfFence);

impl Drop for FenceOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fence();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_slow_file_holds_up_no_other_task() {
        let tasks = Tasks::default();
        let (sender, receiver) = mpsc::channel();
        let patience = Duration::from_secs(20);
        let slow = tasks.spawn(async move { block_on_file(|| receiver.recv_timeout(patience)) });
        // The only thread runs this task while the other one waits.
        let other = tasks.spawn(async move { sender.send(7) });
        assert_eq!(slow.await.unwrap(), Ok(7));
        other.await.unwrap().unwrap();
    }
}
