//! The one task that writes a node's own row: its heartbeat, and which batches it owns.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use weft_model::{BatchId, Holder, NodeRow, NodeState};
use weft_store::SelfFence;
use weft_store::StoreResult;

use super::{Context, Membership};

/// Asks the heartbeat task for things. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    coordinates: Mutex<BTreeSet<BatchId>>,
    draining: std::sync::atomic::AtomicBool,
    wanted: AtomicU64,
    beat_now: Notify,
    /// The last of `wanted` that a heartbeat has written. Its waiters wake in order: a watch channel would wake several
    /// in random order, and a simulated run would not repeat.
    written: AtomicU64,
    has_written: Notify,
}

/// The task's own side.
#[derive(Debug)]
pub struct Beater {
    context: Arc<Context>,
    row: NodeRow,
    shared: Arc<Shared>,
}

impl Heartbeat {
    /// The batch is mine: the row says so before I claim it, so that the others find it should I die.
    /// Answers false where the node fenced itself first.
    pub async fn coordinate(&self, batch: BatchId, self_fence: &SelfFence) -> bool {
        self.lock().insert(batch);
        let wanted = self.shared.wanted.fetch_add(1, Ordering::AcqRel) + 1;
        self.shared.beat_now.notify_one();
        loop {
            let has_written = self.shared.has_written.notified();
            if self.shared.written.load(Ordering::Acquire) >= wanted {
                return true;
            }
            tokio::select! {
                biased;
                () = self_fence.fenced() => return false,
                () = has_written => (),
            }
        }
    }

    /// The batch is no longer mine; the next heartbeat says so.
    pub fn release(&self, batch: BatchId) {
        self.lock().remove(&batch);
    }

    /// The batches that are mine.
    pub fn coordinates(&self) -> Vec<BatchId> {
        self.lock().iter().copied().collect()
    }

    /// The row changes, and shall say so soon.
    pub fn beat_now(&self) {
        self.shared.beat_now.notify_one();
    }

    /// From the next heartbeat on the row says DRAINING.
    pub fn drain(&self) {
        self.shared.draining.store(true, Ordering::Release);
        self.shared.beat_now.notify_one();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<BatchId>> {
        self.shared
            .coordinates
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Beater {
    /// A beater for the node session `me`, whose row goes on from the one of the node session before: what that one owned
    /// stays named until this one has looked at it.
    pub fn new(context: Arc<Context>, me: &Holder, before: Option<&NodeRow>) -> (Self, Heartbeat) {
        let config = &context.config;
        let row = NodeRow {
            guid: me.node.clone(),
            dc: config.dc.clone(),
            effective_ip: config.effective_ip.clone(),
            ips: config.ips.clone(),
            logical_ids: context.affinity.all().to_vec(),
            incarnation: me.incarnation,
            hb_seq: before.map_or(0, |row| row.hb_seq),
            heartbeat_at: context.clock.now(),
            state: NodeState::Alive,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            http_address: context.http_address(),
            coordinates: Vec::new(),
        };
        let shared = Arc::new(Shared {
            coordinates: Mutex::new(
                before
                    .map(|row| row.coordinates.iter().copied().collect())
                    .unwrap_or_default(),
            ),
            draining: std::sync::atomic::AtomicBool::new(false),
            wanted: AtomicU64::new(0),
            beat_now: Notify::new(),
            written: AtomicU64::new(0),
            has_written: Notify::new(),
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

    /// The row as it was last tried.
    pub fn row(&self) -> &NodeRow {
        &self.row
    }

    /// One heartbeat; on success trust reaches further.
    ///
    /// # Errors
    /// What the store said, or that it said nothing within one interval.
    pub async fn beat(&mut self, self_fence: &SelfFence) -> StoreResult<()> {
        let config = &self.context.config;
        // Trust counts from when the write was asked for: it may have taken effect at once.
        let started = self.context.clock.monotonic();
        let wanted = self.shared.wanted.load(Ordering::Acquire);
        self.row.hb_seq += 1;
        self.row.heartbeat_at = self.context.clock.now();
        self.row.http_address = self.context.http_address();
        self.row.logical_ids = self.context.affinity.all().to_vec();
        self.row.coordinates = self
            .shared
            .coordinates
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .copied()
            .collect();
        if self.shared.draining.load(Ordering::Acquire) {
            self.row.state = NodeState::Draining;
        }
        let write = self.context.store.put_node(&self.row);
        let Ok(answer) = tokio::time::timeout(config.heartbeat_interval, write).await else {
            return Err(weft_store::StoreError::Unavailable(
                "no answer to a heartbeat within its interval".to_owned(),
            ));
        };
        answer?;
        self_fence.extend(started + config.dead_after() - config.self_fence_margin());
        self.shared.written.store(wanted, Ordering::Release);
        self.shared.has_written.notify_waiters();
        Ok(())
    }

    /// Beats until the node fences itself or the node session closes.
    pub async fn run(
        mut self,
        self_fence: SelfFence,
        closing: CancellationToken,
        membership: Arc<Membership>,
    ) -> Self {
        let interval = self.context.config.heartbeat_interval;
        let mut silent = false;
        loop {
            let pause = if silent {
                interval.min(std::time::Duration::from_secs(1))
            } else {
                interval
            };
            tokio::select! {
                biased;
                () = self_fence.fenced() => return self,
                () = closing.cancelled() => return self,
                () = self.shared.beat_now.notified() => (),
                () = tokio::time::sleep(pause) => (),
            }
            if !self_fence.may_act() {
                return self;
            }
            match self.beat(&self_fence).await {
                Ok(()) => silent = false,
                Err(error) => {
                    membership.freeze();
                    if !silent {
                        warn!(error = %error, "Heartbeat failed: {error}");
                    }
                    silent = true;
                }
            }
        }
    }

    /// The last row of a node session that ends cleanly.
    ///
    /// # Errors
    /// What the store said.
    pub async fn leave(mut self) -> StoreResult<()> {
        self.row.hb_seq += 1;
        self.row.heartbeat_at = self.context.clock.now();
        self.row.state = NodeState::Left;
        self.row.coordinates = Vec::new();
        self.context.store.put_node(&self.row).await
    }
}
