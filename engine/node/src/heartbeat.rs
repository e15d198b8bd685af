//! The only task that writes the row of its own node: the heartbeat, the batches that the node owns, and the moment up to
//! which it has read due hints.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use weft_model::clock::Timestamp;
use weft_model::{BatchId, Bug, Holder, NodeRow, NodeState};
use weft_store::{SelfFence, StoreError, StoreResult};

use super::{Context, Membership};
use crate::lock::lock;

/// A heartbeat that fails is repeated after this time, and another one is sent beside a heartbeat that has no answer after
/// its interval; sooner if the interval is shorter.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// Sends requests to the heartbeat task. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// The batches that the row names, each with the number of its claims. A claim may begin before the run of the claim
    /// before it has released the batch.
    coordinates: Mutex<BTreeMap<BatchId, usize>>,
    draining: std::sync::atomic::AtomicBool,
    requested: AtomicU64,
    write_soon: Notify,
    /// The last `requested` that a heartbeat has written. Its waiters wake in order; a watch channel would wake them in random
    /// order, and a simulated run would not repeat.
    written: AtomicU64,
    has_written: Notify,
    /// The time of the row: due hints up to it lead to their jobs without this session.
    hints_read_until: AtomicI64,
}

/// Writes the row of the node.
#[derive(Debug)]
pub struct HeartbeatWriter {
    context: Arc<Context>,
    row: NodeRow,
    shared: Arc<Shared>,
}

/// One sending of the row.
#[derive(Debug)]
struct Attempt {
    /// When it was sent, on the monotonic clock. It may have taken effect at once.
    started: Duration,
    /// The requests that it carries out.
    requested: u64,
    answer: StoreResult<()>,
}

impl Heartbeat {
    /// Adds a batch to the row of the node and waits until the row is written. Called before the batch is claimed, so that
    /// other nodes find it if this one dies. Answers false if the node fenced itself first.
    pub async fn coordinate(&self, batch: BatchId, self_fence: &SelfFence) -> bool {
        *self.lock().entry(batch).or_default() += 1;
        let requested = self.shared.requested.fetch_add(1, Ordering::AcqRel) + 1;
        self.shared.write_soon.notify_one();
        loop {
            let has_written = self.shared.has_written.notified();
            if self.shared.written.load(Ordering::Acquire) >= requested {
                return true;
            }
            tokio::select! {
                biased;
                () = self_fence.fenced() => return false,
                () = has_written => (),
            }
        }
    }

    /// Releases a batch once for each [`coordinate`](Self::coordinate). Once no claim of it is left, the next heartbeat
    /// removes it from the row.
    pub fn release(&self, batch: BatchId) {
        let mut coordinates = self.lock();
        match coordinates.get_mut(&batch) {
            Some(claims) if *claims > 1 => *claims -= 1,
            Some(_) => drop(coordinates.remove(&batch)),
            None => (),
        }
    }

    /// Every due hint up to this moment was read, and its job has a later hint if a node must still check it. A node that
    /// starts begins to read shortly before the latest such moment in the rows of all nodes.
    pub fn set_hints_read_until(&self, moment: Timestamp) {
        self.shared
            .hints_read_until
            .store(moment.0, Ordering::Release);
    }

    /// The moment that was last set; until then, that of the session before.
    pub fn hints_read_until(&self) -> Timestamp {
        Timestamp(self.shared.hints_read_until.load(Ordering::Acquire))
    }

    /// The batches in the row.
    pub fn coordinates(&self) -> Vec<BatchId> {
        self.lock().keys().copied().collect()
    }

    /// Writes the row now, because something in it has changed.
    pub fn write_soon(&self) {
        self.shared.write_soon.notify_one();
    }

