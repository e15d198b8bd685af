//! Operations on the row of a batch.

use weft_model::clock::Timestamp;
use weft_model::{
    Batch, BatchDesired, BatchId, BatchStatistics, BatchStatus, Bug, DueHint, Fence, FilledChunks,
    Holder, Token,
};

use super::{CompareAndSet, StoredRow, changes_existing_row, sent_by};

/// Proof of ownership that every operation of a batch's owner carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchGuard {
    /// The batch.
    pub id: BatchId,
    /// Its owner.
    pub holder: Holder,
    /// The fence under which it is owned.
    pub fence: Fence,
    /// The status it must have.
    pub status: BatchStatus,
    /// The last request that was seen.
    pub desired_seq: i64,
}

impl BatchGuard {
    fn holds(&self, batch: &Batch) -> bool {
        batch.owner_node.as_ref() == Some(&self.holder.node)
            && batch.owner_incarnation == Some(self.holder.incarnation)
            && batch.fence == self.fence
            && batch.status == self.status
            && batch.desired_seq == self.desired_seq
    }
}

/// A node takes a batch under its job's fence: `IF fence = <seen>`, with seen < to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimBatch {
    /// The batch.
    pub id: BatchId,
    /// The fence that was seen; must be below `to_fence`.
    pub seen_fence: Fence,
    /// The job's fence.
    pub to_fence: Fence,
    /// The node that takes it.
    pub holder: Holder,
    /// Names this attempt.
    pub token: Token,
}

/// The owner moves the batch: guard → `to`. Also updates the directory entry of the batch, after the row.
#[derive(Clone, Debug, PartialEq)]
pub struct MoveBatch {
    /// Proof of ownership.
    pub guard: BatchGuard,
    /// What the row becomes.
    pub to: BatchSet,
    /// Names this attempt.
    pub token: Token,
}

/// What a move writes. Built by its constructors, so that the columns fit the status.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchSet {
    /// The new status.
    pub status: BatchStatus,
    /// Set when work begins.
    pub start_time: Option<Timestamp>,
    /// Set when the batch ends.
    pub end_time: Option<Timestamp>,
    /// Set when the batch itself fails.
    pub error: Option<String>,
    /// Set when the list is complete: (ids, duplicates dropped).
    pub totals: Option<(i64, i64)>,
    /// Set when the list is complete, or found incomplete.
    pub filled: Option<FilledChunks>,
    /// The list is no longer complete: clears the total.
    pub reopens_list: bool,
    /// Set with the statistics.
    pub extra_stats: Option<String>,
    /// The final statistics.
    pub statistics: Option<BatchStatistics>,
    /// The owner gives up the row (end states and PAUSED).
    pub release: bool,
    /// The owner's own request, where it ends the batch with FAILED.
    pub desired: Option<BatchDesired>,
}

impl BatchSet {
    fn to(status: BatchStatus) -> Self {
        Self {
            status,
            start_time: None,
            end_time: None,
            error: None,
            totals: None,
            filled: None,
            reopens_list: false,
            extra_stats: None,
            statistics: None,
            release: false,
            desired: None,
        }
    }

    /// WAITING_FOR_JOB → NEW.
    pub fn taken() -> Self {
        Self::to(BatchStatus::New)
    }

    /// NEW → GENERATE_IID: work begins.
    pub fn generating(started_at: Timestamp) -> Self {
        Self {
            start_time: Some(started_at),
            ..Self::to(BatchStatus::GenerateIid)
        }
    }

    /// GENERATE_IID → IN_PROGRESS: the list is complete, with the numbers below `chunks` filled.
    pub fn list_complete(chunks: i64, total: i64, duplicates: i64) -> Self {
        Self {
            totals: Some((total, duplicates)),
            filled: Some(FilledChunks {
                chunks,
                entities: total,
            }),
            ..Self::to(BatchStatus::InProgress)
        }
    }

    /// IN_PROGRESS → GENERATE_IID: the store has lost ids. The chunks must have those of `filled`. It counts as a request,
    /// so that no earlier sending of this owner takes effect when the batch comes to the same status again.
    pub fn list_reopened(filled: FilledChunks) -> Self {
        Self {
            filled: Some(filled),
            reopens_list: true,
            desired: Some(BatchDesired::Run),
            ..Self::to(BatchStatus::GenerateIid)
        }
    }

