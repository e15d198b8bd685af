//! Reads `interfaces/<name>.yaml`.

use std::collections::BTreeMap;

use weft_model::ColumnType;

use super::fields::Fields;
use super::finding::{Findings, Spot, nearest};
use super::yaml::Node;
use crate::interface::{InterfaceDefinition, InterfaceKind, Limits, TableDefinition};

const KINDS: [(&str, InterfaceKind); 4] = [
    ("sqlite", InterfaceKind::Sqlite),
    ("csv", InterfaceKind::Csv),
    ("jsonl", InterfaceKind::Jsonl),
    ("parsed", InterfaceKind::Parsed),
];

/// The folders of a bundle that a relative path may start with.
const REACHABLE: [&str; 3] = ["interfaces/", "logical_units/", "scripts/"];

/// Reads an interface; none if required parts have errors.
pub(super) fn read(
    name: &str,
    node: &Node,
    spot: &Spot,
    findings: &Findings,
) -> Option<InterfaceDefinition> {
    let mut fields = Fields::new(node, spot.clone(), findings);
    let kind_spot = fields.spot("type");
    let kind = fields
        .required("type")
        .and_then(|kind| parse_kind(kind, &kind_spot, findings));
    let path = if kind == Some(InterfaceKind::Parsed) {
        fields.required("logical_unit").map(str::to_owned)
    } else {
        let path = fields.required("path").map(str::to_owned);
        if let Some(path) = &path {
            check_path(path, &fields.spot("path"), findings);
        }
        path
    };
    fields.text("description");
    let limits = fields.node("limits");
    let limits_spot = fields.spot("limits");
    let limits = limits.map_or_else(Limits::default, |node| {
        read_limits(node, limits_spot, findings)
    });
    let mut tables = BTreeMap::new();
    let mut delimiter = None;
    // The fields of an unknown type are not checked.
    let has_files = !matches!(kind, Some(InterfaceKind::Sqlite | InterfaceKind::Parsed));
    if has_files {
        for (entry, spot) in fields.entries("tables") {
            tables.insert(entry.key.clone(), table(&entry.node, spot, findings));
        }
        if kind != Some(InterfaceKind::Jsonl) {
            let spot = fields.spot("delimiter");
            delimiter = fields
                .text("delimiter")
                .and_then(|text| parse_delimiter(text, &spot, findings));
        }
    }
    fields.finish();
    Some(InterfaceDefinition {
        name: name.to_owned(),
        kind: kind?,
        path: path?,
        tables,
        delimiter,
        limits,
    })
}

fn parse_kind(kind: &str, spot: &Spot, findings: &Findings) -> Option<InterfaceKind> {
    let found = KINDS.iter().find(|(known, _)| *known == kind);
    if found.is_none() {
        let known = KINDS.map(|(known, _)| known);
        let message = format!("unknown type `{kind}`; known are {}", known.join(", "));
        findings.add_near(spot, message, nearest(kind, known));
    }
    found.map(|(_, kind)| *kind)
}

fn check_path(path: &str, spot: &Spot, findings: &Findings) {
    let reaches =
        path.starts_with(['/', '$']) || REACHABLE.iter().any(|folder| path.starts_with(folder));
    if !reaches || path.split('/').any(|part| part == "..") {
        findings.add(
            spot,
            format!(
                "`{path}` is not part of what is deployed; write an absolute path, or `${{PROJECT_DIR}}/…` for what lies next to the project"
            ),
        );
    }
}

fn read_limits(node: &Node, spot: Spot, findings: &Findings) -> Limits {
    let mut fields = Fields::new(node, spot, findings);
    let default = Limits::default();
    let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let limits = Limits {
        rows: fields
            .number("rows", 1, 100_000_000)
            .map_or(default.rows, size),
        seconds: fields
            .number("seconds", 1, 86_400)
            .unwrap_or(default.seconds),
        connections: fields
            .number("connections", 1, 64)
            .map_or(default.connections, size),
    };
    fields.finish();
    limits
}

fn table(node: &Node, spot: Spot, findings: &Findings) -> TableDefinition {
    let mut fields = Fields::new(node, spot, findings);
    let file = fields.text("file").map(str::to_owned);
    if file
        .as_ref()
        .is_some_and(|file| file.split('/').any(|part| part == ".."))
    {
        findings.add(
            &fields.spot("file"),
            "must not leave the folder of the interface",
        );
    }
    let mut columns = BTreeMap::new();
    for (entry, spot) in fields.entries("columns") {
        if let super::yaml::Yaml::Text(kind) = &entry.node.value {
            columns.extend(
                parse_column_type(kind, &spot, findings).map(|kind| (entry.key.clone(), kind)),
            );
        } else {
            findings.add(&spot, "must be the type of the column");
        }
    }
    let mut index = Vec::new();
    for (column, spot) in fields.texts("index") {
        let kind = columns.get(column).copied().unwrap_or_default();
        if !matches!(kind, ColumnType::Text | ColumnType::Integer) {
            findings.add(
                &spot,
                format!("`{column}` is {kind}; only TEXT and INTEGER have an index"),
            );
        }
        index.push(column.to_owned());
    }
    fields.finish();
    TableDefinition {
        file,
        columns,
        index,
    }
}

fn parse_delimiter(text: &str, spot: &Spot, findings: &Findings) -> Option<u8> {
    match text.as_bytes() {
        [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => Some(*byte),
        _ => {
            findings.add(spot, format!("must be one character, not `{text}`"));
            None
        }
    }
}

/// Parses the type of a column.
pub(super) fn parse_column_type(
    name: &str,
    spot: &Spot,
    findings: &Findings,
) -> Option<ColumnType> {
    let found = ColumnType::from_name(name);
    if found.is_none() {
        let known = ColumnType::NAMES.map(|(known, _)| known);
        let message = format!("unknown type `{name}`; known are {}", known.join(", "));
        findings.add_near(spot, message, nearest(name, known));
    }
    found
}
