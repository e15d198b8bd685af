//! The progress of a batch, as its owner sums up the chunks: each one once, when it is done.

use std::collections::BTreeMap;
use std::time::Duration;

use weft_model::{BatchStatistics, ChunkHead, ChunkState, NodeId, NodeShare, SlowEntity};

use super::owned::{Owned, OwnerError};
use crate::worker::{merge_histograms, percentiles_us};

/// The number of heads in one read.
const PAGE: i64 = 128;
/// The number of heads in the first read: the owner reads after every chunk, and on Cassandra each head is a read of its
/// own.
const FIRST_PAGE: i64 = 4;

/// The statistics of a batch that are saved while it runs and at its end.
#[derive(Clone, Debug)]
pub struct Figures {
    /// `extra_stats` (as in Fabric).
    pub extra_stats: String,
    /// Sums by node, exact, and percentiles.
    pub statistics: BatchStatistics,
    /// Nodes whose own statistics lack entities that their chunks have. The slowest and the percentiles lack them too.
    pub behind: Vec<NodeId>,
}

/// How long ago a chunk must have been seen done for its sums to be taken as final. A store that loses acknowledged writes
/// when it crashes loses those of its last seconds (`commitlog_sync_period`, 10 s by default).
const FINAL_AFTER: Duration = Duration::from_secs(60);

/// The sum over the chunks that are done, from number 0 on.
#[derive(Debug, Default)]
pub struct Progress {
    done: DoneChunks,
    /// The sums so far of the chunks from `done.below` on.
    partial: BTreeMap<NodeId, NodeShare>,
    /// What is read again before the batch ends: everything after it.
    last_final: DoneChunks,
    /// What was done at this time becomes final after [`FINAL_AFTER`].
    next_final: Option<(Duration, DoneChunks)>,
    reopened: u32,
}

/// The chunks below a number, and their sums.
#[derive(Clone, Debug, Default)]
struct DoneChunks {
    /// Every chunk below this number is done or was never filled.
    below: i64,
    shares: BTreeMap<NodeId, NodeShare>,
}

impl Progress {
    /// Reads the next chunks that are done. Returns whether all are, which needs a complete list.
    ///
    /// # Errors
    /// The error of the store.
    pub async fn advance(&mut self, owned: &Owned) -> Result<bool, OwnerError> {
        let complete = owned.has_complete_list();
        self.read_on(owned, FIRST_PAGE, complete, is_done).await
    }

    /// Like [`Progress::advance`], but also sums up the chunks after the first open one.
    ///
    /// # Errors
    /// The error of the store.
    pub async fn survey(&mut self, owned: &Owned) -> Result<bool, OwnerError> {
        let complete = owned.has_complete_list();
        self.read_on(owned, PAGE, complete, is_done).await
    }

    /// Like [`Progress::survey`], but reads again what was done only recently: the store may have crashed and lost it.
    ///
    /// # Errors
    /// The error of the store.
    pub async fn confirm(&mut self, owned: &Owned) -> Result<bool, OwnerError> {
        self.done = self.last_final.clone();
        self.next_final = None;
        self.survey(owned).await
    }

    /// Starts over, because the list of ids was reopened. Returns how often it was since this owner began.
    pub fn start_over(&mut self) -> u32 {
        let reopened = self.reopened + 1;
        *self = Self {
            reopened,
            ..Self::default()
        };
        reopened
    }

    /// The sums by node.
    pub fn shares(&self) -> BTreeMap<NodeId, NodeShare> {
        let mut shares = self.done.shares.clone();
        add(&mut shares, &self.partial);
        shares
    }

    /// The number of entities that have a record, as far as chunks were read.
    pub fn handled(&self) -> i64 {
        self.shares().values().map(NodeShare::handled).sum()
    }

    /// Sums up all chunks, after work on them has stopped.
    ///
    /// # Errors
    /// The error of the store.
    pub async fn finish(&mut self, owned: &Owned) -> Result<(), OwnerError> {
        self.done = self.last_final.clone();
        self.read_on(owned, PAGE, true, |_| true).await.map(drop)
    }

