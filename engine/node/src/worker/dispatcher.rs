//! Gives chunks to workers: knows the running batches, their open chunks, and the free worker slots of this node.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use weft_model::{Batch, BatchId};
use weft_project::command::{CommandError, EntityCommand};
use weft_store::{Freshness, StoreResult};

use super::BatchStats;
use super::active::{ActiveBatch, admits_work};
use super::choose::{Candidate, choose, choose_own, participants};
use super::chunk_run::{self, ChunkEnd};
use super::known_batch::{KnownBatch, SHORTEST_PAUSE, SHORTEST_QUIET};
use super::offers::{ChunkKey, Offer, Offers};
use super::slots::WorkerSlots;
use crate::NodeSession;
use crate::lock::lock;

/// How many poll intervals a chunk that is assigned to another node is left to it.
const PATIENCE_POLLS: f64 = 1.5;
/// How many candidates keep their ids from the generation.
const MAX_KEPT: usize = 32;
/// The number of batch rows to read concurrently.
const READS_AT_ONCE: usize = 16;
/// How long a chunk that must run alone waits for the chunks that run.
const SUSPECT_PATIENCE: Duration = Duration::from_secs(10);

/// The dispatcher as the rest of a node session sees it.
#[derive(Clone, Debug)]
pub struct Dispatcher {
    offers: Offers,
    slots: Arc<WorkerSlots>,
}

impl Dispatcher {
    /// Starts the dispatcher of a node session.
    pub fn start(session: &NodeSession) -> Self {
        let total = session.context.config.max_workers_per_node;
        let (sender, offered) = mpsc::channel(64);
        let slots = WorkerSlots::new(total);
        let offers = Offers {
            sender,
            slots: Arc::clone(&slots),
            entity_times: Arc::default(),
            announced: Arc::default(),
            membership: Arc::clone(&session.membership),
            source_gate: Arc::default(),
        };
        if total > 0 {
            let (finished, ended) = mpsc::channel(total * 2);
            let dispatch_loop = DispatchLoop {
                session: session.clone(),
                slots: Arc::clone(&slots),
                finished,
                entity_times: Arc::clone(&offers.entity_times),
                announced: Arc::clone(&offers.announced),
                batches: BTreeMap::new(),
                ended: BTreeSet::new(),
                checked_at: Duration::ZERO,
                turn: None,
                suspect_runs: false,
                suspect_since: None,
            };
            session
                .tasks
                .spawn_vital(&session.self_fence, dispatch_loop.run(offered, ended));
        }
        Self { offers, slots }
    }

    /// The slots whose workers have not ended although their batch was stopped at least CANCEL_GRACE_SEC ago.
    pub fn blocked_slots(&self) -> usize {
        self.slots.blocked()
    }

    /// The queue for offers of generators.
    pub fn offers(&self) -> Offers {
        self.offers.clone()
    }

    /// Resolves when all workers are free.
    pub async fn idle(&self) {
        self.slots.idle().await;
    }
}

struct FinishedChunk {
    batch: BatchId,
    number: i64,
    ended: ChunkEnd,
    was_alone: bool,
}

struct DispatchLoop {
    session: NodeSession,
    slots: Arc<WorkerSlots>,
    finished: mpsc::Sender<FinishedChunk>,
    entity_times: Arc<Mutex<BTreeMap<BatchId, Duration>>>,
    announced: Arc<Mutex<BTreeSet<ChunkKey>>>,
    batches: BTreeMap<BatchId, KnownBatch>,
    /// Batches that only rows of dead nodes name, and that have ended. They are not read again.
    ended: BTreeSet<BatchId>,
    checked_at: Duration,
    turn: Option<BatchId>,
    /// A chunk that must run alone runs, so that no other may start.
    suspect_runs: bool,
    /// Since when such a chunk waits for the end of the others.
    suspect_since: Option<Duration>,
}

impl DispatchLoop {
    async fn run(
        mut self,
        mut offered: mpsc::Receiver<Offer>,
        mut ended: mpsc::Receiver<FinishedChunk>,
    ) {
        let context = Arc::clone(&self.session.context);
        loop {
            self.check_batches().await;
            self.dispatch();
            self.write_last_stats().await;
            let pause = self.pause();
            tokio::select! {
                biased;
                () = self.session.self_fence.fenced() => break,
                Some(finish) = ended.recv() => {
                    self.finish_chunk(finish);
                    while let Ok(finish) = ended.try_recv() {
                        self.finish_chunk(finish);
                    }
                }
                Some(offer) = offered.recv() => {
                    self.accept(offer).await;
                    while let Ok(offer) = offered.try_recv() {
                        self.accept(offer).await;
                    }
                }
                () = context.wake.chunks_woken() => self.check_woken().await,
                () = tokio::time::sleep(pause) => (),
            }
        }
        for known in self.batches.values() {
            known.active.stop.cancel();
        }
    }

