//! One worker on one chunk: claim, check, read ahead, handle, record.

use std::borrow::Cow;
use std::collections::BTreeSet;

use tracing::{debug, warn};
use weft_model::{Bug, ChunkContent, ChunkEntry, ChunkHead, ChunkState, Fence, chunk_entry};
use weft_project::command::{ChunkContext, PreparedChunk};
use weft_store::{ChangeChunk, ClaimChunk, Freshness, Settled, StoreError, StoreResult};

use super::active::{ActiveBatch, admits_work};
use super::choose::Candidate;
use super::entity::{self, HandledEntity, Worker};
use super::interrupt::unless_stopped;
use super::isolation::{Isolation, POISONED_AT};
use super::recorder::{Flushed, Recorder};
use super::store_wait::StoreWait;
use crate::NodeSession;

/// How the work on a chunk ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChunkEnd {
    /// Every id has its record.
    Done,
    /// The work was stopped and the chunk released.
    Released,
    /// Another worker owns it.
    Lost,
    /// The outcome is not known; the next check finds its state.
    Dropped,
    /// The store failed. The chunk is held back for a while before it is claimed again.
    Failed(StoreError),
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
        Err(error) => ChunkEnd::Failed(error),
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
    let held = HeldChunk {
        context: ChunkContext {
            batch: batch.id,
            spec: batch.spec.clone(),
            execution_id: batch.execution_id.clone(),
            fence,
            node: session.me.node.clone(),
        },
        recorder: Recorder::new(session, batch.clone(), &head),
        session,
        batch,
        number,
        slot,
    };
    match Isolation::of(head.crashes) {
        Isolation::Unneeded => held.handle_in_groups(&open).await,
        Isolation::OneByOne => held.handle_one_by_one(&open).await,
        Isolation::Suspect => held.handle_suspect(&open, head.crashes).await,
        Isolation::Poisoned => held.give_up_suspect(&open).await,
    }
}

/// A chunk that this worker owns.
struct HeldChunk<'a> {
    session: &'a NodeSession,
    batch: &'a ActiveBatch,
    number: i64,
    context: ChunkContext,
    slot: u64,
    recorder: Recorder,
}

