//! Checks a flow against its project: queries, statements, functions, other flows.

use weft_node::flow::FlowName;
use weft_project::{Findings, LogicalUnit, Project};

use super::{Body, FlowDefinition, RowSource, Stage};
use crate::flow::actor::{
    CheckContext, FlowSignature, FlowSignatures, WrittenInputs, resolve_flow,
};
use crate::flow::actors::db_command::check_query;

impl FlowDefinition {
    /// Reports the errors that only the project shows.
    pub(crate) async fn check(
        &self,
        project: &Project,
        logical_unit: &LogicalUnit,
        flow: &str,
        findings: &Findings,
    ) {
        for call in self.calls() {
            let context = CheckContext {
                project,
                logical_unit,
                flow,
                signatures: &ProjectFlows(project),
                findings,
                spot: &call.spot,
            };
            call.actor.check(WrittenInputs(&call.inputs), context).await;
        }
        let mut stages: Vec<&Stage> = self.stages.iter().collect();
        while let Some(stage) = stages.pop() {
            if let Body::Stages(inner) = &stage.body {
                stages.extend(inner);
            }
            if let Some(RowSource::Query {
                interface,
                sql,
                spot,
                ..
            }) = stage.repeat.as_ref().map(|repeat| &repeat.rows)
                && let Some(columns) = check_query(project, interface, sql, spot, findings).await
                && columns.len() != 1
            {
                let message = format!(
                    "a loop takes a query of one column; this one returns {}",
                    columns.join(", ")
                );
                findings.add(spot, message);
            }
        }
    }
}

/// Reads the flows of a project for the actors that call them.
#[derive(Debug)]
struct ProjectFlows<'p>(&'p Project);

impl FlowSignatures for ProjectFlows<'_> {
    fn signature(&self, flow: &FlowName) -> Option<FlowSignature> {
        let unit = self.0.logical_unit(&flow.logical_unit).ok()?;
        let (_, file) = unit.flow(&flow.flow).ok()?;
        let definition = FlowDefinition::read(file, &Findings::default())?;
        let inner = definition.inner_flows();
        let inner_flows = inner
            .into_iter()
            .filter_map(|written| resolve_flow(self.0, unit, written).ok())
            .collect();
        let inputs = definition.inputs.into_iter();
        Some(FlowSignature {
            inputs: inputs
                .map(|input| (input.name, input.is_required))
                .collect(),
            inner_flows,
        })
    }
}