    fn now(&self) -> Duration {
        self.session.context.clock.monotonic()
    }

    fn pause(&self) -> Duration {
        let poll = self.session.context.config.poll_interval;
        let hungry = self.free_slots() > 0
            && self
                .batches
                .values()
                .any(|known| known.candidates.is_empty() && known.has_more());
        let until_poll = poll.saturating_sub(self.now().saturating_sub(self.checked_at));
        let waiting = self
            .batches
            .values()
            .any(|known| !known.candidates.is_empty());
        let pause = if hungry || waiting {
            SHORTEST_PAUSE
        } else {
            until_poll
        };
        pause.max(Duration::from_millis(1))
    }

    fn free_slots(&self) -> usize {
        self.slots.free()
    }

    /// Checks all batches every poll interval, and those without candidates sooner.
    async fn check_batches(&mut self) {
        let now = self.now();
        let poll = self.session.context.config.poll_interval;
        if now.saturating_sub(self.checked_at) >= poll || self.checked_at == Duration::ZERO {
            self.checked_at = now;
            self.find_batches().await;
            let known: Vec<BatchId> = self.batches.keys().copied().collect();
            for batch in known {
                if let Err(error) = self.check_batch(batch).await {
                    debug!(batch.id = %batch, error = %error, "Could not check batch {batch}: {error}");
                }
            }
            self.batches
                .retain(|_, known| !known.is_gone || !known.running.is_empty());
            self.forget_entity_times();
            self.count_blocked_slots();
            self.write_stats().await;
        } else if self.free_slots() > 0 {
            let hungry: Vec<BatchId> = self
                .batches
                .iter()
                .filter(|(_, known)| known.candidates.is_empty() && known.has_more())
                .filter(|(_, known)| now.saturating_sub(known.checked_at) >= known.check_pause)
                .map(|(batch, _)| *batch)
                .collect();
            for batch in hungry {
                if let Err(error) = self.find_chunks(batch).await {
                    debug!(batch.id = %batch, error = %error, "Could not find chunks of {batch}: {error}");
                }
            }
        }
    }

    /// Checks the batches that were woken, and no other: with many batches a wake-up would read them all.
    async fn check_woken(&mut self) {
        for batch in self.session.context.wake.take_chunks() {
            if !self.batches.contains_key(&batch) && self.session.takes_work() {
                self.open_batch(batch).await;
            }
            if let Err(error) = self.check_batch(batch).await {
                debug!(batch.id = %batch, error = %error, "Could not check batch {batch}: {error}");
            }
        }
    }

    fn forget_entity_times(&self) {
        lock(&self.entity_times).retain(|batch, _| self.batches.contains_key(batch));
    }

    /// Finds batches in the rows of the nodes that own them, dead nodes included.
    async fn find_batches(&mut self) {
        if !self.session.takes_work() {
            return;
        }
        let mut running: BTreeSet<BatchId> =
            self.session.heartbeat.coordinates().into_iter().collect();
        let mut of_dead = BTreeSet::new();
        for member in self.session.membership.members() {
            match member.alive {
                true => running.extend(member.row.coordinates),
                false => of_dead.extend(member.row.coordinates),
            }
        }
        // The row of a dead node stays as it is.
        self.ended
            .retain(|batch| of_dead.contains(batch) && !running.contains(batch));
        let unknown: Vec<BatchId> = running
            .union(&of_dead)
            .filter(|batch| !self.batches.contains_key(batch) && !self.ended.contains(batch))
            .copied()
            .collect();
        let store = Arc::clone(&self.session.context.store);
        let rows: Vec<_> = futures::stream::iter(unknown)
            .map(|batch| {
                let store = Arc::clone(&store);
                async move { (batch, store.batch(batch, Freshness::Committed).await) }
            })
            .buffered(READS_AT_ONCE)
            .collect()
            .await;
        for (batch, row) in rows {
            let has_ended =
                matches!(&row, Ok(row) if row.as_ref().is_none_or(|row| row.status.is_final()));
            if has_ended && !running.contains(&batch) {
                self.ended.insert(batch);
            }
            self.open_row(batch, row).await;
        }
    }

    async fn open_batch(&mut self, batch: BatchId) {
        let store = &self.session.context.store;
        let row = store.batch(batch, Freshness::Committed).await;
        self.open_row(batch, row).await;
    }

    async fn open_row(&mut self, batch: BatchId, row: StoreResult<Option<Batch>>) {
        match row {
            Ok(Some(row)) if admits_work(&row) => {
                if let Err(error) = self.start_batch(row).await {
                    warn!(batch.id = %batch, "This node cannot work on batch {batch}: {error}");
                }
            }
            Ok(_) => (),
            Err(error) => debug!(error = %error, "Could not read batch {batch}: {error}"),
        }
    }

