//! The interface between functions and the outside: the calls behind `fabric()` and `db()`.

use std::fmt::Debug;

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;
use weft_lang::Literal;
use weft_model::number::{Decimal, exact_integer, nearest_real};

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

/// JSON that keeps its value in JavaScript, whose only numbers are doubles: a number that is no double becomes the text of
/// its digits.
pub(super) fn exact(mut json: Value) -> Value {
    make_exact(&mut json);
    json
}

fn make_exact(json: &mut Value) {
    match json {
        Value::Number(number) if !is_double(number.as_str()) => {
            *json = Value::from(number.to_string());
        }
        Value::Array(members) => members.iter_mut().for_each(make_exact),
        Value::Object(members) => members.values_mut().for_each(make_exact),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => (),
    }
}

/// Whether the number is a double. Beyond 2^53 whole numbers are not: there a double stands for several of them.
fn is_double(digits: &str) -> bool {
    match exact_integer(digits) {
        Some(whole) => whole.unsigned_abs() <= EXACT_INTEGER.unsigned_abs(),
        None => nearest_real(digits).is_some_and(|real| {
            // The shortest text that stands for the double.
            let shortest = Decimal::parse(&real.to_string());
            shortest.is_some() && shortest == Decimal::parse(digits)
        }),
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
