//! Due hints of jobs.

use rusqlite::{Connection, params};
use weft_model::clock::Timestamp;
use weft_model::{DueHint, JobKey};

use super::failure::Failure;
use super::queue::Writing;
use super::rows::sql_limit;

/// Hints removed in one group of the writer.
pub(super) const AT_ONCE: usize = 1_000;
/// Hints are kept until due + 30 days.
const HINT_LIFE_MS: i64 = 30 * 86_400_000;

/// Writes a hint, unless it is stored already.
pub(super) fn put(writing: &Writing<'_>, hint: &DueHint) -> Result<(), Failure> {
    writing
        .connection
        .prepare_cached(
            "INSERT INTO job_due (due_at, type, name, uid) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            hint.due_at.0,
            hint.key.job_type,
            hint.key.name,
            hint.key.uid,
        ])?;
    Ok(())
}

/// Removes hints that are long past.
pub(super) fn forget_old(connection: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    connection
        .execute(
            "DELETE FROM job_due WHERE due_at < ?1",
            [now.0 - HINT_LIFE_MS],
        )
        .map(drop)
}

/// Removes some of the hints that are due before `before`; answers how many.
pub(super) fn forget_some(connection: &Connection, before: Timestamp) -> Result<usize, Failure> {
    Ok(connection
        .prepare_cached(
            "DELETE FROM job_due WHERE (due_at, type, name, uid) IN \
             (SELECT due_at, type, name, uid FROM job_due WHERE due_at < ?1 ORDER BY due_at LIMIT ?2)",
        )?
        .execute(params![before.0, sql_limit(AT_ONCE)])?)
}

/// Hints after `after` and up to `to`, ascending.
pub(super) fn list(
    connection: &Connection,
    after: &DueHint,
    to: Timestamp,
    limit: usize,
) -> Result<Vec<DueHint>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT due_at, type, name, uid FROM job_due \
         WHERE (due_at, type, name, uid) > (?1, ?4, ?5, ?6) AND due_at <= ?2 \
         ORDER BY due_at, type, name, uid LIMIT ?3",
    )?;
    let hints = statement
        .query_map(
            params![
                after.due_at.0,
                to.0,
                sql_limit(limit),
                after.key.job_type,
                after.key.name,
                after.key.uid,
            ],
            |row| {
                Ok(DueHint {
                    due_at: Timestamp(row.get(0)?),
                    key: JobKey {
                        job_type: row.get(1)?,
                        name: row.get(2)?,
                        uid: row.get(3)?,
                    },
                })
            },
        )?
        .collect::<Result<_, _>>()?;
    Ok(hints)
}
