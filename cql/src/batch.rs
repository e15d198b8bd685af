//! Batch rows: submission, the changes by the owner, and requests.

use std::hash::Hash;

use scylla::statement::prepared::PreparedStatement;
use scylla::value::CqlValue;
use weft_model::{Batch, BatchId, FilledChunks, Token};
use weft_store::{
    Attempt, AttemptResult, BatchGuard, ClaimBatch, FinishBatch, FinishLost, Freshness, MoveBatch,
    RequestBatch, ReserveChunks, SaveBatchStatistics, StoreError, StoreResult, SubmitBatch,
    SubmitLost,
};

use crate::CassandraStore;
use crate::batch_list::submission_timestamp;
use crate::row::StoredRow;
use crate::values::{Values, json_text};

const BATCHES: &str = "batchprocess_list";

/// The partition of a batch, for the lock of its compare-and-sets.
pub(crate) fn partition(id: BatchId) -> impl Hash {
    (BATCHES, id)
}

impl CassandraStore {
    /// Writes hints, then the batch row, then its job row. A row with this token counts as inserted, so a re-sending
    /// continues where the first sending stopped.
    pub(crate) async fn insert_batch_and_job(
        &self,
        submit: &SubmitBatch,
    ) -> AttemptResult<SubmitLost> {
        const VERB: &str = "submit_batch";
        // Written with the timestamp of the submission: a late re-sending must not replace the copy of a later state.
        let timestamp = submission_timestamp(&submit.batch);
        self.write_listing(VERB, &submit.batch, timestamp).await?;
        self.write_name(VERB, &submit.job.key).await?;
        self.write_due(VERB, &submit.due).await?;
        let batch = self
            .compare_and_set(
                VERB,
                partition(submit.batch.id),
                &self.statements.insert_batch,
                values_of(&submit.batch).set("op_token", submit.token),
                ("submit_token", submit.token),
            )
            .await?;
        match batch {
            Attempt::Applied => (),
            Attempt::Unknown(reason) => return Ok(Attempt::Unknown(reason)),
            Attempt::Lost(()) => {
                let found = self
                    .read_batch(VERB, submit.batch.id, Freshness::Serial)
                    .await?;
                let found = found.ok_or_else(|| vanished(submit.batch.id))?;
                return Ok(Attempt::Lost(SubmitLost::Batch(Box::new(found))));
            }
        }
        // The batch row is written: from here on no answer may be a definite failure.
        let job = match self.insert_job(VERB, &submit.job, submit.token).await {
            Ok(attempt) => attempt,
            Err(error) => return Ok(Attempt::Unknown(error.to_string())),
        };
        match job {
            Attempt::Applied => Ok(Attempt::Applied),
            Attempt::Unknown(reason) => Ok(Attempt::Unknown(reason)),
            Attempt::Lost(()) => {
                match self
                    .read_job(VERB, &submit.job.key, Freshness::Serial)
                    .await
                {
                    Ok(Some(found)) => Ok(Attempt::Lost(SubmitLost::Job(Box::new(found)))),
                    Ok(None) => Ok(Attempt::Unknown(
                        "the job row was removed while the batch was submitted".to_owned(),
                    )),
                    Err(error) => Ok(Attempt::Unknown(error.to_string())),
                }
            }
        }
    }

    pub(crate) async fn claim_batch_row(&self, claim: &ClaimBatch) -> AttemptResult<Option<Batch>> {
        const VERB: &str = "claim_batch";
        // If the fence did not grow, the condition would still hold for a delayed attempt.
        if claim.to_fence <= claim.seen_fence {
            return Err(StoreError::Refused(format!(
                "batch {} has fence {} and cannot be claimed under {}",
                claim.id, claim.seen_fence, claim.to_fence
            )));
        }
        let values = Values::new()
            .set("bid", claim.id)
            .set("owner_node", &claim.holder.node)
            .set("owner_inc", claim.holder.incarnation)
            .set("to_fence", claim.to_fence)
            .set("fence", claim.seen_fence);
        let (statement, token) = (&self.statements.claim_batch, ("op_token", claim.token));
        self.change_batch(VERB, claim.id, statement, values, token)
            .await
    }

    pub(crate) async fn move_batch_row(&self, change: &MoveBatch) -> AttemptResult<Option<Batch>> {
        const VERB: &str = "move_batch";
        let attempt = self.move_and_list(VERB, change).await?;
        let found = self.read_batch(VERB, change.guard.id, Freshness::Serial);
        attempt.or_found(found).await
    }