    /// An end state, with the final statistics.
    pub fn ended(
        status: BatchStatus,
        ended_at: Timestamp,
        error: Option<String>,
        extra_stats: String,
        statistics: BatchStatistics,
    ) -> Self {
        debug_assert!(status.is_final(), "ended() is for end states");
        Self {
            end_time: Some(ended_at),
            error,
            extra_stats: Some(extra_stats),
            statistics: Some(statistics),
            release: true,
            ..Self::to(status)
        }
    }

    /// The owner requests the end of the batch itself, with `reason`: the mark that precedes the scan of its chunks.
    pub fn failing(status: BatchStatus, reason: String) -> Self {
        Self {
            error: Some(reason),
            desired: Some(BatchDesired::Cancel),
            ..Self::to(status)
        }
    }
}

/// The owner reserves chunk numbers: guard and `chunks = <from>` → `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReserveChunks {
    /// Proof of ownership, with status GENERATE_IID.
    pub guard: BatchGuard,
    /// Numbers reserved so far.
    pub from: i64,
    /// Numbers reserved from now on.
    pub to: i64,
    /// What is filled so far.
    pub filled: FilledChunks,
    /// Names this attempt.
    pub token: Token,
}

/// The owner saves statistics of a running batch: guard and `stats_seq = <seq - 1>` → `seq`.
#[derive(Clone, Debug, PartialEq)]
pub struct SaveBatchStatistics {
    /// Proof of ownership.
    pub guard: BatchGuard,
    /// The new `stats_seq`.
    pub seq: i64,
    /// The slowest entities (as in Fabric).
    pub extra_stats: String,
    /// Sums and percentiles.
    pub statistics: BatchStatistics,
    /// Names this attempt.
    pub token: Token,
}

/// A user's request: `IF desired_seq = <seq - 1> AND status IN (…)` → `desired`, `seq`. It leaves the owner's token alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestBatch {
    /// The batch.
    pub id: BatchId,
    /// The requested state.
    pub desired: BatchDesired,
    /// The new `desired_seq`.
    pub seq: i64,
    /// The statuses in which the request makes sense.
    pub allowed: Vec<BatchStatus>,
    /// When a node must check the batch's job. Written before the row; none where no node has anything left to do.
    pub due: Option<DueHint>,
    /// Names this attempt.
    pub token: Token,
}

/// The last step of a batch's removal, after [`Store::forget_chunks`](crate::Store::forget_chunks): its figures and
/// errors, the row `IF status, fence, desired_seq = <seen>`, and its entry in the directory.
///
/// The request REMOVE was stored before anything was removed, so `desired_seq` belongs to a row that no node resumes. A
/// missing row answers Applied, and its entry in the directory is removed all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteBatch {
    /// The batch.
    pub id: BatchId,
    /// When it was submitted: where the directory has it.
    pub creation_time: Timestamp,
    /// The end state that was seen.
    pub seen_status: BatchStatus,
    /// The fence that was seen.
    pub seen_fence: Fence,
    /// The request to remove it.
    pub desired_seq: i64,
}

sent_by! {
    move_batch: MoveBatch, Option<Batch>;
    delete_batch: DeleteBatch, Option<Batch>;
}

impl StoredRow for Batch {
    type Key = BatchId;
}

changes_existing_row!(ClaimBatch, Batch, op_token, |claim| claim.id);
changes_existing_row!(MoveBatch, Batch, op_token, |change| change.guard.id);
changes_existing_row!(ReserveChunks, Batch, op_token, |reserve| reserve.guard.id);
changes_existing_row!(SaveBatchStatistics, Batch, op_token, |save| save.guard.id);
changes_existing_row!(RequestBatch, Batch, desired_token, |request| request.id,
    due: request.due.as_ref());

impl ClaimBatch {
    /// See [`CompareAndSet::holds`].
    pub fn holds(&self, batch: &Batch) -> bool {
        batch.fence == self.seen_fence && self.seen_fence < self.to_fence
    }

    /// See [`CompareAndSet::apply`].
    pub fn apply(&self, batch: Batch) -> Batch {
        Batch {
            fence: self.to_fence,
            owner_node: Some(self.holder.node.clone()),
            owner_incarnation: Some(self.holder.incarnation),
            op_token: Some(self.token),
            ..batch
        }
    }
}

impl MoveBatch {
    /// See [`CompareAndSet::holds`].
    pub fn holds(&self, batch: &Batch) -> bool {
        self.guard.holds(batch)
    }

