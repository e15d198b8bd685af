//! The rows of an instance: converted to the types of their columns, in key order, with a hash of all of them.

use std::cmp::Ordering;

use weft_model::ColumnType;
use weft_model::Value;
use weft_model::number::{exact_integer, nearest_real};
use xxhash_rust::xxh3::Xxh3;

use crate::{Table, TableColumn};

/// The cells of a row, in the order of its table's columns.
pub(super) type Row = Vec<Value>;

/// Converts and orders the rows of one table for an instance.
///
/// # Errors
/// A sentence that names the table, the column and the type of a value, but never a value.
pub(super) fn normalise(table: &Table, mut rows: Vec<Row>) -> Result<Vec<Row>, String> {
    let key: Vec<usize> = key_positions(table);
    for row in &mut rows {
        for (position, (cell, column)) in row.iter_mut().zip(&table.columns).enumerate() {
            let must_have_value = column.not_null || key.contains(&position);
            let value = std::mem::take(cell);
            *cell = typed(value, column, must_have_value).map_err(|reason| {
                format!("table {}: column {} {reason}", table.name, column.name)
            })?;
        }
    }
    let by_key = |a: &Row, b: &Row| compare(key.iter().map(|&at| (&a[at], &b[at])));
    let by_all = |a: &Row, b: &Row| compare(a.iter().zip(b));
    rows.sort_by(|a, b| by_key(a, b).then_with(|| by_all(a, b)));
    let has_twins = !key.is_empty()
        && rows
            .windows(2)
            .any(|pair| by_key(&pair[0], &pair[1]).is_eq());
    if has_twins {
        return Err(format!(
            "table {}: two rows have the same key ({})",
            table.name,
            table.key.join(", ")
        ));
    }
    Ok(rows)
}

fn key_positions(table: &Table) -> Vec<usize> {
    let position = |name: &String| table.columns.iter().position(|column| column.name == *name);
    table.key.iter().filter_map(position).collect()
}

/// Converts a value like a STRICT table of SQLite.
fn typed(value: Value, column: &TableColumn, must_have_value: bool) -> Result<Value, String> {
    if value == Value::Null {
        return if must_have_value {
            Err("must have a value and is NULL".to_owned())
        } else {
            Ok(Value::Null)
        };
    }
    let found = class(&value);
    let fitting = match column.kind {
        ColumnType::Any => Some(value),
        ColumnType::Integer => integer(value),
        ColumnType::Real => real(value),
        ColumnType::Text => text(value),
        ColumnType::Blob => Some(value).filter(|value| matches!(value, Value::Blob(_))),
    };
    fitting.ok_or_else(|| format!("is {} and cannot hold {found}", column.kind))
}

fn class(value: &Value) -> &'static str {
    match value {
        Value::Null => "NULL",
        Value::Integer(_) => "INTEGER",
        Value::Real(_) => "REAL",
        Value::Text(_) => "TEXT",
        Value::Blob(_) => "BLOB",
    }
}

fn integer(value: Value) -> Option<Value> {
    /// Beyond 2^53 not every whole number has an exact floating-point value.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let whole = |real: f64| {
        let fits = real.fract() == 0.0 && real.abs() <= EXACT;
        #[expect(clippy::cast_possible_truncation, reason = "whole, and within 2^53")]
        fits.then_some(Value::Integer(real as i64))
    };
    match value {
        Value::Integer(integer) => Some(Value::Integer(integer)),
        Value::Real(real) => whole(real),
        Value::Text(text) => exact_integer(text.trim()).map(Value::Integer),
        Value::Null | Value::Blob(_) => None,
    }
}

fn real(value: Value) -> Option<Value> {
    match value {
        #[expect(
            clippy::cast_precision_loss,
            reason = "as SQLite stores it in a REAL column"
        )]
        Value::Integer(integer) => Some(Value::Real(integer as f64)),
        Value::Real(real) => Some(Value::Real(real)),
        Value::Text(text) => nearest_real(text.trim()).map(Value::Real),
        Value::Null | Value::Blob(_) => None,
    }
}

fn text(value: Value) -> Option<Value> {
    match value {
        Value::Text(text) => Some(Value::Text(text)),
        Value::Integer(integer) => Some(Value::Text(integer.to_string())),
        // With a decimal point, as SQLite writes it.
        Value::Real(real) => Some(Value::Text(format!("{real:?}"))),
        Value::Null | Value::Blob(_) => None,
    }
}

fn compare<'v>(pairs: impl Iterator<Item = (&'v Value, &'v Value)>) -> Ordering {
    pairs
        .map(|(a, b)| compare_values(a, b))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// SQLite's order: NULL, numbers, text, bytes.
fn compare_values(a: &Value, b: &Value) -> Ordering {
    let class = |value: &Value| match value {
        Value::Null => 0,
        Value::Integer(_) | Value::Real(_) => 1,
        Value::Text(_) => 2,
        Value::Blob(_) => 3,
    };
    match (a, b) {
        (Value::Integer(a), Value::Integer(b)) => a.cmp(b),
        (Value::Real(a), Value::Real(b)) => a.total_cmp(b),
        #[expect(
            clippy::cast_precision_loss,
            reason = "only the order of columns of type ANY"
        )]
        (Value::Integer(a), Value::Real(b)) => (*a as f64).total_cmp(b),
        #[expect(
            clippy::cast_precision_loss,
            reason = "only the order of columns of type ANY"
        )]
        (Value::Real(a), Value::Integer(b)) => a.total_cmp(&(*b as f64)),
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        (Value::Blob(a), Value::Blob(b)) => a.cmp(b),
        _ => class(a).cmp(&class(b)),
    }
}

/// A hash of all rows of an instance, to detect changes.
pub(super) struct ContentHash(Xxh3);

impl ContentHash {
    pub(super) fn new(schema_hash: &[u8]) -> Self {
        let mut hash = Xxh3::new();
        hash.update(schema_hash);
        Self(hash)
    }

    /// Adds the rows of a table in key order. Tables have to be added in the order of the logical unit.
    pub(super) fn add_table(&mut self, rows: &[Row]) {
        self.0.update(&(rows.len() as u64).to_le_bytes());
        for value in rows.iter().flatten() {
            match value {
                Value::Null => self.0.update(&[0]),
                Value::Integer(integer) => self.add(1, &integer.to_le_bytes()),
                Value::Real(real) => self.add(2, &real.to_bits().to_le_bytes()),
                Value::Text(text) => self.add_sized(3, text.as_bytes()),
                Value::Blob(bytes) => self.add_sized(4, bytes),
            }
        }
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.0.digest128().to_be_bytes().to_vec()
    }

    fn add(&mut self, class: u8, bytes: &[u8]) {
        self.0.update(&[class]);
        self.0.update(bytes);
    }

    fn add_sized(&mut self, class: u8, bytes: &[u8]) {
        self.add(class, &(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }
}
