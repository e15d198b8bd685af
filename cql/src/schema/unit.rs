//! The keyspaces of logical units.

use weft_store::{StoreError, StoreResult};

use super::lock::SchemaLock;
use super::replication::copies;
use crate::connection::Connection;
use crate::options::CassandraOptions;
use crate::statements::{cluster_queries, schema_changes};
use crate::values::Values;

const UNIT: &str = include_str!("../../schema/logical_unit.cql");
/// Number of tables that `UNIT` creates.
const UNIT_TABLES: usize = 2;

/// Creates the missing keyspaces of logical units with their tables.
pub(crate) async fn create_unit_keyspaces(
    connection: &Connection,
    options: &CassandraOptions,
    logical_units: &[String],
) -> StoreResult<()> {
    let mut missing = Vec::new();
    for keyspace in keyspaces_of(connection, logical_units)? {
        if !is_complete(connection, &keyspace).await? {
            missing.push(keyspace);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let copies = copies(connection, options).await?;
    let mut lock = SchemaLock::acquire(connection).await?;
    let changes = missing
        .iter()
        .flat_map(|keyspace| schema_changes(UNIT, &connection.keyspaces, Some(keyspace), copies));
    let done = lock.run_all(changes.collect()).await;
    let released = lock.release(None).await;
    done.and(released)
}

/// The keyspaces of these logical units, each once.
///
/// # Errors
/// [`StoreError::Refused`] if two logical units would share a keyspace.
fn keyspaces_of(connection: &Connection, logical_units: &[String]) -> StoreResult<Vec<String>> {
    let mut keyspaces: Vec<(String, &String)> = Vec::new();
    for logical_unit in logical_units {
        let keyspace = connection.keyspaces.unit(logical_unit)?;
        match keyspaces.iter().find(|(known, _)| *known == keyspace) {
            Some((_, other)) if *other != logical_unit => {
                return Err(StoreError::Refused(format!(
                    "logical units {other} and {logical_unit} would share the keyspace {keyspace}"
                )));
            }
            Some(_) => (),
            None => keyspaces.push((keyspace, logical_unit)),
        }
    }
    Ok(keyspaces
        .into_iter()
        .map(|(keyspace, _)| keyspace)
        .collect())
}

async fn is_complete(connection: &Connection, keyspace: &str) -> StoreResult<bool> {
    let values = Values::new().set("keyspace_name", keyspace);
    let tables = connection
        .query("system_schema.tables", cluster_queries::TABLES, values)
        .await?;
    Ok(tables.len() >= UNIT_TABLES)
}
