//! How far the clean-up has removed batches.
//!
//! Cassandra keeps a marker (tombstone) of each removed line of the directory for days, and refuses a read over 100,000 of
//! them. So the clean-up goes from the oldest batch to the newest and notes in the setting [`REMOVED_BATCHES`] how far it is,
//! and lists do not read what is older.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use weft_model::clock::Timestamp;
use weft_model::{BatchId, Setting};
use weft_store::{Store, StoreResult};

use crate::cluster_value;

/// The setting of the cluster that says how far batches are removed.
pub const REMOVED_BATCHES: &str = "batches_removed";
/// A clean-up removes no batch that ended less than a day ago, so the moment is never younger.
const YOUNGEST: Duration = Duration::from_secs(86_400);
/// The most batches that the setting names (140 KiB).
const NAMED: usize = 2_000;

/// The value of [`REMOVED_BATCHES`]. The default is that nothing was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedBatches {
    /// Batches submitted before this moment are removed, except those in `left`.
    pub before: Timestamp,
    /// Batches that ended later or have not ended, with the moments of their submission.
    pub left: Vec<(Timestamp, BatchId)>,
}

/// How far batches are removed. `from` is where a list ends; where nothing that old can be removed, the setting is not read.
///
/// # Errors
/// The store failed.
pub async fn removed_batches(
    store: &dyn Store,
    now: Timestamp,
    from: Timestamp,
) -> StoreResult<RemovedBatches> {
    match from >= now.minus(YOUNGEST) {
        true => Ok(RemovedBatches::default()),
        false => Ok(RemovedBatches::read(store, now).await?.0),
    }
}

impl RemovedBatches {
    /// The value, and the `seq` of its setting. A value that cannot be read, or that a clock which was ahead has written,
    /// does not count.
    pub(crate) async fn read(store: &dyn Store, now: Timestamp) -> StoreResult<(Self, i64)> {
        let (value, seq) = cluster_value::read::<Self>(store, REMOVED_BATCHES).await?;
        let value = value.filter(|value| value.before <= now);
        Ok((value.unwrap_or_default(), seq))
    }

    /// The batches before `to` are examined; `left` are those that stay. Answers whether the setting can name them all. If
    /// not, the moment stops at the first one that it does not name, and must not move on.
    pub(crate) fn examined(&mut self, to: Timestamp, left: Vec<(Timestamp, BatchId)>) -> bool {
        self.left.extend(left);
        self.left.sort_unstable();
        self.left.dedup();
        let Some((first_left_out, _)) = self.left.get(NAMED).copied() else {
            self.before = self.before.max(to);
            return true;
        };
        self.before = self.before.max(first_left_out);
        let before = self.before;
        self.left.retain(|(created, _)| *created < before);
        false
    }

    /// The setting that is to follow the row with `seq`.
    pub(crate) fn setting(&self, seq: i64, now: Timestamp) -> Setting {
        cluster_value::setting(REMOVED_BATCHES, seq, self, now, "")
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_bounded_number_of_batches_is_left_behind() {
        let id = |number: i64| BatchId(Uuid::from_u128(u128::from(number.unsigned_abs())));
        let many = i64::try_from(NAMED).unwrap() + 500;
        let left = (0..many).map(|number| (Timestamp(number), id(number)));
        let mut removed = RemovedBatches::default();
        assert!(removed.examined(Timestamp(10), vec![(Timestamp(3), id(3))]));
        assert_eq!((removed.before, removed.left.len()), (Timestamp(10), 1));
        assert!(!removed.examined(Timestamp(many), left.skip(10).collect()));
        assert_eq!(removed.left.len(), NAMED);
        // Those of the moments 3 and 10 to 2,008.
        assert_eq!(removed.before, Timestamp(2_009));
    }
}
