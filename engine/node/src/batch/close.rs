//! Ends a batch before its work is done: mark, then scan.
//!
//! The request is settled in the row first. So this scan sees a worker's claim, or the worker reads the row after its claim
//! and sees the request.

use std::time::Duration;

use weft_model::{Bug, ChunkHead, ChunkState};
use weft_store::{ChangeChunk, Settled};

use super::generate::seal;
use super::owned::{Owned, OwnerError};

const PAGE: i64 = 128;
/// How often to check whether the workers have handed back their chunks.
const CHECK_EVERY: Duration = Duration::from_millis(100);

/// Closes every open chunk. Workers get a grace period to flush and hand back their chunks, then the rest is fenced.
/// Afterwards nothing can be recorded for the batch.
///
/// # Errors
/// See [`OwnerError`].
pub async fn close_chunks(owned: &mut Owned) -> Result<(), OwnerError> {
    if !owned.has_complete_list() {
        seal(owned).await?;
    }
    let context = owned.session.context.clone();
    let started_at = context.clock.monotonic();
    loop {
        let is_owned = has_chunk_of_live_node(owned).await?;
        let waited = context.clock.monotonic().saturating_sub(started_at);
        if !is_owned || waited >= context.config.cancel_grace {
            break;
        }
        if !owned.session.self_fence.wait(CHECK_EVERY).await {
            return Err(OwnerError::Replaced(owned.row.id));
        }
    }
    if Bug::CancelWithoutFences.is_planted() {
        return Ok(());
    }
    while close_open(owned).await? > 0 {}
    Ok(())
}

async fn has_chunk_of_live_node(owned: &Owned) -> Result<bool, OwnerError> {
    let mut from = 0;
    while from < owned.row.chunks {
        for head in page(owned, from).await? {
            let owner = head.holder.as_ref();
            let is_live = owner.is_some_and(|owner| !owned.session.membership.is_dead(owner));
            if head.state == ChunkState::InProgress && is_live {
                return Ok(true);
            }
        }
        from += PAGE;
    }
    Ok(false)
}

/// One pass over all chunks. Returns how many were open; the caller repeats it until there are none.
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
                token: owned.session.context.ids.token(),
            };
            match owned.session.settle(&change).await? {
                // Lost: the chunk moved in between; the next pass sees its state.
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
        .session
        .context
        .store
        .chunk_heads(owned.row.id, from, to)
        .await?)
}