    /// See [`CompareAndSet::apply`].
    pub fn apply(&self, batch: Batch) -> Batch {
        let to = self.to.clone();
        let (total_entities, duplicates) = match to.totals {
            Some((total, duplicates)) => (Some(total), duplicates),
            None if to.reopens_list => (None, batch.duplicates),
            None => (batch.total_entities, batch.duplicates),
        };
        let (owner_node, owner_incarnation) = match to.release {
            true => (None, None),
            false => (batch.owner_node, batch.owner_incarnation),
        };
        Batch {
            status: to.status,
            start_time: to.start_time.or(batch.start_time),
            end_time: to.end_time.or(batch.end_time),
            error: to.error.or(batch.error),
            total_entities,
            duplicates,
            filled: to.filled.or(batch.filled),
            extra_stats: to.extra_stats.or(batch.extra_stats),
            statistics: to.statistics.or(batch.statistics),
            owner_node,
            owner_incarnation,
            desired: to.desired.unwrap_or(batch.desired),
            desired_seq: batch.desired_seq + i64::from(to.desired.is_some()),
            op_token: Some(self.token),
            ..batch
        }
    }
}

impl ReserveChunks {
    /// See [`CompareAndSet::holds`].
    pub fn holds(&self, batch: &Batch) -> bool {
        self.guard.holds(batch) && batch.chunks == self.from
    }

    /// See [`CompareAndSet::apply`].
    pub fn apply(&self, batch: Batch) -> Batch {
        Batch {
            chunks: self.to,
            filled: Some(self.filled),
            op_token: Some(self.token),
            ..batch
        }
    }
}

impl SaveBatchStatistics {
    /// See [`CompareAndSet::holds`].
    pub fn holds(&self, batch: &Batch) -> bool {
        self.guard.holds(batch) && batch.stats_seq == self.seq - 1
    }

    /// See [`CompareAndSet::apply`].
    pub fn apply(&self, batch: Batch) -> Batch {
        Batch {
            stats_seq: self.seq,
            extra_stats: Some(self.extra_stats.clone()),
            statistics: Some(self.statistics.clone()),
            op_token: Some(self.token),
            ..batch
        }
    }
}

impl RequestBatch {
    /// See [`CompareAndSet::holds`].
    pub fn holds(&self, batch: &Batch) -> bool {
        if Bug::PlainRequest.is_planted() {
            return true;
        }
        batch.desired_seq == self.seq - 1 && self.allowed.contains(&batch.status)
    }

    /// See [`CompareAndSet::apply`].
    pub fn apply(&self, batch: Batch) -> Batch {
        Batch {
            desired: self.desired,
            desired_seq: self.seq,
            desired_token: Some(self.token),
            ..batch
        }
    }
}

impl CompareAndSet for DeleteBatch {
    type Row = Batch;

    fn key(&self) -> BatchId {
        self.id
    }

    fn is_applied(&self, row: Option<&Batch>) -> bool {
        row.is_none()
    }

    fn holds(&self, row: Option<&Batch>) -> bool {
        row.is_some_and(|batch| {
            batch.status == self.seen_status
                && batch.fence == self.seen_fence
                && batch.desired_seq == self.desired_seq
        })
    }

