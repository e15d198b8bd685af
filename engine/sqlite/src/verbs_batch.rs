//! The compare-and-sets of batches, and what reads them.

use rusqlite::{Connection, OptionalExtension, params};
use weft_model::{Batch, BatchId, BatchStatistics, Token};
use weft_store::{
    Attempt, BatchGuard, BatchPage, ClaimBatch, ClaimCommand, FinishBatch, FinishLost, ListBatches,
    MoveBatch, RequestBatch, ReserveChunks, SaveBatchStatistics, SubmitBatch, SubmitLost,
};

use super::failure::Failure;
use super::queue::Writing;
use super::rows::{self, BATCH, LISTING, bytes, incarnation_bytes, json_text, token_bytes};
use super::verbs_job;

/// See [`SubmitBatch`].
pub(super) fn submit(
    writing: &mut Writing<'_>,
    submit: &SubmitBatch,
) -> Result<Attempt<SubmitLost>, Failure> {
    match get(writing.connection, submit.batch.id)? {
        None => insert(writing, &submit.batch, submit.token)?,
        Some(found) if found.op_token == Some(submit.token) => (),
        Some(found) => return Ok(Attempt::Lost(SubmitLost::Batch(Box::new(found)))),
    }
    if let Some(found) = verbs_job::insert(writing, &submit.job, submit.token)? {
        return Ok(Attempt::Lost(SubmitLost::Job(Box::new(found))));
    }
    verbs_job::put_due(writing, &submit.due)?;
    Ok(Attempt::Applied)
}

fn insert(writing: &mut Writing<'_>, batch: &Batch, token: Token) -> Result<(), Failure> {
    let number = writing.names.batch_or_new(writing.connection, batch.id)?;
    writing
        .connection
        .prepare_cached(&format!(
            "INSERT INTO batch ({BATCH}, no, lut_name, failed) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, \
             ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28)"
        ))?
        .execute(params![
            batch.id.to_string(),
            batch.status.as_str(),
            json_text(&batch.spec)?,
            batch.arguments,
            batch.command,
            batch.creation_time.0,
            batch.start_time.map(|time| time.0),
            batch.end_time.map(|time| time.0),
            batch.error,
            batch.extra_stats,
            batch.statistics.as_ref().map(json_text).transpose()?,
            batch.owner,
            batch.total_entities,
            batch.duplicates,
            batch.execution_id,
            batch.fence,
            batch.owner_node.as_ref().map(|node| &node.0),
            incarnation_bytes(batch.owner_incarnation.as_ref()),
            bytes(&token.0),
            batch.desired.as_str(),
            batch.desired_seq,
            token_bytes(batch.desired_token.as_ref()),
            batch.chunks,
            batch.stats_seq,
            batch.notes,
            number,
            batch.spec.logical_unit,
            failed(batch.statistics.as_ref()).unwrap_or(0),
        ])?;
    Ok(())
}

/// See [`ClaimCommand`].
pub(super) fn claim_command(
    writing: &Writing<'_>,
    claim: &ClaimCommand,
) -> Result<Attempt<Option<BatchId>>, Failure> {
    let found = active_command(writing.connection, &claim.command_key)?;
    if found == Some(claim.batch) {
        return Ok(Attempt::Applied);
    }
    if found != claim.replaces {
        return Ok(Attempt::Lost(found));
    }
    writing
        .connection
        .prepare_cached("INSERT OR REPLACE INTO active_command (command_key, bid) VALUES (?1, ?2)")?
        .execute(params![claim.command_key, claim.batch.to_string()])?;
    Ok(Attempt::Applied)
}

/// The batch that a command names.
pub(super) fn active_command(
    connection: &Connection,
    command_key: &str,
) -> Result<Option<BatchId>, Failure> {
    connection
        .prepare_cached("SELECT bid FROM active_command WHERE command_key = ?1")?
        .query_row([command_key], |row| {
            Ok(rows::Columns::of(row, "active_command").name("bid"))
        })
        .optional()?
        .transpose()
}

