//! The schema of the micro-databases of a logical unit: its tables as SQL, and a hash.

use xxhash_rust::xxh3::xxh3_128;

use crate::{LogicalUnit, SyncMethod, Table};

/// The table with the read time of each table. Only for logical units with a table that is not read by every sync.
pub(super) const STAMPS: &str = "_weft_sync";

/// The schema of the images of a logical unit.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    /// Creates the tables.
    pub(super) create: String,
    /// Inserts a row, for each table.
    pub(super) insert: Vec<String>,
    /// Reads all rows in key order, for each table.
    pub(super) select: Vec<String>,
    /// Identifies the schema.
    pub(super) hash: Vec<u8>,
    /// Whether images have the table [`STAMPS`].
    pub(super) has_stamps: bool,
}

impl Shape {
    pub(super) fn new(logical_unit: &LogicalUnit) -> Self {
        let tables = &logical_unit.tables;
        let has_stamps = tables.iter().any(|table| table.sync != SyncMethod::Always);
        let mut create: String = tables.iter().map(create_table).collect();
        if has_stamps {
            create.push_str(&format!(
                "create table {STAMPS} (name text primary key, read_at integer not null) strict, without rowid;\n"
            ));
        }
        let hash = xxh3_128(format!("{}\n{create}", logical_unit.root).as_bytes());
        Self {
            insert: tables.iter().map(insert_row).collect(),
            select: tables.iter().map(select_rows).collect(),
            hash: hash.to_be_bytes().to_vec(),
            create,
            has_stamps,
        }
    }
}

fn create_table(table: &Table) -> String {
    let mut parts: Vec<String> = Vec::new();
    for column in &table.columns {
        let not_null = if column.not_null { " not null" } else { "" };
        let kind = column.kind.to_string().to_lowercase();
        parts.push(format!("{} {kind}{not_null}", quoted(&column.name)));
    }
    let mut options = "strict";
    if !table.key.is_empty() {
        parts.push(format!("primary key ({})", list(&table.key)));
        options = "strict, without rowid";
    }
    format!(
        "create table {} ({}) {options};\n",
        quoted(&table.name),
        parts.join(", ")
    )
}

fn insert_row(table: &Table) -> String {
    let parameters = vec!["?"; table.columns.len()].join(", ");
    format!("insert into {} values ({parameters})", quoted(&table.name))
}

fn select_rows(table: &Table) -> String {
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|column| column.name.clone())
        .collect();
    let order = if table.key.is_empty() {
        "rowid".to_owned()
    } else {
        list(&table.key)
    };
    format!(
        "select {} from {} order by {order}",
        list(&columns),
        quoted(&table.name)
    )
}

fn list(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| quoted(name)).collect();
    names.join(", ")
}

pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
