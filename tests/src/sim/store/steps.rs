//! Compare-and-sets with what is sent before and after them: a verb is an ordered list of statements.

use std::fmt;

use weft_model::clock::Timestamp;
use weft_model::{Batch, BatchListing, ChunkHead, Job};
use weft_store::{
    Attempt, AttemptResult, ClaimJob, CompareAndSet, Conditional, DeleteBatch, DeleteJob, EndJob,
    FinishBatch, FinishLost, FlushChunk, MoveBatch, OpenChunk, StoreError, SubmitBatch, SubmitLost,
};

use super::SimHandle;
use super::bug::{FlushWithoutFence, PlantedBug};
use super::partition::{Chunk, Partitioned};
use super::plain::{ListingCopy, Plain, failed_of};
use super::swap::{Beside, Swap};
use super::watch::Watch;

impl SimHandle {
    /// One compare-and-set on its row alone, after its hint.
    pub(super) async fn swap<C>(&self, operation: &C) -> AttemptResult<Option<C::Row>>
    where
        C: CompareAndSet<Row: Partitioned> + Conditional + Clone + fmt::Debug + 'static,
    {
        let verb = operation.verb();
        self.swap_with(verb, operation, |_, _, _, _| ()).await
    }

    /// One compare-and-set that writes something beside its row, after its hint. Without the hint nothing else is sent.
    pub(super) async fn swap_with<C>(
        &self,
        verb: &'static str,
        operation: &C,
        beside: Beside<C>,
    ) -> AttemptResult<Option<C::Row>>
    where
        C: CompareAndSet<Row: Partitioned> + Clone + fmt::Debug + 'static,
    {
        if let Some(due) = operation.due() {
            self.put(Plain::Due(due.clone())).await?;
        }
        self.swap_only(verb, operation, beside).await
    }

    async fn swap_only<C>(
        &self,
        verb: &'static str,
        operation: &C,
        beside: Beside<C>,
    ) -> AttemptResult<Option<C::Row>>
    where
        C: CompareAndSet<Row: Partitioned> + Clone + fmt::Debug + 'static,
    {
        self.counters.compare_and_set(verb);
        let swap = Swap {
            verb,
            operation: operation.clone(),
            beside,
        };
        self.send(swap).await
    }

    pub(super) async fn submit(&self, submit: &SubmitBatch) -> AttemptResult<SubmitLost> {
        const VERB: &str = "submit_batch";
        self.put(Plain::Listing(listing_of(&submit.batch))).await?;
        let first = self.swap_with(VERB, submit, |_, _, _, _| ()).await?;
        // Only a planted bug refuses without a row.
        let lost = |found: Option<Batch>| found.unwrap_or_else(|| submit.batch.clone());
        if first != Attempt::Applied {
            return Ok(first.map_lost(|found| SubmitLost::Batch(Box::new(lost(found)))));
        }
        let second = self.swap_only(VERB, &submit.job(), |_, _, _, _| ()).await;
        let lost = |found: Option<Job>| found.unwrap_or_else(|| submit.job.clone());
        Ok(half_done(second).map_lost(|found| SubmitLost::Job(Box::new(lost(found)))))
    }

    pub(super) async fn claim(&self, claim: &ClaimJob) -> AttemptResult<Option<Job>> {
        let answer = self.swap(claim).await?;
        match &claim.cut_short {
            Some(run) if answer == Attempt::Applied => {
                self.put_last(Plain::Run(Box::new(run.clone()))).await
            }
            _ => Ok(answer),
        }
    }

    pub(super) async fn end(&self, end: &EndJob) -> AttemptResult<Option<Job>> {
        if let Some(due) = &end.due {
            self.put(Plain::Due(due.clone())).await?;
        }
        if let Some(run) = &end.run {
            self.put(Plain::Run(Box::new(run.clone()))).await?;
        }
        self.swap_only(end.verb(), end, |_, _, _, _| ()).await
    }

