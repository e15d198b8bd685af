//! Serializes the compare-and-sets of this process on a partition.

use std::hash::{DefaultHasher, Hash, Hasher};

use tokio::sync::MutexGuard;

/// Locks that allow one compare-and-set per partition and process at a time: concurrent ones of the same process halve
/// the throughput of a partition and make answers Unknown. Partitions share locks by their hash.
#[derive(Debug)]
pub(crate) struct PartitionLocks(Vec<tokio::sync::Mutex<()>>);

impl PartitionLocks {
    const COUNT: u16 = 1_024;

    pub(crate) fn new() -> Self {
        Self(
            (0..Self::COUNT)
                .map(|_| tokio::sync::Mutex::new(()))
                .collect(),
        )
    }

    pub(crate) async fn lock(&self, partition: impl Hash) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        partition.hash(&mut hasher);
        let index = hasher.finish() % u64::from(Self::COUNT);
        self.0[usize::try_from(index).unwrap_or(0)].lock().await
    }
}
