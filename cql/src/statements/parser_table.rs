//! The statements on tables that parsers fill. Their columns depend on the parser.

use scylla::client::session::Session;
use scylla::statement::prepared::PreparedStatement;
use weft_model::ColumnType;
use weft_model::{ParsedTable, SOURCE_FILE, SOURCE_LINE};
use weft_store::StoreResult;

use super::{StatementKind, prepare};
use crate::connection::Profiles;

/// The column of the block of lines that a row is from, in tables whose key is file and line.
pub(crate) const SOURCE_PART: &str = "source_part";

/// The statements on a table that a parser fills.
#[derive(Debug)]
pub(crate) struct ParserTableStatements {
    /// Inserts a row; its values are in the order of [`columns`].
    pub(crate) put: PreparedStatement,
    /// Reads all rows, page by page.
    pub(crate) page: PreparedStatement,
    /// Reads the rows of a key, if the key is one column.
    pub(crate) of_key: Option<PreparedStatement>,
}

impl ParserTableStatements {
    /// Prepares all of them for a keyspace that `Keyspaces::unit` returned.
    ///
    /// # Errors
    /// `StoreError::Schema` if the table is missing.
    pub(crate) async fn prepare(
        session: &Session,
        profiles: &Profiles,
        keyspace: &str,
        table: &ParsedTable,
    ) -> StoreResult<Self> {
        let name = qualified_name(keyspace, table);
        let columns = columns(table);
        let markers = vec!["?"; columns.len()].join(", ");
        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        let names = quoted_list(names);
        let put = format!("INSERT INTO {name} ({names}) VALUES ({markers})");
        let page = format!("SELECT {names} FROM {name}");
        let of_key = match table.key.as_slice() {
            [key] => {
                let text = format!("{page} WHERE {} = ?", quoted(key));
                Some(prepare(session, profiles, StatementKind::Read, text).await?)
            }
            _ => None,
        };
        Ok(Self {
            put: prepare(session, profiles, StatementKind::Write, put).await?,
            page: prepare(session, profiles, StatementKind::Read, page).await?,
            of_key,
        })
    }
}

/// A quoted name, which keeps its case.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quoted names, separated by commas.
fn quoted_list(names: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let names = names.into_iter().map(|name| quoted(name.as_ref()));
    names.collect::<Vec<_>>().join(", ")
}

/// The name of the table with its keyspace.
fn qualified_name(keyspace: &str, table: &ParsedTable) -> String {
    format!("{keyspace}.{}", quoted(&table.name))
}

/// The stored columns of the table, with their types.
pub(crate) fn columns(table: &ParsedTable) -> Vec<(&str, &'static str)> {
    let declared = table.columns.iter();
    let declared = declared.map(|column| (column.name.as_str(), cql_type(column.kind)));
    let source = [
        (SOURCE_FILE, "text"),
        (SOURCE_PART, "bigint"),
        (SOURCE_LINE, "bigint"),
    ];
    let source = source.into_iter().filter(|_| table.key.is_empty());
    source.chain(declared).collect()
}

fn cql_type(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Integer => "bigint",
        ColumnType::Real => "double",
        ColumnType::Blob => "blob",
        ColumnType::Text | ColumnType::Any => "text",
    }
}

/// The columns of the partition key.
pub(crate) fn partition_key(table: &ParsedTable) -> Vec<&str> {
    match table.key.is_empty() {
        true => vec![SOURCE_FILE, SOURCE_PART],
        false => table.key.iter().map(String::as_str).collect(),
    }
}

/// The columns of the clustering key.
pub(crate) fn clustering_key(table: &ParsedTable) -> &'static [&'static str] {
    match table.key.is_empty() {
        true => &[SOURCE_LINE],
        false => &[],
    }
}

/// The statement that creates the table.
pub(crate) fn create(keyspace: &str, table: &ParsedTable, id: &str) -> String {
    let columns = columns(table).into_iter();
    let columns: Vec<String> = columns
        .map(|(name, kind)| format!("{} {kind}", quoted(name)))
        .collect();
    let mut key = format!("({})", quoted_list(partition_key(table)));
    for column in clustering_key(table) {
        key.push_str(&format!(", {}", quoted(column)));
    }
    format!(
        "CREATE TABLE IF NOT EXISTS {} ({}, PRIMARY KEY ({key})) WITH id = {id}",
        qualified_name(keyspace, table),
        columns.join(", "),
    )
}

/// The statement that adds a column.
pub(crate) fn add(keyspace: &str, table: &ParsedTable, column: &str, kind: &str) -> String {
    format!(
        "ALTER TABLE {} ADD {} {kind}",
        qualified_name(keyspace, table),
        quoted(column)
    )
}
