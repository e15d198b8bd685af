//! How a compare-and-set is carried out on a table: read the row, judge, write the row.

use weft_store::{Attempt, CompareAndSet, StoredRow, Verdict};

use super::due_hints;
use super::failure::Failure;
use super::queue::Writing;

/// A table whose rows compare-and-sets change.
pub(super) trait Table: StoredRow {
    /// What the store has to know of a stored row beside the row itself.
    type Slot;

    /// The row with this key.
    fn load(
        writing: &mut Writing<'_>,
        key: &Self::Key,
    ) -> Result<Option<(Self::Slot, Self)>, Failure>;

    /// Inserts the row where there is no slot, updates it where there is one, and removes it where no row is left.
    fn save(
        writing: &mut Writing<'_>,
        key: &Self::Key,
        slot: Option<Self::Slot>,
        row: Option<&Self>,
    ) -> Result<(), Failure>;
}

/// What a compare-and-set on one row answers.
pub(super) type Outcome<R> = Result<Attempt<Option<R>>, Failure>;

/// Carries an operation out on its row alone.
pub(super) fn carry_out<C>(writing: &mut Writing<'_>, operation: &C) -> Outcome<C::Row>
where
    C: CompareAndSet<Row: Table>,
{
    let key = operation.key();
    carry_out_by(writing, operation, |writing, slot, row| {
        C::Row::save(writing, &key, slot, row)
    })
}

/// Carries an operation out; `save` writes the row and what belongs to it.
pub(super) fn carry_out_by<C>(
    writing: &mut Writing<'_>,
    operation: &C,
    save: impl FnOnce(
        &mut Writing<'_>,
        Option<<C::Row as Table>::Slot>,
        Option<&C::Row>,
    ) -> Result<(), Failure>,
) -> Outcome<C::Row>
where
    C: CompareAndSet<Row: Table>,
{
    let (slot, row) = C::Row::load(writing, &operation.key())?.unzip();
    match operation.judge(row) {
        Verdict::AlreadyApplied => Ok(Attempt::Applied),
        Verdict::Lost(row) => Ok(Attempt::Lost(row)),
        Verdict::TakesEffect(row) => {
            if let Some(due) = operation.due() {
                due_hints::put(writing, due)?;
            }
            save(writing, slot, row.as_ref())?;
            Ok(Attempt::Applied)
        }
    }
}
