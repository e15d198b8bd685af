//! Gives chunks to workers: keeps the batches that run, the chunks of each that are open, and the free
//! worker slots of this node.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use weft_model::{Batch, BatchId, BatchStatus, ChunkHead, ChunkState, NodeId};
use weft_project::command::{CommandError, EntityCommand};
use weft_store::{Freshness, StoreResult};

use super::BatchStats;
use super::active::{ActiveBatch, admits_work};
use super::choose::{Candidate, choose, choose_own, participants};
use super::chunk_run::{self, Ended};
use crate::{Membership, NodeSession};

/// Heads read at once.
const PAGE: i64 = 128;
/// A chunk dealt to another node is left to it for this many poll intervals and a half.
const PATIENCE_POLLS: f64 = 1.5;
/// Chunks whose ids are kept from their generation.
const MOST_KEPT: usize = 32;
/// Heads read beyond the last chunk found, while the list is still being made.
const PEEK: i64 = 16;
/// Out of candidates, a batch is looked at again after this, and twice as long each time nothing is found.
const QUICK_LOOK: Duration = Duration::from_millis(50);

/// A chunk that this node has just generated: no need to find and read it.
#[derive(Debug)]
pub struct Offer {
    /// The batch.
    pub batch: BatchId,
    /// The number.
    pub number: i64,
    /// Its ids.
    pub ids: Arc<Vec<String>>,
    /// It is born claimed by this node session.
    pub born: Option<Born>,
}

type Place = (BatchId, i64);

/// A chunk that is being born claimed by this node session: until its offer arrives it is not lost, only on its way.
#[derive(Debug)]
pub struct Born {
    place: Place,
    on_the_way: Arc<Mutex<BTreeSet<Place>>>,
}

impl Drop for Born {
    fn drop(&mut self) {
        lock(&self.on_the_way).remove(&self.place);
    }
}

/// Where the generator leaves offers. Bounded: what finds no room is found in the store later.
#[derive(Clone, Debug)]
pub struct Offers {
    sender: mpsc::Sender<Offer>,
    free: Arc<AtomicUsize>,
    entity_times: Arc<Mutex<BTreeMap<BatchId, Duration>>>,
    on_the_way: Arc<Mutex<BTreeSet<Place>>>,
    membership: Arc<Membership>,
}

impl Offers {
    /// Says, before the chunk can be found in the store, that its offer will come.
    pub fn announce(&self, batch: BatchId, number: i64) -> Born {
        let place = (batch, number);
        lock(&self.on_the_way).insert(place);
        Born {
            place,
            on_the_way: Arc::clone(&self.on_the_way),
        }
    }

    /// Leaves an offer. A chunk born claimed waits for room, for nobody else would find it soon.
    pub async fn leave(&self, offer: Offer) {
        if offer.born.is_some() {
            // The receiver ends with this node session; then the chunk is free for the next one.
            let _ = self.sender.send(offer).await;
        } else {
            let _ = self.sender.try_send(offer);
        }
    }

    /// The mean time of an entity of the batch on this node, once one was handled.
    pub fn entity_time(&self, batch: BatchId) -> Option<Duration> {
        lock(&self.entity_times).get(&batch).copied()
    }

    /// This node may handle entities of the batch.
    pub fn works_on(&self, batch: &Batch) -> bool {
        participants(batch.id, &batch.spec, &self.membership.live())
            .contains(&self.membership.me().node)
    }

    /// A worker is free now.
    pub fn has_free_worker(&self) -> bool {
        self.free.load(Ordering::Acquire) > 0
    }
}

/// The dispatcher as the rest of a node session sees it.
#[derive(Clone, Debug)]
pub struct Dispatcher {
    offers: Offers,
    slots: usize,
    freed: Arc<Notify>,
}