    /// Moves the row, and then copies it for lists.
    async fn move_and_list(&self, verb: &'static str, change: &MoveBatch) -> AttemptResult<()> {
        let to = &change.to;
        let (total, duplicates) = to.totals.unzip();
        let mut values = guard_values(&change.guard)
            .set("status", to.status.as_str())
            .set_or_keep("start_time", to.start_time)
            .set_or_keep("end_time", to.end_time)
            .set_or_keep("error", to.error.as_ref())
            .set_or_keep("total_entities", total)
            .set_or_keep("duplicates", duplicates)
            .set_or_keep("chunks_filled", to.filled.map(|filled| filled.chunks))
            .set_or_keep("entities_filled", to.filled.map(|filled| filled.entities))
            .set_or_keep("extra_stats", to.extra_stats.as_ref())
            .set_or_keep("statistics", to.statistics.as_ref().map(json_text))
            .clear_or_keep("to_owner_node", to.release)
            .clear_or_keep("to_owner_inc", to.release)
            .set_or_keep("desired", to.desired.map(|desired| desired.as_str()))
            .set_or_keep(
                "to_desired_seq",
                to.desired.map(|_| change.guard.desired_seq + 1),
            );
        if to.reopens_list {
            values = values.clear_or_keep("total_entities", true);
        }
        let attempt = self
            .compare_and_set(
                verb,
                partition(change.guard.id),
                &self.statements.move_batch,
                values,
                ("op_token", change.token),
            )
            .await?;
        if attempt == Attempt::Applied {
            self.copy_for_lists(verb, change.guard.id).await;
        }
        Ok(attempt)
    }

    pub(crate) async fn reserve_chunk_numbers(
        &self,
        reserve: &ReserveChunks,
    ) -> AttemptResult<Option<Batch>> {
        const VERB: &str = "reserve_chunks";
        let values = guard_values(&reserve.guard)
            .set("to_chunks", reserve.to)
            .set("chunks_filled", reserve.filled.chunks)
            .set("entities_filled", reserve.filled.entities)
            .set("chunks", reserve.from);
        let (statement, token) = (&self.statements.reserve_chunks, ("op_token", reserve.token));
        self.change_batch(VERB, reserve.guard.id, statement, values, token)
            .await
    }

    pub(crate) async fn write_batch_statistics(
        &self,
        save: &SaveBatchStatistics,
    ) -> AttemptResult<Option<Batch>> {
        const VERB: &str = "save_batch_statistics";
        let values = guard_values(&save.guard)
            .set("to_stats_seq", save.seq)
            .set("stats_seq", save.seq - 1)
            .set("extra_stats", &save.extra_stats)
            .set_json("statistics", &save.statistics);
        let (statement, token) = (&self.statements.save_statistics, ("op_token", save.token));
        self.change_batch(VERB, save.guard.id, statement, values, token)
            .await
    }

    pub(crate) async fn request_batch_row(
        &self,
        request: &RequestBatch,
    ) -> AttemptResult<Option<Batch>> {
        const VERB: &str = "request_batch";
        if let Some(due) = &request.due {
            self.write_due(VERB, due).await?;
        }
        let statuses: Vec<CqlValue> = request
            .allowed
            .iter()
            .map(|status| CqlValue::Text(status.as_str().to_owned()))
            .collect();
        let values = Values::new()
            .set("bid", request.id)
            .set("desired", request.desired.as_str())
            .set("to_desired_seq", request.seq)
            .set("desired_seq", request.seq - 1)
            .set("statuses", CqlValue::List(statuses));
        let (statement, token) = (
            &self.statements.request_batch,
            ("desired_token", request.token),
        );
        self.change_batch(VERB, request.id, statement, values, token)
            .await
    }

    /// Moves the batch, then ends its job. The row keeps the token of its last move, so a re-sending recognises a first
    /// half that has applied.
    pub(crate) async fn finish_batch_and_job(
        &self,
        finish: &FinishBatch,
    ) -> AttemptResult<FinishLost> {
        const VERB: &str = "finish_batch";
        match self.move_and_list(VERB, &finish.batch).await? {
            Attempt::Applied => (),
            Attempt::Unknown(reason) => return Ok(Attempt::Unknown(reason)),
            Attempt::Lost(()) => {
                let found = self
                    .read_batch(VERB, finish.batch.guard.id, Freshness::Serial)
                    .await?;
                return Ok(Attempt::Lost(FinishLost::Batch(found.map(Box::new))));
            }
        }
        // The batch has ended: from here on no answer may be a definite failure.
        match self.end_job_row(&finish.job).await {
            Ok(attempt) => Ok(attempt.map_lost(|found| FinishLost::Job(found.map(Box::new)))),
            Err(error) => Ok(Attempt::Unknown(error.to_string())),
        }
    }

