//! CsvParser, JsonParser and XmlParser: parse texts.

use std::str::FromStr;

use async_trait::async_trait;
use serde_json::{Map, Number, Value, json};
use weft_model::real_to_json;
use weft_node::flow::FlowFailure;
use weft_project::is_name;

use crate::flow::actor::{
    Actor, ActorResult, ActorRun, ActorSpec, CheckContext, OUTPUT_BYTES, WrittenInputs,
};
use crate::flow::bounded_json::bounded_json;
use crate::flow::input::{InputKind, InputSpec, Inputs, optional, required};
use crate::flow::value::json_bytes;
use crate::hex::hex;
use crate::on_thread::on_thread;
use crate::records::{CsvFormat, Field, Format, Input, Item, Position, Reject, read};

const THREAD: &str = "weft-parse";
/// The most rejected records that an actor returns.
const REJECTS: usize = 100;
const TEXT: InputSpec = required("text", InputKind::Text, "the text");
const LENIENT: InputSpec = optional(
    "lenient",
    InputKind::Flag,
    "true skips records that cannot be read and lists them in `rejects`; otherwise the first of them is an error",
);
const ROWS: &[(&str, &str)] = &[
    ("rows", "a list of maps, one for each record"),
    ("count", "the number of rows"),
    (
        "rejects",
        "with `lenient`: a list of maps, line and reason of each skipped record, at most 100",
    ),
];

fn failed(error: impl Into<String>) -> FlowFailure {
    FlowFailure::new("Parse", error)
}

#[derive(Debug)]
pub(super) struct CsvParser;

const CSV: ActorSpec = ActorSpec {
    name: "CsvParser",
    aliases: &[],
    summary: "parses delimited text; fields are texts",
    inputs: &[
        TEXT,
        optional(
            "delimiter",
            InputKind::Text,
            "between fields; `,` by default",
        ),
        optional(
            "header",
            InputKind::Flag,
            "false if the first line is a record; then `columns` names the fields",
        ),
        optional(
            "columns",
            InputKind::List,
            "the names of the columns, if there is no header",
        ),
        LENIENT,
    ],
    outputs: ROWS,
};

#[async_trait]
impl Actor for CsvParser {
    fn spec(&self) -> &'static ActorSpec {
        &CSV
    }

    async fn act(&self, inputs: Inputs, _run: ActorRun<'_>) -> ActorResult {
        let delimiter = match inputs.optional_text("delimiter").map(str::as_bytes) {
            None => b',',
            Some([delimiter]) => *delimiter,
            Some(_) => return Err(failed("the input `delimiter` must be one ASCII character")),
        };
        let columns = match inputs.value("columns") {
            Value::Array(columns) => columns
                .iter()
                .map(|column| column.as_str().map(str::to_owned))
                .collect::<Option<_>>()
                .ok_or_else(|| failed("the input `columns` must be a list of texts"))?,
            _ => Vec::new(),
        };
        let header = inputs.value("header").is_null() || inputs.flag("header");
        let format = Format::Csv(CsvFormat {
            delimiter,
            header,
            columns,
            ..CsvFormat::default()
        });
        records(format, &inputs).await
    }
}

#[derive(Debug)]
pub(super) struct XmlParser;

const XML: ActorSpec = ActorSpec {
    name: "XmlParser",
    aliases: &[],
    summary: "parses the elements of one name; their attributes and inner elements are fields, as texts",
    inputs: &[
        TEXT,
        required(
            "element",
            InputKind::Fixed,
            "the element of a record, with enclosing ones if needed: `cars.car`",
        ),
        LENIENT,
    ],
    outputs: ROWS,
};

fn parse_path(written: &str) -> Option<Vec<String>> {
    let is_element = |name: &str| {
        let plain = name.replace(['-', ':'], "_");
        is_name(&plain)
    };
    let names: Vec<String> = written
        .split('.')
        .map(|name| name.trim().to_owned())
        .collect();
    names.iter().all(|name| is_element(name)).then_some(names)
}

