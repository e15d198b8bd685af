//! Waits of a worker while the node's own store does not answer.

use std::time::Duration;

use tracing::{debug, warn};
use weft_store::{Backoff, Outage};

use super::active::ActiveBatch;
use crate::NodeSession;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Holds a chunk during one outage of the store. No entity fails of it: what needed the store runs again.
#[derive(Debug)]
pub struct StoreWait<'a> {
    session: &'a NodeSession,
    batch: &'a ActiveBatch,
    number: i64,
    /// The first wait is the one that is logged as a warning.
    backoff: Backoff,
}

impl<'a> StoreWait<'a> {
    /// For chunk `number` of `batch`.
    pub fn new(session: &'a NodeSession, batch: &'a ActiveBatch, number: i64) -> Self {
        Self {
            session,
            batch,
            number,
            backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
        }
    }

    /// Waits before the next try, longer each time. False if the worker must end instead: the batch was stopped, the node
    /// leaves, or it has fenced itself.
    pub async fn wait(&mut self, outage: &Outage) -> bool {
        let Self {
            session,
            batch,
            number,
            ..
        } = *self;
        let id = batch.id;
        if self.backoff.is_fresh() {
            warn!(
                batch.id = %id, chunk = number, error = %outage,
                "Chunk {number} of batch {id} waits for the store: {outage}"
            );
        } else {
            debug!(
                batch.id = %id, chunk = number, error = %outage,
                "Chunk {number} of batch {id} still waits for the store: {outage}"
            );
        }
        let pause = self.backoff.pause();
        tokio::select! {
            biased;
            () = batch.stop.cancelled() => false,
            () = session.draining.cancelled() => false,
            may_act = session.self_fence.wait(session.context.ids.jitter(pause)) => may_act,
        }
    }
}
