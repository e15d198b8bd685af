//! What a function may ask of the world outside: the seam behind `fabric()` and `db()`.

use std::fmt::Debug;

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;
use weft_lang::Literal;

/// How many rows a function gets at once.
pub const TABLE_ROWS: usize = 100_000;
/// How many bytes of values a function gets at once.
pub const TABLE_BYTES: usize = 8 * 1024 * 1024;
/// Beyond these a number of JavaScript is not exact.
const EXACT_INTEGER: i64 = 1 << 53;

/// The rows that a function gets.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Table {
    /// The columns' names.
    pub columns: Vec<String>,
    /// The rows, each as long as `columns`.
    pub rows: Vec<Vec<Value>>,
}

/// Why a call of a function was not answered; thrown as an error that the function may catch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostError {
    /// The error's `name`.
    pub name: String,
    /// The error's `message`.
    pub message: String,
}

impl HostError {
    /// An error of this name.
    pub fn new(name: &str, message: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            message: message.into(),
        }
    }
}

/// What a function is told where an answer is too large.
pub(super) fn too_large() -> HostError {
    let message = format!(
        "the answer has more than {TABLE_ROWS} rows or {} MiB; ask for less, e.g. with LIMIT",
        TABLE_BYTES / 1024 / 1024
    );
    HostError::new("RangeError", message)
}

/// A value of a source as a function gets it: a number that JavaScript cannot hold exactly is its digits, bytes are hex.
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

/// Answers the calls of one running function. Dropping a call's future must end whatever it waits for.
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
