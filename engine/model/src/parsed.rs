//! Tables that parsers fill.

use crate::ColumnType;
use crate::Value;

/// The column of a table without a key that says which file a row is from.
pub const SOURCE_FILE: &str = "source_file";
/// And the one that says from which line of it.
pub const SOURCE_LINE: &str = "source_line";

/// A table of a logical unit that a parser fills.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedTable {
    /// The logical unit.
    pub logical_unit: String,
    /// Its name.
    pub name: String,
    /// Its columns as the parser declares them.
    pub columns: Vec<ParsedColumn>,
    /// The columns that tell its rows apart; empty = file and line do.
    pub key: Vec<String>,
}

/// A column of such a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedColumn {
    /// Its name.
    pub name: String,
    /// TEXT, INTEGER, REAL or BLOB.
    pub kind: ColumnType,
    /// The field of a record that it is taken from.
    pub from: String,
}

/// A row on its way into such a table.
#[derive(Clone, Debug, PartialEq)]
pub struct ParsedRow {
    /// The file that it is from.
    pub file: String,
    /// The line of it.
    pub line: i64,
    /// A value for each declared column, of its type or null; never null in the key.
    pub values: Vec<Value>,
}

/// Rows of such a table, each with a value for each of [`ParsedTable::all_columns`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ParsedPage {
    /// The rows.
    pub rows: Vec<Vec<Value>>,
    /// Where the next page begins; none behind the last one.
    pub next: Option<String>,
}

impl ParsedTable {
    /// The names and types of all its columns: without a key, file and line stand before the declared ones.
    pub fn all_columns(&self) -> Vec<(&str, ColumnType)> {
        let mut columns = Vec::with_capacity(self.columns.len() + 2);
        if self.key.is_empty() {
            columns.push((SOURCE_FILE, ColumnType::Text));
            columns.push((SOURCE_LINE, ColumnType::Integer));
        }
        let declared = self.columns.iter();
        columns.extend(declared.map(|column| (column.name.as_str(), column.kind)));
        columns
    }

    /// The names of the columns that tell its rows apart.
    pub fn key_columns(&self) -> Vec<&str> {
        match self.key.is_empty() {
            true => vec![SOURCE_FILE, SOURCE_LINE],
            false => self.key.iter().map(String::as_str).collect(),
        }
    }

    /// Its name with that of its logical unit.
    pub fn label(&self) -> String {
        format!("{}.{}", self.logical_unit, self.name)
    }

    /// A row as it is stored, in the order of [`all_columns`](Self::all_columns).
    pub fn stored(&self, row: &ParsedRow) -> Vec<Value> {
        let mut values = Vec::with_capacity(row.values.len() + 2);
        if self.key.is_empty() {
            values.push(Value::Text(row.file.clone()));
            values.push(Value::Integer(row.line));
        }
        values.extend(row.values.iter().cloned());
        values
    }
}