    async fn start_batch(&mut self, row: Batch) -> Result<(), CommandError> {
        let context = &self.session.context;
        let command: Arc<dyn EntityCommand> = context.factory.bind(&row.spec).await?;
        let before = context
            .store
            .node_stats(row.id)
            .await?
            .into_iter()
            .find(|stats| stats.node == self.session.me.node);
        let stats = BatchStats::new(
            row.id,
            self.session.me.node.clone(),
            context.config.dc.clone(),
            context.config.slowest_count,
            context.config.pace_window,
            before,
        );
        let active = ActiveBatch {
            id: row.id,
            spec: Arc::new(row.spec.clone()),
            execution_id: row.execution_id.clone(),
            command,
            stats: Arc::new(stats),
            stop: CancellationToken::new(),
        };
        let participants = participants(row.id, &row.spec, &self.session.live_nodes());
        let known = KnownBatch::new(active, row, participants, self.now());
        self.batches.insert(known.active.id, known);
        Ok(())
    }

    async fn check_batch(&mut self, batch: BatchId) -> StoreResult<()> {
        let row = self
            .session
            .context
            .store
            .batch(batch, Freshness::Committed)
            .await?;
        let live = self.session.live_nodes();
        let now = self.now();
        let Some(known) = self.batches.get_mut(&batch) else {
            return Ok(());
        };
        match row {
            Some(row) if admits_work(&row) => {
                known.participants = participants(batch, &row.spec, &live);
                known.row = row;
            }
            _ => {
                // Paused, cancelled or ended: the workers drop their entities, flush and release their chunks. A later start
                // is found again.
                known.active.stop.cancel();
                known.is_gone = true;
                known.stopped_at.get_or_insert(now);
                known.candidates.clear();
                return Ok(());
            }
        }
        self.find_chunks(batch).await
    }

    async fn find_chunks(&mut self, batch: BatchId) -> StoreResult<()> {
        let enough = self.free_slots() * 2 + 2;
        match self.batches.get_mut(&batch) {
            Some(known) => {
                known
                    .find_chunks(&self.session, &self.announced, enough)
                    .await
            }
            None => Ok(()),
        }
    }

    async fn accept(&mut self, offer: Offer) {
        if !self.batches.contains_key(&offer.batch) {
            self.open_batch(offer.batch).await;
        }
        let now = self.now();
        let Some(known) = self
            .batches
            .get_mut(&offer.batch)
            .filter(|known| !known.is_gone)
        else {
            return;
        };
        let passed = offer.number < known.frontier && !known.pending.contains(&offer.number);
        if passed || known.running.contains(&offer.number) {
            // It was found in the store before its offer came, and started.
            return;
        }
        known.pending.insert(offer.number);
        if offer.number == known.frontier {
            // Only then have all numbers below it been read.
            known.frontier += 1;
        }
        known.row.chunks = known.row.chunks.max(offer.number + 1);
        // Limited: other chunks are read from the store when their turn comes.
        let kept = known
            .candidates
            .values()
            .filter(|candidate| candidate.ids.is_some())
            .count();
        let ids = (kept < MAX_KEPT || offer.announcement.is_some()).then_some(offer.ids);
        known.candidates.insert(
            offer.number,
            Candidate {
                fence: 1,
                crashes: 0,
                is_untouched: true,
                since: now,
                ids,
                is_claimed_here: offer.announcement.is_some(),
                is_owned_here: false,
                is_inherited: false,
            },
        );
    }

    /// Gives chunks to free workers. The batches take turns, so none starves.
    fn dispatch(&mut self) {
        if !self.session.takes_work() {
            return;
        }
        // Hardly ever: without one, no candidate is examined twice.
        let has_suspects = self.batches.values().any(KnownBatch::has_suspects);
        while self.free_slots() > 0 && !self.suspect_runs {
            let order = self.batches_in_turn();
            let suspect = has_suspects.then(|| self.choose_chunk(&order, true));
            if let Some(suspect) = suspect.flatten() {
                if self.may_start_suspect() {
                    self.suspect_runs = true;
                    self.start_worker(suspect);
                }
                return;
            }
            self.suspect_since = None;
            let Some(chosen) = self.choose_chunk(&order, false) else {
                return;
            };
            self.turn = Some(chosen.0);
            self.start_worker(chosen);
        }
    }

    /// A suspect runs alone, so that its crash says something about it. Workers that run for long are not waited for.
    fn may_start_suspect(&mut self) -> bool {
        let now = self.now();
        let since = *self.suspect_since.get_or_insert(now);
        let is_alone = self.batches.values().all(|known| known.running.is_empty());
        let may_start = is_alone || now.saturating_sub(since) >= SUSPECT_PATIENCE;
        if may_start {
            self.suspect_since = None;
        }
        may_start
    }

