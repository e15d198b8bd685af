//! A project: interfaces and logical units in a folder of plain files, deployed as one bundle.

mod bundle;
mod catalogue;
pub mod command;
mod echo;
mod fields;
mod finding;
pub mod interface;
mod interface_file;
mod job_table;
mod logical_unit;
mod logical_unit_file;
mod parsed_table;
mod project_file;
pub mod source;
mod sqlite_value;
pub mod sync;
mod validator;
pub mod yaml;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

pub use bundle::{BUNDLE_BYTES, Bundle, BundleError};
pub use catalogue::{CatalogueError, DeployReport, ProjectCatalogue};
pub use fields::Fields;
pub use finding::{Findings, ProjectError, Spot, is_name, nearest};
pub use job_table::ProjectJob;
pub use logical_unit::{
    LogicalUnit, QueryParameter, SourceQuery, SyncMethod, Table, TableColumn, TableLink,
};
pub use project_file::ProjectFile;
pub use validator::{Validator, Validators};

use weft_model::ParsedTable;

use crate::interface::{InterfaceDefinition, InterfaceKind, Surroundings, open};
use crate::source::{SharedInterface, SourceError};

/// The longest name of a logical unit: it becomes part of a keyspace's name, which has at most 48 characters.
const LOGICAL_UNIT_NAME: usize = 40;
/// Names of interfaces that mean something else in `FROM`.
const RESERVED_INTERFACES: [&str; 1] = ["fabric"];
/// Fabric's words.
const ONE_COLUMN: &str = "The query must return one column only.";

/// A project that was read.
#[derive(Debug)]
pub struct Project {
    hash: String,
    interfaces: BTreeMap<String, ProjectInterface>,
    logical_units: BTreeMap<String, LogicalUnit>,
}

/// An interface of a project, open as far as it can be on this node.
#[derive(Debug)]
pub struct ProjectInterface {
    /// What it is.
    pub definition: InterfaceDefinition,
    opened: Result<SharedInterface, String>,
}

/// A name that a project does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no {what} `{name}`{}", .nearest.as_ref().map(|near| format!("; did you mean `{near}`?")).unwrap_or_default())]
pub struct UnknownProjectName {
    /// `logical unit`, `interface` or `instance group`.
    pub what: &'static str,
    /// The name that was asked for.
    pub name: String,
    /// A known name that is near.
    pub nearest: Option<String>,
}

impl Project {
    /// Reads the project in a folder and checks it as a whole, its queries included where their interfaces
    /// can be reached.
    ///
    /// # Errors
    /// Everything that is wrong, by file and line.
    pub async fn load(
        folder: &Path,
        surroundings: &Surroundings,
        validators: &Validators,
    ) -> Result<Self, Vec<ProjectError>> {
        let bundle = Bundle::pack(folder).map_err(|error| vec![not_a_bundle(&error)])?;
        Self::checked(&bundle, surroundings, validators).await
    }

    /// Reads a bundle and checks it as [`load`](Self::load) does.
    ///
    /// # Errors
    /// Everything that is wrong, by file and line.
    pub async fn checked(
        bundle: &Bundle,
        surroundings: &Surroundings,
        validators: &Validators,
    ) -> Result<Self, Vec<ProjectError>> {
        let findings = Findings::default();
        let project = Self::read(bundle, surroundings, &findings);
        project.check(&findings).await;
        validators.check(&project, &findings).await;
        let errors = findings.into_errors();
        if errors.is_empty() {
            Ok(project)
        } else {
            Err(errors)
        }
    }

    /// Reads a bundle that was checked when it was deployed. `surroundings.base` is where it was unpacked.
    ///
    /// # Errors
    /// Everything that is wrong: it was deployed by a newer version.
    pub fn of_bundle(
        bundle: &Bundle,
        surroundings: &Surroundings,
    ) -> Result<Self, Vec<ProjectError>> {
        let findings = Findings::default();
        let project = Self::read(bundle, surroundings, &findings);
        let errors = findings.into_errors();
        if errors.is_empty() {
            Ok(project)
        } else {
            Err(errors)
        }
    }