    /// Sends a compare-and-set on the row of a batch. A refusal has the row that is there: the answer is already definite, so a
    /// read may follow it.
    async fn change_batch(
        &self,
        verb: &'static str,
        id: BatchId,
        statement: &PreparedStatement,
        values: Values,
        token: (&'static str, Token),
    ) -> AttemptResult<Option<Batch>> {
        let attempt = self
            .compare_and_set(verb, partition(id), statement, values, token)
            .await?;
        let found = self.read_batch(verb, id, Freshness::Serial);
        attempt.or_found(found).await
    }

    pub(crate) async fn read_batch(
        &self,
        verb: &'static str,
        id: BatchId,
        freshness: Freshness,
    ) -> StoreResult<Option<Batch>> {
        let statement = self.statements.batch.at(freshness);
        self.read_one(verb, BATCHES, statement, Values::new().set("bid", id))
            .await?
            .map(batch_of)
            .transpose()
    }
}

fn vanished(id: BatchId) -> StoreError {
    StoreError::Unavailable(format!(
        "batch {id} was removed while it was submitted, try again"
    ))
}

/// The values of the condition on a change by the owner.
fn guard_values(guard: &BatchGuard) -> Values {
    Values::new()
        .set("bid", guard.id)
        .set("owner_node", &guard.holder.node)
        .set("owner_inc", guard.holder.incarnation)
        .set("fence", guard.fence)
        .set("seen_status", guard.status.as_str())
        .set("desired_seq", guard.desired_seq)
}

fn values_of(batch: &Batch) -> Values {
    Values::new()
        .set("bid", batch.id)
        .set("arguments", &batch.arguments)
        .set("command", &batch.command)
        .set("creation_time", batch.creation_time)
        .set("start_time", batch.start_time)
        .set("end_time", batch.end_time)
        .set("error", batch.error.as_ref())
        .set("extra_stats", batch.extra_stats.as_ref())
        .set("lut_name", &batch.spec.logical_unit)
        .set("owner", &batch.owner)
        .set("status", batch.status.as_str())
        .set("total_entities", batch.total_entities)
        .set_json("spec", &batch.spec)
        .set("statistics", batch.statistics.as_ref().map(json_text))
        .set("duplicates", batch.duplicates)
        .set("execution_id", &batch.execution_id)
        .set("fence", batch.fence)
        .set("owner_node", batch.owner_node.as_ref())
        .set("owner_inc", batch.owner_incarnation)
        .set("desired", batch.desired.as_str())
        .set("desired_seq", batch.desired_seq)
        .set("desired_token", batch.desired_token)
        .set("chunks", batch.chunks)
        .set("chunks_filled", batch.filled.map(|filled| filled.chunks))
        .set(
            "entities_filled",
            batch.filled.map(|filled| filled.entities),
        )
        .set("stats_seq", batch.stats_seq)
        .set("notes", batch.notes.as_ref())
}

fn filled(chunks: Option<i64>, entities: Option<i64>) -> Option<FilledChunks> {
    let (chunks, entities) = chunks.zip(entities)?;
    Some(FilledChunks { chunks, entities })
}

fn batch_of(mut row: StoredRow) -> StoreResult<Batch> {
    let Some(spec) = row.take_json("spec")? else {
        return Err(row.corrupt("spec", &"it is null"));
    };
    Ok(Batch {
        id: row.take_parsed("bid")?,
        status: row.take_parsed("status")?,
        spec,
        arguments: row.require("arguments")?,
        command: row.require("command")?,
        creation_time: row.require("creation_time")?,
        start_time: row.take("start_time")?,
        end_time: row.take("end_time")?,
        error: row.take("error")?,
        extra_stats: row.take("extra_stats")?,
        statistics: row.take_json("statistics")?,
        owner: row.require("owner")?,
        total_entities: row.take("total_entities")?,
        duplicates: row.take("duplicates")?.unwrap_or(0),
        execution_id: row.require("execution_id")?,
        fence: row.require("fence")?,
        owner_node: row.take("owner_node")?,
        owner_incarnation: row.take("owner_inc")?,
        op_token: row.take("op_token")?,
        desired: row.take_parsed("desired")?,
        desired_seq: row.require("desired_seq")?,
        desired_token: row.take("desired_token")?,
        chunks: row.require("chunks")?,
        filled: filled(row.take("chunks_filled")?, row.take("entities_filled")?),
        stats_seq: row.require("stats_seq")?,
        notes: row.take("notes")?,
    })
}