    /// The batches, those after the last turn first.
    fn batches_in_turn(&self) -> Vec<BatchId> {
        let after = self.turn;
        let behind = |batch: &BatchId| after.is_none_or(|turn| *batch > turn);
        let keys = || self.batches.keys().copied();
        keys()
            .filter(|batch| behind(batch))
            .chain(keys().filter(|batch| !behind(batch)))
            .collect()
    }

    /// The chunk to take next: among those that must run alone, or among all.
    fn choose_chunk(&self, order: &[BatchId], alone: bool) -> Option<(BatchId, i64)> {
        let patience = self
            .session
            .context
            .config
            .poll_interval
            .mul_f64(PATIENCE_POLLS);
        let (now, me) = (self.now(), &self.session.me.node);
        let open = |batch: &BatchId| {
            let known = self.batches.get(batch)?;
            (!known.is_gone && !known.is_full()).then_some(known)
        };
        let own = |batch: &BatchId| {
            let known = open(batch)?;
            let participates = known.participants.contains(me);
            Some((*batch, choose_own(&known.candidates(alone), participates)?))
        };
        let any = |batch: &BatchId| {
            let known = open(batch)?;
            let candidates = known.candidates(alone);
            let chosen = choose(*batch, &candidates, &known.participants, me, now, patience)?;
            Some((*batch, chosen))
        };
        order
            .iter()
            .find_map(own)
            .or_else(|| order.iter().find_map(any))
    }

    fn start_worker(&mut self, (batch, number): (BatchId, i64)) {
        let Some(known) = self.batches.get_mut(&batch) else {
            return;
        };
        let Some(candidate) = known.candidates.remove(&number) else {
            return;
        };
        known.running.insert(number);
        known.quiet_since = self.session.context.clock.monotonic();
        known.quiet_pause = SHORTEST_QUIET;
        let active = known.active.clone();
        let session = self.session.clone();
        let slot = self.slots.take();
        let finished = self.finished.clone();
        let was_alone = candidate.must_run_alone();
        self.session.tasks.spawn(async move {
            let run = chunk_run::run(session.clone(), active, number, candidate);
            let run = AssertUnwindSafe(run).catch_unwind().await;
            // After a panic this session owns the chunk without working on it, and claims it again.
            let ended = run.unwrap_or(ChunkEnd::Dropped);
            drop(slot);
            if ended == ChunkEnd::Done {
                session.context.wake.batch(batch);
            }
            // The dispatcher ends before its workers only when the node session ends.
            let _ = finished
                .send(FinishedChunk {
                    batch,
                    number,
                    ended,
                    was_alone,
                })
                .await;
        });
    }

    fn finish_chunk(&mut self, finish: FinishedChunk) {
        self.suspect_runs &= !finish.was_alone;
        let now = self.now();
        let Some(known) = self.batches.get_mut(&finish.batch) else {
            return;
        };
        known.running.remove(&finish.number);
        known.check_pause = SHORTEST_PAUSE;
        known.has_come_to_rest = known.running.is_empty();
        match finish.ended {
            ChunkEnd::Done => drop(known.pending.remove(&finish.number)),
            ChunkEnd::Failed(error) => {
                known.hold_back(finish.number, &error, now);
                return;
            }
            ChunkEnd::Released | ChunkEnd::Lost | ChunkEnd::Dropped => (),
        }
        known.held_back.remove(&finish.number);
        if let Some(time) = known.active.stats.mean_time() {
            lock(&self.entity_times).insert(finish.batch, time);
        }
    }

    /// A command that blocks its thread cannot be dropped. Its slot stays taken, so that blocked threads do not pile up.
    fn count_blocked_slots(&mut self) {
        let grace = self.session.context.config.cancel_grace;
        let now = self.now();
        let blocked = self.batches.values_mut();
        let blocked = blocked.map(|known| known.blocked_slots(now, grace)).sum();
        self.slots.set_blocked(blocked);
    }

    async fn write_stats(&mut self) {
        let now = self.now();
        let poll = self.session.context.config.poll_interval;
        for known in self.batches.values_mut() {
            if now.saturating_sub(known.wrote_stats_at) >= poll {
                known.write_stats(&self.session).await;
            }
        }
    }

    /// Writes the statistics of batches on which no worker of this node works any more: this node may have done its part.
    async fn write_last_stats(&mut self) {
        for known in self.batches.values_mut() {
            if std::mem::take(&mut known.has_come_to_rest) && known.running.is_empty() {
                known.write_stats(&self.session).await;
                self.session.context.wake.batch(known.active.id);
            }
        }
    }
}
