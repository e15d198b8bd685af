//! Links the tables of a logical unit: a table refers to its parent by name, and the parent may follow it in the file.

use std::collections::BTreeMap;

use super::finding::{Findings, Spot, nearest};
use super::logical_unit::{QueryParameter, SourceQuery, SyncMethod, Table, TableColumn, TableLink};

/// A table before its parent is resolved.
pub(super) struct TableDraft {
    pub(super) name: String,
    pub(super) query: Option<SourceQuery>,
    pub(super) parameter: Option<QueryParameter>,
    pub(super) columns: Vec<TableColumn>,
    pub(super) key: Vec<String>,
    pub(super) id_column: Option<String>,
    pub(super) parent: Option<String>,
    pub(super) parent_spot: Spot,
    pub(super) on: Vec<(String, String, Spot)>,
    pub(super) on_spot: Spot,
    pub(super) sync: SyncMethod,
    pub(super) spot: Spot,
}

/// The properties of a table that its children refer to.
struct Outline {
    columns: Vec<String>,
    id_column: Option<String>,
}

impl TableDraft {
    fn outline(&self) -> (String, Outline) {
        let columns = self.columns.iter().map(|column| column.name.clone());
        let outline = Outline {
            columns: columns.collect(),
            id_column: self.id_column.clone(),
        };
        (self.name.clone(), outline)
    }

    fn into_table(
        self,
        root: &str,
        root_id: Option<&str>,
        outlines: &BTreeMap<String, Outline>,
        findings: &Findings,
    ) -> Option<Table> {
        let parent = self.parent(outlines, findings);
        let is_root = self.name == root;
        let missing = |message: &str| {
            findings.add(&self.spot, message);
            None
        };
        let link = match (&self.id_column, parent) {
            (Some(column), _) => TableLink::Instance {
                column: column.clone(),
            },
            _ if is_root => {
                return missing(
                    "the root table needs `id_column`: the column that has the instance id",
                );
            }
            // The column of the parent is the instance id.
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
            (None, None) if self.parent.is_some() => return None,
            (None, None) => {
                return missing(
                    "needs `id_column`, or `parent` and `on`: how do its rows find their instance?",
                );
            }
        };
        Some(Table {
            name: self.name,
            query: self.query?,
            parameter: self.parameter?,
            link,
            key: self.key,
            columns: self.columns,
            sync: self.sync,
            spot: self.spot,
        })
    }

    /// The parent with the pair of columns: (parent, column, column of the parent).
    fn parent(
        &self,
        outlines: &BTreeMap<String, Outline>,
        findings: &Findings,
    ) -> Option<(String, String, String)> {
        let Some(parent) = &self.parent else {
            if !self.on.is_empty() {
                findings.add(&self.on_spot, "has no meaning without `parent`");
            }
            return None;
        };
        let Some(outline) = outlines.get(parent) else {
            let near = nearest(parent, outlines.keys().map(String::as_str));
            findings.add_near(
                &self.parent_spot,
                format!("there is no table `{parent}`"),
                near,
            );
            return None;
        };
        let [(column, parent_column, spot)] = self.on.as_slice() else {
            let message = "needs `on` with one pair: `{column: column of the parent}`";
            findings.add(&self.on_spot, message);
            return None;
        };
        if !outline.columns.contains(parent_column) {
            let near = nearest(parent_column, outline.columns.iter().map(String::as_str));
            let message = format!("`{parent_column}` is not a column of {parent}");
            findings.add_near(spot, message, near);
            return None;
        }
        Some((parent.clone(), column.clone(), parent_column.clone()))
    }
}

/// Orders the tables, parents first, and determines how their rows are assigned to instances.
pub(super) fn link(root: &str, drafts: Vec<TableDraft>, findings: &Findings) -> Option<Vec<Table>> {
    let outlines: BTreeMap<String, Outline> = drafts.iter().map(TableDraft::outline).collect();
    let root_id = outlines.get(root)?.id_column.clone();
    let mut waiting = Vec::new();
    let mut complete = true;
    for draft in drafts {
        let depends_on = draft.parent.clone();
        match draft.into_table(root, root_id.as_deref(), &outlines, findings) {
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
                findings.add(&table.spot, "its parents form a circle");
            }
            return None;
        };
        tables.push(waiting.remove(ready).1);
    }
    Some(tables)
}
