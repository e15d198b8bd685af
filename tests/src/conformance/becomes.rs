//! Compares a stored row with what the operation's `apply` makes of it.

use std::fmt::Debug;

use async_trait::async_trait;
use weft_model::{Batch, BatchId, CheckpointHead, ChunkHead, Job, JobKey};
use weft_store::{CompareAndSet, Conditional, Freshness, Store, StoreResult, StoredRow};

use super::fixture::apply;

/// A row that a test can read back.
#[async_trait]
pub(super) trait Readable: StoredRow + Debug + PartialEq {
    async fn read(store: &dyn Store, key: &Self::Key) -> StoreResult<Option<Self>>;
}

#[async_trait]
impl Readable for Batch {
    async fn read(store: &dyn Store, id: &BatchId) -> StoreResult<Option<Self>> {
        store.batch(*id, Freshness::Serial).await
    }
}

#[async_trait]
impl Readable for Job {
    async fn read(store: &dyn Store, key: &JobKey) -> StoreResult<Option<Self>> {
        store.job(key, Freshness::Serial).await
    }
}

#[async_trait]
impl Readable for ChunkHead {
    async fn read(
        store: &dyn Store,
        (batch, number): &(BatchId, i64),
    ) -> StoreResult<Option<Self>> {
        let chunk = store.chunk(*batch, *number).await?;
        Ok(chunk.map(|chunk| chunk.head))
    }
}

#[async_trait]
impl Readable for CheckpointHead {
    async fn read(store: &dyn Store, scope: &String) -> StoreResult<Option<Self>> {
        store.checkpoint_head(scope, Freshness::Serial).await
    }
}

#[async_trait]
impl Readable for BatchId {
    async fn read(store: &dyn Store, key: &String) -> StoreResult<Option<Self>> {
        store.active_command(key).await
    }
}

/// Settles the operation twice, checks the row after each, and returns it.
pub(super) async fn becomes<C>(store: &dyn Store, operation: &C) -> Option<C::Row>
where
    C: CompareAndSet<Row: Readable> + Conditional<Found: Debug>,
{
    let verb = operation.verb();
    let key = operation.key();
    let before = C::Row::read(store, &key).await.expect("readable");
    assert!(operation.holds(before.as_ref()), "{verb}: {before:?}");
    apply(store, operation).await;
    let after = C::Row::read(store, &key).await.expect("readable");
    assert_eq!(after, operation.apply(before), "{verb}");
    apply(store, operation).await;
    let again = C::Row::read(store, &key).await.expect("readable");
    assert_eq!(again, after, "{verb}, sent twice");
    after
}
