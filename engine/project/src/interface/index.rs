//! Lookup indexes of files: from a value of a column to the locations of its rows.
//!
//! An index is a SQLite file in the scratch folder. Its name has a hash of the stamp of the file that it was made from.
//! A changed file has an index with another name, so that an index is never outdated, only missing. A missing index is
//! made by one scan of the file.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OpenFlags, params};
use sha2::{Digest, Sha256};

use super::row_reader::RowLocation;
use super::table_file::{TableFile, stamp};

/// The number of locations to fetch at a time.
pub(super) const PAGE: usize = 1_024;

/// Held while an index is built, so that a file that many threads need is read once.
static BUILDING: Mutex<()> = Mutex::new(());

/// An open index of one version of a file.
pub(super) struct Index {
    connection: Connection,
    stamp: String,
}

impl Index {
    /// Opens the index of the current version of a file, and builds it if it is missing.
    pub(super) fn open(table: &TableFile) -> Result<Self, String> {
        let stamp = stamp(&table.path)?;
        let path = path_of(table, &stamp);
        if !path.exists() {
            let _one_at_a_time = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
            if !path.exists() {
                build(table, &path)?;
            }
        }
        // A complete index is renamed to its path and never written again, so that lookups need no locks.
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_URI;
        let connection = Connection::open_with_flags(immutable(&path), flags)
            .and_then(|connection| {
                // One plan for all keys. Without this, SQLite plans each lookup again for the value of its key.
                connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
                Ok(connection)
            })
            .map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self { connection, stamp })
    }

    /// Whether it is the index of the current version of the file.
    pub(super) fn is_current(&self, table: &TableFile) -> bool {
        stamp(&table.path).is_ok_and(|stamp| stamp == self.stamp)
    }

    /// A page of the locations of the rows with this key, ordered by offset and after the offset `after`.
    pub(super) fn locations(
        &self,
        column: usize,
        key: ValueRef<'_>,
        after: i64,
    ) -> rusqlite::Result<Vec<RowLocation>> {
        let sql = format!(
            "select at, length, line from lookup_{column} where key = ?1 and at > ?2 order by at limit {PAGE}"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map(params![ToSqlOutput::Borrowed(key), after], |row| {
            Ok(RowLocation {
                offset: row.get::<_, i64>(0)?.unsigned_abs(),
                length: row.get::<_, i64>(1)?.unsigned_abs(),
                line: row.get::<_, i64>(2)?.unsigned_abs(),
            })
        })?;
        rows.collect()
    }
}

/// The URI of a file that never changes.
fn immutable(path: &Path) -> String {
    let path = path.to_string_lossy();
    let escaped = path
        .replace('%', "%25")
        .replace('?', "%3f")
        .replace('#', "%23");
    format!("file:{escaped}?immutable=1")
}

fn path_of(table: &TableFile, stamp: &str) -> PathBuf {
    let shape = format!("{:?} {:?} {:?}", table.columns, table.indexed, table.format);
    let file = hash(&[&table.path.to_string_lossy()]);
    let state = hash(&[stamp, &shape]);
    table.scratch.join(format!("lookup-{file}-{state}.sqlite"))
}

fn hash(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hash.finalize()[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn build(table: &TableFile, path: &Path) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("index {}: {error}", path.display());
    std::fs::create_dir_all(&table.scratch).map_err(|error| failed(&error))?;
    // Another process may build the same index. The last rename wins, with the same content.
    let making = path.with_extension(format!("making-{}", std::process::id()));
    let _ = std::fs::remove_file(&making);
    let mut connection = Connection::open(&making).map_err(|error| failed(&error))?;
    fill(&mut connection, table)?;
    connection.close().map_err(|(_, error)| failed(&error))?;
    remove_older(path);
    std::fs::rename(&making, path).map_err(|error| failed(&error))
}

fn fill(connection: &mut Connection, table: &TableFile) -> Result<(), String> {
    let failed = |error: rusqlite::Error| format!("index of {}: {error}", table.label());
    // An index that a crash leaves incomplete is never renamed, so it needs no journal.
    connection
        .execute_batch("pragma journal_mode = off; pragma synchronous = off;")
        .map_err(failed)?;
    let transaction = connection.transaction().map_err(failed)?;
    for column in &table.indexed {
        let sql =
            format!("create table lookup_{column} (key, at integer, length integer, line integer)");
        transaction.execute_batch(&sql).map_err(failed)?;
    }
    let mut reader = table.reader()?;
    while reader.next()? {
        let location = reader.location();
        for &column in &table.indexed {
            // NULL and a cell that cannot be read equal no key.
            let Ok(key) = reader.cell(column) else {
                continue;
            };
            if key == ValueRef::Null {
                continue;
            }
            let sql = format!("insert into lookup_{column} values (?1, ?2, ?3, ?4)");
            let mut insert = transaction.prepare_cached(&sql).map_err(failed)?;
            let [offset, length, line] = [location.offset, location.length, location.line]
                .map(|number| i64::try_from(number).unwrap_or(i64::MAX));
            insert
                .execute(params![ToSqlOutput::Borrowed(key), offset, length, line])
                .map_err(failed)?;
        }
    }
    for column in &table.indexed {
        let sql = format!("create index lookup_{column}_key on lookup_{column} (key, at)");
        transaction.execute_batch(&sql).map_err(failed)?;
    }
    transaction.commit().map_err(failed)
}

/// Removes the indexes of earlier versions of the same file. Connections that have one open keep it.
fn remove_older(path: &Path) {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return;
    };
    let name = name.to_string_lossy();
    let Some(prefix) = name
        .rsplit_once('-')
        .map(|(prefix, _)| format!("{prefix}-"))
    else {
        return;
    };
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let found = entry.file_name();
        let found = found.to_string_lossy();
        if found.starts_with(&prefix) && found.ends_with(".sqlite") {
            // A file that cannot be removed only wastes space.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}
