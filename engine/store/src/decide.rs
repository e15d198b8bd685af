//! Read, decide, settle: how the engine changes a row that others may change at the same time.

use weft_model::ids::Ids;

use super::{Conditional, SelfFence, Settled, Store, StoreError, StoreResult, settle};

/// How often a row may change between the read and the compare-and-set before the caller gives up.
const TRIES: usize = 20;

/// What to do about the row that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision<C, T> {
    /// Send this operation.
    Settle(C),
    /// Change nothing; this is the result.
    Stop(T),
}

/// How [`decide_and_settle`] ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decided<C: Conditional, T> {
    /// The operation took effect on the row it was decided for.
    Applied {
        /// What was sent.
        operation: C,
        /// The row it was decided for, as it was before.
        before: C::Found,
    },
    /// The decision was to change nothing.
    Stopped(T),
    /// The node fenced itself before the outcome of this operation was known: act on nothing.
    StillUnknown(C),
    /// The row changed under every try; this is how it was found last.
    MovedTooFast(C::Found),
}

/// Reads a row, asks `decide` for an operation, and settles it. Where the row has changed since, `decide` is asked again
/// with the row that refused the operation.
///
/// `decide` chooses by the row alone. It may await what has to be stored before the row, such as a follower's note.
/// Each operation needs a token of its own.
///
/// # Errors
/// What the read, the decision or [`settle`] said.
pub async fn decide_and_settle<C, T, E, D>(
    store: &dyn Store,
    ids: &Ids,
    self_fence: &SelfFence,
    read: impl Future<Output = StoreResult<C::Found>>,
    mut decide: impl FnMut(C::Found) -> D,
) -> Result<Decided<C, T>, E>
where
    C: Conditional<Found: Clone>,
    E: From<StoreError>,
    D: Future<Output = Result<Decision<C, T>, E>>,
{
    let mut before = read.await?;
    for _ in 0..TRIES {
        let operation = match decide(before.clone()).await? {
            Decision::Settle(operation) => operation,
            Decision::Stop(result) => return Ok(Decided::Stopped(result)),
        };
        match settle(store, ids, self_fence, &operation).await? {
            Settled::Applied => return Ok(Decided::Applied { operation, before }),
            Settled::Lost(found) => before = found,
            Settled::StillUnknown => return Ok(Decided::StillUnknown(operation)),
        }
    }
    Ok(Decided::MovedTooFast(before))
}
