//! Ends the running work of a worker when its batch or its node stops: a command may take hours, and ignores requests.

use std::time::Duration;

use weft_model::Bug;

use super::active::ActiveBatch;
use crate::NodeSession;

/// The part of the drain grace that is kept for recording results and releasing chunks, at most a quarter of it.
const RELEASE_RESERVE: Duration = Duration::from_secs(3);

/// Drives `work` to its end. `None` if it was dropped: the batch was stopped, the node fenced itself, or it leaves and the
/// time for running entities is over.
pub async fn unless_stopped<T>(
    session: &NodeSession,
    batch: &ActiveBatch,
    work: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        biased;
        answer = work => Some(answer),
        () = batch.stop.cancelled(), if !Bug::CancelSparesEntities.is_planted() => None,
        () = session.self_fence.fenced() => None,
        () = drain_grace_over(session) => None,
    }
}

async fn drain_grace_over(session: &NodeSession) {
    session.draining.cancelled().await;
    let grace = session.context.config.drain_grace;
    tokio::time::sleep(grace.saturating_sub(RELEASE_RESERVE.min(grace / 4))).await;
}
