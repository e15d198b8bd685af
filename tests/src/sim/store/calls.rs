//! A call on its way: latency, faults, and what happens when its caller dies.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;
use weft_model::{BatchId, Bug, NodeId, NodeState};
use weft_store::{Attempt, AttemptResult, CompareAndSet, StoreError, StoreResult};

use super::SimHandle;
use super::bug::PlantedBug;
use super::faults::{Draw, Fate, FaultPlan};
use super::partition::Partitioned;
use super::plain::Plain;
use super::swap::{Statement, Swap};
use super::tables::Tables;
use super::watch::{Seen, Watch};
use crate::sim::trace::Trace;

/// The name of clients in the store; they are not ambushed.
pub const CLIENT: &str = "client";

/// More steps than any seed needs: beyond it, a loop has no end.
const MOST_STEPS: u64 = 2_000_000;

/// What all handles of one store share.
#[derive(Debug)]
pub struct Shared {
    pub(super) started: Instant,
    pub(super) inner: Mutex<Inner>,
}

/// The store itself.
#[derive(Debug)]
pub struct Inner {
    /// Everything durable.
    pub tables: Tables,
    /// Checks every write.
    pub watch: Watch,
    /// The trace.
    pub trace: Trace,
    /// The faults to draw from.
    pub faults: FaultPlan,
    /// The store does not answer.
    pub outage: bool,
    /// In an outage calls have no answer for `CALL_TIMEOUT_MS`; otherwise they fail soon.
    pub hangs: bool,
    /// Whether the number of steps is bounded.
    pub limited: bool,
    /// The wall clock of a node was set.
    pub clocks_set: bool,
    /// The planted error.
    pub bug: Option<PlantedBug>,
    /// Compare-and-sets that took effect after their caller had given up on them.
    pub zombies_applied: u64,
    /// Answers of Unknown given.
    pub unknowns: u64,
    /// The node that sends these compare-and-sets, counted from one, dies in the middle of it.
    pub ambushes: BTreeSet<u64>,
    /// How many nodes died in an ambush.
    pub ambushed: u64,
    swaps: u64,
    pub(super) chance: StdRng,
    late: BTreeMap<(u64, u64), Late>,
    stamp: u64,
    on_disk: Option<(Tables, Seen)>,
}

/// A statement that arrives later.
#[derive(Debug)]
struct Late {
    node: String,
    what: Sent,
    stamp: u64,
}

#[derive(Clone, Debug)]
enum Sent {
    Swap(Arc<dyn Statement>),
    Plain(Plain),
}

impl Shared {
    pub(super) fn new(seed: u64, keep_lines: bool) -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            inner: Mutex::new(Inner {
                tables: Tables::default(),
                watch: Watch::default(),
                trace: Trace::new(keep_lines),
                faults: FaultPlan::none(),
                outage: false,
                hangs: false,
                limited: false,
                clocks_set: false,
                bug: None,
                zombies_applied: 0,
                unknowns: 0,
                ambushes: BTreeSet::new(),
                ambushed: 0,
                swaps: 0,
                chance: StdRng::seed_from_u64(seed),
                late: BTreeMap::new(),
                stamp: 0,
                on_disk: None,
            }),
        })
    }

    /// Simulated time in milliseconds.
    pub fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The store now: statements that were late and have arrived have taken effect.
    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        let now = self.now();
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.arrive(now);
        inner
    }
}

impl Inner {
    /// Whether a loop has no end; from then on no call returns.
    pub fn spins(&self) -> bool {
        self.limited && self.trace.steps() > MOST_STEPS
    }

    /// How many incarnations of nodes have been seen.
    pub fn incarnations(&self) -> usize {
        self.tables.incarnations.len()
    }

    /// The commit log is written to disk: what is stored now survives a crash of the store.
    pub fn sync_commit_log(&mut self) {
        self.on_disk = Some((self.tables.clone(), self.watch.seen().clone()));
    }

    /// The store crashes: it loses everything since the last sync of its commit log, acknowledged or not, and is away.
    pub fn crash(&mut self) {
        self.outage = true;
        if let Some((tables, seen)) = self.on_disk.take() {
            self.tables = tables;
            self.watch.restore(seen);
        }
    }

    /// The store loses a chunk. Returns its ids.
    pub fn lose_chunk(&mut self, batch: BatchId, number: i64) -> Vec<String> {
        let lost = self.tables.chunks.remove(&(batch, number));
        let ids = lost.map(|row| row.peek().ids.clone()).unwrap_or_default();
        self.watch.forget(batch, &ids);
        ids
    }

