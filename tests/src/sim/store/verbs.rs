//! The compare-and-set verbs as ordered lists of statements.

use weft_model::clock::Timestamp;
use weft_model::{Batch, BatchId, CheckpointHead, ChunkHead, Deployment, Job, Setting};
use weft_store::{
    Attempt, AttemptResult, ClaimJob, DeleteBatch, DeleteJob, EndJob, FinishBatch, FinishLost,
    FlushChunk, MoveBatch, PutSetting, RequestBatch, RequestJob, StoreError, SubmitBatch,
    SubmitLost, WriteJob,
};

use super::SimHandle;
use super::statement::{Found, ListingCopy, Plain, Swap};
use super::tables::{Tables, listing_of};

impl SimHandle {
    async fn swap<F>(
        &self,
        verb: &'static str,
        swap: Swap,
        found: impl FnOnce(Found) -> F,
    ) -> AttemptResult<F> {
        self.counters.compare_and_set(verb);
        Ok(self.send(swap).await?.map_lost(found))
    }

    /// A hint that goes before a truth: without it nothing else is sent.
    async fn hint(&self, plain: Plain) -> Result<(), StoreError> {
        self.put(plain).await
    }

    pub(super) async fn submit(&self, submit: &SubmitBatch) -> AttemptResult<SubmitLost> {
        self.hint(Plain::Listing(listing_of(&submit.batch))).await?;
        self.hint(Plain::Due(submit.due.clone())).await?;
        let insert = Swap::InsertBatch(Box::new(submit.batch.clone()), submit.token);
        let lost = |found| SubmitLost::Batch(batch_of(found).expect("the row that has the id"));
        let first = self.swap("submit_batch", insert, lost).await?;
        if first != Attempt::Applied {
            return Ok(first);
        }
        let insert = Swap::InsertJob(Box::new(submit.job.clone()), submit.token);
        let lost = |found| SubmitLost::Job(job_of(found).expect("the row that has the key"));
        Ok(half_done(self.swap("submit_batch", insert, lost).await))
    }

    pub(super) async fn claim_a_job(&self, claim: &ClaimJob) -> AttemptResult<Option<Job>> {
        self.hint(Plain::Due(claim.due.clone())).await?;
        self.swap("claim_job", Swap::ClaimJob(claim.clone()), job)
            .await
    }

    pub(super) async fn end_a_job(&self, end: &EndJob) -> AttemptResult<Option<Job>> {
        if let Some(due) = &end.due {
            self.hint(Plain::Due(due.clone())).await?;
        }
        if let Some(run) = &end.run {
            self.hint(Plain::Run(Box::new(run.clone()))).await?;
        }
        self.swap("end_job", Swap::EndJob(Box::new(end.clone())), job)
            .await
    }

    pub(super) async fn write_a_job(&self, write: &WriteJob) -> AttemptResult<Option<Job>> {
        if let Some(due) = &write.due {
            self.hint(Plain::Due(due.clone())).await?;
        }
        self.swap("write_job", Swap::WriteJob(Box::new(write.clone())), job)
            .await
    }

    pub(super) async fn request_a_job(&self, request: &RequestJob) -> AttemptResult<Option<Job>> {
        self.swap(
            "request_job",
            Swap::RequestJob(Box::new(request.clone())),
            job,
        )
        .await
    }

    pub(super) async fn delete_a_job(&self, delete: &DeleteJob) -> AttemptResult<Option<Job>> {
        let answer = self
            .swap("delete_job", Swap::DeleteJob(delete.clone()), job)
            .await?;
        if answer != Attempt::Applied {
            return Ok(answer);
        }
        let behind = Timestamp(delete.ended.0.saturating_add(1));
        let forget = Plain::ForgetRuns(delete.key.clone(), behind);
        Ok(half_done(self.put(forget).await.map(|()| Attempt::Applied)))
    }