    /// Sets the state in the row to DRAINING.
    pub fn drain(&self) {
        self.shared.draining.store(true, Ordering::Release);
        self.shared.write_soon.notify_one();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<BatchId, usize>> {
        lock(&self.shared.coordinates)
    }
}

impl HeartbeatWriter {
    /// Creates the writer for the node session `me`. Its row continues `before`, the row of the previous session: the batches
    /// of that session stay in it until this one has checked them. `hints_read_until` is the time of the row until the
    /// session has read the due hints itself.
    pub fn new(
        context: Arc<Context>,
        me: &Holder,
        before: Option<&NodeRow>,
        hints_read_until: Timestamp,
    ) -> (Self, Heartbeat) {
        let config = &context.config;
        let row = NodeRow {
            guid: me.node.clone(),
            dc: config.dc.clone(),
            effective_ip: config.effective_ip.clone(),
            ips: config.ips.clone(),
            logical_ids: context.affinity.all().to_vec(),
            incarnation: me.incarnation,
            hb_seq: before.map_or(0, |row| row.hb_seq),
            heartbeat_at: hints_read_until,
            state: NodeState::Alive,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            http_address: context.http_address(),
            coordinates: Vec::new(),
        };
        let shared = Arc::new(Shared {
            coordinates: Mutex::new(
                before
                    .map(|row| row.coordinates.iter().map(|batch| (*batch, 1)).collect())
                    .unwrap_or_default(),
            ),
            draining: std::sync::atomic::AtomicBool::new(false),
            requested: AtomicU64::new(0),
            write_soon: Notify::new(),
            written: AtomicU64::new(0),
            has_written: Notify::new(),
            hints_read_until: AtomicI64::new(hints_read_until.0),
        });
        let heartbeat = Heartbeat {
            shared: Arc::clone(&shared),
        };
        (
            Self {
                context,
                row,
                shared,
            },
            heartbeat,
        )
    }

    fn hints_read_until(&self) -> Timestamp {
        Timestamp(self.shared.hints_read_until.load(Ordering::Acquire))
    }

    /// The row of the last attempt.
    pub fn row(&self) -> &NodeRow {
        &self.row
    }

    /// Writes one heartbeat, and extends the self-fence on success.
    ///
    /// # Errors
    /// The error of the store, or no answer in time.
    pub async fn write(&mut self, self_fence: &SelfFence) -> StoreResult<()> {
        let attempt = self.send().await;
        self.accept(&attempt, self_fence);
        attempt.answer
    }

    /// Sends the row with the next number.
    fn send(&mut self) -> BoxFuture<'static, Attempt> {
        let config = &self.context.config;
        let started = self.context.clock.monotonic();
        let requested = self.shared.requested.load(Ordering::Acquire);
        self.row.hb_seq += 1;
        self.row.heartbeat_at = self.hints_read_until();
        self.row.http_address = self.context.http_address();
        self.row.logical_ids = self.context.affinity.all().to_vec();
        self.row.coordinates = lock(&self.shared.coordinates).keys().copied().collect();
        if self.shared.draining.load(Ordering::Acquire) {
            self.row.state = match Bug::LeftTooEarly.is_planted() {
                true => NodeState::Left,
                false => NodeState::Draining,
            };
        }
        let (store, row) = (Arc::clone(&self.context.store), self.row.clone());
        let longest = config.heartbeat_timeout();
        Box::pin(async move {
            let answer = tokio::time::timeout(longest, store.put_node(&row)).await;
            Attempt {
                started,
                requested,
                answer: answer.unwrap_or_else(|_| {
                    let problem = format!("no answer to a heartbeat within {longest:?}");
                    Err(StoreError::Unavailable(problem))
                }),
            }
        })
    }

    /// Extends the self-fence by an attempt that succeeded.
    fn accept(&self, attempt: &Attempt, self_fence: &SelfFence) {
        if attempt.answer.is_err() {
            return;
        }
        let config = &self.context.config;
        // From the start of the write, which may have taken effect at once.
        self_fence.extend(attempt.started + config.dead_after() - config.self_fence_margin());
        self.shared
            .written
            .fetch_max(attempt.requested, Ordering::AcqRel);
        self.shared.has_written.notify_waiters();
    }