    fn arrive(&mut self, now: u64) {
        while let Some(entry) = self.late.first_entry() {
            let (at, _) = *entry.key();
            if at > now {
                return;
            }
            let late = entry.remove();
            if self.outage {
                // It waits in a queue of the store.
                self.send_later(late.node, late.what, late.stamp, now + 500);
                continue;
            }
            match late.what {
                Sent::Swap(swap) => {
                    let detail = swap.describe(&self.tables);
                    let applied = swap.arrive(&mut self.tables, at, &mut self.watch);
                    self.zombies_applied += u64::from(applied);
                    let outcome = if applied {
                        "late, applied"
                    } else {
                        "late, lost"
                    };
                    self.note(at, &late.node, swap.verb(), &detail, outcome);
                }
                Sent::Plain(plain) => self.tables.put(plain, late.stamp, at, at),
            }
        }
    }

    /// I16: work of a node ends before its row says that it has left. Called by work that runs.
    pub fn check_has_not_left(&mut self, node: &str) {
        let row = self.tables.nodes.get(&NodeId(node.to_owned()));
        if row.is_some_and(|row| row.value.state == NodeState::Left) {
            self.watch.left_at_work(node);
        }
    }

    fn loses_hint(&mut self) -> bool {
        let part = self.faults.hint_lost;
        part > 0.0 && self.chance.random_bool(part.min(1.0))
    }

    fn note(&mut self, now: u64, node: &str, verb: &str, detail: &str, outcome: &str) {
        self.trace
            .note(now, node, verb, &format!("{detail}: {outcome}"));
    }

    fn send_later(&mut self, node: String, what: Sent, stamp: u64, at: u64) {
        self.stamp += 1;
        let order = self.stamp;
        self.late.insert((at, order), Late { node, what, stamp });
    }

    fn next_stamp(&mut self) -> u64 {
        self.stamp += 1;
        self.stamp
    }
}

/// A statement under way, which may still arrive if its caller dies.
struct Flight<'a> {
    handle: &'a SimHandle,
    what: Option<Sent>,
    orphan: Option<u64>,
    stamp: u64,
}

impl Flight<'_> {
    fn land(&mut self) {
        self.what = None;
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        if let (Some(what), Some(delay)) = (self.what.take(), self.orphan) {
            let shared = &self.handle.shared;
            let at = shared.now() + delay;
            let mut inner = shared.inner.lock().unwrap_or_else(PoisonError::into_inner);
            inner.send_later(self.handle.node.clone(), what, self.stamp, at);
        }
    }
}

impl SimHandle {
    /// Resolves when a call may go out or come back.
    async fn passable(&self) {
        self.control.running().await;
        if self.shared.lock().spins() {
            std::future::pending::<()>().await;
        }
    }
}

/// How long a client of Cassandra waits for an answer.
const CALL_TIMEOUT_MS: u64 = 4_000;

/// Waits this many simulated milliseconds.
async fn pass(millis: u64) {
    if millis > 0 {
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }
}

fn away(why: &str) -> StoreError {
    StoreError::Unavailable(why.to_owned())
}

impl SimHandle {
    /// Sends one compare-and-set.
    pub(super) async fn send<C>(&self, swap: Swap<C>) -> AttemptResult<Option<C::Row>>
    where
        C: CompareAndSet<Row: Partitioned> + fmt::Debug + 'static,
    {
        self.passable().await;
        let (draw, stamp) = {
            let mut inner = self.shared.lock();
            let inner = &mut *inner;
            (
                inner.faults.draw_swap(&mut inner.chance),
                inner.next_stamp(),
            )
        };
        let swap = Arc::new(swap);
        let mut flight = Flight {
            handle: self,
            what: Some(Sent::Swap(swap.clone())),
            orphan: draw.orphan,
            stamp,
        };
        pass(draw.before).await;
        if self.is_ambushed() {
            // The statement of the dead process arrives late or never.
            self.passable().await;
        }
        flight.land();
        let after = self.answer_after(draw.after);
        let outcome = self.arrive(&swap, &draw, stamp);
        pass(after).await;
        self.passable().await;
        outcome
    }

    /// The milliseconds until the caller of a call that arrives now has an answer, or gives up.
    fn answer_after(&self, millis: u64) -> u64 {
        let inner = self.shared.lock();
        match inner.hangs && (inner.outage || self.control.is_cut()) {
            true => CALL_TIMEOUT_MS,
            false => millis,
        }
    }

    fn is_ambushed(&self) -> bool {
        if self.node == CLIENT {
            return false;
        }
        let now = self.shared.now();
        let mut inner = self.shared.lock();
        inner.swaps += 1;
        let count = inner.swaps;
        let ambushed = inner.ambushes.remove(&count);
        if ambushed {
            inner.ambushed += 1;
            inner.trace.note(now, &self.node, "ambushed", "");
            self.control.die();
        }
        ambushed
    }

