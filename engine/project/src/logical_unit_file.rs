//! Reads `logical_units/<LU>/lu.yaml` and the files next to it.

use std::collections::{BTreeMap, BTreeSet};

use weft_model::ParsedTable;

use super::bundle::Bundle;
use super::fields::Fields;
use super::finding::{Findings, Spot, check_file_name, is_name, nearest};
use super::interface_file::parse_column_type;
use super::job_table::JobReader;
use super::logical_unit::{LogicalUnit, QueryParameter, SourceQuery, SyncMethod, TableColumn};
use super::parsed_table;
use super::project_file::ProjectFile;
use super::table_draft::{TableDraft, link};
use super::yaml::{Node, Yaml};
use crate::interface::named_parameters;

const NAME_RULE: &str = "a name starts with a letter and has only letters, digits and _";

/// Reads a logical unit from its folder.
pub(super) struct Reader<'a> {
    pub(super) bundle: &'a Bundle,
    pub(super) folder: &'a str,
    pub(super) interfaces: &'a BTreeSet<String>,
    pub(super) findings: &'a Findings,
}

impl Reader<'_> {
    /// Reads a logical unit; none if required parts have errors.
    pub(super) fn read(&self, name: &str, node: &Node, spot: &Spot) -> Option<LogicalUnit> {
        let mut fields = Fields::new(node, spot.clone(), self.findings);
        fields.text("description");
        let root = fields.required("root").map(str::to_owned);
        let root_spot = fields.spot("root");
        let drafts = self.drafts(&mut fields);
        let root_draft = drafts
            .iter()
            .find(|draft| Some(&draft.name) == root.as_ref());
        if let (Some(root), None) = (&root, root_draft) {
            let near = nearest(root, drafts.iter().map(|draft| draft.name.as_str()));
            self.findings
                .add_near(&root_spot, format!("there is no table `{root}`"), near);
        }
        let root_query = root_draft.and_then(|draft| draft.query.as_ref());
        let root_interface = root_query.map(|query| query.interface.clone());
        let ids_spot = fields.spot("ids");
        let ids = fields.node("ids");
        let ids = ids.and_then(|node| self.id_query(node, ids_spot, root_interface.as_deref()));
        let mut instance_groups = BTreeMap::new();
        for (entry, spot) in fields.entries("instance_groups") {
            self.check_name(&entry.key, &spot);
            let query = self.id_query(&entry.node, spot, root_interface.as_deref());
            instance_groups.extend(query.map(|query| (entry.key.clone(), query)));
        }
        let job_entries = fields.entries("jobs");
        fields.finish();
        let functions = self.files("functions", "js");
        let flows = self.files("flows", "yaml");
        let parsers = self.files("parsers", "yaml");
        let job_reader = JobReader {
            logical_unit: name,
            functions: &functions,
            flows: &flows,
            parsers: &parsers,
            findings: self.findings,
        };
        let jobs = job_entries
            .into_iter()
            .filter_map(|(entry, spot)| job_reader.read(entry, spot))
            .collect();
        let parsed_tables = self.parsed_tables(name, &parsers);
        let root = root?;
        let tables = link(&root, drafts, self.findings)?;
        Some(LogicalUnit {
            name: name.to_owned(),
            root,
            ids,
            tables,
            instance_groups,
            jobs,
            functions,
            flows,
            parsers,
            parsed_tables,
        })
    }

    /// The tables of the parsers. Each table has one parser, so that the origin of its rows is clear.
    fn parsed_tables(
        &self,
        name: &str,
        parsers: &BTreeMap<String, ProjectFile>,
    ) -> BTreeMap<String, ParsedTable> {
        let mut tables: BTreeMap<String, ParsedTable> = BTreeMap::new();
        for (parser, file) in parsers {
            let Some(table) = parsed_table::read(name, file, self.findings) else {
                continue;
            };
            let same = |other: &&ParsedTable| other.name.eq_ignore_ascii_case(&table.name);
            if tables.values().any(|other| same(&other)) {
                let message = format!("another parser fills table `{}` already", table.name);
                self.findings.add(&file.spot(), message);
            }
            tables.insert(parser.clone(), table);
        }
        tables
    }

    /// The files directly in a folder of the logical unit, by their names without extension.
    fn files(&self, folder: &str, extension: &str) -> BTreeMap<String, ProjectFile> {
        let mut files: BTreeMap<String, ProjectFile> = BTreeMap::new();
        let inside = format!("{}/{folder}/", self.folder);
        for path in self.bundle.paths() {
            let Some(file) = path.strip_prefix(&inside) else {
                continue;
            };
            let spot = Spot::start_of(path);
            let Some((name, _)) = file
                .rsplit_once('.')
                .filter(|(name, found)| *found == extension && !name.contains('/'))
            else {
                let message = format!("is not a file <name>.{extension} directly in {folder}/");
                self.findings.add(&spot, message);
                continue;
            };
            check_file_name(name, &files.keys().cloned().collect(), &spot, self.findings);
            match self.bundle.file(path).map(std::str::from_utf8) {
                Some(Ok(text)) => {
                    let file = ProjectFile {
                        path: path.to_owned(),
                        text: text.to_owned(),
                    };
                    files.insert(name.to_owned(), file);
                }
                Some(Err(_)) | None => self.findings.add(&spot, "is not UTF-8"),
            }
        }
        files
    }

    fn check_name(&self, name: &str, spot: &Spot) {
        if !is_name(name) {
            self.findings
                .add(spot, format!("`{name}` is not a name: {NAME_RULE}"));
        } else if name.to_ascii_lowercase().starts_with("sqlite_") {
            self.findings.add(
                spot,
                format!("`{name}` is a name that SQLite keeps for itself"),
            );
        }
    }

    /// Reads the query of `ids` or of an instance group: a text, or a map with an interface.
    fn id_query(&self, node: &Node, spot: Spot, root: Option<&str>) -> Option<SourceQuery> {
        let query = match &node.value {
            Yaml::Text(sql) => {
                let interface = root?.to_owned();
                let (sql, spot) = self.sql(sql, &spot)?;
                SourceQuery {
                    interface,
                    sql,
                    spot,
                }
            }
            _ => {
                let mut fields = Fields::new(node, spot, self.findings);
                fields.text("description");
                let interface_spot = fields.spot("interface");
                let interface = fields.text("interface").or(root).map(str::to_owned);
                let query_spot = fields.spot("query");
                let sql = fields.required("query");
                fields.finish();
                let interface = interface?;
                self.check_interface(&interface, &interface_spot);
                let (sql, spot) = self.sql(sql?, &query_spot)?;
                SourceQuery {
                    interface,
                    sql,
                    spot,
                }
            }
        };
        if let Some(name) = named_parameters(&query.sql).first() {
            self.findings.add(
                &query.spot,
                format!("a query for ids has no parameters, and `:{name}` is one"),
            );
        }
        Some(query)
    }

    fn check_interface(&self, name: &str, spot: &Spot) {
        if !self.interfaces.contains(name) {
            let near = nearest(name, self.interfaces.iter().map(String::as_str));
            self.findings
                .add_near(spot, format!("there is no interface `{name}`"), near);
        }
    }

    /// Reads a query: the text itself, or the content of the `.sql` file that it names.
    fn sql(&self, text: &str, spot: &Spot) -> Option<(String, Spot)> {
        let text = text.trim();
        let is_file = text.ends_with(".sql") && !text.contains(char::is_whitespace);
        if !is_file {
            if text.is_empty() {
                self.findings.add(spot, "is empty");
            }
            return (!text.is_empty()).then(|| (text.to_owned(), spot.clone()));
        }
        let file = format!("{}/{text}", self.folder);
        let Some(bytes) = self.bundle.file(&file) else {
            let known = self.bundle.paths().filter_map(|path| {
                path.strip_prefix(self.folder)?
                    .strip_prefix('/')
                    .filter(|path| path.ends_with(".sql"))
            });
            self.findings.add_near(
                spot,
                format!("there is no file {file}"),
                nearest(text, known),
            );
            return None;
        };
        let spot = Spot::start_of(file);
        match std::str::from_utf8(bytes) {
            Ok(sql) if !sql.trim().is_empty() => Some((sql.trim().to_owned(), spot)),
            Ok(_) => {
                self.findings.add(&spot, "is empty");
                None
            }
            Err(_) => {
                self.findings.add(&spot, "is not UTF-8");
                None
            }
        }
    }

    fn drafts(&self, fields: &mut Fields<'_>) -> Vec<TableDraft> {
        if fields.node("tables").is_none() {
            self.findings.add(&fields.spot("tables"), "is missing");
        }
        let tables = fields.entries("tables").into_iter();
        let drafts = tables.map(|(entry, spot)| {
            self.check_name(&entry.key, &spot);
            self.draft(&entry.key, &entry.node, spot)
        });
        drafts.collect()
    }

    fn draft(&self, name: &str, node: &Node, spot: Spot) -> TableDraft {
        let mut fields = Fields::new(node, spot.clone(), self.findings);
        fields.text("description");
        let interface = fields.required("interface").map(str::to_owned);
        if let Some(interface) = &interface {
            self.check_interface(interface, &fields.spot("interface"));
        }
        let sql = fields.required("query");
        let query_spot = fields.spot("query");
        let query = sql.and_then(|sql| {
            let (sql, spot) = self.sql(sql, &query_spot)?;
            let interface = interface.clone()?;
            Some(SourceQuery {
                interface,
                sql,
                spot,
            })
        });
        let parameter = query.as_ref().and_then(|query| self.parameter(query));
        let columns = self.columns(&mut fields);
        let mut key = Vec::new();
        for (column, spot) in fields.texts("key") {
            if !columns.iter().any(|known| known.name == column) {
                let near = nearest(column, columns.iter().map(|column| column.name.as_str()));
                self.findings
                    .add_near(&spot, format!("`{column}` is not among the columns"), near);
            }
            key.push(column.to_owned());
        }
        let id_column = fields.text("id_column").map(str::to_owned);
        let parent_spot = fields.spot("parent");
        let parent = fields.text("parent").map(str::to_owned);
        let on_spot = fields.spot("on");
        let on = self.parent_columns(&mut fields);
        let sync = self.sync(&mut fields);
        fields.finish();
        TableDraft {
            name: name.to_owned(),
            query,
            parameter,
            columns,
            key,
            id_column,
            parent,
            parent_spot,
            on,
            on_spot,
            sync,
            spot,
        }
    }

    /// The pairs of `on`: a column of the query, and the column of the parent with the same value.
    fn parent_columns(&self, fields: &mut Fields<'_>) -> Vec<(String, String, Spot)> {
        let mut columns = Vec::new();
        for (entry, spot) in fields.entries("on") {
            match &entry.node.value {
                Yaml::Text(column) => columns.push((entry.key.clone(), column.clone(), spot)),
                other => {
                    let message = format!("must be a column of the parent, not {}", other.kind());
                    self.findings.add(&spot, message);
                }
            }
        }
        columns
    }

    fn parameter(&self, query: &SourceQuery) -> Option<QueryParameter> {
        let names = named_parameters(&query.sql);
        match names
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .as_slice()
        {
            ["ids"] => Some(QueryParameter::Set),
            ["id"] => Some(QueryParameter::Single),
            _ => {
                let message = "must have one parameter: `in (:ids)` for a set of ids, or `= :id`";
                self.findings.add(&query.spot, message);
                None
            }
        }
    }

    fn columns(&self, fields: &mut Fields<'_>) -> Vec<TableColumn> {
        let mut columns: Vec<TableColumn> = Vec::new();
        let spot = fields.spot("columns");
        if fields.node("columns").is_none() {
            self.findings.add(&spot, "is missing");
        }
        for (entry, spot) in fields.entries("columns") {
            let Yaml::Text(text) = &entry.node.value else {
                self.findings.add(&spot, "must be the type of the column");
                continue;
            };
            if columns
                .iter()
                .any(|known| known.name.eq_ignore_ascii_case(&entry.key))
            {
                self.findings.add(
                    &spot,
                    "is named twice: SQLite does not tell upper from lower case",
                );
            }
            let not_null = text.to_ascii_lowercase().ends_with("not null");
            let kind = if not_null {
                &text[..text.len() - "not null".len()]
            } else {
                text.as_str()
            };
            columns.push(TableColumn {
                name: entry.key.clone(),
                // A column with an unknown type still counts, so that there are no errors about a missing column.
                kind: parse_column_type(kind.trim(), &spot, self.findings).unwrap_or_default(),
                not_null,
            });
        }
        columns
    }

    fn sync(&self, fields: &mut Fields<'_>) -> SyncMethod {
        let spot = fields.spot("sync");
        let wrong = "must be `always`, `none` or `interval: D.HH:MM:SS`";
        match fields.node("sync").map(|node| &node.value) {
            None => SyncMethod::Always,
            Some(Yaml::Text(text)) if text == "always" => SyncMethod::Always,
            Some(Yaml::Text(text)) if text == "none" => SyncMethod::None,
            Some(Yaml::Map(entries)) if entries.len() == 1 && entries[0].key == "interval" => {
                let method = match &entries[0].node.value {
                    Yaml::Text(text) => SyncMethod::parse_interval(text),
                    _ => None,
                };
                method.unwrap_or_else(|| {
                    self.findings.add(&spot, wrong);
                    SyncMethod::Always
                })
            }
            Some(_) => {
                self.findings.add(&spot, wrong);
                SyncMethod::Always
            }
        }
    }
}
