//! The compare-and-sets of the engine, each as a plain value that can be sent again as it is.
//!
//! An operation carries its meaning: `holds` is its condition and `apply` its change, both pure. The embedded store, the
//! simulated store and the engine's own copies of rows use them. Cassandra needs them as CQL; the conformance tests hold
//! that text to the same meaning.
//!
//! An operation carries a token of its own. `settle` re-sends the identical value, so a store recognises an earlier
//! sending by the token that it finds in the row.

mod batch;
mod batch_with_job;
mod checkpoint;
mod chunk;
mod command;
mod job;
mod job_definition;
mod shared;

pub use batch::*;
pub use batch_with_job::*;
pub use checkpoint::*;
pub use chunk::*;
pub use command::*;
pub use job::*;
pub use job_definition::*;
pub use shared::*;

use weft_model::{Batch, BatchId, CheckpointHead, ChunkHead, DueHint, Job};

/// A row that compare-and-sets change.
pub trait StoredRow: Clone + Send + 'static {
    /// What finds it in its table.
    type Key: Clone + Ord + Send;
}

/// What one compare-and-set means for its row. All of it is pure.
pub trait CompareAndSet: Send + Sync {
    /// The row it changes.
    type Row: StoredRow;

    /// Which row.
    fn key(&self) -> <Self::Row as StoredRow>::Key;

    /// Whether the row shows that an earlier sending of this operation took effect.
    fn is_applied(&self, row: Option<&Self::Row>) -> bool;

    /// Whether its condition holds for the row; none where there is no row.
    fn holds(&self, row: Option<&Self::Row>) -> bool;

    /// The row afterwards; none where it is removed. Only for a row for which the condition holds.
    fn apply(&self, row: Option<Self::Row>) -> Option<Self::Row>;

    /// The due hint that has to be stored before the row.
    fn due(&self) -> Option<&DueHint> {
        None
    }

    /// Whether it is written over a row that rests: a node that reads the hint before the row finds nothing to do.
    fn wakes_resting_row(&self) -> bool {
        false
    }

    /// What becomes of this operation, given the row found.
    fn judge(&self, row: Option<Self::Row>) -> Verdict<Self::Row> {
        if self.is_applied(row.as_ref()) {
            Verdict::AlreadyApplied
        } else if self.holds(row.as_ref()) {
            Verdict::TakesEffect(self.apply(row))
        } else {
            Verdict::Lost(row)
        }
    }
}

/// What becomes of a compare-and-set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict<R> {
    /// An earlier sending took effect; nothing is left to do.
    AlreadyApplied,
    /// It takes effect, and this is the row afterwards; none where it is removed.
    TakesEffect(Option<R>),
    /// Its condition does not hold for this row.
    Lost(Option<R>),
}

/// Implements [`CompareAndSet`] for an operation on a row that must exist, by the operation's own `holds(&Row)` and
/// `apply(Row)`. `$token` is the field of the row in which it leaves its token.
macro_rules! changes_existing_row {
    ($operation:ty, $row:ty, $token:ident, |$this:ident| $key:expr $(, due: $due:expr)?) => {
        impl $crate::CompareAndSet for $operation {
            type Row = $row;

            fn key(&self) -> <$row as $crate::StoredRow>::Key {
                let $this = self;
                $key
            }

            fn is_applied(&self, row: Option<&$row>) -> bool {
                row.is_some_and(|row| row.$token == Some(self.token))
            }

            fn holds(&self, row: Option<&$row>) -> bool {
                row.is_some_and(|row| <$operation>::holds(self, row))
            }

            fn apply(&self, row: Option<$row>) -> Option<$row> {
                row.map(|row| <$operation>::apply(self, row))
            }

            $(fn due(&self) -> Option<&weft_model::DueHint> {
                let $this = self;
                $due
            })?
        }
    };
}

/// Implements [`Conditional`](crate::Conditional) for a [`CompareAndSet`] that a verb of the store sends.
macro_rules! sent_by {
    ($($verb:ident: $operation:ty, $found:ty;)*) => {$(
        #[async_trait::async_trait]
        impl $crate::Conditional for $operation {
            type Found = $found;

            fn verb(&self) -> &'static str {
                stringify!($verb)
            }

            async fn attempt(&self, store: &dyn $crate::Store) -> $crate::AttemptResult<$found> {
                store.$verb(self).await
            }

            fn hint_to_renew(&self, was_sent_again: bool) -> Option<&weft_model::DueHint> {
                use $crate::CompareAndSet;
                self.due().filter(|_| was_sent_again || self.wakes_resting_row())
            }
        }
    )*};
}

use {changes_existing_row, sent_by};

/// Calls `$each!` with the verbs that change one row and write nothing else but its due hint: verb, operation, what Lost
/// answers. The operation says all that they do. The other verbs are methods of [`Store`](crate::Store), each by itself.
#[macro_export]
macro_rules! row_verbs {
    ($each:ident) => {
        $each! {
            claim_command: ClaimCommand, Option<BatchId>;
            release_command: ReleaseCommand, Option<BatchId>;
            write_job: WriteJob, Option<Job>;
            request_job: RequestJob, Option<Job>;
            claim_batch: ClaimBatch, Option<Batch>;
            reserve_chunks: ReserveChunks, Option<Batch>;
            save_batch_statistics: SaveBatchStatistics, Option<Batch>;
            request_batch: RequestBatch, Option<Batch>;
            claim_chunk: ClaimChunk, Option<ChunkHead>;
            change_chunk: ChangeChunk, Option<ChunkHead>;
            take_checkpoints: TakeCheckpoints, Option<CheckpointHead>;
        }
    };
}

row_verbs!(sent_by);

/// A compare-and-set must move its own condition: a second one that was decided for the same row must not apply.
#[cfg(test)]
fn moves_on<C: CompareAndSet>(operation: &C, row: Option<C::Row>) -> Option<C::Row>
where
    C::Row: std::fmt::Debug + PartialEq,
{
    assert!(!operation.is_applied(row.as_ref()), "not sent yet: {row:?}");
    let Verdict::TakesEffect(after) = operation.judge(row.clone()) else {
        panic!("it does not take effect on {row:?}");
    };
    assert!(
        !operation.holds(after.as_ref()),
        "it still holds: {after:?}"
    );
    let again = operation.judge(after.clone());
    assert_eq!(again, Verdict::AlreadyApplied, "sent again: {after:?}");
    after
}

/// The operation is lost to this row.
#[cfg(test)]
fn loses<C: CompareAndSet>(operation: &C, row: Option<C::Row>)
where
    C::Row: std::fmt::Debug + PartialEq,
{
    assert_eq!(operation.judge(row.clone()), Verdict::Lost(row));
}