    pub(super) async fn delete_a_batch(
        &self,
        delete: &DeleteBatch,
    ) -> AttemptResult<Option<Batch>> {
        self.hint(Plain::ForgetStats(delete.id)).await?;
        let answer = self
            .change_batch("delete_batch", Swap::DeleteBatch(delete.clone()))
            .await?;
        if answer != Attempt::Applied {
            return Ok(answer);
        }
        let forget = Plain::ForgetListing(delete.creation_time, delete.id);
        Ok(half_done(self.put(forget).await.map(|()| Attempt::Applied)))
    }

    pub(super) async fn change_batch(
        &self,
        verb: &'static str,
        swap: Swap,
    ) -> AttemptResult<Option<Batch>> {
        self.swap(verb, swap, |found| batch_of(found).map(|batch| *batch))
            .await
    }

    pub(super) async fn move_a_batch(
        &self,
        verb: &'static str,
        change: &MoveBatch,
    ) -> AttemptResult<Option<Batch>> {
        let answer = self
            .change_batch(verb, Swap::MoveBatch(Box::new(change.clone())))
            .await?;
        if answer == Attempt::Applied {
            // A copy that is lost is only a copy.
            let _ = self.put(Plain::Copy(ListingCopy::of(change))).await;
        }
        Ok(answer)
    }

    pub(super) async fn request(&self, request: &RequestBatch) -> AttemptResult<Option<Batch>> {
        if let Some(due) = &request.due {
            self.hint(Plain::Due(due.clone())).await?;
        }
        self.change_batch("request_batch", Swap::Request(request.clone()))
            .await
    }

    pub(super) async fn finish(&self, finish: &FinishBatch) -> AttemptResult<FinishLost> {
        let first = self.move_a_batch("finish_batch", &finish.batch).await?;
        if first != Attempt::Applied {
            return Ok(first.map_lost(|found| FinishLost::Batch(found.map(Box::new))));
        }
        let second = self.end_a_job(&finish.job).await;
        Ok(half_done(second.map(|answer| {
            answer.map_lost(|found| FinishLost::Job(found.map(Box::new)))
        })))
    }

    pub(super) async fn change_chunk_row(
        &self,
        verb: &'static str,
        swap: Swap,
    ) -> AttemptResult<Option<ChunkHead>> {
        self.swap(verb, swap, chunk).await
    }

    pub(super) async fn flush(&self, flush: &FlushChunk) -> AttemptResult<Option<ChunkHead>> {
        if !flush.instances.is_empty() {
            let instances = flush.instances.clone();
            self.put(Plain::Instances(flush.logical_unit.clone(), instances))
                .await?;
        }
        self.change_chunk_row("flush_chunk", Swap::Flush(Box::new(flush.clone())))
            .await
    }

    pub(super) async fn command(
        &self,
        claim: &weft_store::ClaimCommand,
    ) -> AttemptResult<Option<BatchId>> {
        let swap = Swap::ClaimCommand(claim.clone());
        self.swap("claim_command", swap, |found| match found {
            Found::Command(found) => found,
            _ => None,
        })
        .await
    }

    pub(super) async fn release_a_command(
        &self,
        release: &weft_store::ReleaseCommand,
    ) -> AttemptResult<Option<BatchId>> {
        let swap = Swap::ReleaseCommand(release.clone());
        self.swap("release_command", swap, |found| match found {
            Found::Command(found) => found,
            _ => None,
        })
        .await
    }

    pub(super) async fn deploy_project(
        &self,
        deploy: &weft_store::Deploy,
    ) -> AttemptResult<Option<Deployment>> {
        let swap = Swap::Deploy(deploy.clone());
        self.swap("deploy", swap, |found| match found {
            Found::Deployment(found) => found,
            _ => None,
        })
        .await
    }

    pub(super) async fn change_setting(&self, put: &PutSetting) -> AttemptResult<Option<Setting>> {
        let swap = Swap::PutSetting(put.clone());
        self.swap("put_setting", swap, |found| match found {
            Found::Setting(found) => found,
            _ => None,
        })
        .await
    }

