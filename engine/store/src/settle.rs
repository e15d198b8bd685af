//! The only code that sends a compare-and-set again.
//!
//! An answer of Unknown is settled by the *identical* statement, whose token distinguishes an earlier sending that did
//! apply from another node's write. A read cannot settle it: a delayed attempt may still apply after the read
//! (docs/design/protocol.md).

use std::time::Duration;

use async_trait::async_trait;
use tracing::{debug, warn};
use weft_model::ids::Ids;

use super::{Attempt, AttemptResult, SelfFence, Store, StoreError};

const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How many times in a row a statement whose outcome is unknown may be refused for good before it is given up.
const MAX_REFUSALS: usize = 8;

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
}

/// Sends `operation` until the answer is definite or the node fences itself, with full jitter between sendings.
///
/// # Errors
/// A [`StoreError`] if the store refused before anything could take effect and another try cannot help, or if the node
/// fenced itself before the store accepted the statement even once.
pub async fn settle<C: Conditional>(
    store: &dyn Store,
    ids: &Ids,
    self_fence: &SelfFence,
    operation: &C,
) -> Result<Settled<C::Found>, StoreError> {
    let mut pause = FIRST_PAUSE;
    let mut may_have_applied = false;
    let mut refusals = 0;
    loop {
        let refusal = match operation.attempt(store).await {
            Ok(Attempt::Applied) => return Ok(Settled::Applied),
            Ok(Attempt::Lost(found)) => return Ok(Settled::Lost(found)),
            Ok(Attempt::Unknown(reason)) => {
                let verb = operation.verb();
                metrics::counter!("store_unknown_total", "op" => verb).increment(1);
                debug!(
                    verb,
                    reason, "Outcome of {verb} is unknown, sending it again"
                );
                (may_have_applied, refusals) = (true, 0);
                None
            }
            Err(error) if error.is_transient() => Some(error),
            Err(error) if may_have_applied => {
                refusals += 1;
                if refusals == MAX_REFUSALS {
                    let verb = operation.verb();
                    warn!(verb, error = %error, "Gave up {verb}, whose outcome is unknown: {error}");
                    return Ok(Settled::StillUnknown);
                }
                Some(error)
            }
            Err(error) => return Err(error),
        };
        if !self_fence.wait(ids.jitter(pause)).await {
            return match refusal {
                Some(error) if !may_have_applied => Err(error),
                _ => Ok(Settled::StillUnknown),
            };
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