impl Dispatcher {
    /// Starts giving out chunks.
    pub fn start(session: &NodeSession) -> Self {
        let slots = session.context.config.max_workers_per_node;
        let (sender, offered) = mpsc::channel(64);
        let free = Arc::new(AtomicUsize::new(slots));
        let offers = Offers {
            sender,
            free: Arc::clone(&free),
            entity_times: Arc::default(),
            on_the_way: Arc::default(),
            membership: Arc::clone(&session.membership),
        };
        let freed = Arc::new(Notify::new());
        if slots > 0 {
            let (finished, ended) = mpsc::channel(slots.max(1) * 2);
            let dispatching = Dispatching {
                session: session.clone(),
                free,
                freed: Arc::clone(&freed),
                finished,
                entity_times: Arc::clone(&offers.entity_times),
                on_the_way: Arc::clone(&offers.on_the_way),
                batches: BTreeMap::new(),
                looked_at: Duration::ZERO,
                turn: None,
            };
            session
                .tasks
                .spawn_vital(&session.self_fence, dispatching.run(offered, ended));
        }
        Self {
            offers,
            slots,
            freed,
        }
    }

    /// Where generators leave offers.
    pub fn offers(&self) -> Offers {
        self.offers.clone()
    }

    /// Resolves when no worker works.
    pub async fn idle(&self) {
        loop {
            let freed = self.freed.notified();
            if self.offers.free.load(Ordering::Acquire) >= self.slots {
                return;
            }
            freed.await;
        }
    }
}

/// What the dispatcher knows of one batch.
#[derive(Debug)]
struct Known {
    active: ActiveBatch,
    row: Batch,
    participants: Vec<NodeId>,
    candidates: BTreeMap<i64, Candidate>,
    running: BTreeSet<i64>,
    /// Numbers below `frontier` that may still need somebody.
    pending: BTreeSet<i64>,
    frontier: i64,
    looked_at: Duration,
    look_pause: Duration,
    wrote_stats_at: Duration,
    /// This node's last worker on the batch has come off its chunk: figures are written without delay, for the
    /// owner may be waiting for them.
    came_to_rest: bool,
    gone: bool,
}

struct Finish {
    batch: BatchId,
    number: i64,
    ended: Ended,
}

struct Dispatching {
    session: NodeSession,
    free: Arc<AtomicUsize>,
    freed: Arc<Notify>,
    finished: mpsc::Sender<Finish>,
    entity_times: Arc<Mutex<BTreeMap<BatchId, Duration>>>,
    on_the_way: Arc<Mutex<BTreeSet<Place>>>,
    batches: BTreeMap<BatchId, Known>,
    looked_at: Duration,
    turn: Option<BatchId>,
}

