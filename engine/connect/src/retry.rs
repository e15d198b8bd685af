//! Retries what a run needs of the node's own store while the store is unavailable.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use weft_project::source::{Parameters, RowLimits, Rows, SharedInterface, SourceError};
use weft_store::{Backoff, StoreError, StoreResult};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Repeats an operation while it fails with transient errors, until a stop is requested. The operation must be idempotent.
///
/// There is no limit of time: an outage of the store says nothing about the run. A node that cannot reach the store fences
/// itself, which ends its runs, and another node continues them.
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
    let mut wait = StoreWait::new(stop);
    loop {
        match operation().await {
            Err(error) if error.is_transient() && wait.wait(&error).await => (),
            result => return result,
        }
    }
}

/// The waits of a run during one outage of the store.
pub(crate) struct StoreWait<'a> {
    stop: &'a CancellationToken,
    /// The first wait is logged.
    backoff: Backoff,
}

impl<'a> StoreWait<'a> {
    /// Ends at `stop`.
    pub(crate) fn new(stop: &'a CancellationToken) -> Self {
        Self {
            stop,
            backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
        }
    }

    /// Waits before the next try, longer each time. False if a stop is requested.
    pub(crate) async fn wait(&mut self, error: &StoreError) -> bool {
        if self.backoff.is_fresh() {
            warn!(error = %error, "A run waits for the store: {error}");
        }
        tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            () = sleep(self.backoff.pause()) => true,
        }
    }
}

/// Queries an interface, which may read tables in the node's own store, until that store answers or a stop is requested.
///
/// # Errors
/// What the source said.
pub(crate) async fn query_within(
    interface: &SharedInterface,
    sql: &str,
    parameters: Parameters,
    limits: RowLimits,
    stop: &CancellationToken,
) -> Result<Rows, SourceError> {
    let query = || async {
        let answer = interface
            .query_within(sql, parameters.clone(), limits)
            .await;
        match answer.map_err(SourceError::into_outage) {
            Ok(rows) => Ok(Ok(rows)),
            Err(Ok(outage)) => Err(outage.into()),
            Err(Err(error)) => Ok(Err(error)),
        }
    };
    match retry_transient(stop, query).await {
        Ok(answer) => answer,
        Err(error) => Err(SourceError::Unavailable {
            interface: interface.kind().to_owned(),
            message: error.to_string(),
        }),
    }
}
