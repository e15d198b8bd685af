//! The progress of a batch, as its owner sums up the chunks: each one once, when it is done.

use std::collections::BTreeMap;

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

/// The sum over the chunks that are done, from number 0 on.
#[derive(Debug, Default)]
pub struct Progress {
    /// Every chunk below this number is done or was never filled.
    done_below: i64,
    /// The sums of the chunks below `done_below`.
    shares: BTreeMap<NodeId, NodeShare>,
    /// The sums so far of the chunks from it on.
    partial: BTreeMap<NodeId, NodeShare>,
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

    /// Sums up all chunks, after work on them has stopped.
    ///
    /// # Errors
    /// The error of the store.
    pub async fn finish(&mut self, owned: &Owned) -> Result<(), OwnerError> {
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
        loop {
            let to = (self.done_below + page).min(chunks);
            page = (page * 2).min(PAGE);
            if self.done_below >= to {
                return Ok(complete);
            }
            let heads = owned
                .session
                .context
                .store
                .chunk_heads(owned.row.id, self.done_below, to)
                .await?;
            if !self.pass(heads, to, complete, is_done) {
                return Ok(false);
            }
        }
    }

    /// Passes the chunks of `[done_below, to)` that are done. Returns whether all of them are.
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
        for number in self.done_below..to {
            let done = match heads.remove(&number) {
                Some(head) => {
                    let done = is_done(head.state);
                    let sum = if passing && done {
                        &mut self.shares
                    } else {
                        &mut self.partial
                    };
                    add(sum, &head.shares);
                    done
                }
                // A reserved number that was never filled.
                None => complete,
            };
            passing &= done;
            if passing {
                self.done_below = number + 1;
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
        let mut nodes = self.shares.clone();
        add(&mut nodes, &self.partial);
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
fn extra_stats(slowest: &[SlowEntity]) -> String {
    serde_json::json!({ "slowestProcessed": slowest }).to_string()
}
