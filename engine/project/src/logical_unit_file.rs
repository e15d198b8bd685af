//! `logical_units/<LU>/lu.yaml` and the `.sql` files next to it.

use std::collections::{BTreeMap, BTreeSet};

use weft_model::ParsedTable;

use super::bundle::Bundle;
use super::fields::Fields;
use super::finding::{Findings, Spot, check_file_name, is_name, nearest};
use super::interface_file::column_type;
use super::job_table;
use super::logical_unit::{
    LogicalUnit, QueryParameter, SourceQuery, SyncMethod, Table, TableColumn, TableLink,
};
use super::parsed_table;
use super::project_file::ProjectFile;
use super::yaml::{Node, Yaml};
use crate::interface::named_parameters;

const NAME_RULE: &str = "a name starts with a letter and has only letters, digits and _";

/// What a logical unit is read from.
pub(super) struct Reader<'a> {
    pub(super) bundle: &'a Bundle,
    pub(super) folder: &'a str,
    pub(super) interfaces: &'a BTreeSet<String>,
    pub(super) findings: &'a Findings,
}

impl Reader<'_> {
    /// Reads a logical unit; none where too much of it is wrong.
    pub(super) fn read(&self, name: &str, node: &Node, spot: &Spot) -> Option<LogicalUnit> {
        let mut fields = Fields::new(node, spot.clone(), self.findings);
        fields.text("description");
        let root = fields.required("root").map(str::to_owned);
        let root_spot = fields.spot("root");
        let mut tables = BTreeMap::new();
        let mut drafts = Vec::new();
        for (entry, spot) in fields.entries("tables") {
            self.check_name(&entry.key, &spot);
            tables.insert(entry.key.clone(), spot.clone());
            drafts.push(self.draft(&entry.key, &entry.node, spot));
        }
        if fields.node("tables").is_none() {
            self.findings.add(&fields.spot("tables"), "is missing");
        }
        if let Some(root) = root.as_deref().filter(|root| !tables.contains_key(*root)) {
            let near = nearest(root, tables.keys().map(String::as_str));
            self.findings
                .add_near(&root_spot, format!("there is no table `{root}`"), near);
        }
        let root_interface = drafts
            .iter()
            .find(|draft| Some(draft.name.as_str()) == root.as_deref())
            .and_then(|draft| draft.query.as_ref())
            .map(|query| query.interface.clone());
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
        let around = job_table::Surroundings {
            logical_unit: name,
            functions: &functions,
            flows: &flows,
            parsers: &parsers,
            findings: self.findings,
        };
        let jobs = job_entries
            .into_iter()
            .filter_map(|(entry, spot)| around.read(entry, spot))
            .collect();
        let parsed_tables = self.parsed_tables(name, &parsers);
        let root = root?;
        let tables = self.link(&root, drafts)?;
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

    /// The tables of the parsers. Each table has one parser, so that nobody wonders whose rows these are.
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

    /// The files directly in a folder of the logical unit, by their names without the extension.
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

    /// The query of `ids` or of an instance group: a text, or a map with an interface.
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

    /// A query, or the content of the file that it names.
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

    fn draft(&self, name: &str, node: &Node, spot: Spot) -> Draft {
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
        let on = fields
            .entries("on")
            .into_iter()
            .filter_map(|(entry, spot)| match &entry.node.value {
                Yaml::Text(parent_column) => Some((entry.key.clone(), parent_column.clone(), spot)),
                other => {
                    self.findings.add(
                        &spot,
                        format!("must be a column of the parent, not {}", other.kind()),
                    );
                    None
                }
            })
            .collect();
        let sync = self.sync(&mut fields);
        fields.finish();
        Draft {
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
                // With an unknown type it is a column all the same, so that nobody misses it.
                kind: column_type(kind.trim(), &spot, self.findings).unwrap_or_default(),
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
                    Yaml::Text(text) => SyncMethod::interval(text),
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

    /// Orders the tables, parents first, and works out how their rows find their instance.
    fn link(&self, root: &str, drafts: Vec<Draft>) -> Option<Vec<Table>> {
        let shapes: BTreeMap<String, Shape> = drafts.iter().map(Draft::shape).collect();
        let root_id = shapes.get(root)?.id_column.clone();
        let mut waiting = Vec::new();
        let mut complete = true;
        for draft in drafts {
            let depends_on = draft.parent.clone();
            match self.table(draft, root, root_id.as_deref(), &shapes) {
                Some(table) => waiting.push((depends_on, table)),
                None => complete = false,
            }
        }
        if !complete {
            return None;
        }
        let mut tables: Vec<Table> = Vec::new();
        waiting.sort_by_key(|(_, table)| table.name != root);
        while !waiting.is_empty() {
            let is_ready = |(parent, _): &(Option<String>, Table)| {
                parent
                    .as_ref()
                    .is_none_or(|parent| tables.iter().any(|table| table.name == *parent))
            };
            let Some(ready) = waiting.iter().position(is_ready) else {
                for (_, table) in &waiting {
                    self.findings.add(&table.spot, "its parents form a circle");
                }
                return None;
            };
            tables.push(waiting.remove(ready).1);
        }
        Some(tables)
    }

    fn table(
        &self,
        draft: Draft,
        root: &str,
        root_id: Option<&str>,
        shapes: &BTreeMap<String, Shape>,
    ) -> Option<Table> {
        let parent = self.parent(&draft, shapes);
        let is_root = draft.name == root;
        let missing = |message: &str| {
            self.findings.add(&draft.spot, message);
            None
        };
        let link = match (&draft.id_column, parent) {
            (Some(column), _) => TableLink::Instance {
                column: column.clone(),
            },
            _ if is_root => {
                return missing(
                    "the root table needs `id_column`: the column that has the instance id",
                );
            }
            // The parent's column is the instance id itself.
            (None, Some((parent, column, parent_column)))
                if parent == root && Some(parent_column.as_str()) == root_id =>
            {
                TableLink::Instance { column }
            }
            (None, Some((parent, column, parent_column))) => TableLink::Parent {
                parent,
                parent_column,
                column,
            },
            (None, None) if draft.parent.is_some() => return None,
            (None, None) => {
                return missing(
                    "needs `id_column`, or `parent` and `on`: how do its rows find their instance?",
                );
            }
        };
        Some(Table {
            name: draft.name,
            query: draft.query?,
            parameter: draft.parameter?,
            link,
            key: draft.key,
            columns: draft.columns,
            sync: draft.sync,
            spot: draft.spot,
        })
    }

    /// The parent with the pair of columns: (parent, column, parent's column).
    fn parent(
        &self,
        draft: &Draft,
        shapes: &BTreeMap<String, Shape>,
    ) -> Option<(String, String, String)> {
        let Some(parent) = &draft.parent else {
            if !draft.on.is_empty() {
                self.findings
                    .add(&draft.on_spot, "has no meaning without `parent`");
            }
            return None;
        };
        let Some(shape) = shapes.get(parent) else {
            let near = nearest(parent, shapes.keys().map(String::as_str));
            self.findings.add_near(
                &draft.parent_spot,
                format!("there is no table `{parent}`"),
                near,
            );
            return None;
        };
        let [(column, parent_column, spot)] = draft.on.as_slice() else {
            let message = "needs `on` with one pair: `{column: column of the parent}`";
            self.findings.add(&draft.on_spot, message);
            return None;
        };
        if !shape.columns.contains(parent_column) {
            let near = nearest(parent_column, shape.columns.iter().map(String::as_str));
            let message = format!("`{parent_column}` is not a column of {parent}");
            self.findings.add_near(spot, message, near);
            return None;
        }
        Some((parent.clone(), column.clone(), parent_column.clone()))
    }
}

/// A table before it is known how it hangs together with the others.
struct Draft {
    name: String,
    query: Option<SourceQuery>,
    parameter: Option<QueryParameter>,
    columns: Vec<TableColumn>,
    key: Vec<String>,
    id_column: Option<String>,
    parent: Option<String>,
    parent_spot: Spot,
    on: Vec<(String, String, Spot)>,
    on_spot: Spot,
    sync: SyncMethod,
    spot: Spot,
}

/// What the children of a table need to know of it.
struct Shape {
    columns: Vec<String>,
    id_column: Option<String>,
}

impl Draft {
    fn shape(&self) -> (String, Shape) {
        let columns = self.columns.iter().map(|column| column.name.clone());
        let shape = Shape {
            columns: columns.collect(),
            id_column: self.id_column.clone(),
        };
        (self.name.clone(), shape)
    }
}