/// See [`ClaimBatch`].
pub(super) fn claim(
    writing: &Writing<'_>,
    claim: &ClaimBatch,
) -> Result<Attempt<Option<Batch>>, Failure> {
    let Some(batch) = get(writing.connection, claim.id)? else {
        return Ok(Attempt::Lost(None));
    };
    if batch.op_token == Some(claim.token) {
        return Ok(Attempt::Applied);
    }
    if batch.fence != claim.seen_fence || claim.seen_fence >= claim.to_fence {
        return Ok(Attempt::Lost(Some(batch)));
    }
    writing
        .connection
        .prepare_cached(
            "UPDATE batch SET owner_node = ?2, owner_inc = ?3, fence = ?4, op_token = ?5 WHERE bid = ?1",
        )?
        .execute(params![
            claim.id.to_string(),
            claim.holder.node.0,
            bytes(&claim.holder.incarnation.0),
            claim.to_fence,
            bytes(&claim.token.0),
        ])?;
    Ok(Attempt::Applied)
}

fn guarded(batch: &Batch, guard: &BatchGuard) -> bool {
    batch.owner_node.as_ref() == Some(&guard.holder.node)
        && batch.owner_incarnation == Some(guard.holder.incarnation)
        && batch.fence == guard.fence
        && batch.status == guard.status
        && batch.desired_seq == guard.desired_seq
}

/// Checks an owner's compare-and-set: none where it may go on.
fn refused(
    writing: &Writing<'_>,
    guard: &BatchGuard,
    token: Token,
    also: impl FnOnce(&Batch) -> bool,
) -> Result<Option<Attempt<Option<Batch>>>, Failure> {
    let Some(batch) = get(writing.connection, guard.id)? else {
        return Ok(Some(Attempt::Lost(None)));
    };
    if batch.op_token == Some(token) {
        return Ok(Some(Attempt::Applied));
    }
    if !guarded(&batch, guard) || !also(&batch) {
        return Ok(Some(Attempt::Lost(Some(batch))));
    }
    Ok(None)
}

/// See [`MoveBatch`].
pub(super) fn change(
    writing: &Writing<'_>,
    change: &MoveBatch,
) -> Result<Attempt<Option<Batch>>, Failure> {
    if let Some(answer) = refused(writing, &change.guard, change.token, |_| true)? {
        return Ok(answer);
    }
    let to = &change.to;
    writing
        .connection
        .prepare_cached(
            "UPDATE batch SET status = ?2, start_time = coalesce(?3, start_time), \
             end_time = coalesce(?4, end_time), error = coalesce(?5, error), \
             total_entities = coalesce(?6, total_entities), duplicates = coalesce(?7, duplicates), \
             extra_stats = coalesce(?8, extra_stats), statistics = coalesce(?9, statistics), \
             failed = coalesce(?10, failed), \
             owner_node = CASE WHEN ?11 THEN NULL ELSE owner_node END, \
             owner_inc = CASE WHEN ?11 THEN NULL ELSE owner_inc END, \
             desired = coalesce(?12, desired), \
             desired_seq = desired_seq + CASE WHEN ?12 IS NULL THEN 0 ELSE 1 END, \
             op_token = ?13 WHERE bid = ?1",
        )?
        .execute(params![
            change.guard.id.to_string(),
            to.status.as_str(),
            to.start_time.map(|time| time.0),
            to.end_time.map(|time| time.0),
            to.error,
            to.totals.map(|(total, _)| total),
            to.totals.map(|(_, duplicates)| duplicates),
            to.extra_stats,
            to.statistics.as_ref().map(json_text).transpose()?,
            failed(to.statistics.as_ref()),
            to.release,
            to.desired.map(|desired| desired.as_str()),
            bytes(&change.token.0),
        ])?;
    Ok(Attempt::Applied)
}

/// See [`ReserveChunks`].
pub(super) fn reserve(
    writing: &Writing<'_>,
    reserve: &ReserveChunks,
) -> Result<Attempt<Option<Batch>>, Failure> {
    let as_seen = |batch: &Batch| batch.chunks == reserve.from;
    if let Some(answer) = refused(writing, &reserve.guard, reserve.token, as_seen)? {
        return Ok(answer);
    }
    writing
        .connection
        .prepare_cached("UPDATE batch SET chunks = ?2, op_token = ?3 WHERE bid = ?1")?
        .execute(params![
            reserve.guard.id.to_string(),
            reserve.to,
            bytes(&reserve.token.0),
        ])?;
    Ok(Attempt::Applied)
}

