//! What a job of this kind shall publish, and where to: its arguments, read.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use weft_lang::names::nearest;
use weft_node::job::Check;
use weft_project::LogicalUnit;

use crate::arguments::check_names;

const ARGUMENTS: [&str; 5] = ["instances", "tables", "types", "truncate", "sink"];
const SINKS: [&str; 2] = ["file", "url"];
const OF_URL: [&str; 3] = ["batch", "headers", "timeout_ms"];
/// How the name of a file ends that takes lines of JSON.
const ENDINGS: [&str; 2] = [".jsonl", ".ndjson"];
/// What a sink to a queue would be called.
const OF_QUEUES: [&str; 5] = ["queue", "topic", "interface", "kafka", "broker"];
const DEFAULT_BATCH: u64 = 500;
const MAX_BATCH: u64 = 100_000;
const EXAMPLE: &str = r#"write such as ARGS='{"sink":{"file":"/data/out.jsonl"}}' or ARGS='{"sink":{"url":"http://host/path"}}'"#;

/// What is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    /// The logical unit as deployed.
    pub(super) logical_unit: String,
    /// Its instances, each once; none for all that are stored.
    pub(super) instances: Option<Vec<String>>,
    /// Its tables, in the order of the logical unit.
    pub(super) tables: Vec<String>,
    /// Whom the rows are for; empty for everybody.
    pub(super) types: Vec<String>,
    /// Each table of an instance begins with a line that says to forget what is known of it.
    pub(super) truncate: bool,
}

/// Where it goes to, as written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Target {
    /// A file of lines.
    File(String),
    /// Calls of a server.
    Url {
        /// The arguments of an HTTP call, its body aside.
        call: Map<String, Value>,
        /// Lines in a call, at most.
        batch: u64,
    },
}

/// Reads arguments against the logical unit that they are about.
///
/// # Errors
/// What is unknown or cannot be, by its name.
pub(super) fn read(
    unit: &LogicalUnit,
    arguments: &Map<String, Value>,
) -> Result<(Order, Target), Check> {
    check_names("CDC_REPUBLISH has no argument", arguments, &ARGUMENTS)?;
    let instances = arguments
        .get("instances")
        .map(|value| names("instances", value));
    let tables = arguments.get("tables").map(|value| names("tables", value));
    let types = arguments.get("types").map(|value| names("types", value));
    let truncate = match arguments.get("truncate") {
        None => false,
        Some(Value::Bool(truncate)) => *truncate,
        Some(Value::String(text)) if text.eq_ignore_ascii_case("true") => true,
        Some(Value::String(text)) if text.eq_ignore_ascii_case("false") => false,
        Some(_) => return Err(must_be("truncate", "true or false")),
    };
    let order = Order {
        logical_unit: unit.name.clone(),
        instances: instances.transpose()?,
        tables: tables_of(unit, tables.transpose()?)?,
        types: types.transpose()?.unwrap_or_default(),
        truncate,
    };
    Ok((order, target(arguments.get("sink"))?))
}

fn tables_of(unit: &LogicalUnit, wanted: Option<Vec<String>>) -> Result<Vec<String>, Check> {
    let all = || unit.tables.iter().map(|table| table.name.as_str());
    let Some(wanted) = wanted else {
        return Ok(all().map(str::to_owned).collect());
    };
    let is = |table: &str, name: &String| table.eq_ignore_ascii_case(name);
    if let Some(unknown) = wanted
        .iter()
        .find(|name| !all().any(|table| is(table, name)))
    {
        return Err(Check {
            message: format!("{} has no table `{unknown}`", unit.name),
            hint: Some(match nearest(unknown, all()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("its tables are {}", all().collect::<Vec<_>>().join(", ")),
            }),
        });
    }
    let chosen = all().filter(|table| wanted.iter().any(|name| is(table, name)));
    Ok(chosen.map(str::to_owned).collect())
}

