//! A compare-and-set on its way to one partition.

use std::fmt;

use weft_store::{Attempt, CompareAndSet, Verdict};

use super::partition::Partitioned;
use super::tables::Tables;
use super::watch::Watch;

/// The partition that an operation changes.
type PartitionOf<C> = <<C as CompareAndSet>::Row as Partitioned>::Partition;

/// Writes what an operation stores in its partition beside the row: it is given the partition before and after.
pub type Beside<C> = fn(&C, Option<&PartitionOf<C>>, &mut PartitionOf<C>, &mut Watch);

/// One compare-and-set, as it was sent.
pub struct Swap<C: CompareAndSet<Row: Partitioned>> {
    /// Names it in the trace.
    pub verb: &'static str,
    /// What it means.
    pub operation: C,
    /// What it writes beside the row.
    pub beside: Beside<C>,
}

impl<C: CompareAndSet<Row: Partitioned> + fmt::Debug> fmt::Debug for Swap<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.operation.fmt(f)
    }
}

/// A compare-and-set of any type: what the trace and a late arrival need of it.
pub trait Statement: fmt::Debug + Send + Sync {
    /// Names it in the trace.
    fn verb(&self) -> &'static str;

    /// The row as it would be afterwards, in a few words.
    fn describe(&self, tables: &Tables) -> String;

    /// Takes effect if its condition holds, with no caller left to answer; whether it is applied.
    fn arrive(&self, tables: &mut Tables, hidden_until: u64, watch: &mut Watch) -> bool;
}

impl<C: CompareAndSet<Row: Partitioned>> Swap<C> {
    /// Takes effect if its condition holds. Committed reads may miss what it writes until `hidden_until`.
    pub fn carry_out(
        &self,
        tables: &mut Tables,
        hidden_until: u64,
        watch: &mut Watch,
    ) -> Attempt<Option<C::Row>> {
        let operation = &self.operation;
        let key = operation.key();
        let before = C::Row::find(tables, &key);
        let row = match operation.judge(before.as_ref().map(C::Row::row).cloned()) {
            Verdict::AlreadyApplied => return Attempt::Applied,
            Verdict::Lost(row) => return Attempt::Lost(row),
            Verdict::TakesEffect(row) => row,
        };
        let after = row.map(|row| {
            let mut after = C::Row::partition(before.as_ref(), row);
            (self.beside)(operation, before.as_ref(), &mut after, watch);
            after
        });
        C::Row::watch(watch, tables, before.as_ref(), after.as_ref());
        C::Row::write(tables, key, after, hidden_until);
        Attempt::Applied
    }

    /// The row that a refusal would show now.
    pub fn found(&self, tables: &Tables) -> Option<C::Row> {
        C::Row::peek(tables, &self.operation.key()).cloned()
    }
}

impl<C> Statement for Swap<C>
where
    C: CompareAndSet<Row: Partitioned> + fmt::Debug,
{
    fn verb(&self) -> &'static str {
        self.verb
    }

    fn describe(&self, tables: &Tables) -> String {
        let after = self.operation.apply(self.found(tables));
        C::Row::describe(&self.operation.key(), after.as_ref())
    }

    fn arrive(&self, tables: &mut Tables, hidden_until: u64, watch: &mut Watch) -> bool {
        self.carry_out(tables, hidden_until, watch) == Attempt::Applied
    }
}
