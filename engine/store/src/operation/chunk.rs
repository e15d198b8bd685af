//! Operations on a chunk. Each moves the chunk's head; ids and entity rows are written beside it.

use std::collections::BTreeMap;

use weft_model::{
    BatchId, Bug, ChunkEntry, ChunkFilter, ChunkHead, ChunkState, EntityRow, Fence, Holder,
    Instance, NodeId, NodeShare, Token,
};

use super::{CompareAndSet, StoredRow, changes_existing_row, sent_by};

/// The generator fills a reserved number, or seals it (`state` VOID): `IF c_state = null`.
///
/// The chunk starts with fence 1; one that is claimed from the start has state IN_PROGRESS and a holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenChunk {
    /// The batch.
    pub batch: BatchId,
    /// The number.
    pub number: i64,
    /// NEW, IN_PROGRESS (claimed from the start) or VOID.
    pub state: ChunkState,
    /// The generator, where the chunk is claimed from the start.
    pub holder: Option<Holder>,
    /// The ids, in the order of the source; none of them twice in the batch.
    pub ids: Vec<String>,
    /// The position of the source after the last id.
    pub source_position: Option<String>,
    /// The number of ids that the source had given up to `source_position`, duplicates included.
    pub source_read: Option<i64>,
    /// Names this attempt.
    pub token: Token,
}

/// A worker takes a chunk: `IF c_fence = <seen> AND c_state IN (NEW, IN_PROGRESS)` → IN_PROGRESS, fence + 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimChunk {
    /// The batch.
    pub batch: BatchId,
    /// The number.
    pub number: i64,
    /// The fence that was seen.
    pub seen_fence: Fence,
    /// The worker that takes it.
    pub holder: Holder,
    /// The new `c_crashes`: raised by one if the chunk is taken from a node session whose process died.
    pub crashes: i32,
    /// Names this attempt.
    pub token: Token,
}

/// The worker records results: `IF c_fence = <held> AND c_owner, c_inc = <worker> AND c_seq = <seq - 1>` → rows, `seq`,
/// counts; the last flush sets DONE.
///
/// The fence alone does not name the worker: a store that loses an acknowledged claim gives its fence to the next one.
///
/// The instances are saved before the rows (Cassandra: plain writes guarded by `sync_version`) or with them (SQLite: same
/// transaction), so a record never exists without its instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlushChunk {
    /// The batch.
    pub batch: BatchId,
    /// The number.
    pub number: i64,
    /// The worker.
    pub holder: Holder,
    /// The fence under which it is held.
    pub fence: Fence,
    /// The new `c_seq`.
    pub seq: i64,
    /// The rows of this flush: at most 1,000.
    pub rows: Vec<EntityRow>,
    /// `c_ok` after this flush.
    pub ok: i64,
    /// `c_failed` after this flush.
    pub failed: i64,
    /// `c_results` after this flush.
    pub shares: BTreeMap<NodeId, NodeShare>,
    /// `c_crashes` after this flush: 1 once an entity of a chunk that saw a crash has its record.
    pub crashes: i32,
    /// Every id of the chunk has its row now.
    pub done: bool,
    /// The logical unit of `instances`.
    pub logical_unit: String,
    /// Instances that changed.
    pub instances: Vec<Instance>,
    /// Names this attempt.
    pub token: Token,
}

/// A chunk changes hands without work: `IF c_fence = <seen> AND c_state = <from>` → `to`, fence + 1, no holder.
///
/// Release, by its holder or after the holder's death: IN_PROGRESS → NEW. Cancel: NEW or IN_PROGRESS → CLOSED. Retry:
/// CLOSED or DONE → NEW.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeChunk {
    /// The batch.
    pub batch: BatchId,
    /// The number.
    pub number: i64,
    /// The state that was seen.
    pub from: ChunkState,
    /// The fence that was seen.
    pub seen_fence: Fence,
    /// NEW or CLOSED.
    pub to: ChunkState,
    /// Names this attempt.
    pub token: Token,
}

