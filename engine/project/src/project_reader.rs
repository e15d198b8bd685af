//! Reads a project from its bundle: `project.yaml`, the interfaces and the logical units.

use std::collections::{BTreeMap, BTreeSet};

use weft_model::ParsedTable;

use crate::bundle::Bundle;
use crate::fields::Fields;
use crate::finding::{Findings, ProjectError, Spot, check_file_name};
use crate::interface::{InterfaceContext, InterfaceDefinition, InterfaceKind, open};
use crate::logical_unit::LogicalUnit;
use crate::name_lookup::lookup;
use crate::project::{Project, ProjectInterface};
use crate::{interface_file, logical_unit_file, yaml};

/// The longest name of a logical unit: it becomes part of a keyspace name, which has at most 48 characters.
const LOGICAL_UNIT_NAME: usize = 40;
/// Names of interfaces that have another meaning in `FROM`.
const RESERVED_INTERFACES: [&str; 1] = ["fabric"];

impl Project {
    /// Reads a bundle that was checked when it was deployed. `context.base` is the folder of its unpacked files.
    ///
    /// # Errors
    /// Every error of the project: a newer version of Weft deployed it.
    pub fn from_bundle(
        bundle: &Bundle,
        context: &InterfaceContext,
    ) -> Result<Self, Vec<ProjectError>> {
        let findings = Findings::default();
        let project = read(bundle, context, &findings);
        findings.into_result(project)
    }
}

/// Reads a bundle. The project lacks the parts that have errors.
pub(crate) fn read(bundle: &Bundle, context: &InterfaceContext, findings: &Findings) -> Project {
    if bundle.paths().next().is_none() {
        let message = "is not a project: it has neither project.yaml nor interfaces/, logical_units/ or scripts/";
        findings.add(&Spot::start_of("."), message);
    }
    read_project_file(bundle, findings);
    let interface_files = yaml_files(bundle, "interfaces/", findings);
    let names = interface_files.iter().map(|(name, ..)| name.clone());
    let names = names.collect();
    let definitions = interface_definitions(interface_files, findings);
    let logical_units = read_logical_units(bundle, &names, findings);
    // The tables of parsers are known once the logical units are.
    let mut interfaces = BTreeMap::new();
    for (definition, spot) in definitions {
        let parsed = match definition.kind {
            InterfaceKind::Parsed => {
                parsed_tables(&logical_units, &definition.path, &spot, findings)
            }
            InterfaceKind::Sqlite | InterfaceKind::Csv | InterfaceKind::Jsonl => Vec::new(),
        };
        let opened = open(&definition, context, &parsed);
        let name = definition.name.clone();
        interfaces.insert(name, ProjectInterface { definition, opened });
    }
    Project {
        hash: bundle.hash(),
        interfaces,
        logical_units,
    }
}

fn interface_definitions(
    files: Vec<(String, Option<yaml::Node>, Spot)>,
    findings: &Findings,
) -> Vec<(InterfaceDefinition, Spot)> {
    let mut definitions = Vec::new();
    let mut names = BTreeSet::new();
    for (name, node, spot) in files {
        check_file_name(&name, &names, &spot, findings);
        names.insert(name.clone());
        if RESERVED_INTERFACES
            .iter()
            .any(|reserved| reserved.eq_ignore_ascii_case(&name))
        {
            findings.add(
                &spot,
                format!("`{name}` means the stored instances in FROM"),
            );
        }
        let Some(node) = node else { continue };
        if let Some(definition) = interface_file::read(&name, &node, &spot, findings) {
            definitions.push((definition, spot));
        }
    }
    definitions
}

fn read_logical_units(
    bundle: &Bundle,
    interfaces: &BTreeSet<String>,
    findings: &Findings,
) -> BTreeMap<String, LogicalUnit> {
    let mut logical_units = BTreeMap::new();
    for folder in logical_unit_folders(bundle) {
        let name = folder.rsplit('/').next().unwrap_or_default().to_owned();
        let spot = Spot::start_of(format!("{folder}/lu.yaml"));
        check_file_name(
            &name,
            &logical_units.keys().cloned().collect(),
            &spot,
            findings,
        );
        if name.len() > LOGICAL_UNIT_NAME {
            findings.add(
                &spot,
                format!("the name of a logical unit has at most {LOGICAL_UNIT_NAME} characters"),
            );
        }
        let Some(node) = parse(bundle, &spot, findings) else {
            continue;
        };
        let reader = logical_unit_file::Reader {
            bundle,
            folder: &folder,
            interfaces,
            findings,
        };
        if let Some(logical_unit) = reader.read(&name, &node, &spot) {
            logical_units.insert(name, logical_unit);
        }
    }
    logical_units
}

/// The parsed tables of the logical unit that an interface names.
fn parsed_tables(
    logical_units: &BTreeMap<String, LogicalUnit>,
    name: &str,
    spot: &Spot,
    findings: &Findings,
) -> Vec<ParsedTable> {
    let spot = Spot {
        field: "logical_unit".to_owned(),
        ..spot.clone()
    };
    match lookup(logical_units, "logical unit", name) {
        Ok(found) if found.parsed_tables.is_empty() => {
            findings.add(&spot, format!("logical unit {name} has no parsers"));
            Vec::new()
        }
        Ok(found) => found.parsed_tables.values().cloned().collect(),
        Err(unknown) => {
            findings.add(&spot, unknown.to_string());
            Vec::new()
        }
    }
}

fn read_project_file(bundle: &Bundle, findings: &Findings) {
    let spot = Spot::start_of("project.yaml");
    if bundle.file(&spot.file).is_none() {
        return;
    }
    if let Some(node) = parse(bundle, &spot, findings) {
        let mut fields = Fields::new(&node, spot, findings);
        fields.text("name");
        fields.text("description");
        fields.finish();
    }
}

fn parse(bundle: &Bundle, spot: &Spot, findings: &Findings) -> Option<yaml::Node> {
    let Some(bytes) = bundle.file(&spot.file) else {
        findings.add(spot, "is missing");
        return None;
    };
    let Ok(text) = std::str::from_utf8(bytes) else {
        findings.add(spot, "is not UTF-8");
        return None;
    };
    let parsed = yaml::parse(text);
    if let Err(error) = &parsed {
        let spot = Spot {
            line: error.line,
            ..spot.clone()
        };
        findings.add(&spot, error.message.clone());
    }
    parsed.ok()
}

/// The `.yaml` files directly in a folder: name, content if it is YAML, and location.
fn yaml_files(
    bundle: &Bundle,
    folder: &str,
    findings: &Findings,
) -> Vec<(String, Option<yaml::Node>, Spot)> {
    let mut files = Vec::new();
    for path in bundle.paths() {
        let Some(file) = path.strip_prefix(folder).filter(|file| !file.contains('/')) else {
            continue;
        };
        let spot = Spot::start_of(path);
        if let Some(name) = file.strip_suffix(".yaml") {
            files.push((name.to_owned(), parse(bundle, &spot, findings), spot));
        } else if file.ends_with(".yml") {
            findings.add(&spot, "has the extension .yml; write .yaml");
        }
    }
    files
}

fn logical_unit_folders(bundle: &Bundle) -> BTreeSet<String> {
    let inside = bundle
        .paths()
        .filter_map(|path| path.strip_prefix("logical_units/"));
    inside
        .filter_map(|path| path.split_once('/'))
        .map(|(folder, _)| format!("logical_units/{folder}"))
        .collect()
}
