//! Tables that parsers fill.

use crate::{ColumnType, Value};

/// In tables without a key: the column with the file of a row.
pub const SOURCE_FILE: &str = "source_file";
/// In tables without a key: the column with the line of a row in its file.
pub const SOURCE_LINE: &str = "source_line";

/// A table of a logical unit that a parser fills.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedTable {
    /// The name of its logical unit.
    pub logical_unit: String,
    /// The name.
    pub name: String,
    /// The columns that the parser declares.
    pub columns: Vec<ParsedColumn>,
    /// The columns of the primary key; empty = file and line.
    pub key: Vec<String>,
}

/// A column of a parsed table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedColumn {
    /// The name.
    pub name: String,
    /// TEXT, INTEGER, REAL or BLOB.
    pub kind: ColumnType,
    /// The field of a record that has its value.
    pub from: String,
}

/// A row that a parser writes.
#[derive(Clone, Debug, PartialEq)]
pub struct ParsedRow {
    /// The file that has the record.
    pub file: String,
    /// The line of the record in its file, from 1.
    pub line: i64,
    /// A value for each declared column, of the type of the column or NULL. Key columns are never NULL.
    pub values: Vec<Value>,
}

/// A page of rows, each with a value for each of [`ParsedTable::all_columns`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ParsedPage {
    /// The rows.
    pub rows: Vec<Vec<Value>>,
    /// The cursor of the next page; none on the last page.
    pub next: Option<String>,
}

impl ParsedTable {
    /// The names and types of all columns. Without a key, file and line precede the declared columns.
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

    /// The names of the columns of the primary key.
    pub fn key_columns(&self) -> Vec<&str> {
        match self.key.is_empty() {
            true => vec![SOURCE_FILE, SOURCE_LINE],
            false => self.key.iter().map(String::as_str).collect(),
        }
    }

    /// `LU.TABLE`, for messages.
    pub fn label(&self) -> String {
        format!("{}.{}", self.logical_unit, self.name)
    }

    /// The stored form of a row, in the order of [`all_columns`](Self::all_columns).
    pub fn to_stored_row(&self, row: &ParsedRow) -> Vec<Value> {
        let mut values = Vec::with_capacity(row.values.len() + 2);
        if self.key.is_empty() {
            values.push(Value::Text(row.file.clone()));
            values.push(Value::Integer(row.line));
        }
        values.extend(row.values.iter().cloned());
        values
    }
}