fn target(sink: Option<&Value>) -> Result<Target, Check> {
    let Some(sink) = sink else {
        return Err(Check {
            message: "CDC_REPUBLISH needs `sink`: the file or the url that rows go to".to_owned(),
            hint: Some(EXAMPLE.to_owned()),
        });
    };
    let Value::Object(sink) = sink else {
        return Err(must_be("sink", r#"an object with `file` or `url`"#));
    };
    if let Some(queue) = sink.keys().find(|key| OF_QUEUES.contains(&key.as_str())) {
        return Err(Check {
            message: format!("the sink names `{queue}`: queues are not available in this version"),
            hint: Some("rows go to a `file` or a `url`".to_owned()),
        });
    }
    let members: Vec<&str> = SINKS.into_iter().chain(OF_URL).collect();
    check_names("the sink has no", sink, &members)?;
    match (sink.get("file"), sink.get("url")) {
        (Some(Value::String(path)), None) => {
            if let Some(member) = OF_URL.into_iter().find(|member| sink.contains_key(*member)) {
                return Err(Check {
                    message: format!("`{member}` is for a `url`, and the sink is a file"),
                    hint: Some("leave it out".to_owned()),
                });
            }
            // It replaces the file of that name: a slip must not cost a source or a part of a project.
            if !ENDINGS.iter().any(|ending| path.ends_with(ending)) {
                return Err(Check {
                    message: format!("the sink `{path}` is no file for lines of JSON"),
                    hint: Some("give it a name that ends with .jsonl or .ndjson".to_owned()),
                });
            }
            Ok(Target::File(path.clone()))
        }
        (Some(_), None) => Err(must_be("sink.file", "a path")),
        (None, Some(url)) => {
            let mut call = Map::new();
            call.insert("url".to_owned(), url.clone());
            call.insert("method".to_owned(), Value::from("POST"));
            for member in ["headers", "timeout_ms"] {
                if let Some(value) = sink.get(member) {
                    call.insert(member.to_owned(), value.clone());
                }
            }
            let batch = match sink.get("batch") {
                None => DEFAULT_BATCH,
                Some(value) => value
                    .as_u64()
                    .filter(|batch| (1..=MAX_BATCH).contains(batch))
                    .ok_or_else(|| {
                        must_be("sink.batch", &format!("a number from 1 to {MAX_BATCH}"))
                    })?,
            };
            Ok(Target::Url { call, batch })
        }
        (Some(_), Some(_)) => Err(Check {
            message: "the sink has `file` and `url`".to_owned(),
            hint: Some("give one of them; two jobs write to two places".to_owned()),
        }),
        (None, None) => Err(Check {
            message: "the sink has neither `file` nor `url`".to_owned(),
            hint: Some(EXAMPLE.to_owned()),
        }),
    }
}

/// A list, or a text with commas; each name once, in its order.
fn names(argument: &str, value: &Value) -> Result<Vec<String>, Check> {
    let found: Option<Vec<String>> = match value {
        Value::String(text) => Some(text.split(',').map(|id| id.trim().to_owned()).collect()),
        Value::Number(number) => Some(vec![number.to_string()]),
        Value::Array(values) => values.iter().map(name).collect(),
        Value::Null | Value::Bool(_) | Value::Object(_) => None,
    };
    let found =
        found.filter(|names| !names.is_empty() && names.iter().all(|name| !name.is_empty()));
    let Some(names) = found else {
        let expected = "a list of names, or a text with names separated by commas";
        return Err(must_be(argument, expected));
    };
    let mut seen = BTreeSet::new();
    Ok(names
        .into_iter()
        .filter(|name| seen.insert(name.clone()))
        .collect())
}

fn name(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn must_be(argument: &str, expected: &str) -> Check {
    Check {
        message: format!("the argument `{argument}` must be {expected}"),
        hint: Some(EXAMPLE.to_owned()),
    }
}
