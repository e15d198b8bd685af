//! The definition of a parser, `parsers/<name>.yaml`: the source of the records and their format. The engine reads the
//! table that they fill.

use std::collections::BTreeMap;

use async_trait::async_trait;
use sha2::{Digest, Sha256};
use weft_model::ParsedTable;
use weft_project::{
    Fields, Findings, LogicalUnit, Project, ProjectFile, Spot, Validator, nearest, yaml,
};

use crate::file_roots::FileRoots;
use crate::hex::hex;
use crate::records::{CsvFormat, Format, InputLimits, Pattern};

const FORMATS: [&str; 6] = ["csv", "jsonl", "json", "xml", "fixed", "lines"];
/// The widest column of a fixed-width line.
const WIDTH: usize = 100_000;

/// A parser as deployed.
#[derive(Clone, Debug)]
pub(crate) struct Definition {
    pub(crate) source: RecordSource,
    pub(crate) table: ParsedTable,
    /// Hash of the file. If it changes, all files are read again.
    pub(crate) hash: String,
}

/// The source of the records.
#[derive(Clone, Debug)]
pub(crate) enum RecordSource {
    Files {
        /// A path with `*`, `?`, `[…]` and `**`.
        pattern: String,
        format: Format,
        limits: InputLimits,
    },
    Query {
        interface: String,
        sql: String,
    },
}

/// Checks the parsers of a project at deployment.
#[derive(Debug)]
pub(crate) struct ParserFiles;

#[async_trait]
impl Validator for ParserFiles {
    async fn check(&self, project: &Project, findings: &Findings) {
        for logical_unit in project.logical_units() {
            for (name, file) in &logical_unit.parsers {
                // The engine has reported why there is no table.
                let Some(table) = logical_unit.parsed_tables.get(name) else {
                    continue;
                };
                let read = read(file, table, findings);
                if let Some(RecordSource::Query { interface, sql }) =
                    read.map(|definition| definition.source)
                {
                    check_query(project, file, table, (&interface, &sql), findings).await;
                }
            }
        }
    }
}

async fn check_query(
    project: &Project,
    file: &ProjectFile,
    table: &ParsedTable,
    (interface, sql): (&str, &str),
    findings: &Findings,
) {
    let mut spot = file.spot();
    if let Err(unknown) = project.interface_definition(interface) {
        spot.field = "interface".to_owned();
        findings.add(&spot, unknown.to_string());
        return;
    }
    spot.field = "query".to_owned();
    // If the interface cannot be reached now, the run reports it.
    let Ok(opened) = project.interface(interface) else {
        return;
    };
    match opened.check(sql).await {
        Ok(columns) => check_fields(table, &columns, &spot, findings),
        Err(error @ weft_project::source::SourceError::Query { .. }) => {
            findings.add(&spot, error.to_string());
        }
        Err(
            weft_project::source::SourceError::Unavailable { .. }
            | weft_project::source::SourceError::Store { .. },
        ) => {}
    }
}

/// Reports columns whose field does not exist.
fn check_fields(table: &ParsedTable, known: &[String], spot: &Spot, findings: &Findings) {
    for column in &table.columns {
        if !known.contains(&column.from) {
            let (name, from) = (&column.name, &column.from);
            let near = nearest(from, known.iter().map(String::as_str));
            let message =
                format!("column `{name}` is read from the field `{from}`, which does not exist");
            findings.add_near(spot, message, near);
        }
    }
}

/// Reads a deployed parser.
///
/// # Errors
/// The file is wrong: another version has deployed it.
pub(crate) fn find(logical_unit: &LogicalUnit, name: &str) -> Result<Definition, String> {
    let findings = Findings::default();
    let file = logical_unit.parsers.get(name);
    let table = logical_unit.parsed_tables.get(name);
    let read = file
        .zip(table)
        .and_then(|(file, table)| read(file, table, &findings));
    let wrong = findings.into_errors();
    match (read, wrong.first()) {
        (Some(definition), None) => Ok(definition),
        (_, Some(error)) => Err(error.to_string()),
        (None, None) => Err(format!("parser {name} cannot be read")),
    }
}

fn read(file: &ProjectFile, table: &ParsedTable, findings: &Findings) -> Option<Definition> {
    // The engine has reported what is not YAML.
    let node = yaml::parse(&file.text).ok()?;
    let mut fields = Fields::new(&node, file.spot(), findings);
    fields.text("description");
    // The engine reads these.
    for field in ["table", "columns", "key"] {
        fields.node(field);
    }
    let pattern = fields.text("files").map(str::to_owned);
    let interface = fields.text("interface").map(str::to_owned);
    let files_spot = fields.spot("files");
    let source = match (pattern, interface) {
        (Some(_), Some(_)) => {
            findings.add(
                &fields.spot("interface"),
                "a parser reads `files` or an `interface`, not both",
            );
            None
        }
        (None, None) => {
            findings.add(
                &files_spot,
                "is missing: `files` or an `interface` with a `query`",
            );
            None
        }
        (None, Some(interface)) => {
            let sql = fields.required("query").map(str::to_owned);
            if table.key.is_empty() {
                let spot = fields.spot("key");
                findings.add(
                    &spot,
                    "is missing: only a key identifies the rows of a query",
                );
            }
            sql.map(|sql| RecordSource::Query { interface, sql })
        }
        (Some(pattern), None) => {
            if let Err(reason) = FileRoots::check_form(&pattern) {
                findings.add(&files_spot, reason);
            }
            let limits = limits(&mut fields, findings);
            let format = format(&mut fields, table, findings);
            format.map(|format| RecordSource::Files {
                pattern,
                format,
                limits,
            })
        }
    };
    fields.finish();
    let hash = Sha256::digest(file.text.as_bytes());
    Some(Definition {
        source: source?,
        table: table.clone(),
        hash: hex(&hash[..8]),
    })
}

