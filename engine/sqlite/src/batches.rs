//! Batches and the commands they run: rows, and lists of them.

use rusqlite::{Connection, OptionalExtension, params};
use weft_model::{Batch, BatchId};
use weft_store::{
    Attempt, BatchPage, FinishBatch, FinishLost, ListBatches, SubmitBatch, SubmitLost,
};

use super::failure::Failure;
use super::jobs;
use super::queue::Writing;
use super::rows::{self, BATCH, LISTING, incarnation_bytes, json_text, sql_limit, token_bytes};
use super::table::{Table, carry_out};

impl Table for Batch {
    type Slot = ();

    fn load(writing: &mut Writing<'_>, id: &BatchId) -> Result<Option<((), Self)>, Failure> {
        Ok(get(writing.connection, *id)?.map(|batch| ((), batch)))
    }

    fn save(
        writing: &mut Writing<'_>,
        id: &BatchId,
        slot: Option<()>,
        batch: Option<&Self>,
    ) -> Result<(), Failure> {
        match (batch, slot) {
            (Some(batch), None) => insert(writing, batch),
            (Some(batch), Some(())) => update(writing, batch),
            (None, _) => {
                writing
                    .connection
                    .prepare_cached("DELETE FROM batch WHERE bid = ?1")?
                    .execute([id.to_string()])?;
                Ok(())
            }
        }
    }
}

fn insert(writing: &mut Writing<'_>, batch: &Batch) -> Result<(), Failure> {
    let number = writing.names.batch_or_new(writing.connection, batch.id)?;
    writing
        .connection
        .prepare_cached(&format!(
            "INSERT INTO batch ({BATCH}, no, lut_name, failed) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, \
             ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, \
             ?29, ?30)"
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
            token_bytes(batch.op_token.as_ref()),
            batch.desired.as_str(),
            batch.desired_seq,
            token_bytes(batch.desired_token.as_ref()),
            batch.chunks,
            batch.filled.map(|filled| filled.chunks),
            batch.filled.map(|filled| filled.entities),
            batch.stats_seq,
            batch.notes,
            number,
            batch.spec.logical_unit,
            failed(batch),
        ])?;
    Ok(())
}

/// Everything that an operation can change; what was submitted stays.
fn update(writing: &Writing<'_>, batch: &Batch) -> Result<(), Failure> {
    writing
        .connection
        .prepare_cached(
            "UPDATE batch SET status = ?2, start_time = ?3, end_time = ?4, error = ?5, extra_stats = ?6, \
             statistics = ?7, total_entities = ?8, duplicates = ?9, fence = ?10, owner_node = ?11, \
             owner_inc = ?12, op_token = ?13, desired = ?14, desired_seq = ?15, desired_token = ?16, \
             chunks = ?17, chunks_filled = ?18, entities_filled = ?19, stats_seq = ?20, notes = ?21, failed = ?22 \
             WHERE bid = ?1",
        )?
        .execute(params![
            batch.id.to_string(),
            batch.status.as_str(),
            batch.start_time.map(|time| time.0),
            batch.end_time.map(|time| time.0),
            batch.error,
            batch.extra_stats,
            batch.statistics.as_ref().map(json_text).transpose()?,
            batch.total_entities,
            batch.duplicates,
            batch.fence,
            batch.owner_node.as_ref().map(|node| &node.0),
            incarnation_bytes(batch.owner_incarnation.as_ref()),
            token_bytes(batch.op_token.as_ref()),
            batch.desired.as_str(),
            batch.desired_seq,
            token_bytes(batch.desired_token.as_ref()),
            batch.chunks,
            batch.filled.map(|filled| filled.chunks),
            batch.filled.map(|filled| filled.entities),
            batch.stats_seq,
            batch.notes,
            failed(batch),
        ])?;
    Ok(())
}

/// The row of a command: the batch that it names.
impl Table for BatchId {
    type Slot = ();

    fn load(writing: &mut Writing<'_>, key: &String) -> Result<Option<((), Self)>, Failure> {
        Ok(active_command(writing.connection, key)?.map(|batch| ((), batch)))
    }

    fn save(
        writing: &mut Writing<'_>,
        key: &String,
        _: Option<()>,
        batch: Option<&Self>,
    ) -> Result<(), Failure> {
        let connection = writing.connection;
        match batch {
            Some(batch) => connection
                .prepare_cached("REPLACE INTO active_command (command_key, bid) VALUES (?1, ?2)")?
                .execute([key, &batch.to_string()])?,
            None => connection
                .prepare_cached("DELETE FROM active_command WHERE command_key = ?1")?
                .execute([key])?,
        };
        Ok(())
    }
}

/// See [`SubmitBatch`].
pub(super) fn submit(
    writing: &mut Writing<'_>,
    submit: &SubmitBatch,
) -> Result<Attempt<SubmitLost>, Failure> {
    if let Attempt::Lost(Some(found)) = carry_out(writing, submit)? {
        return Ok(Attempt::Lost(SubmitLost::Batch(Box::new(found))));
    }
    Ok(match carry_out(writing, &submit.job())? {
        Attempt::Lost(Some(found)) => Attempt::Lost(SubmitLost::Job(Box::new(found))),
        _ => Attempt::Applied,
    })
}

/// See [`FinishBatch`].
pub(super) fn finish(
    writing: &mut Writing<'_>,
    finish: &FinishBatch,
) -> Result<Attempt<FinishLost>, Failure> {
    if let Attempt::Lost(found) = carry_out(writing, &finish.batch)? {
        return Ok(Attempt::Lost(FinishLost::Batch(found.map(Box::new))));
    }
    Ok(jobs::end(writing, &finish.job)?.map_lost(|found| FinishLost::Job(found.map(Box::new))))
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
    // Without a start, everything is before the end of time.
    let (time, id) = match list.before {
        Some((time, id)) => (time.0, id.to_string()),
        None => (i64::MAX, String::new()),
    };
    let mut found = statement.query(params![
        list.from.0,
        list.to.0,
        time,
        id,
        sql_limit(list.limit.saturating_add(1)),
    ])?;
    let mut listings = Vec::new();
    while let Some(row) = found.next()? {
        listings.push(rows::listing(row)?);
    }
    let more = listings.len() > list.limit;
    listings.truncate(list.limit);
    Ok(BatchPage { listings, more })
}

/// Failed entities, so that lists need not read the statistics.
fn failed(batch: &Batch) -> i64 {
    let statistics = batch.statistics.as_ref();
    statistics.map_or(0, |statistics| statistics.total().failed)
}