    /// Writes heartbeats until the node fences itself or the node session closes. One that has no answer is not waited for,
    /// so that the first one after an outage is in time.
    pub async fn run(
        mut self,
        self_fence: SelfFence,
        closing: CancellationToken,
        membership: Arc<Membership>,
    ) -> Self {
        let clock = Arc::clone(&self.context.clock);
        let interval = self.context.config.heartbeat_interval;
        let retry_pause = interval.min(RETRY_PAUSE);
        let mut in_flight = FuturesUnordered::new();
        let mut sent_at = clock.monotonic();
        let mut next_at = sent_at + interval;
        let mut outcomes = Outcomes::default();
        loop {
            let pause = next_at.saturating_sub(clock.monotonic());
            tokio::select! {
                biased;
                () = self_fence.fenced() => return self,
                () = closing.cancelled() => return self,
                Some(attempt) = in_flight.next() => {
                    self.accept(&attempt, &self_fence);
                    next_at = match outcomes.record(attempt, &membership) {
                        true => sent_at + interval,
                        false => next_at.min(clock.monotonic() + retry_pause),
                    };
                    continue;
                }
                () = self.shared.write_soon.notified(), if in_flight.is_empty() => (),
                () = tokio::time::sleep(pause) => (),
            }
            if !self_fence.may_act() {
                return self;
            }
            sent_at = clock.monotonic();
            next_at = match in_flight.is_empty() {
                true => sent_at + interval,
                false => sent_at + retry_pause,
            };
            in_flight.push(self.send());
        }
    }

    /// Writes the last row of a node session that ends cleanly.
    ///
    /// # Errors
    /// The error of the store.
    pub async fn leave(mut self) -> StoreResult<()> {
        self.row.hb_seq += 1;
        self.row.heartbeat_at = self.hints_read_until();
        self.row.state = NodeState::Left;
        self.row.coordinates = Vec::new();
        self.context.store.put_node(&self.row).await
    }
}

/// What became of the heartbeats so far.
#[derive(Debug, Default)]
struct Outcomes {
    is_failing: bool,
    /// When the latest one that succeeded was sent.
    succeeded: Duration,
}

impl Outcomes {
    /// Reports the outcome of a heartbeat to the membership. Returns whether the store answers: a heartbeat that fails after
    /// a later one has succeeded says nothing.
    fn record(&mut self, attempt: Attempt, membership: &Membership) -> bool {
        match attempt.answer {
            Ok(()) => {
                membership.heartbeat_succeeded(attempt.started);
                self.succeeded = self.succeeded.max(attempt.started);
                self.is_failing = false;
            }
            Err(_) if attempt.started < self.succeeded => (),
            Err(error) => {
                membership.heartbeat_failed();
                if !self.is_failing {
                    warn!(error = %error, "Heartbeat failed: {error}");
                }
                self.is_failing = true;
            }
        }
        !self.is_failing
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::testing::Bench;

    #[tokio::test]
    async fn a_batch_is_named_while_a_claim_of_it_is_left() {
        let bench = Bench::new();
        let session = &bench.session;
        let (mut writer, heartbeat) = HeartbeatWriter::new(
            Arc::clone(&session.context),
            &session.me,
            None,
            Timestamp(0),
        );
        let batch = BatchId(Uuid::from_u128(7));
        // The job is claimed again before the run of the first claim has released the batch.
        for _ in 0..2 {
            let named = heartbeat.coordinate(batch, &session.self_fence);
            let (named, written) = tokio::join!(named, writer.write(&session.self_fence));
            assert!(named && written.is_ok());
        }
        heartbeat.release(batch);
        assert_eq!(heartbeat.coordinates(), [batch]);
        heartbeat.release(batch);
        assert_eq!(heartbeat.coordinates(), []);
        heartbeat.release(batch);
        assert_eq!(heartbeat.coordinates(), []);
        bench.end().await;
    }
}
