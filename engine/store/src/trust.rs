//! How long a node may believe that it still owns what it holds.
//!
//! `trusted_until = start of the last successful heartbeat + T_dead − margin`. Past it the node starts
//! nothing, because other nodes may take over; the fences in the rows stop whatever is still under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use weft_model::clock::SharedClock;

/// Shared by everything that one life of a node does. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Trust {
    clock: SharedClock,
    until_micros: Arc<AtomicU64>,
    ended: CancellationToken,
}

impl Trust {
    /// Trusted until `until` on the monotonic clock, and until `ended` is cancelled.
    pub fn until(clock: SharedClock, until: Duration, ended: CancellationToken) -> Self {
        Self {
            clock,
            until_micros: Arc::new(AtomicU64::new(micros(until))),
            ended,
        }
    }

    /// Trusted for `duration` from now: for requests that own nothing but must end.
    pub fn for_duration(clock: SharedClock, duration: Duration) -> Self {
        let until = clock.monotonic() + duration;
        Self::until(clock, until, CancellationToken::new())
    }

    /// A heartbeat succeeded: trust reaches further. Never shortens it.
    pub fn extend(&self, until: Duration) {
        self.until_micros.fetch_max(micros(until), Ordering::AcqRel);
    }

    /// Ends trust for good: this life of the node is over.
    pub fn end(&self) {
        self.ended.cancel();
    }

    /// Still trusted. A life whose trust has run out once stays untrusted.
    pub fn holds(&self) -> bool {
        if self.ended.is_cancelled() {
            return false;
        }
        if micros(self.clock.monotonic()) < self.until_micros.load(Ordering::Acquire) {
            return true;
        }
        self.ended.cancel();
        false
    }

    /// Resolves when trust has ended for good.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Waits for `pause`; answers whether trust still holds then.
    pub async fn wait(&self, pause: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.ended.cancelled() => false,
            () = tokio::time::sleep(pause) => self.holds(),
        }
    }

    /// The token that is cancelled when trust ends.
    pub fn cancellation(&self) -> &CancellationToken {
        &self.ended
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
