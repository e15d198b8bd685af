//! DbCommand: queries an interface.

use async_trait::async_trait;
use weft_node::flow::FlowFailure;
use weft_project::source::{RowLimits, SourceError};
use weft_project::{Findings, Project, Spot, nearest};

use crate::flow::actor::{
    Actor, ActorResult, ActorRun, ActorSpec, CheckContext, OUTPUT_BYTES, WrittenInputs,
};
use crate::flow::input::{InputKind, Inputs, optional, required};
use crate::flow::sql;
use crate::retry::query_within;

#[derive(Debug)]
pub(super) struct DbCommand;

const SPEC: ActorSpec = ActorSpec {
    name: "DbCommand",
    aliases: &["SQL"],
    summary: "queries an interface of the project",
    inputs: &[
        required("interface", InputKind::Fixed, "the interface"),
        required(
            "sql",
            InputKind::Fixed,
            "the query, with `?` or `:name` for values",
        ),
        optional(
            "parameters",
            InputKind::ListOrMap,
            "a list for `?`, a map for `:name`; a map of one list is a set, as in `id in (:ids)`",
        ),
    ],
    outputs: sql::TABLE,
};

const LIMITS: RowLimits = RowLimits {
    rows: 1_000_000,
    bytes: OUTPUT_BYTES,
    bad_rows: false,
};

#[async_trait]
impl Actor for DbCommand {
    fn spec(&self) -> &'static ActorSpec {
        &SPEC
    }

    async fn check(&self, inputs: WrittenInputs<'_>, context: CheckContext<'_>) {
        let Some((interface, spot)) = inputs.text("interface") else {
            return;
        };
        if !check_interface(context.project, interface, spot, context.findings) {
            return;
        }
        if let Some((sql, spot)) = inputs.text("sql") {
            check_query(context.project, interface, sql, spot, context.findings).await;
        }
    }

    async fn act(&self, inputs: Inputs, run: ActorRun<'_>) -> ActorResult {
        let failed = |error: String| FlowFailure::new("Query", error);
        let interface = run.project.interface(inputs.text("interface"));
        let interface = interface.map_err(failed)?;
        let parameters = sql::parameters(inputs.value("parameters")).map_err(failed)?;
        let sql = inputs.text("sql");
        let rows = query_within(&interface, sql, parameters, LIMITS, run.stop).await;
        rows.map(sql::outputs_of)
            .map_err(|error| failed(error.to_string()))
    }
}

fn check_interface(project: &Project, interface: &str, spot: &Spot, findings: &Findings) -> bool {
    match project.interface_definition(interface) {
        Ok(_) => true,
        Err(_) => {
            let known = project
                .interfaces()
                .map(|interface| interface.definition.name.as_str());
            let near = nearest(interface, known);
            let message = format!("there is no interface `{interface}`");
            findings.add_near(spot, message, near);
            false
        }
    }
}

/// Reports errors of a query; returns its columns if the interface is reachable.
pub(in crate::flow) async fn check_query(
    project: &Project,
    interface: &str,
    sql: &str,
    spot: &Spot,
    findings: &Findings,
) -> Option<Vec<String>> {
    if !check_interface(project, interface, spot, findings) {
        return None;
    }
    let interface = project.interface(interface).ok()?;
    match interface.check(sql).await {
        Ok(columns) => Some(columns),
        Err(error @ SourceError::Query { .. }) => {
            findings.add(spot, error.to_string());
            None
        }
        Err(SourceError::Unavailable { .. } | SourceError::Store { .. }) => None,
    }
}