    fn read(bundle: &Bundle, surroundings: &Surroundings, findings: &Findings) -> Self {
        read_project_file(bundle, findings);
        if bundle.paths().next().is_none() {
            let spot = Spot {
                file: ".".to_owned(),
                line: 1,
                field: String::new(),
            };
            let message = "is no project: it has neither project.yaml nor interfaces/, logical_units/ or scripts/";
            findings.add(&spot, message);
        }
        let mut definitions = Vec::new();
        let mut names = BTreeSet::new();
        for (name, node, spot) in yaml_files(bundle, "interfaces/", findings) {
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
        let mut logical_units = BTreeMap::new();
        for folder in logical_unit_folders(bundle) {
            let name = folder.rsplit('/').next().unwrap_or_default().to_owned();
            let spot = Spot {
                file: format!("{folder}/lu.yaml"),
                line: 1,
                field: String::new(),
            };
            check_file_name(
                &name,
                &logical_units.keys().cloned().collect(),
                &spot,
                findings,
            );
            if name.len() > LOGICAL_UNIT_NAME {
                findings.add(
                    &spot,
                    format!(
                        "the name of a logical unit has at most {LOGICAL_UNIT_NAME} characters"
                    ),
                );
            }
            let Some(node) = parse(bundle, &spot, findings) else {
                continue;
            };
            let reader = logical_unit_file::Reader {
                bundle,
                folder: &folder,
                interfaces: &names,
                findings,
            };
            if let Some(logical_unit) = reader.read(&name, &node, &spot) {
                logical_units.insert(name, logical_unit);
            }
        }
        // What parsers fill is known when the logical units are.
        let mut interfaces = BTreeMap::new();
        for (definition, spot) in definitions {
            let parsed = match definition.kind {
                InterfaceKind::Parsed => {
                    parsed_tables(&logical_units, &definition.path, &spot, findings)
                }
                _ => Vec::new(),
            };
            let opened = open(&definition, surroundings, &parsed);
            let name = definition.name.clone();
            interfaces.insert(name, ProjectInterface { definition, opened });
        }
        Self {
            hash: bundle.hash(),
            interfaces,
            logical_units,
        }
    }

    /// The hash of its bundle.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Its logical units, by name.
    pub fn logical_units(&self) -> impl Iterator<Item = &LogicalUnit> {
        self.logical_units.values()
    }

    /// Its interfaces, by name.
    pub fn interfaces(&self) -> impl Iterator<Item = &ProjectInterface> {
        self.interfaces.values()
    }

    /// A logical unit by its name in any case.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn logical_unit(&self, name: &str) -> Result<&LogicalUnit, UnknownProjectName> {
        lookup(&self.logical_units, "logical unit", name)
    }

    /// An instance group of a logical unit by its name in any case.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn instance_group(
        &self,
        logical_unit: &str,
        name: &str,
    ) -> Result<&SourceQuery, UnknownProjectName> {
        lookup(
            &self.logical_unit(logical_unit)?.instance_groups,
            "instance group",
            name,
        )
    }

    /// What is known of an interface, by its name in any case.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn interface_definition(
        &self,
        name: &str,
    ) -> Result<&InterfaceDefinition, UnknownProjectName> {
        lookup(&self.interfaces, "interface", name).map(|interface| &interface.definition)
    }

    /// An interface by its name in any case, ready for queries.
    ///
    /// # Errors
    /// A sentence: there is none of that name, or this node lacks what it refers to.
    pub fn interface(&self, name: &str) -> Result<SharedInterface, String> {
        let interface =
            lookup(&self.interfaces, "interface", name).map_err(|error| error.to_string())?;
        interface
            .opened
            .clone()
            .map_err(|reason| format!("interface {}: {reason}", interface.definition.name))
    }

    /// Prepares every query on its interface.
    async fn check(&self, findings: &Findings) {
        for interface in self.interfaces.values() {
            if let Err(reason) = &interface.opened {
                let file = format!("interfaces/{}.yaml", interface.definition.name);
                let spot = Spot {
                    file,
                    line: 1,
                    field: "path".to_owned(),
                };
                findings.add(&spot, reason.clone());
            }
        }
        for logical_unit in self.logical_units.values() {
            for table in &logical_unit.tables {
                if let Some(columns) = self.columns_of(&table.query, findings).await {
                    check_columns(table, &columns, findings);
                }
            }
            for query in logical_unit
                .ids
                .iter()
                .chain(logical_unit.instance_groups.values())
            {
                if let Some(columns) = self.columns_of(query, findings).await
                    && columns.len() != 1
                {
                    let found = columns.join(", ");
                    findings.add(&query.spot, format!("{ONE_COLUMN} It returns {found}"));
                }
            }
        }
    }

    /// The columns of a query; none where its interface cannot tell now.
    async fn columns_of(&self, query: &SourceQuery, findings: &Findings) -> Option<Vec<String>> {
        let interface = self.interface(&query.interface).ok()?;
        match interface.check(&query.sql).await {
            Ok(columns) => Some(columns),
            Err(error @ SourceError::Query { .. }) => {
                findings.add(&query.spot, error.to_string());
                None
            }
            Err(SourceError::Unavailable { .. }) => None,
        }
    }
}

