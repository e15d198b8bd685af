//! One worker on one chunk: claim, check, read ahead, handle, record.

use std::collections::BTreeSet;

use tracing::{debug, warn};
use weft_model::{ChunkContent, ChunkEntry, ChunkHead, ChunkState, Fence, chunk_entry};
use weft_project::command::ChunkContext;
use weft_store::{ChangeChunk, ClaimChunk, Freshness, Settled, StoreError, StoreResult};

use super::active::{ActiveBatch, admits_work};
use super::choose::Candidate;
use super::entity::{self, Worker};
use super::recorder::{Flushed, Recorder};
use super::store_wait::StoreWait;
use crate::NodeSession;

/// How the work on a chunk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkEnd {
    /// Every id has its record.
    Done,
    /// The work was stopped and the chunk released.
    Released,
    /// Another worker owns it.
    Lost,
    /// The outcome is not known; the next check finds its state.
    Dropped,
}

/// Works on one chunk until it is done, released or lost.
pub async fn run(
    session: NodeSession,
    batch: ActiveBatch,
    number: i64,
    candidate: Candidate,
) -> ChunkEnd {
    let slot = batch.stats.enter();
    let ended = match work(&session, &batch, number, &candidate, slot).await {
        Ok(ended) => ended,
        Err(error) => {
            warn!(
                batch.id = %batch.id, chunk = number, error = %error,
                "Dropped chunk {number} of batch {}: {error}", batch.id
            );
            ChunkEnd::Dropped
        }
    };
    batch.stats.leave(slot);
    ended
}

async fn work(
    session: &NodeSession,
    batch: &ActiveBatch,
    number: i64,
    candidate: &Candidate,
    slot: u64,
) -> Result<ChunkEnd, StoreError> {
    let fence = match claim(session, batch, number, candidate).await? {
        Ok(fence) => fence,
        Err(end) => return Ok(end),
    };
    // Claim, then check: the batch owner's scan sees this claim, or this read sees the owner's mark.
    let row = session
        .context
        .store
        .batch(batch.id, Freshness::Committed)
        .await?;
    if !row.as_ref().is_some_and(admits_work) || !session.takes_work() {
        return release(session, batch, number, fence).await;
    }
    let content = content(session, batch, number, fence, candidate).await?;
    let Some(ChunkContent { head, ids, handled }) = content else {
        return Ok(ChunkEnd::Lost);
    };
    let open = open_entries(ids, handled, session.context.config.max_id_bytes);
    let ids: Vec<String> = fit_ids(&open);
    let context = ChunkContext {
        batch: batch.id,
        spec: batch.spec.clone(),
        execution_id: batch.execution_id.clone(),
        fence,
        node: session.me.node.clone(),
    };
    let mut recorder = Recorder::new(session, batch.clone(), &head);
    let mut store_wait = StoreWait::new(session, batch, number);
    let mut prepared = loop {
        match batch.command.prepare(&context, &ids).await {
            Ok(prepared) => break prepared,
            Err(outage) if store_wait.wait(&outage).await => (),
            Err(_) => return stop(session, batch, number, fence, recorder).await,
        }
    };
    let worker = Worker {
        session,
        batch,
        number,
        fence,
        slot,
    };
    for (index, entry) in open.iter().enumerate() {
        if batch.stop.is_cancelled() || !session.takes_work() {
            return stop(session, batch, number, fence, recorder).await;
        }
        let handled = match ChunkEntry::read(entry) {
            ChunkEntry::Id(id) => entity::handle(worker, id, &mut prepared).await,
            ChunkEntry::Unfit { name, reason } => Some(entity::refuse(worker, name, reason)),
        };
        let Some(handled) = handled else {
            return stop(session, batch, number, fence, recorder).await;
        };
        recorder.add(handled);
        let is_last = index + 1 == open.len();
        if !is_last
            && recorder.is_due(session.context.clock.monotonic())
            && recorder.flush(session, false).await? == Flushed::Fenced
        {
            return Ok(ChunkEnd::Lost);
        }
    }
    match recorder.flush(session, true).await? {
        Flushed::Recorded => Ok(ChunkEnd::Done),
        Flushed::Fenced => {
            debug!(batch.id = %batch.id, chunk = number, "The last flush of chunk {number} was fenced");
            Ok(ChunkEnd::Lost)
        }
    }
}