    async fn read_on(
        &mut self,
        owned: &Owned,
        mut page: i64,
        complete: bool,
        is_done: fn(ChunkState) -> bool,
    ) -> Result<bool, OwnerError> {
        let chunks = owned.row.chunks;
        self.partial.clear();
        self.keep_final(owned.session.context.clock.monotonic());
        loop {
            let to = (self.done.below + page).min(chunks);
            page = (page * 2).min(PAGE);
            if self.done.below >= to {
                return Ok(complete);
            }
            let heads = owned
                .session
                .context
                .store
                .chunk_heads(owned.row.id, self.done.below, to)
                .await?;
            if !self.pass(heads, to, complete, is_done) {
                return Ok(false);
            }
        }
    }

    /// Moves the place after which chunks are read again.
    fn keep_final(&mut self, now: Duration) {
        if let Some((since, done)) = &self.next_final {
            if now.saturating_sub(*since) < FINAL_AFTER {
                return;
            }
            self.last_final = done.clone();
        }
        self.next_final = Some((now, self.done.clone()));
    }

    /// Passes the chunks of `[done.below, to)` that are done. Returns whether all of them are.
    fn pass(
        &mut self,
        heads: Vec<ChunkHead>,
        to: i64,
        complete: bool,
        is_done: fn(ChunkState) -> bool,
    ) -> bool {
        let mut heads: BTreeMap<i64, ChunkHead> =
            heads.into_iter().map(|head| (head.number, head)).collect();
        let mut passing = true;
        for number in self.done.below..to {
            let done = match heads.remove(&number) {
                Some(head) => {
                    let done = is_done(head.state);
                    let sum = if passing && done {
                        &mut self.done.shares
                    } else {
                        &mut self.partial
                    };
                    add(sum, &head.shares);
                    done
                }
                // A reserved number that was never filled, or a chunk that the store has lost. The sums tell.
                None => complete,
            };
            passing &= done;
            if passing {
                self.done.below = number + 1;
            }
        }
        passing
    }

    /// The figures so far, with the times that the nodes wrote.
    ///
    /// # Errors
    /// The error of the store.
    pub async fn figures(&self, owned: &Owned) -> Result<Figures, OwnerError> {
        let context = &owned.session.context;
        let stats = context.store.node_stats(owned.row.id).await?;
        let nodes = self.shares();
        let behind = nodes
            .iter()
            .filter(|(node, share)| {
                let written = stats.iter().find(|stats| stats.node == **node);
                written.map_or(0, |stats| stats.share.handled()) < share.handled()
            })
            .map(|(node, _)| node.clone())
            .collect();
        let histogram =
            merge_histograms(stats.iter().filter_map(|stats| stats.histogram.as_deref()));
        let mut slowest: Vec<SlowEntity> = Vec::new();
        for slow in stats.into_iter().flat_map(|stats| stats.slowest) {
            let millis = slow.process_time_ms;
            crate::worker::keep_slowest(&mut slowest, context.config.slowest_count, millis, || {
                slow
            });
        }
        Ok(Figures {
            extra_stats: extra_stats(&slowest),
            statistics: BatchStatistics {
                nodes,
                percentiles_us: percentiles_us(&histogram),
                trial: None,
            },
            behind,
        })
    }
}

fn is_done(state: ChunkState) -> bool {
    match state {
        ChunkState::Done | ChunkState::Void => true,
        ChunkState::New | ChunkState::InProgress | ChunkState::Closed => false,
    }
}

fn add(sum: &mut BTreeMap<NodeId, NodeShare>, shares: &BTreeMap<NodeId, NodeShare>) {
    for (node, share) in shares {
        sum.entry(node.clone()).or_default().merge(share);
    }
}

/// `{"slowestProcessed":[…]}`, ascending by time.
pub fn extra_stats(slowest: &[SlowEntity]) -> String {
    serde_json::json!({ "slowestProcessed": slowest }).to_string()
}
