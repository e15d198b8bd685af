//! The interface between functions and the outside: the calls behind `fabric()` and `db()`.

use std::fmt::Debug;

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;
use weft_lang::Literal;

/// The most rows of one answer.
pub const TABLE_ROWS: usize = 100_000;
/// The most bytes of values in one answer.
pub const TABLE_BYTES: usize = 8 * 1024 * 1024;
/// JavaScript numbers are exact up to this absolute value.
const EXACT_INTEGER: i64 = 1 << 53;

/// An answer: rows with named columns.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Table {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The rows, each with a value per column.
    pub rows: Vec<Vec<Value>>,
}

/// Why a call failed. It is thrown in the function, which may catch it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostError {
    /// The `name` of the error.
    pub name: String,
    /// The `message` of the error.
    pub message: String,
}

impl HostError {
    /// Makes an error.
    pub fn new(name: &str, message: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            message: message.into(),
        }
    }
}

/// The error for an answer that is too large.
pub(super) fn too_large() -> HostError {
    let message = format!(
        "the answer has more than {TABLE_ROWS} rows or {} MiB; request less, e.g. with LIMIT",
        TABLE_BYTES / 1024 / 1024
    );
    HostError::new("RangeError", message)
}

/// Converts a value of a source. Integers that are not exact in JavaScript become texts of digits, bytes become hex.
pub(super) fn value_of(value: weft_model::Value) -> Value {
    use weft_model::Value as Source;
    match value {
        Source::Null => Value::Null,
        Source::Integer(number) if number.unsigned_abs() <= EXACT_INTEGER.unsigned_abs() => {
            number.into()
        }
        Source::Integer(number) => number.to_string().into(),
        Source::Real(number) => number.into(),
        Source::Text(text) => text.into(),
        Source::Blob(_) => value.to_string().into(),
    }
}

/// Answers the calls of one running function. Dropping the future of a call must end what it waits for.
#[async_trait]
pub trait Host: Debug + Send + Sync {
    /// `fabric().fetch(sql, …)` and `fabric().execute(sql, …)`: runs a statement in the session of the run.
    async fn statement(&self, sql: &str, parameters: Vec<Literal>) -> Result<Table, HostError>;

    /// `db(interface).fetch(sql, …)`: queries an interface of the project.
    async fn query(
        &self,
        interface: &str,
        sql: &str,
        parameters: Vec<Literal>,
    ) -> Result<Table, HostError>;
}