    pub(super) async fn delete_with_runs(&self, delete: &DeleteJob) -> AttemptResult<Option<Job>> {
        let answer = self.swap(delete).await?;
        if answer != Attempt::Applied {
            return Ok(answer);
        }
        let before = Timestamp(delete.ended.0.saturating_add(1));
        self.put_last(Plain::ForgetRuns(delete.key.clone(), before))
            .await
    }

    pub(super) async fn delete_with_entries(
        &self,
        delete: &DeleteBatch,
    ) -> AttemptResult<Option<Batch>> {
        self.put(Plain::ForgetStats(delete.id)).await?;
        let answer = self.swap(delete).await?;
        if answer != Attempt::Applied {
            return Ok(answer);
        }
        self.put_last(Plain::ForgetListing(delete.creation_time, delete.id))
            .await
    }

    /// The plain write after a compare-and-set that took effect.
    async fn put_last<F>(&self, plain: Plain) -> AttemptResult<F> {
        Ok(half_done(self.put(plain).await.map(|()| Attempt::Applied)))
    }

    pub(super) async fn move_with_copy(
        &self,
        verb: &'static str,
        change: &MoveBatch,
    ) -> AttemptResult<Option<Batch>> {
        let answer = self.swap_with(verb, change, |_, _, _, _| ()).await?;
        if answer == Attempt::Applied {
            // A copy that is lost is only a copy.
            let _ = self.put(Plain::Copy(ListingCopy::of(change))).await;
        }
        Ok(answer)
    }

    pub(super) async fn finish(&self, finish: &FinishBatch) -> AttemptResult<FinishLost> {
        let first = self.move_with_copy(finish.verb(), &finish.batch).await?;
        if first != Attempt::Applied {
            return Ok(first.map_lost(|found| FinishLost::Batch(found.map(Box::new))));
        }
        let second = self.end(&finish.job).await;
        Ok(half_done(second).map_lost(|found| FinishLost::Job(found.map(Box::new))))
    }

    pub(super) async fn open_with_ids(&self, open: &OpenChunk) -> AttemptResult<Option<ChunkHead>> {
        self.swap_with(open.verb(), open, |open, _, chunk, _| {
            chunk.ids.clone_from(&open.ids);
        })
        .await
    }

    pub(super) async fn flush(&self, flush: &FlushChunk) -> AttemptResult<Option<ChunkHead>> {
        if !flush.instances.is_empty() {
            let instances = flush.instances.clone();
            self.put(Plain::Instances(flush.logical_unit.clone(), instances))
                .await?;
        }
        let verb = flush.verb();
        if self.bug() == Some(PlantedBug::FlushWithoutFence) {
            let flush = FlushWithoutFence(flush.clone());
            return self
                .swap_with(verb, &flush, |flush, before, chunk, watch| {
                    record(&flush.0, before, chunk, watch);
                })
                .await;
        }
        self.swap_with(verb, flush, record).await
    }
}

/// The rows of a flush.
fn record(flush: &FlushChunk, before: Option<&Chunk>, chunk: &mut Chunk, watch: &mut Watch) {
    if let Some(before) = before {
        watch.flush(flush, before);
    }
    for row in &flush.rows {
        if chunk.rows.insert(row.id.clone(), row.clone()).is_none() {
            chunk.order.push(row.id.clone());
        }
    }
}

/// The second half of a verb whose first half took effect: a failure of it is no proof of no effect.
fn half_done<F>(answer: Result<Attempt<F>, StoreError>) -> Attempt<F> {
    answer.unwrap_or_else(|error| Attempt::Unknown(error.to_string()))
}

/// The directory entry of a batch as it is submitted.
fn listing_of(batch: &Batch) -> BatchListing {
    BatchListing {
        id: batch.id,
        creation_time: batch.creation_time,
        status: batch.status,
        end_time: batch.end_time,
        command: batch.command.chars().take(200).collect(),
        failed: batch.statistics.as_ref().map_or(0, failed_of),
    }
}