    fn arrive<C>(
        &self,
        swap: &Arc<Swap<C>>,
        draw: &Draw,
        stamp: u64,
    ) -> AttemptResult<Option<C::Row>>
    where
        C: CompareAndSet<Row: Partitioned> + fmt::Debug + 'static,
    {
        let now = self.shared.now();
        let mut inner = self.shared.lock();
        let inner = &mut *inner;
        let fate = match draw.fate {
            // Unreachable: some clients get a refusal, others get no answer.
            _ if inner.outage || self.control.is_cut() => match draw.before % 2 {
                0 => Fate::Refused,
                _ => Fate::Dropped,
            },
            fate => fate,
        };
        let detail = swap.describe(&inner.tables);
        let hidden_until = now + draw.hidden;
        let (outcome, said) = match fate {
            Fate::Answered | Fate::Applied => {
                let answer = swap.carry_out(&mut inner.tables, hidden_until, &mut inner.watch);
                let applied = answer == Attempt::Applied;
                match (fate, applied) {
                    (Fate::Answered, true) => (Ok(answer), "applied"),
                    (Fate::Answered, false) => (Ok(answer), "lost"),
                    (_, true) => (unknown(), "unknown, applied"),
                    (_, false) => (unknown(), "unknown, lost"),
                }
            }
            Fate::Dropped => (unknown(), "unknown, dropped"),
            Fate::Later(delay) => {
                let what = Sent::Swap(swap.clone());
                inner.send_later(self.node.clone(), what, stamp, now + delay);
                (unknown(), "unknown, under way")
            }
            Fate::Refused => (Err(away("too few replicas are up")), "refused"),
        };
        let is_unknown = matches!(outcome, Ok(Attempt::Unknown(_)));
        inner.unknowns += u64::from(is_unknown);
        inner.note(now, &self.node, swap.verb, &detail, said);
        if Bug::UnknownIsRead.is_planted() && is_unknown {
            let found = swap.found(&inner.tables);
            return Ok(match swap.operation.is_applied(found.as_ref()) {
                true => Attempt::Applied,
                false => Attempt::Lost(found),
            });
        }
        if inner.bug == Some(PlantedBug::UnknownIsFailure) && is_unknown {
            return Ok(Attempt::Lost(swap.found(&inner.tables)));
        }
        outcome
    }

    /// The error that the store is made with.
    pub(super) fn bug(&self) -> Option<PlantedBug> {
        let inner = self.shared.inner.lock();
        inner.unwrap_or_else(PoisonError::into_inner).bug
    }

    /// Sends one plain write.
    pub(super) async fn put(&self, plain: Plain) -> StoreResult<()> {
        self.passable().await;
        let (draw, stamp) = {
            let mut inner = self.shared.lock();
            let inner = &mut *inner;
            (
                inner.faults.draw_plain(&mut inner.chance),
                inner.next_stamp(),
            )
        };
        let mut flight = Flight {
            handle: self,
            what: Some(Sent::Plain(plain)),
            orphan: draw.orphan,
            stamp,
        };
        pass(draw.before).await;
        let after = self.answer_after(draw.after);
        let outcome = {
            let now = self.shared.now();
            let mut inner = self.shared.lock();
            inner.trace.count(now, &self.node, "plain", "write");
            let away_now = inner.outage || self.control.is_cut();
            let fate = if away_now { Fate::Refused } else { draw.fate };
            match (fate, flight.what.take()) {
                (Fate::Answered, Some(Sent::Plain(Plain::Due(_)))) if inner.loses_hint() => Ok(()),
                (Fate::Answered, Some(Sent::Plain(plain))) => {
                    inner.tables.put(plain, stamp, now, now + draw.hidden);
                    Ok(())
                }
                (Fate::Applied, Some(Sent::Plain(plain))) => {
                    inner.tables.put(plain, stamp, now, now + draw.hidden);
                    Err(away("no answer to a write"))
                }
                (Fate::Later(delay), Some(what)) => {
                    inner.send_later(self.node.clone(), what, stamp, now + delay);
                    Err(away("no answer to a write"))
                }
                _ => Err(away("too few replicas are up")),
            }
        };
        pass(after).await;
        self.passable().await;
        outcome
    }

    /// Reads.
    pub(super) async fn read<T>(
        &self,
        verb: &'static str,
        serial: bool,
        look: impl FnOnce(&mut Inner, u64) -> T + Send,
    ) -> StoreResult<T> {
        self.counters.call(verb);
        self.passable().await;
        let draw = {
            let mut inner = self.shared.lock();
            let inner = &mut *inner;
            inner.faults.draw_read(serial, &mut inner.chance)
        };
        pass(draw.before).await;
        let after = self.answer_after(draw.after);
        let found = {
            let now = self.shared.now();
            let mut inner = self.shared.lock();
            if inner.outage || self.control.is_cut() || draw.fate == Fate::Refused {
                inner.trace.count(now, &self.node, verb, "failed");
                Err(away("no answer to a read"))
            } else {
                inner.trace.count(now, &self.node, verb, "read");
                Ok(look(&mut inner, now))
            }
        };
        pass(after).await;
        self.passable().await;
        found
    }
}

fn unknown<F>() -> AttemptResult<F> {
    Ok(Attempt::Unknown(
        "no answer within the time limit".to_owned(),
    ))
}