/// Claims the chunk. Returns its fence, or how the work ends without a claim.
async fn claim(
    session: &NodeSession,
    batch: &ActiveBatch,
    number: i64,
    candidate: &Candidate,
) -> StoreResult<Result<Fence, ChunkEnd>> {
    if candidate.is_claimed_here {
        return Ok(Ok(candidate.fence));
    }
    let claim = ClaimChunk {
        batch: batch.id,
        number,
        seen_fence: candidate.fence,
        holder: session.me.clone(),
        crashes: candidate.crashes,
        token: session.context.ids.token(),
    };
    Ok(match session.settle(&claim).await? {
        Settled::Applied => Ok(candidate.fence + 1),
        Settled::Lost(_) => Err(ChunkEnd::Lost),
        Settled::StillUnknown => Err(ChunkEnd::Dropped),
    })
}

/// The entries without a record. An id that an older version or another limit let in is checked again.
fn open_entries(entries: Vec<String>, handled: Vec<String>, limit: usize) -> Vec<String> {
    let handled: BTreeSet<String> = handled.into_iter().collect();
    let is_open = |entry: &String| !handled.contains(ChunkEntry::read(entry).name());
    let checked = |entry: String| match ChunkEntry::read(&entry) {
        ChunkEntry::Id(_) => chunk_entry(entry, limit),
        ChunkEntry::Unfit { .. } => entry,
    };
    // Its record may already be there, under the id or under the name.
    let entries = entries.into_iter().filter(is_open).map(checked);
    entries.filter(is_open).collect()
}

/// The ids that the command runs for.
fn fit_ids(entries: &[String]) -> Vec<String> {
    let ids = entries
        .iter()
        .filter_map(|entry| match ChunkEntry::read(entry) {
            ChunkEntry::Id(id) => Some(id.to_owned()),
            ChunkEntry::Unfit { .. } => None,
        });
    ids.collect()
}

/// The ids and state of the chunk, if this worker still owns it.
async fn content(
    session: &NodeSession,
    batch: &ActiveBatch,
    number: i64,
    fence: i64,
    candidate: &Candidate,
) -> Result<Option<ChunkContent>, StoreError> {
    if let (Some(ids), true) = (&candidate.ids, candidate.is_untouched) {
        let total = i64::try_from(ids.len()).unwrap_or(i64::MAX);
        let head = ChunkHead {
            batch: batch.id,
            number,
            state: ChunkState::InProgress,
            holder: Some(session.me.clone()),
            fence,
            seq: 0,
            token: None,
            total,
            ok: 0,
            failed: 0,
            shares: std::collections::BTreeMap::new(),
            source_position: None,
            crashes: candidate.crashes,
        };
        return Ok(Some(ChunkContent {
            head,
            ids: ids.to_vec(),
            handled: Vec::new(),
        }));
    }
    let content = session.context.store.chunk(batch.id, number).await?;
    Ok(content.filter(|content| content.head.fence == fence))
}

/// Records the handled entities, then releases the chunk.
async fn stop(
    session: &NodeSession,
    batch: &ActiveBatch,
    number: i64,
    fence: i64,
    mut recorder: Recorder,
) -> Result<ChunkEnd, StoreError> {
    if !session.self_fence.may_act() {
        return Ok(ChunkEnd::Dropped);
    }
    if !recorder.is_empty() && recorder.flush(session, false).await? == Flushed::Fenced {
        return Ok(ChunkEnd::Lost);
    }
    release(session, batch, number, fence).await
}

async fn release(
    session: &NodeSession,
    batch: &ActiveBatch,
    number: i64,
    fence: i64,
) -> Result<ChunkEnd, StoreError> {
    let change = ChangeChunk {
        batch: batch.id,
        number,
        from: ChunkState::InProgress,
        seen_fence: fence,
        to: ChunkState::New,
        token: session.context.ids.token(),
    };
    match session.settle(&change).await? {
        Settled::Applied => {
            session.context.wake.batch(batch.id);
            Ok(ChunkEnd::Released)
        }
        Settled::Lost(_) => Ok(ChunkEnd::Lost),
        Settled::StillUnknown => Ok(ChunkEnd::Dropped),
    }
}
