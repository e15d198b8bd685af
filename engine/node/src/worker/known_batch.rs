//! What the dispatcher knows about one batch: its open chunks, and how far they were read.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tracing::{debug, warn};
use weft_model::{Batch, BatchStatus, ChunkHead, ChunkState, NodeId};
use weft_store::{Backoff, StoreError, StoreResult};

use super::active::ActiveBatch;
use super::choose::Candidate;
use super::offers::ChunkKey;
use crate::NodeSession;
use crate::lock::lock;

/// The number of heads in one read.
const PAGE: i64 = 128;
/// The number of heads read beyond the last chunk found, while the list is being generated.
const PEEK: i64 = 16;
/// The number of pages in one search for candidates; the next check continues it.
const MAX_PAGES: usize = 8;
/// A batch whose chunks are all read and give no candidate for this long is read from its first chunk again. The pause
/// doubles each time nothing is found, up to [`LONGEST_QUIET`].
pub(super) const SHORTEST_QUIET: Duration = Duration::from_secs(5);
const LONGEST_QUIET: Duration = Duration::from_secs(300);
/// A batch without candidates is checked again after this pause, which doubles each time nothing is found.
pub(super) const SHORTEST_PAUSE: Duration = Duration::from_millis(50);

/// The first pause before a chunk is claimed again at which the store failed; it doubles.
const FIRST_HELD_BACK: Duration = Duration::from_millis(100);
/// The longest such pause after an error that may pass.
const LONGEST_OUTAGE_PAUSE: Duration = Duration::from_secs(2);
/// The longest such pause after an error that a later try hardly helps.
const LONGEST_REFUSAL_PAUSE: Duration = Duration::from_secs(60);

/// A chunk that is not claimed before a time on the monotonic clock.
#[derive(Debug)]
pub(super) struct HeldBack {
    until: Duration,
    backoff: Backoff,
}

/// What the dispatcher knows about one batch.
#[derive(Debug)]
pub(super) struct KnownBatch {
    pub(super) active: ActiveBatch,
    pub(super) row: Batch,
    pub(super) participants: Vec<NodeId>,
    pub(super) candidates: BTreeMap<i64, Candidate>,
    pub(super) running: BTreeSet<i64>,
    /// Numbers below `frontier` whose chunks may not be done.
    pub(super) pending: BTreeSet<i64>,
    pub(super) frontier: i64,
    /// Chunks that could not be handled because the store failed.
    pub(super) held_back: BTreeMap<i64, HeldBack>,
    pub(super) checked_at: Duration,
    pub(super) check_pause: Duration,
    /// Since when it has no candidate and no chunk to read.
    pub(super) quiet_since: Duration,
    pub(super) quiet_pause: Duration,
    pub(super) wrote_stats_at: Duration,
    /// The last worker of this node on the batch has ended. Then the statistics are written at once, because the owner of
    /// the batch may wait for them.
    pub(super) has_come_to_rest: bool,
    pub(super) is_gone: bool,
    /// When its workers were requested to stop.
    pub(super) stopped_at: Option<Duration>,
    pub(super) reports_blocked: bool,
}

impl KnownBatch {
    /// A batch of which nothing has been read but its row.
    pub(super) fn new(
        active: ActiveBatch,
        row: Batch,
        participants: Vec<NodeId>,
        now: Duration,
    ) -> Self {
        Self {
            active,
            participants,
            row,
            candidates: BTreeMap::new(),
            running: BTreeSet::new(),
            pending: BTreeSet::new(),
            frontier: 0,
            held_back: BTreeMap::new(),
            checked_at: Duration::ZERO,
            check_pause: SHORTEST_PAUSE,
            quiet_since: now,
            quiet_pause: SHORTEST_QUIET,
            wrote_stats_at: Duration::ZERO,
            has_come_to_rest: false,
            is_gone: false,
            stopped_at: None,
            reports_blocked: false,
        }
    }