impl OpenChunk {
    /// The filter of its entities; none where there are no ids. It is stored before the chunk is.
    pub fn filter(&self) -> Option<ChunkFilter> {
        let names = self.ids.iter().map(|entry| ChunkEntry::read(entry).name());
        (!self.ids.is_empty()).then(|| ChunkFilter::of(names))
    }
}

sent_by! {
    open_chunk: OpenChunk, Option<ChunkHead>;
    flush_chunk: FlushChunk, Option<ChunkHead>;
}

impl StoredRow for ChunkHead {
    /// The batch and the number.
    type Key = (BatchId, i64);
}

impl CompareAndSet for OpenChunk {
    type Row = ChunkHead;

    fn key(&self) -> (BatchId, i64) {
        (self.batch, self.number)
    }

    fn is_applied(&self, row: Option<&ChunkHead>) -> bool {
        row.is_some_and(|head| head.token == Some(self.token))
    }

    fn holds(&self, row: Option<&ChunkHead>) -> bool {
        row.is_none()
    }

    fn apply(&self, _: Option<ChunkHead>) -> Option<ChunkHead> {
        Some(ChunkHead {
            batch: self.batch,
            number: self.number,
            state: self.state,
            holder: self.holder.clone(),
            fence: 1,
            seq: 0,
            token: Some(self.token),
            total: i64::try_from(self.ids.len()).unwrap_or(i64::MAX),
            ok: 0,
            failed: 0,
            shares: BTreeMap::new(),
            source_position: self.source_position.clone(),
            source_read: self.source_read,
            crashes: 0,
        })
    }
}

changes_existing_row!(ClaimChunk, ChunkHead, token, |claim| (
    claim.batch,
    claim.number
));
changes_existing_row!(FlushChunk, ChunkHead, token, |flush| (
    flush.batch,
    flush.number
));
changes_existing_row!(ChangeChunk, ChunkHead, token, |change| (
    change.batch,
    change.number
));

impl ClaimChunk {
    /// See [`CompareAndSet::holds`].
    pub fn holds(&self, head: &ChunkHead) -> bool {
        head.fence == self.seen_fence
            && matches!(head.state, ChunkState::New | ChunkState::InProgress)
    }

    /// See [`CompareAndSet::apply`].
    pub fn apply(&self, head: ChunkHead) -> ChunkHead {
        ChunkHead {
            state: ChunkState::InProgress,
            holder: Some(self.holder.clone()),
            fence: self.seen_fence + i64::from(!Bug::ClaimKeepsFence.is_planted()),
            crashes: self.crashes,
            token: Some(self.token),
            ..head
        }
    }
}

impl FlushChunk {
    /// See [`CompareAndSet::holds`].
    pub fn holds(&self, head: &ChunkHead) -> bool {
        let is_held = head.fence == self.fence && head.holder.as_ref() == Some(&self.holder);
        (is_held || Bug::FlushWithoutFence.is_planted())
            && (head.seq == self.seq - 1 || Bug::FlushWithoutSeq.is_planted())
    }

    /// See [`CompareAndSet::apply`].
    pub fn apply(&self, head: ChunkHead) -> ChunkHead {
        ChunkHead {
            state: match self.done {
                true => ChunkState::Done,
                false => head.state,
            },
            seq: self.seq,
            ok: self.ok,
            failed: self.failed,
            shares: self.shares.clone(),
            crashes: self.crashes,
            token: Some(self.token),
            ..head
        }
    }
}

impl ChangeChunk {
    /// See [`CompareAndSet::holds`].
    pub fn holds(&self, head: &ChunkHead) -> bool {
        head.fence == self.seen_fence && head.state == self.from
    }

