//! How connections to the file are opened.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

/// A person with `sqlite3` may hold the file briefly.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// More than there are statements, so that none is prepared twice.
const STATEMENTS: usize = 128;

/// The one connection that writes.
pub(super) fn writer(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Readers continue while a group commits.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // What was acknowledged survives a power cut. With group commit it costs 7 % against NORMAL.
    connection.pragma_update(None, "synchronous", "FULL")?;
    // 16 MiB of log between checkpoints: pages written often (heads of chunks, the right edge of the
    // entity table) reach the file once per checkpoint and not once per group.
    connection.pragma_update(None, "wal_autocheckpoint", 4_000)?;
    // One large transaction must not leave a large log for good.
    connection.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
    // 4 MiB: the inner pages of all trees and the pages of a group; more would only look like growth.
    connection.pragma_update(None, "cache_size", -4_096)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // A foreign view or trigger in the file must not run functions of this program.
    connection.pragma_update(None, "trusted_schema", false)?;
    keep_statements(&connection)?;
    Ok(connection)
}

/// A connection that only reads.
pub(super) fn reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "cache_size", -2_048)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "trusted_schema", false)?;
    keep_statements(&connection)?;
    Ok(connection)
}

/// Statements are prepared and planned once. Without the guarantee of stable plans SQLite plans each one with a
/// range anew whenever other values are bound.
fn keep_statements(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}
