//! Batches: submission, the owner's moves, people's wishes, and the directory by day.

use std::hash::Hash;

use scylla::value::{CqlDate, CqlValue};
use tracing::warn;
use weft_model::clock::Timestamp;
use weft_model::{Batch, BatchId, BatchListing};
use weft_store::{
    Attempt, AttemptResult, BatchGuard, BatchPage, ClaimBatch, ClaimCommand, FinishBatch,
    FinishLost, Freshness, ListBatches, MoveBatch, RequestBatch, ReserveChunks,
    SaveBatchStatistics, StoreError, StoreResult, SubmitBatch, SubmitLost,
};

use crate::CassandraStore;
use crate::connect::stamp_above;
use crate::rows::{Found, Values, json_text};

const BATCHES: &str = "batchprocess_list";
const DAY_MS: i64 = 86_400_000;
/// The day 1970-01-01 as CQL counts days.
const EPOCH_DAY: i64 = 1 << 31;
/// Days of the directory that a list looks through, one partition each.
const DAYS_BACK: i64 = 400;
/// Days read at once.
const DAYS_AT_ONCE: usize = 16;
/// Characters of a command that lists show.
const COMMAND_HEAD: usize = 200;

/// The partition of a batch, for the lane of its compare-and-sets.
pub(crate) fn lane(id: BatchId) -> impl Hash {
    (BATCHES, id)
}