impl HeldChunk<'_> {
    async fn handle_in_groups(mut self, open: &[String]) -> StoreResult<ChunkEnd> {
        let Some(mut prepared) = self.prepare(&fit_ids(open)).await else {
            return self.stop().await;
        };
        for (index, id) in open.iter().enumerate() {
            let Some(handled) = self.handle(id, &mut prepared).await else {
                return self.stop().await;
            };
            self.recorder.add(handled);
            let is_last = index + 1 == open.len();
            let now = self.session.context.clock.monotonic();
            if !is_last && self.recorder.is_due(now) && self.flush(false).await? == Flushed::Fenced
            {
                return Ok(ChunkEnd::Lost);
            }
        }
        self.finish().await
    }

    /// Flushes the record of each entity before the next one begins, and reads ahead for no other.
    async fn handle_one_by_one(mut self, open: &[String]) -> StoreResult<ChunkEnd> {
        for (index, id) in open.iter().enumerate() {
            let Some(handled) = self.handle_alone(id).await else {
                return self.stop().await;
            };
            self.recorder.add(handled);
            if index + 1 < open.len() && self.flush(false).await? == Flushed::Fenced {
                return Ok(ChunkEnd::Lost);
            }
        }
        self.finish().await
    }

    /// Handles the entity that was running when the process died, and releases the rest of the chunk.
    async fn handle_suspect(mut self, open: &[String], crashes: i32) -> StoreResult<ChunkEnd> {
        if let Some(id) = open.first() {
            self.recorder.start_suspect();
            if self.flush(false).await? == Flushed::Fenced {
                return Ok(ChunkEnd::Lost);
            }
            let Some(mut handled) = self.handle_alone(id).await else {
                return self.stop().await;
            };
            handled.row.attempt = handled.row.attempt.saturating_add(crashes - 1);
            self.recorder.add(handled);
        }
        self.finish_first(open).await
    }

    /// Records the entity that was running at each crash as FAILED, and releases the rest of the chunk.
    async fn give_up_suspect(mut self, open: &[String]) -> StoreResult<ChunkEnd> {
        if let Some(id) = open.first() {
            let (number, batch) = (self.number, self.batch.id);
            warn!(
                batch.id = %batch, chunk = number,
                "The process of a node died {POISONED_AT} times while an entity of chunk {number} of batch {batch} ran: it is \
                 FAILED as poisoned"
            );
            metrics::counter!("poisoned_total", "kind" => "entity").increment(1);
            let name = ChunkEntry::read(id).name();
            let poisoned = entity::poisoned(self.worker(), name, POISONED_AT);
            self.recorder.add(poisoned);
        }
        self.finish_first(open).await
    }

    /// Reads ahead for these ids, as soon as the store answers. None if the batch or the node was stopped.
    async fn prepare(&self, ids: &[String]) -> Option<Box<dyn PreparedChunk>> {
        let mut store_wait = StoreWait::new(self.session, self.batch, self.number);
        loop {
            let prepare = self.batch.command.prepare(&self.context, ids);
            match unless_stopped(self.session, self.batch, prepare).await? {
                Ok(prepared) => return Some(prepared),
                Err(outage) if store_wait.wait(&outage).await => (),
                Err(_) => return None,
            }
        }
    }

    fn worker(&self) -> Worker<'_> {
        Worker {
            session: self.session,
            batch: self.batch,
            number: self.number,
            fence: self.context.fence,
            slot: self.slot,
        }
    }

    /// None if the batch or the node was stopped: the entity stays open.
    async fn handle(
        &self,
        entry: &str,
        prepared: &mut Box<dyn PreparedChunk>,
    ) -> Option<HandledEntity> {
        if self.batch.stop.is_cancelled() || !self.session.takes_work() {
            return None;
        }
        match ChunkEntry::read(entry) {
            ChunkEntry::Id(id) => entity::handle(self.worker(), id, prepared).await,
            ChunkEntry::Unfit { name, reason } => Some(entity::refuse(self.worker(), name, reason)),
        }
    }

    async fn handle_alone(&self, entry: &String) -> Option<HandledEntity> {
        let ids = fit_ids(std::slice::from_ref(entry));
        let mut prepared = self.prepare(&ids).await?;
        self.handle(entry, &mut prepared).await
    }

    async fn flush(&mut self, is_done: bool) -> StoreResult<Flushed> {
        self.recorder.flush(self.session, is_done).await
    }

    /// The first entity has its record: the others follow under an ordinary claim.
    async fn finish_first(mut self, open: &[String]) -> StoreResult<ChunkEnd> {
        if open.len() <= 1 {
            return self.finish().await;
        }
        match self.flush(false).await? {
            Flushed::Recorded => self.release().await,
            Flushed::Fenced => Ok(ChunkEnd::Lost),
        }
    }

    /// Every entity is handled.
    async fn finish(mut self) -> StoreResult<ChunkEnd> {
        match self.flush(true).await? {
            Flushed::Recorded => Ok(ChunkEnd::Done),
            Flushed::Fenced => {
                let (batch, number) = (self.batch.id, self.number);
                debug!(batch.id = %batch, chunk = number, "The last flush of chunk {number} was fenced");
                Ok(ChunkEnd::Lost)
            }
        }
    }

    /// Records the handled entities, then releases the chunk.
    async fn stop(mut self) -> StoreResult<ChunkEnd> {
        if !self.session.self_fence.may_act() {
            return Ok(ChunkEnd::Dropped);
        }
        if !self.recorder.is_empty() && self.flush(false).await? == Flushed::Fenced {
            return Ok(ChunkEnd::Lost);
        }
        self.release().await
    }

    async fn release(self) -> StoreResult<ChunkEnd> {
        release(self.session, self.batch, self.number, self.context.fence).await
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
        Settled::Applied if Bug::ClaimKeepsFence.is_planted() => Ok(candidate.fence),
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

/// The ids that the command runs for: nearly always all entries, which are then not copied.
fn fit_ids(entries: &[String]) -> Cow<'_, [String]> {
    let is_fit = |entry: &&String| matches!(ChunkEntry::read(entry), ChunkEntry::Id(_));
    if entries.iter().all(|entry| is_fit(&entry)) {
        return Cow::Borrowed(entries);
    }
    Cow::Owned(entries.iter().filter(is_fit).cloned().collect())
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
            source_read: None,
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
