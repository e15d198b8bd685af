//! The one place that spawns: a node knows what it started, and ends it.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::{AbortHandle, JoinHandle};
use tokio_util::task::TaskTracker;
use weft_store::SelfFence;

/// The tasks of one node session of a node. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    handles: Arc<Mutex<Vec<AbortHandle>>>,
}

impl Tasks {
    /// Starts a task that belongs to this node session.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that spawns"
    )]
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let handle = tokio::spawn(self.tracker.track_future(task));
        let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        handles.retain(|handle| !handle.is_finished());
        handles.push(handle.abort_handle());
        handle
    }

    /// Starts a task without which the node session cannot go on: should it panic, the node fences itself.
    pub fn spawn_vital<F>(&self, self_fence: &SelfFence, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let guard = EndOnPanic(self_fence.clone());
        self.spawn(async move {
            let guard = guard;
            task.await;
            drop(guard);
        });
    }

    /// Waits for all tasks; those that still run after `grace` are aborted at their next await.
    pub async fn end(&self, grace: Duration) {
        self.tracker.close();
        if tokio::time::timeout(grace, self.tracker.wait())
            .await
            .is_err()
        {
            let handles =
                std::mem::take(&mut *self.handles.lock().unwrap_or_else(PoisonError::into_inner));
            for handle in handles {
                handle.abort();
            }
            // A task that never awaits cannot be aborted; its fences are what stops it.
            let _ = tokio::time::timeout(grace, self.tracker.wait()).await;
        }
    }
}

struct EndOnPanic(SelfFence);

impl Drop for EndOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fence();
        }
    }
}
