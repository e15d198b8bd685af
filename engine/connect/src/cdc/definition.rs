//! The arguments of a job: which rows it publishes, and the sink that receives them.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use weft_lang::names::nearest;
use weft_node::job::DefinitionError;
use weft_project::LogicalUnit;

use crate::arguments::{check_names, flag, refused};

const ARGUMENTS: [&str; 5] = ["instances", "tables", "types", "truncate", "sink"];
const SINKS: [&str; 2] = ["file", "url"];
/// Members of a sink that need a `url`.
const URL_MEMBERS: [&str; 3] = ["batch", "headers", "timeout_ms"];
/// The extensions of files of JSON lines.
const EXTENSIONS: [&str; 2] = [".jsonl", ".ndjson"];
/// Members that a user may expect for a queue.
const QUEUE_MEMBERS: [&str; 5] = ["queue", "topic", "interface", "kafka", "broker"];
const DEFAULT_BATCH: u64 = 500;
const MAX_BATCH: u64 = 100_000;
const EXAMPLE: &str = r#"write such as ARGS='{"sink":{"file":"/data/out.jsonl"}}' or ARGS='{"sink":{"url":"http://host/path"}}'"#;

/// The rows to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selection {
    /// The name of the logical unit as deployed.
    pub(super) logical_unit: String,
    /// Distinct instances; none for all stored instances.
    pub(super) instances: Option<Vec<String>>,
    /// Tables, in the order of the logical unit.
    pub(super) tables: Vec<String>,
    /// The consumers that the rows are for; empty for all.
    pub(super) types: Vec<String>,
    /// A line before the rows of each table of an instance tells consumers to delete its old rows.
    pub(super) truncate: bool,
}

/// The sink as written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum SinkDefinition {
    /// The path of a file.
    File(String),
    /// Calls of a server.
    Url {
        /// The arguments of an HTTP call, without the body.
        call: Map<String, Value>,
        /// The most lines of one call.
        batch: u64,
    },
}

/// Reads the arguments of a job for a logical unit.
///
/// # Errors
/// An argument is unknown or wrong.
pub(super) fn read(
    unit: &LogicalUnit,
    arguments: &Map<String, Value>,
) -> Result<(Selection, SinkDefinition), DefinitionError> {
    check_names("CDC_REPUBLISH has no argument", arguments, &ARGUMENTS)?;
    let instances = arguments
        .get("instances")
        .map(|value| names("instances", value));
    let tables = arguments.get("tables").map(|value| names("tables", value));
    let types = arguments.get("types").map(|value| names("types", value));
    let selection = Selection {
        logical_unit: unit.name.clone(),
        instances: instances.transpose()?,
        tables: tables_of(unit, tables.transpose()?)?,
        types: types.transpose()?.unwrap_or_default(),
        truncate: flag(arguments, "truncate")?,
    };
    Ok((selection, sink(arguments.get("sink"))?))
}

fn tables_of(
    unit: &LogicalUnit,
    wanted: Option<Vec<String>>,
) -> Result<Vec<String>, DefinitionError> {
    let all = || unit.tables.iter().map(|table| table.name.as_str());
    let Some(wanted) = wanted else {
        return Ok(all().map(str::to_owned).collect());
    };
    let is = |table: &str, name: &String| table.eq_ignore_ascii_case(name);
    if let Some(unknown) = wanted
        .iter()
        .find(|name| !all().any(|table| is(table, name)))
    {
        let message = format!("{} has no table `{unknown}`", unit.name);
        return Err(match nearest(unknown, all()) {
            Some(near) => refused(message, format!("did you mean `{near}`?")),
            None => {
                let known = all().collect::<Vec<_>>().join(", ");
                refused(message, format!("its tables are {known}"))
            }
        });
    }
    let chosen = all().filter(|table| wanted.iter().any(|name| is(table, name)));
    Ok(chosen.map(str::to_owned).collect())
}

fn sink(sink: Option<&Value>) -> Result<SinkDefinition, DefinitionError> {
    let Some(sink) = sink else {
        let message = "CDC_REPUBLISH needs `sink`: the file or the url that receives the rows";
        return Err(refused(message, EXAMPLE));
    };
    let Value::Object(sink) = sink else {
        return Err(must_be("sink", r#"an object with `file` or `url`"#));
    };
    if let Some(queue) = sink
        .keys()
        .find(|key| QUEUE_MEMBERS.contains(&key.as_str()))
    {
        let message = format!("the sink names `{queue}`: queues are not available in this version");
        return Err(refused(message, "rows go to a `file` or a `url`"));
    }
    let members: Vec<&str> = SINKS.into_iter().chain(URL_MEMBERS).collect();
    check_names("the sink has no", sink, &members)?;
    match (sink.get("file"), sink.get("url")) {
        (Some(Value::String(path)), None) => file_sink(path, sink),
        (Some(_), None) => Err(must_be("sink.file", "a path")),
        (None, Some(url)) => url_sink(url, sink),
        (Some(_), Some(_)) => Err(refused(
            "the sink has `file` and `url`",
            "give one of them; use two jobs for two sinks",
        )),
        (None, None) => Err(refused("the sink has neither `file` nor `url`", EXAMPLE)),
    }
}

fn file_sink(path: &str, sink: &Map<String, Value>) -> Result<SinkDefinition, DefinitionError> {
    let mut for_url = URL_MEMBERS.into_iter();
    if let Some(member) = for_url.find(|member| sink.contains_key(*member)) {
        let message = format!("`{member}` is for a `url`, and the sink is a file");
        return Err(refused(message, "leave it out"));
    }
    // The job replaces the file, so a typing error must not destroy a source or a file of a project.
    if !EXTENSIONS.iter().any(|extension| path.ends_with(extension)) {
        let message = format!("the sink `{path}` is not a file of JSON lines");
        let hint = "use a name that ends with .jsonl or .ndjson";
        return Err(refused(message, hint));
    }
    Ok(SinkDefinition::File(path.to_owned()))
}

fn url_sink(url: &Value, sink: &Map<String, Value>) -> Result<SinkDefinition, DefinitionError> {
    let mut call = Map::new();
    call.insert("url".to_owned(), url.clone());
    call.insert("method".to_owned(), Value::from("POST"));
    for member in ["headers", "timeout_ms"] {
        if let Some(value) = sink.get(member) {
            call.insert(member.to_owned(), value.clone());
        }
    }
    let batch = match sink.get("batch") {
        None => Some(DEFAULT_BATCH),
        Some(value) => value.as_u64(),
    };
    let batch = batch.filter(|batch| (1..=MAX_BATCH).contains(batch));
    let batch =
        batch.ok_or_else(|| must_be("sink.batch", &format!("a number from 1 to {MAX_BATCH}")))?;
    Ok(SinkDefinition::Url { call, batch })
}

/// Reads a list of names, or a text with commas. Names that occur again are dropped.
fn names(argument: &str, value: &Value) -> Result<Vec<String>, DefinitionError> {
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

fn must_be(argument: &str, expected: &str) -> DefinitionError {
    let message = format!("the argument `{argument}` must be {expected}");
    refused(message, EXAMPLE)
}