/// See [`SaveBatchStatistics`].
pub(super) fn save_statistics(
    writing: &Writing<'_>,
    save: &SaveBatchStatistics,
) -> Result<Attempt<Option<Batch>>, Failure> {
    let as_seen = |batch: &Batch| batch.stats_seq == save.seq - 1;
    if let Some(answer) = refused(writing, &save.guard, save.token, as_seen)? {
        return Ok(answer);
    }
    writing
        .connection
        .prepare_cached(
            "UPDATE batch SET stats_seq = ?2, extra_stats = ?3, statistics = ?4, failed = ?5, \
             op_token = ?6 WHERE bid = ?1",
        )?
        .execute(params![
            save.guard.id.to_string(),
            save.seq,
            save.extra_stats,
            json_text(&save.statistics)?,
            failed(Some(&save.statistics)),
            bytes(&save.token.0),
        ])?;
    Ok(Attempt::Applied)
}

/// See [`RequestBatch`].
pub(super) fn request(
    writing: &Writing<'_>,
    request: &RequestBatch,
) -> Result<Attempt<Option<Batch>>, Failure> {
    let Some(batch) = get(writing.connection, request.id)? else {
        return Ok(Attempt::Lost(None));
    };
    if batch.desired_token == Some(request.token) {
        return Ok(Attempt::Applied);
    }
    if batch.desired_seq != request.seq - 1 || !request.allowed.contains(&batch.status) {
        return Ok(Attempt::Lost(Some(batch)));
    }
    if let Some(due) = &request.due {
        verbs_job::put_due(writing, due)?;
    }
    writing
        .connection
        .prepare_cached(
            "UPDATE batch SET desired = ?2, desired_seq = ?3, desired_token = ?4 WHERE bid = ?1",
        )?
        .execute(params![
            request.id.to_string(),
            request.desired.as_str(),
            request.seq,
            bytes(&request.token.0),
        ])?;
    Ok(Attempt::Applied)
}

/// See [`FinishBatch`].
pub(super) fn finish(
    writing: &Writing<'_>,
    finish: &FinishBatch,
) -> Result<Attempt<FinishLost>, Failure> {
    match change(writing, &finish.batch)? {
        Attempt::Applied => (),
        lost => return Ok(lost.map_lost(|found| FinishLost::Batch(found.map(Box::new)))),
    }
    Ok(
        verbs_job::end(writing, &finish.job)?
            .map_lost(|found| FinishLost::Job(found.map(Box::new))),
    )
}

/// One batch.
pub(super) fn get(connection: &Connection, id: BatchId) -> Result<Option<Batch>, Failure> {
    connection
        .prepare_cached(&format!("SELECT {BATCH} FROM batch WHERE bid = ?1"))?
        .query_row([id.to_string()], |row| Ok(rows::batch(row)))
        .optional()?
        .transpose()
}

/// A page of the list, newest first.
pub(super) fn list(connection: &Connection, list: &ListBatches) -> Result<BatchPage, Failure> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {LISTING} FROM batch WHERE creation_time >= ?1 AND creation_time < ?2 \
         AND (creation_time, bid) < (?3, ?4) ORDER BY creation_time DESC, bid DESC LIMIT ?5"
    ))?;
    // Without a place to go on from, everything is before the end of time.
    let (time, id) = match list.before {
        Some((time, id)) => (time.0, id.to_string()),
        None => (i64::MAX, String::new()),
    };
    let mut found = statement.query(params![
        list.from.0,
        list.to.0,
        time,
        id,
        verbs_job::sql_limit(list.limit.saturating_add(1)),
    ])?;
    let mut listings = Vec::new();
    while let Some(row) = found.next()? {
        listings.push(rows::listing(row)?);
    }
    let more = listings.len() > list.limit;
    listings.truncate(list.limit);
    Ok(BatchPage { listings, more })
}

fn failed(statistics: Option<&BatchStatistics>) -> Option<i64> {
    statistics.map(|statistics| statistics.total().failed)
}