    fn apply(&self, _: Option<Batch>) -> Option<Batch> {
        None
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;
    use weft_model::{BatchSpec, EntitySource, Incarnation, NodeId};

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

    fn owned(status: BatchStatus) -> Batch {
        let spec = BatchSpec::new("customer", EntitySource::List { ids: Vec::new() }, "ECHO");
        Batch {
            status,
            fence: 2,
            desired_seq: 3,
            chunks: 8,
            stats_seq: 4,
            owner_node: Some(holder().node),
            owner_incarnation: Some(holder().incarnation),
            op_token: Some(token(99)),
            ..Batch::waiting(id(), spec, Timestamp(1))
        }
    }

    fn guard(status: BatchStatus) -> BatchGuard {
        BatchGuard {
            id: id(),
            holder: holder(),
            fence: 2,
            status,
            desired_seq: 3,
        }
    }

    fn move_to(from: BatchStatus, to: BatchSet) -> MoveBatch {
        MoveBatch {
            guard: guard(from),
            to,
            token: token(1),
        }
    }

    #[test]
    fn a_claim_raises_the_fence_to_that_of_the_job() {
        let claim = |seen_fence, to_fence| ClaimBatch {
            id: id(),
            seen_fence,
            to_fence,
            holder: holder(),
            token: token(1),
        };
        let after = moves_on(&claim(2, 5), Some(owned(BatchStatus::New)));
        assert_eq!(after.map(|batch| batch.fence), Some(5));
        loses(&claim(1, 5), Some(owned(BatchStatus::New)));
        loses(&claim(2, 2), Some(owned(BatchStatus::New)));
        loses(&claim(2, 5), None);
    }

    #[test]
    fn every_part_of_the_guard_counts() {
        let change = move_to(BatchStatus::New, BatchSet::generating(Timestamp(5)));
        let owned = owned(BatchStatus::New);
        let mut others = vec![owned.clone(); 5];
        others[0].owner_node = Some(NodeId("n2".to_owned()));
        others[1].owner_incarnation = None;
        others[2].fence += 1;
        others[3].status = BatchStatus::GenerateIid;
        others[4].desired_seq += 1;
        for other in others {
            loses(&change, Some(other));
        }
        loses(&change, None);
        let after = moves_on(&change, Some(owned)).expect("a row");
        assert_eq!(after.start_time, Some(Timestamp(5)));
        assert_eq!(after.holder(), Some(holder()));
    }

    #[test]
    fn a_move_leaves_what_it_does_not_set() {
        let listed = moves_on(
            &move_to(BatchStatus::GenerateIid, BatchSet::list_complete(8, 10, 2)),
            Some(Batch {
                start_time: Some(Timestamp(5)),
                ..owned(BatchStatus::GenerateIid)
            }),
        )
        .expect("a row");
        assert_eq!((listed.total_entities, listed.duplicates), (Some(10), 2));
        assert_eq!(listed.start_time, Some(Timestamp(5)));
        let statistics = BatchStatistics::default();
        let ended = BatchSet::ended(
            BatchStatus::Done,
            Timestamp(9),
            None,
            String::new(),
            statistics,
        );
        let ended = moves_on(
            &move_to(BatchStatus::InProgress, ended),
            Some(Batch {
                total_entities: Some(10),
                ..owned(BatchStatus::InProgress)
            }),
        )
        .expect("a row");
        assert_eq!(
            (ended.total_entities, ended.end_time),
            (Some(10), Some(Timestamp(9)))
        );
        assert_eq!((ended.owner_node, ended.desired_seq), (None, 3));
    }

    #[test]
    fn a_failing_owner_leaves_a_request_of_its_own() {
        let failing = BatchSet::failing(BatchStatus::InProgress, "no such command".to_owned());
        let change = move_to(BatchStatus::InProgress, failing);
        let after = moves_on(&change, Some(owned(BatchStatus::InProgress))).expect("a row");
        assert_eq!(
            (after.desired, after.desired_seq),
            (BatchDesired::Cancel, 4)
        );
        assert_eq!(after.error.as_deref(), Some("no such command"));
    }

    #[test]
    fn reservations_and_statistics_follow_the_ones_before() {
        let reserve = |from, to| ReserveChunks {
            guard: guard(BatchStatus::GenerateIid),
            from,
            to,
            filled: FilledChunks::default(),
            token: token(1),
        };
        moves_on(&reserve(8, 16), Some(owned(BatchStatus::GenerateIid)));
        loses(&reserve(0, 16), Some(owned(BatchStatus::GenerateIid)));
        loses(&reserve(8, 16), Some(owned(BatchStatus::InProgress)));
        let save = |seq| SaveBatchStatistics {
            guard: guard(BatchStatus::InProgress),
            seq,
            extra_stats: "[]".to_owned(),
            statistics: BatchStatistics::default(),
            token: token(1),
        };
        moves_on(&save(5), Some(owned(BatchStatus::InProgress)));
        loses(&save(4), Some(owned(BatchStatus::InProgress)));
        loses(&save(6), Some(owned(BatchStatus::InProgress)));
    }

    #[test]
    fn a_request_leaves_the_owners_token_alone() {
        let request = |seq| RequestBatch {
            id: id(),
            desired: BatchDesired::Cancel,
            seq,
            allowed: vec![BatchStatus::InProgress],
            due: None,
            token: token(1),
        };
        let after = moves_on(&request(4), Some(owned(BatchStatus::InProgress))).expect("a row");
        assert_eq!(after.op_token, Some(token(99)));
        loses(&request(3), Some(owned(BatchStatus::InProgress)));
        loses(&request(4), Some(owned(BatchStatus::Done)));
    }

    #[test]
    fn a_batch_is_removed_as_it_was_seen() {
        let delete = DeleteBatch {
            id: id(),
            creation_time: Timestamp(1),
            seen_status: BatchStatus::Done,
            seen_fence: 2,
            desired_seq: 3,
        };
        assert_eq!(moves_on(&delete, Some(owned(BatchStatus::Done))), None);
        loses(&delete, Some(owned(BatchStatus::Failed)));
        let reopened = Batch {
            fence: 3,
            ..owned(BatchStatus::Done)
        };
        loses(&delete, Some(reopened));
    }
}
