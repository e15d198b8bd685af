//! The only code that sends a compare-and-set again.
//!
//! An answer of Unknown is settled by the *identical* statement, whose token distinguishes an earlier sending that did
//! apply from another node's write. A read cannot settle it: a delayed attempt may still apply after the read
//! (docs/design/protocol.md).

use std::time::Duration;

use async_trait::async_trait;
use tracing::{debug, warn};
use weft_model::ids::Ids;
use weft_model::{Bug, DueHint};

use super::{Attempt, AttemptResult, Backoff, SelfFence, Store, StoreError};

const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How many times in a row a statement whose outcome is unknown may be refused for good before it is given up.
const MAX_REFUSALS: usize = 8;
/// A node may have read a hint of a time so far ahead: its poll reads a little ahead, and its clock may be fast.
const READ_AHEAD: Duration = Duration::from_secs(10);

/// The definite outcome of a compare-and-set, if there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled<F> {
    /// It took effect.
    Applied,
    /// Its condition did not hold.
    Lost(F),
    /// The node fenced itself before the answer was definite, or the store refuses for good to hear the statement again:
    /// act on nothing.
    StillUnknown,
}

/// A compare-and-set that can be sent again as it is.
#[async_trait]
pub trait Conditional: Send + Sync {
    /// What is found where the condition does not hold.
    type Found: Send;

    /// Names the verb in logs and metrics.
    fn verb(&self) -> &'static str;

    /// Sends it once.
    async fn attempt(&self, store: &dyn Store) -> AttemptResult<Self::Found>;

    /// The due hint of the row, where nodes may have read the one that was stored before the row and found nothing to do.
    fn hint_to_renew(&self, _was_sent_again: bool) -> Option<&DueHint> {
        None
    }
}

/// Sends `operation` until the answer is definite or the node fences itself, with full jitter between sendings.
///
/// # Errors
/// See [`Settling::send`].
pub async fn settle<C: Conditional>(
    store: &dyn Store,
    ids: &Ids,
    self_fence: &SelfFence,
    operation: &C,
) -> Result<Settled<C::Found>, StoreError> {
    let mut settling = Settling::new(store, ids, self_fence, operation);
    loop {
        if let Some(settled) = settling.send().await? {
            return Ok(settled);
        }
    }
}

/// A compare-and-set on its way to a definite answer, for a caller that must check its reason again before each sending. A
/// caller that gives up must move the condition of the operation by another one: an earlier sending may still take effect.
#[derive(Debug)]
pub struct Settling<'a, C> {
    store: &'a dyn Store,
    ids: &'a Ids,
    self_fence: &'a SelfFence,
    operation: &'a C,
    backoff: Backoff,
    sendings: usize,
    may_have_applied: bool,
    refusals: usize,
}

impl<'a, C: Conditional> Settling<'a, C> {
    /// Before the first sending.
    pub fn new(
        store: &'a dyn Store,
        ids: &'a Ids,
        self_fence: &'a SelfFence,
        operation: &'a C,
    ) -> Self {
        Self {
            store,
            ids,
            self_fence,
            operation,
            backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
            sendings: 0,
            may_have_applied: false,
            refusals: 0,
        }
    }

    /// Sends the operation once. Without a definite answer it pauses, and returns none: it has to be sent again.
    ///
    /// # Errors
    /// A [`StoreError`] if the store refused before anything could take effect and another try cannot help, or if the node
    /// fenced itself before the store accepted the statement even once.
    pub async fn send(&mut self) -> Result<Option<Settled<C::Found>>, StoreError> {
        let verb = self.operation.verb();
        self.sendings += 1;
        let refusal = match self.operation.attempt(self.store).await {
            Ok(Attempt::Applied) => {
                self.renew_hint().await;
                return Ok(Some(Settled::Applied));
            }
            Ok(Attempt::Lost(found)) => return Ok(Some(Settled::Lost(found))),
            Ok(Attempt::Unknown(reason)) => {
                metrics::counter!("store_unknown_total", "op" => verb).increment(1);
                debug!(
                    verb,
                    reason, "Outcome of {verb} is unknown, sending it again"
                );
                if Bug::UnknownIsApplied.is_planted() {
                    return Ok(Some(Settled::Applied));
                }
                if Bug::UnknownIsFailure.is_planted() {
                    return Err(StoreError::Unavailable(reason));
                }
                (self.may_have_applied, self.refusals) = (true, 0);
                None
            }
            Err(error) if error.is_transient() => Some(error),
            Err(error) if self.may_have_applied => {
                self.refusals += 1;
                if self.refusals == MAX_REFUSALS {
                    warn!(verb, error = %error, "Gave up {verb}, whose outcome is unknown: {error}");
                    return Ok(Some(Settled::StillUnknown));
                }
                Some(error)
            }
            Err(error) => return Err(error),
        };
        let pause = self.ids.jitter(self.backoff.pause());
        if !self.self_fence.wait(pause).await {
            return match refusal {
                Some(error) if !self.may_have_applied => Err(error),
                _ => Ok(Some(Settled::StillUnknown)),
            };
        }
        Ok(None)
    }

    /// Leads nodes to the row once more. Between the hint and the row a node may have read the hint, found the row at rest
    /// and passed the hint; no node reads a hint twice. If this node dies before it continues with the job, another one
    /// finds this hint.
    async fn renew_hint(&self) {
        let Some(due) = self.operation.hint_to_renew(self.sendings > 1) else {
            return;
        };
        let now = self.self_fence.clock().now();
        if due.due_at > now.plus(READ_AHEAD) {
            return;
        }
        let hint = DueHint {
            due_at: due.due_at.max(now).plus(Duration::from_millis(1)),
            key: due.key.clone(),
        };
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        while let Err(error) = self.store.put_due(&hint).await {
            let pause = self.ids.jitter(backoff.pause());
            if !error.is_transient() || !self.self_fence.wait(pause).await {
                debug!(error = %error, "Could not renew the due hint of a job: {error}");
                return;
            }
        }
    }
}