    /// Reads heads of chunks that may be open until there are enough candidates.
    pub(super) async fn find_chunks(
        &mut self,
        session: &NodeSession,
        announced: &Mutex<BTreeSet<ChunkKey>>,
        enough: usize,
    ) -> StoreResult<()> {
        let (batch, now) = (self.active.id, session.context.clock.monotonic());
        self.checked_at = now;
        // Read before the heads: if the list was complete then, these reads miss no chunk.
        let complete = self.row.status == BatchStatus::InProgress;
        if complete {
            self.start_over_when_quiet(now);
        }
        let store = Arc::clone(&session.context.store);
        // Pending numbers first, in ranges of consecutive ones.
        let pending: Vec<i64> = self
            .pending
            .iter()
            .copied()
            .filter(|number| !self.running.contains(number))
            .take(usize::try_from(PAGE).unwrap_or(usize::MAX))
            .collect();
        for run in ranges_of(&pending) {
            let heads = store.chunk_heads(batch, run.0, run.1 + 1).await?;
            self.update(session, announced, run.0, run.1 + 1, heads, now);
        }
        // Then further ones, until there are enough candidates.
        let mut pages = 0;
        while self.candidates.len() < enough && self.frontier < self.row.chunks {
            if pages == MAX_PAGES {
                self.check_pause = SHORTEST_PAUSE;
                return Ok(());
            }
            pages += 1;
            let page = if complete { PAGE } else { PEEK };
            let (from, to) = (self.frontier, (self.frontier + page).min(self.row.chunks));
            let heads = store.chunk_heads(batch, from, to).await?;
            let filled = heads.last().map_or(from, |last| last.number + 1);
            // Reserved numbers that are empty are read again, unless the list is complete.
            self.frontier = if complete { to } else { filled };
            self.update(session, announced, from, filled, heads, now);
            if self.frontier < to {
                break;
            }
        }
        self.check_pause = if self.candidates.is_empty() {
            (self.check_pause * 2).min(session.context.config.poll_interval)
        } else {
            SHORTEST_PAUSE
        };
        Ok(())
    }

    /// The only writer of this node's statistics: one row at a time, so that an older row never replaces a newer one.
    pub(super) async fn write_stats(&mut self, session: &NodeSession) {
        let context = &session.context;
        let now = context.clock.monotonic();
        let Some(row) = self.active.stats.row(context.clock.now(), now) else {
            return;
        };
        self.wrote_stats_at = now;
        if let Err(error) = context.store.put_node_stats(&row).await {
            self.active.stats.mark_dirty();
            debug!(error = %error, "Could not write statistics: {error}");
        }
    }

    /// The slots of workers that have not ended within `grace` after they were requested to stop. The first time, it logs
    /// their chunks.
    pub(super) fn blocked_slots(&mut self, now: Duration, grace: Duration) -> usize {
        let is_over = |stopped_at| now.saturating_sub(stopped_at) >= grace;
        if self.running.is_empty() || !self.stopped_at.is_some_and(is_over) {
            return 0;
        }
        if !std::mem::replace(&mut self.reports_blocked, true) {
            let (id, chunks) = (self.active.id, &self.running);
            warn!(
                batch.id = %id, chunks = ?chunks,
                "Batch {id} was stopped, but workers still run its chunks {chunks:?}: their slots stay taken until they end"
            );
        }
        self.running.len()
    }

    /// Reads the chunks from the first one again if there was nothing to do for a while. A chunk that was seen done, or that
    /// this session has done, can be open again: a store that crashes may lose the last writes it has acknowledged. Its
    /// worker has forgotten it, and to other nodes it looks held.
    fn start_over_when_quiet(&mut self, now: Duration) {
        if !self.candidates.is_empty() {
            self.quiet_since = now;
            self.quiet_pause = SHORTEST_QUIET;
            return;
        }
        let has_read_all = self.frontier >= self.row.chunks;
        if has_read_all && now.saturating_sub(self.quiet_since) >= self.quiet_pause {
            self.frontier = 0;
            self.quiet_since = now;
            self.quiet_pause = (self.quiet_pause * 2).min(LONGEST_QUIET);
        }
    }

    pub(super) fn has_more(&self) -> bool {
        !self.is_gone && (!self.pending.is_empty() || self.frontier < self.row.chunks)
    }

    /// Whether a candidate must run alone.
    pub(super) fn has_suspects(&self) -> bool {
        self.candidates.values().any(Candidate::must_run_alone)
    }

