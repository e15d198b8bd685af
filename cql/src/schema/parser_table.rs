//! The tables that parsers fill.

use scylla::statement::Statement;
use weft_model::ParsedTable;
use weft_store::StoreError;
use weft_store::StoreResult;

use super::lock::SchemaLock;
use super::{TableColumn, table_columns};
use crate::connection::Connection;
use crate::statements::{parser_table, schema_change};

/// Creates missing tables and adds missing columns.
pub(crate) async fn create_parser_tables(
    connection: &Connection,
    tables: &[ParsedTable],
) -> StoreResult<()> {
    if changes(connection, tables).await?.is_empty() {
        return Ok(());
    }
    let mut lock = SchemaLock::acquire(connection).await?;
    // Read again under the lock: only its holder adds columns.
    let done = match changes(connection, tables).await {
        Ok(changes) => lock.run_all(changes).await,
        Err(error) => Err(error),
    };
    let released = lock.release(None).await;
    done.and(released)
}

async fn changes(connection: &Connection, tables: &[ParsedTable]) -> StoreResult<Vec<Statement>> {
    let mut changes = Vec::new();
    for table in tables {
        let keyspace = connection.keyspaces.unit(&table.logical_unit)?;
        let existing = table_columns(connection, &keyspace, &table.name).await?;
        if existing.is_empty() {
            let id = connection.keyspaces.table_id(&keyspace, &table.name);
            let text = parser_table::create(&keyspace, table, &id.to_string());
            changes.push(schema_change(text));
        } else {
            changes.extend(column_changes(&keyspace, table, &existing)?);
        }
    }
    Ok(changes)
}

/// The statements that add the columns that are missing in an existing table.
fn column_changes(
    keyspace: &str,
    table: &ParsedTable,
    existing: &[TableColumn],
) -> StoreResult<Vec<Statement>> {
    let partition = parser_table::partition_key(table);
    let role = |column: &str| match column {
        _ if partition.contains(&column) => "partition_key",
        _ if parser_table::clustering_key(table).contains(&column) => "clustering",
        _ => "regular",
    };
    for column in existing {
        if column.role != "regular" && column.role != role(&column.name) {
            return Err(StoreError::conflicting_parsed_table(table, &column.name));
        }
    }
    let mut changes = Vec::new();
    for (name, kind) in parser_table::columns(table) {
        match existing.iter().find(|column| column.name == name) {
            Some(column) if column.kind == kind && column.role == role(name) => {}
            None if role(name) == "regular" => {
                let text = parser_table::add(keyspace, table, name, kind);
                changes.push(schema_change(text));
            }
            _ => return Err(StoreError::conflicting_parsed_table(table, name)),
        }
    }
    Ok(changes)
}
