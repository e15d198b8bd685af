//! Retries store operations of a run while the store is unavailable.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use weft_store::StoreResult;

/// How long to retry.
const PATIENCE: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Repeats an operation while it fails with transient errors, until a stop is requested. The operation must be idempotent.
///
/// # Errors
/// The last error of the operation.
pub(crate) async fn retry_transient<T, F>(
    stop: &CancellationToken,
    operation: impl Fn() -> F + Send,
) -> StoreResult<T>
where
    F: Future<Output = StoreResult<T>> + Send,
{
    let start = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        match operation().await {
            Err(error) if error.is_transient() && start.elapsed() < PATIENCE => {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return Err(error),
                    () = sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
                }
            }
            result => return result,
        }
    }
}
