//! Converts values of flows to parameters of queries and statements, and tables to outputs.

use serde_json::{Map, Number, Value};
use weft_lang::Literal;
use weft_model::Value as Source;
use weft_project::source::{Parameters, Rows};

use super::value::kind_of;

/// Converts a value to a parameter of a query.
///
/// # Errors
/// It is a list or a map.
pub(super) fn parameters_of(value: &Value) -> Result<Source, String> {
    match value {
        Value::Null => Ok(Source::Null),
        Value::Bool(value) => Ok(Source::Integer(i64::from(*value))),
        Value::Number(number) => Ok(Source::of_json_number(number)),
        Value::String(text) => Ok(Source::Text(text.clone())),
        Value::Array(_) | Value::Object(_) => Err(format!(
            "{} cannot be a parameter of a query",
            kind_of(value)
        )),
    }
}

/// The parameters of a query: a list for `?`, a map for `:name`. A map with one list is a set.
///
/// # Errors
/// A value cannot be a parameter.
pub(super) fn parameters(value: &Value) -> Result<Parameters, String> {
    let all = |values: &[Value]| values.iter().map(parameters_of).collect::<Result<_, _>>();
    match value {
        Value::Null => Ok(Parameters::Positional(Vec::new())),
        Value::Array(values) => all(values).map(Parameters::Positional),
        Value::Object(named) => {
            let mut entries = named.iter();
            if let (Some((name, Value::Array(values))), None) = (entries.next(), entries.next()) {
                return Ok(Parameters::Set {
                    name: name.clone(),
                    values: all(values)?,
                });
            }
            let values = named.iter().map(|(name, value)| {
                let value = parameters_of(value).map_err(|error| format!(":{name}: {error}"))?;
                Ok((name.clone(), value))
            });
            Ok(Parameters::Named(values.collect::<Result<_, String>>()?))
        }
        other => Err(format!(
            "parameters are a list or a map, not {}",
            kind_of(other)
        )),
    }
}

/// Converts a value to a literal for the `?` of a statement.
///
/// # Errors
/// It is a list or a map.
pub(super) fn literal_of(value: &Value) -> Result<Literal, String> {
    match value {
        Value::Null => Ok(Literal::Null),
        Value::Bool(value) => Ok(Literal::Bool(*value)),
        Value::Number(number) => Ok(literal_of_number(number)),
        Value::String(text) => Ok(Literal::Text(text.clone())),
        Value::Array(_) | Value::Object(_) => Err(format!(
            "{} cannot be a parameter of a statement",
            kind_of(value)
        )),
    }
}

/// The result of a query as outputs.
pub(super) fn outputs_of(rows: Rows) -> Map<String, Value> {
    let values = rows
        .rows
        .into_iter()
        .map(|row| row.into_iter().map(Source::into_json).collect());
    table(&rows.columns, values)
}

/// A number as a literal of a statement. One that no 64-bit integer and no double writes in the same way is a text with all
/// its digits.
fn literal_of_number(number: &Number) -> Literal {
    match Source::of_json_number(number) {
        Source::Integer(whole) => Literal::Integer(whole),
        Source::Real(real) => Literal::Real(real),
        other => Literal::Text(other.to_string()),
    }
}

/// The outputs of an actor that returns a table.
pub(super) const TABLE: &[(&str, &str)] = &[
    ("rows", "a list of maps, one for each row"),
    ("count", "how many rows there are"),
    ("columns", "the names of the columns"),
    ("first", "the first row, or nothing"),
];

/// A table as outputs.
pub(super) fn table(
    columns: &[String],
    rows: impl Iterator<Item = Vec<Value>>,
) -> Map<String, Value> {
    let rows: Vec<Value> = rows
        .map(|row| Value::Object(columns.iter().cloned().zip(row).collect()))
        .collect();
    Map::from_iter([
        ("count".to_owned(), Value::from(rows.len())),
        (
            "first".to_owned(),
            rows.first().cloned().unwrap_or_default(),
        ),
        ("columns".to_owned(), Value::from(columns)),
        ("rows".to_owned(), Value::Array(rows)),
    ])
}
