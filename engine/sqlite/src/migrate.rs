//! The schema of the file and its version.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};
use weft_model::clock::Timestamp;
use weft_store::SCHEMA_VERSION;

use super::OpenError;

/// One step from a version to the next.
const STEPS: &[(i64, &str)] = &[
    (1, include_str!("schema/0001_store.sql")),
    (2, include_str!("schema/0002_jobs.sql")),
    (3, include_str!("schema/0003_checkpoints.sql")),
    (4, include_str!("schema/0004_triggers.sql")),
    (5, include_str!("schema/0005_settings.sql")),
    (6, include_str!("schema/0006_counts.sql")),
    (7, include_str!("schema/0007_written_at.sql")),
    (8, include_str!("schema/0008_filters.sql")),
];

/// The version of the file's schema; none where it has none of this program.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    let exists: Option<i64> = connection
        .query_row(
            "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'schema_version'",
            [],
            |row| row.get(0),
        )
        .optional()?;
    if exists.is_none() {
        return Ok(None);
    }
    connection.query_row("SELECT max(version) FROM schema_version", [], |row| {
        row.get(0)
    })
}

/// Refuses a file that a newer program has changed.
pub(super) fn refuse_newer(found: Option<i64>) -> Result<(), OpenError> {
    match found {
        Some(found) if found > SCHEMA_VERSION => Err(OpenError::Newer {
            found,
            known: SCHEMA_VERSION,
        }),
        _ => Ok(()),
    }
}

/// Brings the file to [`SCHEMA_VERSION`], in one transaction.
pub(super) fn migrate(connection: &mut Connection, now: Timestamp) -> Result<(), OpenError> {
    let found = version(connection)?;
    refuse_newer(found)?;
    if found == Some(SCHEMA_VERSION) {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL PRIMARY KEY, applied_at INTEGER NOT NULL)",
    )?;
    for (version, sql) in STEPS {
        if found.is_some_and(|found| found >= *version) {
            continue;
        }
        transaction.execute_batch(sql)?;
        transaction.execute(
            "INSERT INTO schema_version (version, applied_at) VALUES (?1, ?2)",
            (version, now.0),
        )?;
    }
    transaction.commit()?;
    Ok(())
}
