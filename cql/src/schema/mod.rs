//! Changes of the schema: migrations, the keyspaces of logical units, and the tables of parsers.
//!
//! Each change is made by the holder of the [`lock`]. It is harmless when made twice, since it says IF NOT EXISTS and
//! fixes the table id, so a holder that lost the lock while it was suspended breaks nothing.

mod lock;
mod parser_table;
mod replication;
mod unit;

use scylla::statement::Statement;
use tracing::info;
use weft_store::{SCHEMA_VERSION, StoreError, StoreResult};

use crate::connection::Connection;
use crate::options::CassandraOptions;
use crate::statements::{cluster_queries, schema_changes};
use crate::values::Values;

pub(crate) use parser_table::create_parser_tables;
pub(crate) use unit::create_unit_keyspaces;

use lock::SchemaLock;

const LOCK: &str = include_str!("../../schema/0000_lock.cql");
const TABLES: &str = include_str!("../../schema/0001_tables.cql");
const JOB_COLUMNS: &str = include_str!("../../schema/0002_jobs.cql");
const CHECKPOINTS: &str = include_str!("../../schema/0003_checkpoints.cql");
const FOLLOWERS: &str = include_str!("../../schema/0004_followers.cql");
const TRIGGER_COLUMNS: &str = include_str!("../../schema/0004_triggers.cql");
const SETTINGS: &str = include_str!("../../schema/0005_settings.cql");
const COUNT_COLUMNS: &str = include_str!("../../schema/0006_counts.cql");
const HISTORY: &str = include_str!("../../schema/0007_history.cql");
const LIFETIMES: &str = include_str!("../../schema/0007_lifetimes.cql");
const FILTERS: &str = include_str!("../../schema/0008_filters.cql");

/// The result of a migration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationReport {
    /// The version before it, `None` if there was no schema.
    pub from: Option<i64>,
    /// The version after it.
    pub to: i64,
    /// Number of statements that ran, 0 if the schema was up to date.
    pub statements: usize,
    /// The keyspaces of this cluster id.
    pub keyspaces: Vec<String>,
}

/// Creates missing tables and columns, and then writes the version. Several migrations may run at once.
///
/// # Errors
/// [`StoreError::Schema`] if the schema is newer than this program, [`StoreError::Refused`] if the options must name the
/// number of copies, [`StoreError::Unavailable`] if the cluster does
/// not answer or another process holds the lock for minutes.
pub async fn migrate(options: &CassandraOptions) -> StoreResult<MigrationReport> {
    let connection = Connection::open(options).await?;
    let keyspaces = &connection.keyspaces;
    let copies = replication::copies(&connection, options).await?;
    for change in schema_changes(LOCK, keyspaces, None, copies) {
        lock::run(&connection, change).await?;
    }
    connection.await_schema_agreement().await?;
    let mut lock = SchemaLock::acquire(&connection).await?;
    let from = lock.version();
    let upgraded = upgrade(&connection, &mut lock, copies, from).await;
    let version = upgraded.as_ref().ok().map(|_| SCHEMA_VERSION);
    // Also after a failure: otherwise the next migration waits until this holder counts as dead.
    let released = lock.release(version).await;
    let statements = upgraded?;
    released?;
    Ok(MigrationReport {
        from,
        to: SCHEMA_VERSION,
        statements,
        keyspaces: vec![keyspaces.system.clone(), keyspaces.batch.clone()],
    })
}

async fn upgrade(
    connection: &Connection,
    lock: &mut SchemaLock<'_>,
    copies: u8,
    from: Option<i64>,
) -> StoreResult<usize> {
    match from {
        Some(version) if version > SCHEMA_VERSION => {
            return Err(StoreError::Schema(format!(
                "the schema has version {version}, this program knows {SCHEMA_VERSION}: use a newer weft"
            )));
        }
        Some(SCHEMA_VERSION) => return Ok(0),
        _ => (),
    }
    let changes = |files: &[&'static str]| -> Vec<Statement> {
        let changes_of =
            |file: &&'static str| schema_changes(file, &connection.keyspaces, None, copies);
        files.iter().flat_map(changes_of).collect()
    };
    let tables = changes(&[TABLES, CHECKPOINTS, FOLLOWERS, SETTINGS, HISTORY, FILTERS]);
    let mut count = tables.len();
    lock.run_all(tables).await?;
    let columns = changes(&[JOB_COLUMNS, TRIGGER_COLUMNS, COUNT_COLUMNS]);
    let missing = missing_columns(connection, columns).await?;
    count += missing.len();
    lock.run_all(missing).await?;
    let lifetimes = changes(&[LIFETIMES]);
    count += lifetimes.len();
    lock.run_all(lifetimes).await?;
    info!("The schema has version {SCHEMA_VERSION} now");
    Ok(count)
}

/// The statements `ALTER TABLE keyspace.table ADD column type` whose column is missing. Not every server accepts
/// IF NOT EXISTS here, but only the holder of the lock adds columns.
async fn missing_columns(
    connection: &Connection,
    changes: Vec<Statement>,
) -> StoreResult<Vec<Statement>> {
    let mut missing = Vec::new();
    for change in changes {
        let words: Vec<&str> = change.contents.split_whitespace().collect();
        let (Some((keyspace, table)), Some(column)) = (
            words.get(2).and_then(|name| name.split_once('.')),
            words.get(4),
        ) else {
            return Err(StoreError::Schema(format!(
                "`{}` adds no column",
                change.contents
            )));
        };
        let columns = table_columns(connection, keyspace, table).await?;
        if !columns.iter().any(|existing| existing.name == *column) {
            missing.push(change);
        }
    }
    Ok(missing)
}

/// A column of an existing table.
struct TableColumn {
    name: String,
    /// The CQL type.
    kind: String,
    /// `partition_key`, `clustering` or `regular`.
    role: String,
}

/// The columns of a table, none if it does not exist.
async fn table_columns(
    connection: &Connection,
    keyspace: &str,
    table: &str,
) -> StoreResult<Vec<TableColumn>> {
    let values = Values::new()
        .set("keyspace_name", keyspace)
        .set("table_name", table);
    let rows = connection
        .query("system_schema.columns", cluster_queries::COLUMNS, values)
        .await?;
    rows.into_iter()
        .map(|mut row| {
            Ok(TableColumn {
                name: row.require("column_name")?,
                kind: row.require("type")?,
                role: row.require("kind")?,
            })
        })
        .collect()
}
