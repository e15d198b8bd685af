//! Values as SQLite passes them.

use std::str::Utf8Error;

use rusqlite::types::ValueRef;
use weft_model::Value;

/// Copies a cell.
///
/// # Errors
/// Its text is not UTF-8.
pub(crate) fn from_sqlite(cell: ValueRef<'_>) -> Result<Value, Utf8Error> {
    Ok(match cell {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(integer) => Value::Integer(integer),
        ValueRef::Real(real) => Value::Real(real),
        ValueRef::Text(text) => Value::Text(std::str::from_utf8(text)?.to_owned()),
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
    })
}

/// Borrows a value as a cell or a parameter.
pub(crate) fn to_sqlite(value: &Value) -> ValueRef<'_> {
    match value {
        Value::Null => ValueRef::Null,
        Value::Integer(integer) => ValueRef::Integer(*integer),
        Value::Real(real) => ValueRef::Real(*real),
        Value::Text(text) => ValueRef::Text(text.as_bytes()),
        Value::Blob(bytes) => ValueRef::Blob(bytes),
    }
}
