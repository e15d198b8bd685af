//! Removals: archived jobs, old runs, batches that ended long ago.

use rusqlite::{Connection, OptionalExtension, params};
use weft_model::clock::Timestamp;
use weft_model::{Batch, BatchId, Job, JobKey};
use weft_store::{DeleteBatch, DeleteJob};

use super::failure::Failure;
use super::queue::Writing;
use super::table::{Outcome, Table, carry_out_by};

/// See [`DeleteJob`].
pub(super) fn delete_job(writing: &mut Writing<'_>, delete: &DeleteJob) -> Outcome<Job> {
    let key = &delete.key;
    carry_out_by(writing, delete, |writing, slot, job| {
        writing
            .connection
            .prepare_cached("DELETE FROM job_run WHERE type = ?1 AND name = ?2 AND uid = ?3")?
            .execute([&key.job_type, &key.name, &key.uid])?;
        Job::save(writing, key, slot, job)
    })
}

/// See [`DeleteBatch`]. The number of its id stays: it is never assigned to another batch.
pub(super) fn delete_batch(writing: &mut Writing<'_>, delete: &DeleteBatch) -> Outcome<Batch> {
    carry_out_by(writing, delete, |writing, slot, batch| {
        if let Some(batch_no) = writing.names.batch(writing.connection, delete.id)? {
            writing
                .connection
                .prepare_cached("DELETE FROM batch_node WHERE batch_no = ?1")?
                .execute([batch_no])?;
        }
        Batch::save(writing, &delete.id, slot, batch)
    })
}

/// Whether a job has runs that started before.
pub(super) fn has_old_runs(
    connection: &Connection,
    key: &JobKey,
    before: Timestamp,
) -> Result<bool, Failure> {
    let found: Option<i64> = connection
        .prepare_cached(
            "SELECT 1 FROM job_run WHERE type = ?1 AND name = ?2 AND uid = ?3 AND started < ?4 LIMIT 1",
        )?
        .query_row(params![key.job_type, key.name, key.uid, before.0], |row| row.get(0))
        .optional()?;
    Ok(found.is_some())
}

/// Removes these runs; answers how many there were.
pub(super) fn forget_runs(
    writing: &Writing<'_>,
    key: &JobKey,
    before: Timestamp,
) -> Result<usize, Failure> {
    Ok(writing
        .connection
        .prepare_cached(
            "DELETE FROM job_run WHERE type = ?1 AND name = ?2 AND uid = ?3 AND started < ?4",
        )?
        .execute(params![key.job_type, key.name, key.uid, before.0])?)
}

/// Removes the note of a follower that was written before.
pub(super) fn forget_follower(
    writing: &Writing<'_>,
    (job_type, name): (&str, &str),
    follower: &JobKey,
    before: Timestamp,
) -> Result<(), Failure> {
    writing
        .connection
        .prepare_cached(
            "DELETE FROM job_follower WHERE type = ?1 AND name = ?2 AND follower_type = ?3 \
             AND follower_name = ?4 AND follower_uid = ?5 AND written_at < ?6",
        )?
        .execute(params![
            job_type,
            name,
            follower.job_type,
            follower.name,
            follower.uid,
            before.0
        ])?;
    Ok(())
}

/// Removes a chunk, its ids and its entities.
pub(super) fn forget_chunk(
    writing: &mut Writing<'_>,
    batch: BatchId,
    number: i64,
) -> Result<(), Failure> {
    let connection = writing.connection;
    let Some(batch_no) = writing.names.batch(connection, batch)? else {
        return Ok(());
    };
    let chunk_no: Option<i64> = connection
        .prepare_cached("SELECT no FROM chunk WHERE batch_no = ?1 AND number = ?2")?
        .query_row([batch_no, number], |row| row.get(0))
        .optional()?;
    let Some(chunk_no) = chunk_no else {
        return Ok(());
    };
    let runs: Vec<(i64, i64)> = connection
        .prepare_cached("SELECT first_key, row_count FROM entity_run WHERE chunk_no = ?1")?
        .query_map([chunk_no], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (first_key, row_count) in runs {
        connection
            .prepare_cached("DELETE FROM entity WHERE key >= ?1 AND key < ?1 + ?2")?
            .execute([first_key, row_count])?;
    }
    for statement in [
        "DELETE FROM entity_run WHERE chunk_no = ?1",
        "DELETE FROM chunk_ids WHERE chunk_no = ?1",
        "DELETE FROM chunk_filter WHERE chunk_no = ?1",
        "DELETE FROM chunk WHERE no = ?1",
    ] {
        connection.prepare_cached(statement)?.execute([chunk_no])?;
    }
    Ok(())
}