fn limits(fields: &mut Fields<'_>, findings: &Findings) -> InputLimits {
    let default = InputLimits::default();
    let spot = fields.spot("limits");
    let Some(node) = fields.node("limits") else {
        return default;
    };
    let mut fields = Fields::new(node, spot, findings);
    let limits = InputLimits {
        bytes: fields.number("bytes", 1, 1 << 50).unwrap_or(default.bytes),
        ratio: fields
            .number("ratio", 1, 1_000_000)
            .unwrap_or(default.ratio),
    };
    fields.finish();
    limits
}

fn format(fields: &mut Fields<'_>, table: &ParsedTable, findings: &Findings) -> Option<Format> {
    let spot = fields.spot("format");
    let name = fields.required("format")?;
    Some(match name {
        "csv" => Format::Csv(csv(fields, table, findings)),
        "jsonl" => Format::JsonLines,
        "json" => Format::Json {
            path: fields
                .text("path")
                .map(|path| path.split('.').map(str::to_owned).collect())
                .unwrap_or_default(),
        },
        "xml" => {
            let element = fields.required("element")?;
            Format::Xml {
                element: element.split('/').map(str::to_owned).collect(),
            }
        }
        "fixed" => {
            let spot = fields.spot("widths");
            let widths = widths(fields, findings);
            let names: Vec<String> = widths.iter().map(|(name, _)| name.clone()).collect();
            check_fields(table, &names, &spot, findings);
            Format::Fixed(widths)
        }
        "lines" => {
            let spot = fields.spot("pattern");
            match Pattern::new(fields.required("pattern")?) {
                Ok(pattern) => {
                    let names: Vec<String> = pattern.names().map(str::to_owned).collect();
                    check_fields(table, &names, &spot, findings);
                    Format::Lines(pattern)
                }
                Err(error) => {
                    findings.add(&spot, error.to_string());
                    return None;
                }
            }
        }
        other => {
            let message = format!(
                "unknown format `{other}`; the formats are {}",
                FORMATS.join(", ")
            );
            findings.add_near(&spot, message, nearest(other, FORMATS));
            return None;
        }
    })
}

fn widths(fields: &mut Fields<'_>, findings: &Findings) -> Vec<(String, usize)> {
    let spot = fields.spot("widths");
    if fields.node("widths").is_none() {
        findings.add(&spot, "is missing");
    }
    let mut widths = Vec::new();
    for (entry, spot) in fields.entries("widths") {
        let width = match &entry.node.value {
            yaml::Yaml::Text(text) => text.parse().ok(),
            _ => None,
        };
        match width.filter(|width| (1..=WIDTH).contains(width)) {
            Some(width) => widths.push((entry.key.clone(), width)),
            None => findings.add(&spot, "must be the width of the column in characters"),
        }
    }
    widths
}

fn csv(fields: &mut Fields<'_>, table: &ParsedTable, findings: &Findings) -> CsvFormat {
    let default = CsvFormat::default();
    let delimiter_spot = fields.spot("delimiter");
    let delimiter = fields.text("delimiter");
    let delimiter = delimiter.and_then(|text| one_byte(text, &delimiter_spot, findings));
    let quote_spot = fields.spot("quote");
    let quote = match fields.text("quote") {
        None => default.quote,
        Some("none") => None,
        Some(text) => one_byte(text, &quote_spot, findings),
    };
    let header_spot = fields.spot("header");
    let header = match fields.text("header") {
        None | Some("true") => true,
        Some("false") => false,
        Some(other) => {
            findings.add(
                &header_spot,
                format!("must be true or false, not `{other}`"),
            );
            true
        }
    };
    let names_spot = fields.spot("names");
    let columns: Vec<String> = fields
        .texts("names")
        .into_iter()
        .map(|(name, _)| name.to_owned())
        .collect();
    if header && !columns.is_empty() {
        findings.add(
            &names_spot,
            "the header names the columns; write `header: false` if there is none",
        );
    }
    let mut known = BTreeMap::new();
    for name in &columns {
        if known.insert(name, ()).is_some() {
            findings.add(&names_spot, format!("`{name}` is listed twice"));
        }
    }
    if !columns.is_empty() {
        check_fields(table, &columns, &names_spot, findings);
    }
    CsvFormat {
        delimiter: delimiter.unwrap_or(default.delimiter),
        quote,
        header,
        columns,
    }
}

fn one_byte(text: &str, spot: &Spot, findings: &Findings) -> Option<u8> {
    match text.as_bytes() {
        [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r') => Some(*byte),
        _ => {
            findings.add(spot, format!("must be one character, not `{text}`"));
            None
        }
    }
}