impl CassandraStore {
    /// Hints, then the batch row, then its job row. A row found with our token is ours, so a re-sending
    /// goes on where the first one stopped.
    pub(crate) async fn submit(&self, submit: &SubmitBatch) -> AttemptResult<SubmitLost> {
        const VERB: &str = "submit_batch";
        // Stamped with the batch's birth: sent again late, it must not cover the copy of a later state.
        let stamp = submission_stamp(&submit.batch);
        self.put_listing(VERB, &submit.batch, stamp).await?;
        self.put_name(VERB, &submit.job.key).await?;
        self.write_due(VERB, &submit.due).await?;
        let batch = self
            .compare_and_set(
                VERB,
                lane(submit.batch.id),
                &self.statements.insert_batch,
                values_of(&submit.batch)
                    .set("op_token", submit.token)
                    .set("submit_token", submit.token),
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
                let found = found.ok_or_else(|| vanished(&submit.batch.id.to_string()))?;
                return Ok(Attempt::Lost(SubmitLost::Batch(Box::new(found))));
            }
        }
        // The batch row is written: from here on no answer may say that nothing happened.
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
                    Ok(None) => Ok(Attempt::Unknown("the job row vanished".to_owned())),
                    Err(error) => Ok(Attempt::Unknown(error.to_string())),
                }
            }
        }
    }

    pub(crate) async fn claim_a_command(
        &self,
        claim: &ClaimCommand,
    ) -> AttemptResult<Option<BatchId>> {
        let values = Values::new()
            .set("bid", claim.batch)
            .set("command_key", &claim.command_key)
            .set("replaces", claim.replaces);
        let lane = ("active_commands", &claim.command_key);
        let attempt = self
            .compare_and_set_text(
                "claim_command",
                lane,
                &self.statements.claim_command,
                values,
                "bid",
            )
            .await?;
        match attempt {
            Attempt::Applied => Ok(Attempt::Applied),
            Attempt::Unknown(reason) => Ok(Attempt::Unknown(reason)),
            Attempt::Lost(None) => Ok(Attempt::Lost(None)),
            Attempt::Lost(Some(found)) => {
                let found = parse_id(&found)?;
                Ok(if found == claim.batch {
                    Attempt::Applied
                } else {
                    Attempt::Lost(Some(found))
                })
            }
        }
    }

    pub(crate) async fn command_named(&self, command_key: &str) -> StoreResult<Option<BatchId>> {
        let values = Values::new().set("command_key", command_key);
        let row = self
            .read_one(
                "active_command",
                "active_commands",
                &self.statements.active_command,
                values,
            )
            .await?;
        row.map(|mut row| row.parse("bid")).transpose()
    }

    pub(crate) async fn claim_a_batch(&self, claim: &ClaimBatch) -> AttemptResult<Option<Batch>> {
        const VERB: &str = "claim_batch";
        // A fence that does not grow would leave the condition true for a delayed attempt.
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
            .set("op_token", claim.token)
            .set("fence", claim.seen_fence);
        let attempt = self
            .compare_and_set(
                VERB,
                lane(claim.id),
                &self.statements.claim_batch,
                values,
                ("op_token", claim.token),
            )
            .await?;
        self.with_batch(VERB, attempt, claim.id).await
    }

    pub(crate) async fn move_a_batch(&self, change: &MoveBatch) -> AttemptResult<Option<Batch>> {
        const VERB: &str = "move_batch";
        let attempt = self.move_row(VERB, change).await?;
        self.with_batch(VERB, attempt, change.guard.id).await
    }

    /// The move itself, and the copy for lists behind it.
    async fn move_row(&self, verb: &'static str, change: &MoveBatch) -> AttemptResult<()> {
        let to = &change.to;
        let (total, duplicates) = to.totals.unzip();
        let values = guarded(&change.guard)
            .set("op_token", change.token)
            .set("status", to.status.as_str())
            .set_or_keep("start_time", to.start_time)
            .set_or_keep("end_time", to.end_time)
            .set_or_keep("error", to.error.as_ref())
            .set_or_keep("total_entities", total)
            .set_or_keep("duplicates", duplicates)
            .set_or_keep("extra_stats", to.extra_stats.as_ref())
            .set_or_keep("statistics", to.statistics.as_ref().map(json_text))
            .clear_or_keep("to_owner_node", to.release)
            .clear_or_keep("to_owner_inc", to.release)
            .set_or_keep("desired", to.desired.map(|desired| desired.as_str()))
            .set_or_keep(
                "to_desired_seq",
                to.desired.map(|_| change.guard.desired_seq + 1),
            );
        let attempt = self
            .compare_and_set(
                verb,
                lane(change.guard.id),
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

    pub(crate) async fn reserve(&self, reserve: &ReserveChunks) -> AttemptResult<Option<Batch>> {
        const VERB: &str = "reserve_chunks";
        let values = guarded(&reserve.guard)
            .set("op_token", reserve.token)
            .set("to_chunks", reserve.to)
            .set("chunks", reserve.from);
        let attempt = self
            .compare_and_set(
                VERB,
                lane(reserve.guard.id),
                &self.statements.reserve_chunks,
                values,
                ("op_token", reserve.token),
            )
            .await?;
        self.with_batch(VERB, attempt, reserve.guard.id).await
    }

    pub(crate) async fn save_statistics(
        &self,
        save: &SaveBatchStatistics,
    ) -> AttemptResult<Option<Batch>> {
        const VERB: &str = "save_batch_statistics";
        let values = guarded(&save.guard)
            .set("op_token", save.token)
            .set("to_stats_seq", save.seq)
            .set("stats_seq", save.seq - 1)
            .set("extra_stats", &save.extra_stats)
            .set_json("statistics", &save.statistics);
        let attempt = self
            .compare_and_set(
                VERB,
                lane(save.guard.id),
                &self.statements.save_statistics,
                values,
                ("op_token", save.token),
            )
            .await?;
        self.with_batch(VERB, attempt, save.guard.id).await
    }

    pub(crate) async fn request(&self, request: &RequestBatch) -> AttemptResult<Option<Batch>> {
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
            .set("desired_token", request.token)
            .set("statuses", CqlValue::List(statuses));
        let attempt = self
            .compare_and_set(
                VERB,
                lane(request.id),
                &self.statements.request_batch,
                values,
                ("desired_token", request.token),
            )
            .await?;
        self.with_batch(VERB, attempt, request.id).await
    }

    /// The move, then the end of the job. The row keeps the token of its last move, so a re-sending passes
    /// over the first half when it has applied.
    pub(crate) async fn finish(&self, finish: &FinishBatch) -> AttemptResult<FinishLost> {
        const VERB: &str = "finish_batch";
        match self.move_row(VERB, &finish.batch).await? {
            Attempt::Applied => (),
            Attempt::Unknown(reason) => return Ok(Attempt::Unknown(reason)),
            Attempt::Lost(()) => {
                let found = self
                    .read_batch(VERB, finish.batch.guard.id, Freshness::Serial)
                    .await?;
                return Ok(Attempt::Lost(FinishLost::Batch(found.map(Box::new))));
            }
        }
        // The batch has ended: from here on no answer may say that nothing happened.
        match self.end_a_job(&finish.job).await {
            Ok(attempt) => Ok(attempt.map_lost(|found| FinishLost::Job(found.map(Box::new)))),
            Err(error) => Ok(Attempt::Unknown(error.to_string())),
        }
    }

    /// A refusal with the row that refused. The answer is definite already, so reading may follow.
    pub(crate) async fn with_batch(
        &self,
        verb: &'static str,
        attempt: Attempt<()>,
        id: BatchId,
    ) -> AttemptResult<Option<Batch>> {
        attempt
            .or_found(self.read_batch(verb, id, Freshness::Serial))
            .await
    }

    pub(crate) async fn read_batch(
        &self,
        verb: &'static str,
        id: BatchId,
        freshness: Freshness,
    ) -> StoreResult<Option<Batch>> {
        let statement = match freshness {
            Freshness::Committed => &self.statements.batch,
            Freshness::Serial => &self.statements.batch_serial,
        };
        self.read_one(verb, BATCHES, statement, Values::new().set("bid", id))
            .await?
            .map(batch_of)
            .transpose()
    }

    /// Copies the row as it stands now; a copy that fails is only a copy, the next move writes another.
    async fn copy_for_lists(&self, verb: &'static str, id: BatchId) {
        let copied = match self.read_batch(verb, id, Freshness::Committed).await {
            Ok(Some(batch)) => {
                // Above the stamp of the submission, whatever this node's clock says.
                let stamp = stamp_above(&self.link.stamps, submission_stamp(&batch));
                self.put_listing(verb, &batch, stamp).await
            }
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = copied {
            warn!(batch.id = %id, "Batch {id} moved, but lists show its old state: {error}");
        }
    }

    async fn put_listing(&self, verb: &'static str, batch: &Batch, stamp: i64) -> StoreResult<()> {
        let failed = batch
            .statistics
            .as_ref()
            .map_or(0, |statistics| statistics.total().failed);
        let command: String = batch.command.chars().take(COMMAND_HEAD).collect();
        let values = Values::new()
            .set("day", day_value(day_of(batch.creation_time)))
            .set("creation_time", batch.creation_time)
            .set("bid", batch.id)
            .set("status", batch.status.as_str())
            .set("end_time", batch.end_time)
            .set("command", command)
            .set("failed", failed)
            .set("stamp", stamp);
        self.write(verb, &self.statements.put_listing, values).await
    }

    /// Day by day backwards, until there is one more than asked for.
    pub(crate) async fn list_batches(&self, list: &ListBatches) -> StoreResult<BatchPage> {
        let (before_time, before_bid) = match list.before {
            Some((time, id)) if time < list.to => (time, id.to_string()),
            _ => (list.to, String::new()),
        };
        let newest = day_of(before_time);
        let oldest = day_of(list.from).max(newest.saturating_sub(DAYS_BACK));
        let wanted = list.limit.saturating_add(1);
        let days: Vec<i64> = (oldest..=newest).rev().collect();
        let mut listings: Vec<BatchListing> = Vec::new();
        for wave in days.chunks(DAYS_AT_ONCE) {
            let reads = wave
                .iter()
                .map(|day| self.list_day(*day, list.from, before_time, &before_bid, wanted));
            for found in futures::future::try_join_all(reads).await? {
                listings.extend(found);
            }
            if listings.len() >= wanted {
                break;
            }
        }
        let more = listings.len() > list.limit;
        listings.truncate(list.limit);
        Ok(BatchPage { listings, more })
    }

    async fn list_day(
        &self,
        day: i64,
        from: Timestamp,
        before_time: Timestamp,
        before_bid: &str,
        limit: usize,
    ) -> StoreResult<Vec<BatchListing>> {
        let values = Values::new()
            .set("day", day_value(day))
            .set("before_time", before_time)
            .set("before_bid", before_bid)
            .set("from_time", from)
            .set("rows", i32::try_from(limit).unwrap_or(i32::MAX));
        self.read(
            "batches",
            "batchprocess_by_day",
            &self.statements.listings,
            values,
        )
        .await?
        .into_iter()
        .map(listing_of)
        .collect()
    }
}

/// Microseconds since 1970, as stamps are.
fn submission_stamp(batch: &Batch) -> i64 {
    batch.creation_time.0.saturating_mul(1_000)
}

pub(crate) fn day_of(moment: Timestamp) -> i64 {
    moment.0.div_euclid(DAY_MS)
}

pub(crate) fn day_value(day: i64) -> CqlValue {
    CqlValue::Date(CqlDate(
        u32::try_from(day.saturating_add(EPOCH_DAY)).unwrap_or(0),
    ))
}

pub(crate) fn parse_id(text: &str) -> StoreResult<BatchId> {
    text.parse()
        .map_err(|error: uuid::Error| StoreError::Corrupt {
            row: "active_commands".to_owned(),
            column: "bid",
            reason: error.to_string(),
        })
}

fn vanished(what: &str) -> StoreError {
    StoreError::Unavailable(format!("{what} was there and is gone, try again"))
}

fn guarded(guard: &BatchGuard) -> Values {
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
        .set("stats_seq", batch.stats_seq)
        .set("notes", batch.notes.as_ref())
}

fn batch_of(mut row: Found) -> StoreResult<Batch> {
    let Some(spec) = row.json("spec")? else {
        return Err(row.corrupt("spec", &"it is null"));
    };
    Ok(Batch {
        id: row.parse("bid")?,
        status: row.parse("status")?,
        spec,
        arguments: row.need("arguments")?,
        command: row.need("command")?,
        creation_time: row.need("creation_time")?,
        start_time: row.take("start_time")?,
        end_time: row.take("end_time")?,
        error: row.take("error")?,
        extra_stats: row.take("extra_stats")?,
        statistics: row.json("statistics")?,
        owner: row.need("owner")?,
        total_entities: row.take("total_entities")?,
        duplicates: row.take("duplicates")?.unwrap_or(0),
        execution_id: row.need("execution_id")?,
        fence: row.need("fence")?,
        owner_node: row.take("owner_node")?,
        owner_incarnation: row.take("owner_inc")?,
        op_token: row.take("op_token")?,
        desired: row.parse("desired")?,
        desired_seq: row.need("desired_seq")?,
        desired_token: row.take("desired_token")?,
        chunks: row.need("chunks")?,
        stats_seq: row.need("stats_seq")?,
        notes: row.take("notes")?,
    })
}

fn listing_of(mut row: Found) -> StoreResult<BatchListing> {
    Ok(BatchListing {
        id: row.parse("bid")?,
        creation_time: row.need("creation_time")?,
        status: row.parse("status")?,
        end_time: row.take("end_time")?,
        command: row.take("command")?.unwrap_or_default(),
        failed: row.take("failed")?.unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_from_1970() {
        assert_eq!(day_of(Timestamp(0)), 0);
        assert_eq!(day_of(Timestamp(-1)), -1);
        assert_eq!(day_value(0), CqlValue::Date(CqlDate(1 << 31)));
    }
}
