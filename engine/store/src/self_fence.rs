//! How long a node may act on what it owns.
//!
//! A node may act until `start of its last successful heartbeat + T_dead − margin`. Past it the node has fenced itself: it
//! starts nothing, because other nodes may take over. The fences in the rows stop whatever is still under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use weft_model::Bug;
use weft_model::clock::SharedClock;

/// The self-fence of one node session, shared by everything that the session does. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SelfFence {
    clock: SharedClock,
    until_micros: Arc<AtomicU64>,
    fenced: CancellationToken,
}

impl SelfFence {
    /// Open until `until` on the monotonic clock, and until `fenced` is cancelled.
    pub fn until(clock: SharedClock, until: Duration, fenced: CancellationToken) -> Self {
        Self {
            clock,
            until_micros: Arc::new(AtomicU64::new(micros(until))),
            fenced,
        }
    }

    /// Open for `duration` from now: for requests that own nothing but must end.
    pub fn for_duration(clock: SharedClock, duration: Duration) -> Self {
        let until = clock.monotonic() + duration;
        Self::until(clock, until, CancellationToken::new())
    }

    /// The clock of the node.
    pub fn clock(&self) -> &SharedClock {
        &self.clock
    }

    /// A heartbeat succeeded: the session may act until `until`. Never shortens the time.
    pub fn extend(&self, until: Duration) {
        self.until_micros.fetch_max(micros(until), Ordering::AcqRel);
    }

    /// Fences the session for good.
    pub fn fence(&self) {
        self.fenced.cancel();
    }

    /// Whether the session may still act. A session that was fenced once stays fenced.
    pub fn may_act(&self) -> bool {
        if self.fenced.is_cancelled() {
            return false;
        }
        if Bug::NoSelfFence.is_planted() {
            return true;
        }
        if micros(self.clock.monotonic()) < self.until_micros.load(Ordering::Acquire) {
            return true;
        }
        self.fenced.cancel();
        false
    }

    /// Resolves when the session is fenced.
    pub async fn fenced(&self) {
        self.fenced.cancelled().await;
    }

    /// Waits for `pause`, or until the session is fenced; answers whether it may still act.
    pub async fn wait(&self, pause: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.fenced.cancelled() => false,
            () = tokio::time::sleep(pause) => self.may_act(),
        }
    }

    /// The token that is cancelled when the session is fenced.
    pub fn cancellation(&self) -> &CancellationToken {
        &self.fenced
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
