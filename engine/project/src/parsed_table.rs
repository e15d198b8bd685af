//! Reads the table that a parser fills from `parsers/<name>.yaml`. The other fields, on where records come from, are
//! for the job kind that runs parsers.

use weft_model::ColumnType;
use weft_model::{ParsedColumn, ParsedTable, SOURCE_FILE, SOURCE_LINE};

use super::fields::Fields;
use super::finding::{Findings, Spot, is_name, nearest};
use super::interface_file::parse_column_type;
use super::project_file::ProjectFile;
use super::yaml::{self, Yaml};

/// Names of tables that every logical unit already has.
const TAKEN: [&str; 2] = ["entity", "entity_chunks"];
/// The longest name of a table or column in Cassandra.
const NAME: usize = 48;
const COLUMNS: usize = 500;
/// Names of columns that Weft adds.
const OURS: [&str; 3] = [SOURCE_FILE, SOURCE_LINE, "source_part"];

/// Reads the table of a parser; none if required parts have errors.
pub(super) fn read(
    logical_unit: &str,
    file: &ProjectFile,
    findings: &Findings,
) -> Option<ParsedTable> {
    let spot = file.spot();
    let node = match yaml::parse(&file.text) {
        Ok(node) => node,
        Err(error) => {
            let line = error.line;
            findings.add(&Spot { line, ..spot }, error.message);
            return None;
        }
    };
    let mut fields = Fields::new(&node, spot, findings);
    let name = read_name(&mut fields, findings);
    let columns = read_columns(&mut fields, findings);
    let key = read_key(&mut fields, &columns, findings);
    Some(ParsedTable {
        logical_unit: logical_unit.to_owned(),
        name: name?.to_owned(),
        columns,
        key,
    })
}

fn read_name<'f>(fields: &mut Fields<'f>, findings: &Findings) -> Option<&'f str> {
    let spot = fields.spot("table");
    let name = fields.required("table")?;
    check_name(name, &spot, findings);
    if TAKEN.iter().any(|taken| taken.eq_ignore_ascii_case(name)) {
        findings.add(
            &spot,
            format!("every logical unit has a table `{name}` already"),
        );
    }
    Some(name)
}

fn read_columns(fields: &mut Fields<'_>, findings: &Findings) -> Vec<ParsedColumn> {
    let columns_spot = fields.spot("columns");
    if fields.node("columns").is_none() {
        findings.add(&columns_spot, "is missing");
    }
    let mut columns: Vec<ParsedColumn> = Vec::new();
    for (entry, spot) in fields.entries("columns") {
        let name = &entry.key;
        check_name(name, &spot, findings);
        if OURS.iter().any(|ours| ours.eq_ignore_ascii_case(name)) {
            findings.add(
                &spot,
                format!("`{name}` is a column that tables without a key have already"),
            );
        }
        let other = columns
            .iter()
            .find(|other| other.name.eq_ignore_ascii_case(name));
        if let Some(ParsedColumn { name: other, .. }) = other {
            findings.add(
                &spot,
                format!("`{name}` and `{other}` differ only in upper and lower case"),
            );
        }
        let (kind, from) = match &entry.node.value {
            Yaml::Text(kind) => (stored_type(kind, &spot, findings), None),
            _ => {
                let mut fields = Fields::new(&entry.node, spot.clone(), findings);
                let type_spot = fields.spot("type");
                let kind = fields.required("type");
                let kind = kind.and_then(|kind| stored_type(kind, &type_spot, findings));
                let from = fields.text("from").map(str::to_owned);
                fields.finish();
                (kind, from)
            }
        };
        columns.push(ParsedColumn {
            name: name.clone(),
            kind: kind.unwrap_or_default(),
            from: from.unwrap_or_else(|| name.clone()),
        });
    }
    if columns.len() > COLUMNS {
        findings.add(&columns_spot, format!("more than {COLUMNS} columns"));
    }
    columns
}

fn read_key(fields: &mut Fields<'_>, columns: &[ParsedColumn], findings: &Findings) -> Vec<String> {
    let mut key: Vec<String> = Vec::new();
    for (name, spot) in fields.texts("key") {
        let Some(column) = columns.iter().find(|column| column.name == name) else {
            let near = nearest(name, columns.iter().map(|column| column.name.as_str()));
            findings.add_near(&spot, format!("there is no column `{name}`"), near);
            continue;
        };
        if !matches!(column.kind, ColumnType::Text | ColumnType::Integer) {
            let kind = column.kind;
            findings.add(
                &spot,
                format!("`{name}` is {kind}; only TEXT and INTEGER tell rows apart"),
            );
        }
        if key.iter().any(|known| known == name) {
            findings.add(&spot, format!("`{name}` stands twice in the key"));
        }
        key.push(name.to_owned());
    }
    key
}

fn check_name(name: &str, spot: &Spot, findings: &Findings) {
    if !is_name(name) {
        findings.add(
            spot,
            format!(
                "`{name}` is not a name: it starts with a letter and has only letters, digits and _"
            ),
        );
    } else if name.len() > NAME {
        findings.add(spot, format!("`{name}` has more than {NAME} characters"));
    }
}

/// Parses the type of a stored column, which cannot be ANY.
fn stored_type(name: &str, spot: &Spot, findings: &Findings) -> Option<ColumnType> {
    let kind = parse_column_type(name, spot, findings)?;
    if kind == ColumnType::Any {
        findings.add(
            spot,
            "a stored column has a type: TEXT, INTEGER, REAL or BLOB",
        );
        return None;
    }
    Some(kind)
}