#[async_trait]
impl Actor for XmlParser {
    fn spec(&self) -> &'static ActorSpec {
        &XML
    }

    async fn check(&self, inputs: WrittenInputs<'_>, context: CheckContext<'_>) {
        if let Some((written, spot)) = inputs.text("element")
            && parse_path(written).is_none()
        {
            let message =
                format!("`{written}` does not name an element; write `car` or `cars.car`");
            context.findings.add(spot, message);
        }
    }

    async fn act(&self, inputs: Inputs, _run: ActorRun<'_>) -> ActorResult {
        let element = parse_path(inputs.text("element"));
        let element = element.ok_or_else(|| failed("the input `element` names no element"))?;
        records(Format::Xml { element }, &inputs).await
    }
}

async fn records(format: Format, inputs: &Inputs) -> ActorResult {
    let text = inputs.text("text").to_owned();
    let is_lenient = inputs.flag("lenient");
    let work = move || gather(&format, text, is_lenient);
    on_thread(THREAD, work).await.map_err(failed)
}

fn gather(format: &Format, text: String, is_lenient: bool) -> Result<Map<String, Value>, String> {
    let error_of = |reject: &Reject| format!("line {}: {}", reject.line, reject.reason);
    let input = Input::from_text(text);
    let mut records =
        read(format, input, Position::default()).map_err(|failure| failure.to_string())?;
    let (mut rows, mut rejects, mut bytes) = (Vec::new(), Vec::new(), 0);
    while let Some(item) = records.next().map_err(|failure| failure.to_string())? {
        match item {
            Item::Record(record) => {
                let fields = record.fields.into_iter();
                let fields = fields.map(|(name, field)| (name.to_string(), to_json(field)));
                let row = Value::Object(fields.collect());
                bytes += json_bytes(&row);
                if bytes > OUTPUT_BYTES {
                    return Err(format!(
                        "the records have more than {} MiB",
                        OUTPUT_BYTES / 1024 / 1024
                    ));
                }
                rows.push(row);
            }
            Item::Reject(reject) if !is_lenient => return Err(error_of(&reject)),
            Item::Reject(reject) if rejects.len() < REJECTS => {
                rejects.push(json!({"line": reject.line, "reason": reject.reason}));
            }
            Item::Reject(_) => (),
        }
    }
    Ok(Map::from_iter([
        ("count".to_owned(), json!(rows.len())),
        ("rows".to_owned(), Value::Array(rows)),
        ("rejects".to_owned(), Value::Array(rejects)),
    ]))
}

/// A number as it is written.
fn number_of(digits: String) -> Value {
    match Number::from_str(&digits) {
        Ok(number) => Value::Number(number),
        Err(_) => Value::from(digits),
    }
}

fn to_json(field: Field) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Text(text) => Value::from(text),
        Field::Integer(number) => Value::from(number),
        Field::Number(digits) => number_of(digits),
        Field::Real(number) => real_to_json(number),
        Field::Bool(value) => Value::from(value),
        Field::Bytes(bytes) => Value::from(hex(&bytes)),
    }
}

#[derive(Debug)]
pub(super) struct JsonParser;

const JSON: ActorSpec = ActorSpec {
    name: "JsonParser",
    aliases: &[],
    summary: "parses JSON",
    inputs: &[TEXT],
    outputs: &[("value", "the value")],
};

#[async_trait]
impl Actor for JsonParser {
    fn spec(&self) -> &'static ActorSpec {
        &JSON
    }

    async fn act(&self, inputs: Inputs, _run: ActorRun<'_>) -> ActorResult {
        let text = inputs.text("text").to_owned();
        let read = on_thread(THREAD, move || bounded_json(&text, OUTPUT_BYTES)).await;
        let value = read.map_err(failed)?;
        Ok(Map::from_iter([("value".to_owned(), value)]))
    }
}