    /// All candidates, or only those that must run alone.
    pub(super) fn candidates(&self, alone: bool) -> Cow<'_, BTreeMap<i64, Candidate>> {
        if !alone {
            return Cow::Borrowed(&self.candidates);
        }
        let suspects = self.candidates.iter();
        let suspects = suspects.filter(|(_, candidate)| candidate.must_run_alone());
        Cow::Owned(
            suspects
                .map(|(number, candidate)| (*number, candidate.clone()))
                .collect(),
        )
    }

    pub(super) fn is_full(&self) -> bool {
        let limit = self
            .row
            .spec
            .max_workers_per_node
            .and_then(|limit| usize::try_from(limit).ok());
        limit.is_some_and(|limit| self.running.len() >= limit)
    }

    /// Updates pending numbers and candidates from the heads of `[from, to)`.
    fn update(
        &mut self,
        session: &NodeSession,
        announced: &Mutex<BTreeSet<ChunkKey>>,
        from: i64,
        to: i64,
        heads: Vec<ChunkHead>,
        now: Duration,
    ) {
        let mut found: BTreeMap<i64, ChunkHead> =
            heads.into_iter().map(|head| (head.number, head)).collect();
        for number in from..to {
            let is_held_back = self
                .held_back
                .get(&number)
                .is_some_and(|held| now < held.until);
            let is_announced = is_held_back || lock(announced).contains(&(self.active.id, number));
            if is_announced || self.running.contains(&number) {
                self.pending.insert(number);
                continue;
            }
            let Some(head) = found.remove(&number) else {
                // A gap below the last chunk found: its chunk may be being written.
                self.pending.insert(number);
                continue;
            };
            match head.state {
                ChunkState::Done | ChunkState::Void | ChunkState::Closed => {
                    self.pending.remove(&number);
                    self.candidates.remove(&number);
                }
                ChunkState::New => {
                    self.pending.insert(number);
                    self.offer(number, Candidate::found(&head, now));
                }
                ChunkState::InProgress => {
                    self.pending.insert(number);
                    let holder = head.holder.as_ref();
                    if holder == Some(&session.me) {
                        // This session owns it without knowing, because the answer to its claim was lost. It claims again.
                        let held = Candidate {
                            is_owned_here: true,
                            ..Candidate::found(&head, now)
                        };
                        self.offer(number, held);
                    } else if holder.is_none_or(|holder| session.membership.may_take_from(holder)) {
                        let has_crashed = holder.is_some_and(|holder| session.has_crashed(holder));
                        let left = Candidate {
                            is_inherited: holder
                                .is_some_and(|holder| holder.node == session.me.node),
                            ..Candidate::of_dead_owner(&head, has_crashed, now)
                        };
                        self.offer(number, left);
                    } else {
                        self.candidates.remove(&number);
                    }
                }
            }
        }
    }

    /// The store failed while a worker had this chunk: it is not claimed again before a pause, which grows.
    pub(super) fn hold_back(&mut self, number: i64, error: &StoreError, now: Duration) {
        let longest = match error.is_transient() {
            true => LONGEST_OUTAGE_PAUSE,
            false => LONGEST_REFUSAL_PAUSE,
        };
        let (batch, held) = (self.active.id, self.held_back.entry(number));
        let held = held.or_insert_with(|| HeldBack {
            until: now,
            backoff: Backoff::new(FIRST_HELD_BACK, longest),
        });
        if held.backoff.is_fresh() {
            warn!(
                batch.id = %batch, chunk = number, error = %error,
                "Chunk {number} of batch {batch} is tried again later: {error}"
            );
        } else {
            debug!(
                batch.id = %batch, chunk = number, error = %error,
                "Chunk {number} of batch {batch} still fails: {error}"
            );
        }
        held.until = now + held.backoff.pause();
    }

    /// Adds a candidate. A known one keeps its age and its ids.
    fn offer(&mut self, number: i64, candidate: Candidate) {
        match self.candidates.get_mut(&number) {
            Some(known) if known.fence == candidate.fence => {
                known.crashes = candidate.crashes;
            }
            _ => {
                self.candidates.insert(number, candidate);
            }
        }
    }
}

/// Ranges of consecutive numbers, as (first, last).
fn ranges_of(numbers: &[i64]) -> Vec<(i64, i64)> {
    let mut runs: Vec<(i64, i64)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some(run) if run.1 + 1 == *number => run.1 = *number,
            _ => runs.push((*number, *number)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consecutive_numbers_are_read_together() {
        assert_eq!(ranges_of(&[]), []);
        assert_eq!(ranges_of(&[1, 2, 3, 7, 9, 10]), [(1, 3), (7, 7), (9, 10)]);
    }
}