    pub(super) async fn change_scope(
        &self,
        verb: &'static str,
        swap: Swap,
    ) -> AttemptResult<Option<CheckpointHead>> {
        self.swap(verb, swap, |found| match found {
            Found::Checkpoints(found) => found,
            _ => None,
        })
        .await
    }
}

impl Tables {
    /// What a refusal of `swap` would show now.
    pub(super) fn found(&mut self, swap: &Swap) -> Found {
        let chunk = |batch, number| {
            let row = self.chunks.get(&(batch, number));
            Found::Chunk(row.map(|row| Box::new(row.peek().head.clone())))
        };
        let batch = |id: &BatchId| {
            let row = self.batches.get(id);
            Found::Batch(row.map(|row| Box::new(row.peek().clone())))
        };
        let scope = |name: &String| {
            let row = self.checkpoints.get(name);
            Found::Checkpoints(row.map(|row| row.peek().head.clone()))
        };
        let job = |key| {
            let row = self.jobs.get(key);
            Found::Job(row.map(|row| Box::new(row.peek().clone())))
        };
        match swap {
            Swap::InsertBatch(inserted, _) => Found::Batch(Some(inserted.clone())),
            Swap::InsertJob(inserted, _) => Found::Job(Some(inserted.clone())),
            Swap::ClaimCommand(claim) => {
                Found::Command(self.commands.get(&claim.command_key).copied())
            }
            Swap::ReleaseCommand(release) => {
                Found::Command(self.commands.get(&release.command_key).copied())
            }
            Swap::ClaimJob(claim) => job(&claim.key),
            Swap::EndJob(end) => job(&end.key),
            Swap::WriteJob(write) => job(&write.job.key),
            Swap::RequestJob(request) => job(&request.key),
            Swap::DeleteJob(delete) => job(&delete.key),
            Swap::DeleteBatch(delete) => batch(&delete.id),
            Swap::ClaimBatch(claim) => batch(&claim.id),
            Swap::MoveBatch(change) => batch(&change.guard.id),
            Swap::Reserve(reserve) => batch(&reserve.guard.id),
            Swap::SaveStatistics(save) => batch(&save.guard.id),
            Swap::Request(request) => batch(&request.id),
            Swap::Open(open) => chunk(open.batch, open.number),
            Swap::ClaimChunk(claim) => chunk(claim.batch, claim.number),
            Swap::Flush(flush) => chunk(flush.batch, flush.number),
            Swap::ChangeChunk(change) => chunk(change.batch, change.number),
            Swap::TakeCheckpoints(take) => scope(&take.scope),
            Swap::SaveCheckpoints(save) => scope(&save.scope),
            Swap::ForgetCheckpoints(forget) => scope(&forget.scope),
            Swap::PutSetting(put) => Found::Setting(self.setting(&put.setting.name)),
            Swap::Deploy(_) => {
                Found::Deployment(self.deployment.as_ref().map(|(_, found)| found.clone()))
            }
        }
    }
}

/// The second half of a verb whose first half took effect: a failure of it is no proof of no effect.
fn half_done<F>(answer: AttemptResult<F>) -> Attempt<F> {
    answer.unwrap_or_else(|error| Attempt::Unknown(error.to_string()))
}

fn batch_of(found: Found) -> Option<Box<Batch>> {
    match found {
        Found::Batch(found) => found,
        _ => None,
    }
}

fn job_of(found: Found) -> Option<Box<Job>> {
    match found {
        Found::Job(found) => found,
        _ => None,
    }
}

fn job(found: Found) -> Option<Job> {
    job_of(found).map(|job| *job)
}

fn chunk(found: Found) -> Option<ChunkHead> {
    match found {
        Found::Chunk(found) => found.map(|head| *head),
        _ => None,
    }
}