fn lookup<'m, T>(
    map: &'m BTreeMap<String, T>,
    what: &'static str,
    name: &str,
) -> Result<&'m T, UnknownProjectName> {
    lookup_named(map, what, name).map(|(_, value)| value)
}

fn lookup_named<'m, T>(
    map: &'m BTreeMap<String, T>,
    what: &'static str,
    name: &str,
) -> Result<(&'m str, &'m T), UnknownProjectName> {
    let found = map
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name));
    found
        .map(|(known, value)| (known.as_str(), value))
        .ok_or_else(|| UnknownProjectName {
            what,
            name: name.to_owned(),
            nearest: nearest(name, map.keys().map(String::as_str)),
        })
}

/// The parsed tables of a logical unit that an interface names.
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

fn check_columns(table: &Table, found: &[String], findings: &Findings) {
    let known = || found.iter().map(String::as_str);
    let link = table.link.column();
    let wanted = table.columns.iter().map(|column| column.name.as_str());
    // A query for a single id needs no column that tells whose the rows are.
    let wanted = wanted.chain((table.parameter == QueryParameter::Set).then_some(link));
    for wanted in wanted.collect::<BTreeSet<_>>() {
        if !found.iter().any(|column| column == wanted) {
            let message = format!(
                "table {} wants column `{wanted}`, which the query does not return",
                table.name
            );
            findings.add_near(&table.query.spot, message, nearest(wanted, known()));
        }
    }
    for column in known() {
        let is_kept = column == link || table.columns.iter().any(|wanted| wanted.name == *column);
        if !is_kept {
            let message = format!(
                "the query returns `{column}`, which is not a column of table {}",
                table.name
            );
            let near = nearest(
                column,
                table.columns.iter().map(|column| column.name.as_str()),
            );
            findings.add_near(&table.query.spot, message, near);
        }
    }
}

fn not_a_bundle(error: &BundleError) -> ProjectError {
    ProjectError {
        file: ".".to_owned(),
        line: 1,
        field: String::new(),
        message: error.to_string(),
        nearest: None,
    }
}

fn read_project_file(bundle: &Bundle, findings: &Findings) {
    let spot = Spot {
        file: "project.yaml".to_owned(),
        line: 1,
        field: String::new(),
    };
    if bundle.file(&spot.file).is_none() {
        return;
    }
    if let Some(node) = parse(bundle, &spot, findings) {
        let mut fields = fields::Fields::of(&node, spot, findings);
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

/// The `.yaml` files directly in a folder: name, content unless it is no YAML, place.
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
        let spot = Spot {
            file: path.to_owned(),
            line: 1,
            field: String::new(),
        };
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

fn check_file_name(name: &str, others: &BTreeSet<String>, spot: &Spot, findings: &Findings) {
    if !is_name(name) {
        findings.add(
            spot,
            format!(
                "`{name}` is not a name: it starts with a letter and has only letters, digits and _"
            ),
        );
    }
    if let Some(other) = others.iter().find(|other| other.eq_ignore_ascii_case(name)) {
        findings.add(
            spot,
            format!("`{name}` and `{other}` differ only in upper and lower case"),
        );
    }
}

#[cfg(test)]
mod tests;