    /// See [`CompareAndSet::apply`].
    pub fn apply(&self, head: ChunkHead) -> ChunkHead {
        ChunkHead {
            state: self.to,
            holder: None,
            fence: self.seen_fence + 1,
            token: Some(self.token),
            ..head
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;
    use weft_model::Incarnation;

    use super::super::{loses, moves_on};
    use super::*;

    fn token(number: u128) -> Token {
        Token(Uuid::from_u128(number))
    }

    fn holder() -> Holder {
        Holder {
            node: NodeId("n1".to_owned()),
            incarnation: Incarnation(Uuid::from_u128(7)),
        }
    }

    fn id() -> BatchId {
        BatchId(Uuid::from_u128(1))
    }

    fn opened(state: ChunkState, holder: Option<Holder>) -> ChunkHead {
        let open = OpenChunk {
            batch: id(),
            number: 3,
            state,
            holder,
            ids: vec!["a".to_owned(), "b".to_owned()],
            source_position: Some("b".to_owned()),
            source_read: Some(7),
            token: token(1),
        };
        let head = moves_on(&open, None).expect("a head");
        let other = OpenChunk {
            token: token(2),
            ..open
        };
        loses(&other, Some(head.clone()));
        head
    }

    #[test]
    fn a_number_is_filled_once() {
        let head = opened(ChunkState::New, None);
        assert_eq!((head.fence, head.total), (1, 2));
    }

    #[test]
    fn a_claim_takes_an_open_chunk_under_the_next_fence() {
        let claim = |seen_fence| ClaimChunk {
            batch: id(),
            number: 3,
            seen_fence,
            holder: holder(),
            crashes: 1,
            token: token(3),
        };
        let head = moves_on(&claim(1), Some(opened(ChunkState::New, None))).expect("a head");
        assert_eq!((head.state, head.fence), (ChunkState::InProgress, 2));
        assert_eq!((head.holder, head.crashes), (Some(holder()), 1));
        let started = opened(ChunkState::InProgress, Some(holder()));
        moves_on(&claim(1), Some(started));
        loses(&claim(2), Some(opened(ChunkState::New, None)));
        loses(&claim(1), None);
        for state in [ChunkState::Done, ChunkState::Void, ChunkState::Closed] {
            loses(&claim(1), Some(opened(state, None)));
        }
    }

    #[test]
    fn a_flush_counts_on_from_the_one_before() {
        let flush = |fence, seq, done| FlushChunk {
            batch: id(),
            number: 3,
            holder: holder(),
            fence,
            seq,
            rows: Vec::new(),
            ok: seq,
            failed: 0,
            shares: BTreeMap::new(),
            crashes: 1,
            done,
            logical_unit: String::new(),
            instances: Vec::new(),
            token: token(10 + u128::from(seq.unsigned_abs())),
        };
        let head = opened(ChunkState::InProgress, Some(holder()));
        loses(&flush(2, 1, false), Some(head.clone()));
        loses(&flush(1, 2, false), Some(head.clone()));
        loses(&flush(1, 1, false), None);
        let other = Holder {
            incarnation: Incarnation(Uuid::from_u128(8)),
            ..holder()
        };
        loses(
            &flush(1, 1, false),
            Some(opened(ChunkState::InProgress, Some(other))),
        );
        let head = moves_on(&flush(1, 1, false), Some(head));
        let head = moves_on(&flush(1, 2, true), head).expect("a head");
        assert_eq!((head.state, head.seq, head.ok), (ChunkState::Done, 2, 2));
        assert_eq!(head.crashes, 1);
        assert_eq!(head.holder, Some(holder()));
    }

    #[test]
    fn a_chunk_changes_hands_without_work() {
        let change = |from, to| ChangeChunk {
            batch: id(),
            number: 3,
            from,
            seen_fence: 1,
            to,
            token: token(3),
        };
        let started = opened(ChunkState::InProgress, Some(holder()));
        loses(
            &change(ChunkState::New, ChunkState::Closed),
            Some(started.clone()),
        );
        let release = change(ChunkState::InProgress, ChunkState::New);
        let head = moves_on(&release, Some(started)).expect("a head");
        assert_eq!((head.state, head.holder), (ChunkState::New, None));
        assert_eq!(head.fence, 2);
    }
}