impl Dispatching {
    async fn run(mut self, mut offered: mpsc::Receiver<Offer>, mut ended: mpsc::Receiver<Finish>) {
        let context = Arc::clone(&self.session.context);
        loop {
            self.look().await;
            self.dispatch();
            self.write_last_stats().await;
            let pause = self.pause();
            tokio::select! {
                biased;
                () = self.session.self_fence.fenced() => break,
                Some(finish) = ended.recv() => {
                    self.finish(finish);
                    while let Ok(finish) = ended.try_recv() {
                        self.finish(finish);
                    }
                }
                Some(offer) = offered.recv() => {
                    self.take(offer).await;
                    while let Ok(offer) = offered.try_recv() {
                        self.take(offer).await;
                    }
                }
                () = context.wake.chunks_woken() => self.looked_at = Duration::ZERO,
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
        let until_poll = poll.saturating_sub(self.now().saturating_sub(self.looked_at));
        let waiting = self
            .batches
            .values()
            .any(|known| !known.candidates.is_empty());
        let pause = if hungry || waiting {
            QUICK_LOOK
        } else {
            until_poll
        };
        pause.max(Duration::from_millis(1))
    }

    fn free_slots(&self) -> usize {
        self.free.load(Ordering::Acquire)
    }

    /// Looks at what runs: all batches every poll interval, hungry ones sooner.
    async fn look(&mut self) {
        let now = self.now();
        let poll = self.session.context.config.poll_interval;
        if now.saturating_sub(self.looked_at) >= poll || self.looked_at == Duration::ZERO {
            self.looked_at = now;
            self.meet_batches().await;
            let known: Vec<BatchId> = self.batches.keys().copied().collect();
            for batch in known {
                if let Err(error) = self.look_at(batch).await {
                    debug!(batch.id = %batch, error = %error, "Could not look at batch {batch}: {error}");
                }
            }
            self.batches
                .retain(|_, known| !known.gone || !known.running.is_empty());
            self.forget_entity_times();
            self.write_stats().await;
        } else if self.free_slots() > 0 {
            let hungry: Vec<BatchId> = self
                .batches
                .iter()
                .filter(|(_, known)| known.candidates.is_empty() && known.has_more())
                .filter(|(_, known)| now.saturating_sub(known.looked_at) >= known.look_pause)
                .map(|(batch, _)| *batch)
                .collect();
            for batch in hungry {
                if let Err(error) = self.find_chunks(batch).await {
                    debug!(batch.id = %batch, error = %error, "Could not find chunks of {batch}: {error}");
                }
            }
        }
    }

    fn forget_entity_times(&self) {
        lock(&self.entity_times).retain(|batch, _| self.batches.contains_key(batch));
    }

    /// Batches are met in the rows of the nodes that own them, the dead ones included.
    async fn meet_batches(&mut self) {
        if !self.session.takes_work() {
            return;
        }
        let mut running: BTreeSet<BatchId> =
            self.session.heartbeat.coordinates().into_iter().collect();
        for member in self.session.membership.members() {
            running.extend(member.row.coordinates);
        }
        for batch in running {
            if !self.batches.contains_key(&batch) {
                self.meet(batch).await;
            }
        }
    }

    async fn meet(&mut self, batch: BatchId) {
        match self
            .session
            .context
            .store
            .batch(batch, Freshness::Committed)
            .await
        {
            Ok(Some(row)) if admits_work(&row) => {
                if let Err(error) = self.begin(row).await {
                    warn!(batch.id = %batch, "This node cannot work on batch {batch}: {error}");
                }
            }
            Ok(_) => (),
            Err(error) => debug!(error = %error, "Could not read batch {batch}: {error}"),
        }
    }

    async fn begin(&mut self, row: Batch) -> Result<(), CommandError> {
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
        let known = Known {
            active,
            participants: participants(row.id, &row.spec, &self.session.live_nodes()),
            row,
            candidates: BTreeMap::new(),
            running: BTreeSet::new(),
            pending: BTreeSet::new(),
            frontier: 0,
            looked_at: Duration::ZERO,
            look_pause: QUICK_LOOK,
            wrote_stats_at: Duration::ZERO,
            came_to_rest: false,
            gone: false,
        };
        self.batches.insert(known.active.id, known);
        Ok(())
    }

    async fn look_at(&mut self, batch: BatchId) -> StoreResult<()> {
        let row = self
            .session
            .context
            .store
            .batch(batch, Freshness::Committed)
            .await?;
        let live = self.session.live_nodes();
        let Some(known) = self.batches.get_mut(&batch) else {
            return Ok(());
        };
        match row {
            Some(row) if admits_work(&row) => {
                known.participants = participants(batch, &row.spec, &live);
                known.row = row;
            }
            _ => {
                // Paused, cancelled, ended: workers flush and hand back, and a later start is met anew.
                known.active.stop.cancel();
                known.gone = true;
                known.candidates.clear();
                return Ok(());
            }
        }
        self.find_chunks(batch).await
    }

    /// Reads the heads of chunks that may be open until there is enough to do.
    async fn find_chunks(&mut self, batch: BatchId) -> StoreResult<()> {
        let now = self.now();
        let enough = self.free_slots() * 2 + 2;
        let Some(known) = self.batches.get_mut(&batch) else {
            return Ok(());
        };
        known.looked_at = now;
        // Read before the heads: a list that was complete then has no chunk that these reads could miss.
        let complete = known.row.status == BatchStatus::InProgress;
        let store = Arc::clone(&self.session.context.store);
        // Pending numbers first, in runs of neighbours.
        let pending: Vec<i64> = known
            .pending
            .iter()
            .copied()
            .filter(|number| !known.running.contains(number))
            .take(usize::try_from(PAGE).unwrap_or(usize::MAX))
            .collect();
        for run in runs_of(&pending) {
            let heads = store.chunk_heads(batch, run.0, run.1 + 1).await?;
            known.see(
                &self.session,
                &self.on_the_way,
                run.0,
                run.1 + 1,
                heads,
                now,
            );
        }
        // Then further, while there is more and too little to do.
        while known.candidates.len() < enough && known.frontier < known.row.chunks {
            let page = if complete { PAGE } else { PEEK };
            let (from, to) = (
                known.frontier,
                (known.frontier + page).min(known.row.chunks),
            );
            let heads = store.chunk_heads(batch, from, to).await?;
            let filled = heads.last().map_or(from, |last| last.number + 1);
            // Reserved numbers that are still empty are looked at again, unless they will stay empty.
            known.frontier = if complete { to } else { filled };
            known.see(&self.session, &self.on_the_way, from, filled, heads, now);
            if known.frontier < to {
                break;
            }
        }
        known.look_pause = if known.candidates.is_empty() {
            (known.look_pause * 2).min(self.session.context.config.poll_interval)
        } else {
            QUICK_LOOK
        };
        Ok(())
    }

    async fn take(&mut self, offer: Offer) {
        if !self.batches.contains_key(&offer.batch) {
            self.meet(offer.batch).await;
        }
        let now = self.now();
        let Some(known) = self
            .batches
            .get_mut(&offer.batch)
            .filter(|known| !known.gone)
        else {
            return;
        };
        let passed = offer.number < known.frontier && !known.pending.contains(&offer.number);
        if passed || known.running.contains(&offer.number) {
            // Found in the store before its offer came, and taken.
            return;
        }
        known.pending.insert(offer.number);
        if offer.number == known.frontier {
            // Numbers below it that were not looked at must still be.
            known.frontier += 1;
        }
        known.row.chunks = known.row.chunks.max(offer.number + 1);
        // Bounded: chunks further back are read from the store when their turn comes.
        let kept = known
            .candidates
            .values()
            .filter(|candidate| candidate.ids.is_some())
            .count();
        let ids = (kept < MOST_KEPT || offer.born.is_some()).then_some(offer.ids);
        known.candidates.insert(
            offer.number,
            Candidate {
                fence: 1,
                crashes: 0,
                untouched: true,
                since: now,
                ids,
                born_mine: offer.born.is_some(),
                held: false,
                inherited: false,
            },
        );
    }

    /// Gives chunks to free workers, one batch after the other so that none starves.
    fn dispatch(&mut self) {
        if !self.session.takes_work() {
            return;
        }
        let patience = self
            .session
            .context
            .config
            .poll_interval
            .mul_f64(PATIENCE_POLLS);
        let now = self.now();
        while self.free_slots() > 0 {
            let after = self.turn;
            let order: Vec<BatchId> = self
                .batches
                .keys()
                .copied()
                .filter(|batch| after.is_none_or(|turn| *batch > turn))
                .chain(
                    self.batches
                        .keys()
                        .copied()
                        .filter(|batch| after.is_some_and(|turn| *batch <= turn)),
                )
                .collect();
            let open = |batch: &BatchId| {
                let known = self.batches.get(batch)?;
                (!known.gone && !known.is_full()).then_some(known)
            };
            let own = |batch: &BatchId| {
                let known = open(batch)?;
                let participates = known.participants.contains(&self.session.me.node);
                Some((*batch, choose_own(&known.candidates, participates)?))
            };
            let any = |batch: &BatchId| {
                let known = open(batch)?;
                let chosen = choose(
                    *batch,
                    &known.candidates,
                    &known.participants,
                    &self.session.me.node,
                    now,
                    patience,
                )?;
                Some((*batch, chosen))
            };
            let chosen = order
                .iter()
                .find_map(own)
                .or_else(|| order.iter().find_map(any));
            let Some((batch, number)) = chosen else {
                return;
            };
            self.turn = Some(batch);
            self.start(batch, number);
        }
    }

    fn start(&mut self, batch: BatchId, number: i64) {
        let Some(known) = self.batches.get_mut(&batch) else {
            return;
        };
        let Some(candidate) = known.candidates.remove(&number) else {
            return;
        };
        known.running.insert(number);
        self.free.fetch_sub(1, Ordering::AcqRel);
        let active = known.active.clone();
        let session = self.session.clone();
        let slot = Slot {
            free: Arc::clone(&self.free),
            freed: Arc::clone(&self.freed),
        };
        let finished = self.finished.clone();
        self.session.tasks.spawn(async move {
            let ended = chunk_run::run(session.clone(), active, number, candidate).await;
            drop(slot);
            if ended == Ended::Done {
                session.context.wake.batches();
            }
            // The dispatcher ends before its workers only together with this node session.
            let _ = finished
                .send(Finish {
                    batch,
                    number,
                    ended,
                })
                .await;
        });
    }

    fn finish(&mut self, finish: Finish) {
        let Some(known) = self.batches.get_mut(&finish.batch) else {
            return;
        };
        known.running.remove(&finish.number);
        known.look_pause = QUICK_LOOK;
        known.came_to_rest = known.running.is_empty();
        if finish.ended == Ended::Done {
            known.pending.remove(&finish.number);
        }
        if let Some(time) = known.active.stats.mean_time() {
            lock(&self.entity_times).insert(finish.batch, time);
        }
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

    /// Where no worker got a next chunk, this node may have done its last of the batch.
    async fn write_last_stats(&mut self) {
        for known in self.batches.values_mut() {
            if std::mem::take(&mut known.came_to_rest) && known.running.is_empty() {
                known.write_stats(&self.session).await;
                self.session.context.wake.batches();
            }
        }
    }
}

impl Known {
    /// The only writer of this node's figures: one row at a time, so that no older one comes last.
    async fn write_stats(&mut self, session: &NodeSession) {
        let context = &session.context;
        let now = context.clock.monotonic();
        let Some(row) = self.active.stats.row(context.clock.now(), now) else {
            return;
        };
        self.wrote_stats_at = now;
        if let Err(error) = context.store.put_node_stats(&row).await {
            self.active.stats.not_written();
            debug!(error = %error, "Could not write figures: {error}");
        }
    }

    fn has_more(&self) -> bool {
        !self.gone && (!self.pending.is_empty() || self.frontier < self.row.chunks)
    }

    fn is_full(&self) -> bool {
        let limit = self
            .row
            .spec
            .max_workers_per_node
            .and_then(|limit| usize::try_from(limit).ok());
        limit.is_some_and(|limit| self.running.len() >= limit)
    }

    /// Takes in the heads of `[from, to)` as just read.
    fn see(
        &mut self,
        session: &NodeSession,
        on_the_way: &Mutex<BTreeSet<Place>>,
        from: i64,
        to: i64,
        heads: Vec<ChunkHead>,
        now: Duration,
    ) {
        let mut found: BTreeMap<i64, ChunkHead> =
            heads.into_iter().map(|head| (head.number, head)).collect();
        for number in from..to {
            let awaited = lock(on_the_way).contains(&(self.active.id, number));
            if awaited || self.running.contains(&number) {
                self.pending.insert(number);
                continue;
            }
            let Some(head) = found.remove(&number) else {
                // A gap below the last chunk found: perhaps an opening under way.
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
                        // Held by this node session without its knowledge: an answer that was lost. Claimed again.
                        let held = Candidate {
                            held: true,
                            ..Candidate::found(&head, now)
                        };
                        self.offer(number, held);
                    } else if holder.is_none_or(|holder| session.membership.may_take_from(holder)) {
                        let left = Candidate {
                            inherited: holder.is_some_and(|holder| holder.node == session.me.node),
                            ..Candidate::left_by_the_dead(&head, now)
                        };
                        self.offer(number, left);
                    } else {
                        self.candidates.remove(&number);
                    }
                }
            }
        }
    }

    /// A candidate known already keeps its age and its ids.
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

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives a worker's slot back, also when its task is aborted.
struct Slot {
    free: Arc<AtomicUsize>,
    freed: Arc<Notify>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.free.fetch_add(1, Ordering::AcqRel);
        self.freed.notify_waiters();
    }
}

/// Runs of neighbouring numbers, as (first, last).
fn runs_of(numbers: &[i64]) -> Vec<(i64, i64)> {
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
    fn neighbours_are_read_together() {
        assert_eq!(runs_of(&[]), []);
        assert_eq!(runs_of(&[1, 2, 3, 7, 9, 10]), [(1, 3), (7, 7), (9, 10)]);
    }
}
