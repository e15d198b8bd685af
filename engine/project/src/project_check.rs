//! Checks a project as a whole before it is deployed: every query on its interface, and every validator.

use std::collections::BTreeSet;
use std::path::Path;

use crate::bundle::Bundle;
use crate::finding::{Findings, ProjectError, Spot, nearest};
use crate::interface::InterfaceContext;
use crate::logical_unit::{SourceQuery, Table};
use crate::project::Project;
use crate::project_reader;
use crate::source::SourceError;
use crate::validator::Validators;

/// The schemas that every SQLite connection has. An instance is attached under the name of its logical unit. Only a deployment is
/// refused: what is deployed already can be synced.
const RESERVED_SCHEMAS: [&str; 2] = ["main", "temp"];
/// The message that Fabric reports for such a query.
const ONE_COLUMN: &str = "The query must return one column only.";

impl Project {
    /// Reads the project in a folder and checks all of it. Queries are checked where their interfaces can be reached.
    ///
    /// # Errors
    /// Every error of the project, ordered by file and line.
    pub async fn load(
        folder: &Path,
        context: &InterfaceContext,
        validators: &Validators,
    ) -> Result<Self, Vec<ProjectError>> {
        let bundle = Bundle::pack(folder).map_err(|error| {
            let findings = Findings::default();
            findings.add(&Spot::start_of("."), error.to_string());
            findings.into_errors()
        })?;
        Self::load_bundle(&bundle, context, validators).await
    }

    /// Reads a bundle and checks it like [`load`](Self::load).
    ///
    /// # Errors
    /// Every error of the project, ordered by file and line.
    pub async fn load_bundle(
        bundle: &Bundle,
        context: &InterfaceContext,
        validators: &Validators,
    ) -> Result<Self, Vec<ProjectError>> {
        let findings = Findings::default();
        let project = project_reader::read(bundle, context, &findings);
        project.check(&findings).await;
        validators.check(&project, &findings).await;
        findings.into_result(project)
    }

    /// Prepares every query on its interface.
    async fn check(&self, findings: &Findings) {
        for interface in self.interfaces.values() {
            if let Err(reason) = &interface.opened {
                let file = format!("interfaces/{}.yaml", interface.definition.name);
                let spot = Spot {
                    field: "path".to_owned(),
                    ..Spot::start_of(file)
                };
                findings.add(&spot, reason.clone());
            }
        }
        for logical_unit in self.logical_units.values() {
            let name = &logical_unit.name;
            if RESERVED_SCHEMAS
                .iter()
                .any(|reserved| reserved.eq_ignore_ascii_case(name))
            {
                let spot = Spot::start_of(format!("logical_units/{name}/lu.yaml"));
                findings.add(
                    &spot,
                    format!(
                        "`{name}` is a schema of SQLite: no SELECT could name this logical unit"
                    ),
                );
            }
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

    /// The columns of a query; none where its interface cannot be reached.
    async fn columns_of(&self, query: &SourceQuery, findings: &Findings) -> Option<Vec<String>> {
        let interface = self.interface(&query.interface).ok()?;
        match interface.check(&query.sql).await {
            Ok(columns) => Some(columns),
            Err(error @ SourceError::Query { .. }) => {
                findings.add(&query.spot, error.to_string());
                None
            }
            Err(SourceError::Unavailable { .. } | SourceError::Store { .. }) => None,
        }
    }
}

/// Compares the columns of a table with the columns that its query returns.
fn check_columns(table: &Table, found: &[String], findings: &Findings) {
    let known = || found.iter().map(String::as_str);
    let link = table.link.column();
    let wanted = table.columns.iter().map(|column| column.name.as_str());
    for wanted in wanted.chain([link]).collect::<BTreeSet<_>>() {
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
