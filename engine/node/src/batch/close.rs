//! Ending a batch before its work is done: mark, then scan.
//!
//! With the wish settled in the row, a worker's claim is either seen by this scan, or the worker's own look
//! at the row after its claim sees the wish.

use std::time::Duration;

use weft_model::{ChunkHead, ChunkState};
use weft_store::{ChangeChunk, Settled};

use super::generate::seal;
use super::owned::{Owned, OwnerError};

const PAGE: i64 = 128;
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Takes every open chunk out of work: workers get a grace period to flush and hand back, then the rest is
/// fenced. Afterwards nothing can be recorded for the batch.
///
/// # Errors
/// See [`OwnerError`].
pub async fn close_chunks(owned: &mut Owned) -> Result<(), OwnerError> {
    if !owned.list_is_complete() {
        seal(owned).await?;
    }
    let context = owned.life.context.clone();
    let began = context.clock.monotonic();
    loop {
        let held = held_by_the_living(owned).await?;
        let waited = context.clock.monotonic().saturating_sub(began);
        if !held || waited >= context.config.cancel_grace {
            break;
        }
        if !owned.life.trust.wait(LOOK_EVERY).await {
            return Err(OwnerError::Replaced(owned.row.id));
        }
    }
    while close_open(owned).await? > 0 {}
    Ok(())
}

async fn held_by_the_living(owned: &Owned) -> Result<bool, OwnerError> {
    let mut from = 0;
    while from < owned.row.chunks {
        for head in page(owned, from).await? {
            let living = head
                .holder
                .as_ref()
                .is_some_and(|holder| !owned.life.membership.is_dead(holder));
            if head.state == ChunkState::InProgress && living {
                return Ok(true);
            }
        }
        from += PAGE;
    }
    Ok(false)
}

/// One pass over all chunks; answers how many were found open, so that the caller looks until none is.
async fn close_open(owned: &Owned) -> Result<usize, OwnerError> {
    let mut open = 0;
    let mut from = 0;
    while from < owned.row.chunks {
        for head in page(owned, from).await? {
            if !matches!(head.state, ChunkState::New | ChunkState::InProgress) {
                continue;
            }
            open += 1;
            let change = ChangeChunk {
                batch: owned.row.id,
                number: head.number,
                from: head.state,
                seen_fence: head.fence,
                to: ChunkState::Closed,
                token: owned.life.context.ids.token(),
            };
            match owned.life.settle(&change).await? {
                // Lost: it moved meanwhile; the next pass sees where to.
                Settled::Applied | Settled::Lost(_) => (),
                Settled::StillUnknown => return Err(OwnerError::Replaced(owned.row.id)),
            }
        }
        from += PAGE;
    }
    Ok(open)
}

async fn page(owned: &Owned, from: i64) -> Result<Vec<ChunkHead>, OwnerError> {
    let to = (from + PAGE).min(owned.row.chunks);
    Ok(owned
        .life
        .context
        .store
        .chunk_heads(owned.row.id, from, to)
        .await?)
}
