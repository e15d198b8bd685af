//! CsvParser, JsonParser and XmlParser: texts become values.

use async_trait::async_trait;
use serde_json::{Map, Value, json};
use weft_project::is_name;

use crate::flow::actor::{
    Actor, ActorError, ActorRun, ActorSpec, Checking, InputKind, InputSpec, Inputs, OUTPUT_BYTES,
    WrittenInputs, optional, required,
};
use crate::flow::bounded_json::bounded_json;
use crate::flow::expression::json_bytes;
use crate::on_thread::on_thread;
use crate::records::{CsvFormat, Field, Format, Input, Item, Position, Reject, read};

const THREAD: &str = "weft-parse";
/// Records that cannot be read and are told.
const REJECTS: usize = 100;
const TEXT: InputSpec = required("text", InputKind::Text, "the text");
const LENIENT: InputSpec = optional(
    "lenient",
    InputKind::Flag,
    "true passes over what cannot be read and tells it in `rejects`; otherwise the first such record is an error",
);
const ROWS: &[(&str, &str)] = &[
    ("rows", "a list of maps, one for each record"),
    ("count", "how many there are"),
    (
        "rejects",
        "with `lenient`: a list of maps, line and reason of what was passed over, at most 100",
    ),
];

fn failed(error: impl Into<String>) -> ActorError {
    ActorError::new("Parse", error)
}

#[derive(Debug)]
pub(super) struct CsvParser;

const CSV: ActorSpec = ActorSpec {
    name: "CsvParser",
    aliases: &[],
    summary: "reads delimited text; fields are texts",
    inputs: &[
        TEXT,
        optional(
            "delimiter",
            InputKind::Text,
            "between fields; `,` where it is left out",
        ),
        optional(
            "header",
            InputKind::Flag,
            "false where the first line is a record; then `columns` names the fields",
        ),
        optional(
            "columns",
            InputKind::List,
            "the names of the columns, where there is no header",
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

    async fn act(
        &self,
        inputs: Inputs,
        _run: ActorRun<'_>,
    ) -> Result<Map<String, Value>, ActorError> {
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
    summary: "reads the elements of one name; attributes and the elements below are their fields, as texts",
    inputs: &[
        TEXT,
        required(
            "element",
            InputKind::Fixed,
            "the element that is a record, with those around it if they matter: `cars.car`",
        ),
        LENIENT,
    ],
    outputs: ROWS,
};

fn element_of(written: &str) -> Option<Vec<String>> {
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

    async fn check(&self, inputs: WrittenInputs<'_>, at: Checking<'_>) {
        if let Some((written, spot)) = inputs.text("element")
            && element_of(written).is_none()
        {
            let message =
                format!("`{written}` is no name of an element; write `car` or `cars.car`");
            at.findings.add(spot, message);
        }
    }

    async fn act(
        &self,
        inputs: Inputs,
        _run: ActorRun<'_>,
    ) -> Result<Map<String, Value>, ActorError> {
        let element = element_of(inputs.text("element"));
        let element = element.ok_or_else(|| failed("the input `element` names no element"))?;
        records(Format::Xml { element }, &inputs).await
    }
}

async fn records(format: Format, inputs: &Inputs) -> Result<Map<String, Value>, ActorError> {
    let text = inputs.text("text").to_owned();
    let is_lenient = inputs.flag("lenient");
    let work = move || gather(&format, text, is_lenient);
    on_thread(THREAD, work).await.map_err(failed)
}

fn gather(format: &Format, text: String, is_lenient: bool) -> Result<Map<String, Value>, String> {
    let told = |reject: &Reject| format!("line {}: {}", reject.line, reject.reason);
    let input = Input::of_text(text);
    let mut records =
        read(format, input, Position::default()).map_err(|failure| failure.to_string())?;
    let (mut rows, mut rejects, mut bytes) = (Vec::new(), Vec::new(), 0);
    while let Some(item) = records.next().map_err(|failure| failure.to_string())? {
        match item {
            Item::Record(record) => {
                let fields = record.fields.into_iter();
                let fields = fields.map(|(name, field)| (name.to_string(), value_of(field)));
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
            Item::Reject(reject) if !is_lenient => return Err(told(&reject)),
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

fn value_of(field: Field) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Text(text) => Value::from(text),
        Field::Integer(number) => Value::from(number),
        Field::Real(number) => Value::from(number),
        Field::Bool(value) => Value::from(value),
        Field::Bytes(bytes) => Value::from(
            bytes
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>(),
        ),
    }
}

#[derive(Debug)]
pub(super) struct JsonParser;

const JSON: ActorSpec = ActorSpec {
    name: "JsonParser",
    aliases: &[],
    summary: "reads JSON",
    inputs: &[TEXT],
    outputs: &[("value", "what it says")],
};

#[async_trait]
impl Actor for JsonParser {
    fn spec(&self) -> &'static ActorSpec {
        &JSON
    }

    async fn act(
        &self,
        inputs: Inputs,
        _run: ActorRun<'_>,
    ) -> Result<Map<String, Value>, ActorError> {
        let text = inputs.text("text").to_owned();
        let read = on_thread(THREAD, move || bounded_json(&text, OUTPUT_BYTES)).await;
        let value = read.map_err(failed)?;
        Ok(Map::from_iter([("value".to_owned(), value)]))
    }
}
