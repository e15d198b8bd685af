//! The interface of actors: what they declare, how they are checked at deployment, how they run.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use weft_model::{Principal, Session};
use weft_node::flow::{FlowFailure, FlowName, Flows};
use weft_node::job::Slot;
use weft_project::{Findings, LogicalUnit, Project, Spot, UnknownProjectName};

use super::expression::Expression;
use super::input::{InputSpec, Inputs};
use super::tools::Tools;

/// The most JSON that the outputs of one actor may take, in bytes.
pub(crate) const OUTPUT_BYTES: usize = 8 * 1024 * 1024;

/// The declaration of an actor.
#[derive(Debug)]
pub(crate) struct ActorSpec {
    /// The name that flows use.
    pub name: &'static str,
    /// Other names that flows may use.
    pub aliases: &'static [&'static str],
    pub summary: &'static str,
    pub inputs: &'static [InputSpec],
    /// Names of outputs, and help on each.
    pub outputs: &'static [(&'static str, &'static str)],
}

impl ActorSpec {
    pub(crate) fn input(&self, name: &str) -> Option<&'static InputSpec> {
        self.inputs.iter().find(|input| input.name == name)
    }
}

/// The outputs of an actor by name, or why it failed.
pub(crate) type ActorResult = Result<Map<String, Value>, FlowFailure>;

/// An action that a flow can take.
#[async_trait]
pub(crate) trait Actor: Debug + Send + Sync {
    fn spec(&self) -> &'static ActorSpec;

    /// Reports errors that names and kinds of the inputs do not show. Runs at deployment.
    async fn check(&self, _inputs: WrittenInputs<'_>, _context: CheckContext<'_>) {}

    /// The flow that the actor runs inside the calling flow, as written there.
    fn inner_flow<'a>(&self, _inputs: WrittenInputs<'a>) -> Option<&'a str> {
        None
    }

    /// Acts; returns the outputs.
    ///
    /// # Errors
    /// The action failed, or a stop was requested meanwhile.
    async fn act(&self, inputs: Inputs, run: ActorRun<'_>) -> ActorResult;
}

/// The surroundings of one call of an actor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ActorRun<'a> {
    /// Runs inner flows.
    pub flows: &'a dyn Flows,
    pub tools: &'a Tools,
    pub project: &'a Arc<Project>,
    /// The calling flow.
    pub flow: &'a FlowName,
    /// Statements run with its rights.
    pub principal: &'a Principal,
    /// Statements start from it.
    pub session: &'a Session,
    /// Cancelled when the flow must end.
    pub stop: &'a CancellationToken,
    /// The job slot of the run.
    pub slot: &'a Slot,
    /// Identifies this call; the same in every try at the run.
    pub key: Uuid,
    /// Path of the call in the flow, e.g. `each[3]/call`.
    pub path: &'a str,
}

impl<'a> ActorRun<'a> {
    /// The logical unit of the calling flow.
    pub(crate) fn logical_unit(&self) -> Result<&'a LogicalUnit, UnknownProjectName> {
        self.project.logical_unit(&self.flow.logical_unit)
    }

    /// Resolves the name of a flow, as written in the calling flow.
    pub(crate) fn resolve_flow(&self, written: &str) -> Result<FlowName, UnknownProjectName> {
        resolve_flow(self.project, self.logical_unit()?, written)
    }
}

/// The surroundings of an actor in a flow that is being deployed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CheckContext<'a> {
    pub project: &'a Project,
    /// The logical unit of the flow.
    pub logical_unit: &'a LogicalUnit,
    /// The name of the flow.
    pub flow: &'a str,
    /// The other flows of the project.
    pub signatures: &'a dyn FlowSignatures,
    /// Receives errors.
    pub findings: &'a Findings,
    /// Position of the actor in the file.
    pub spot: &'a Spot,
}

impl CheckContext<'_> {
    /// Resolves the name of a flow, as written in the flow; reports it if there is no such flow.
    pub(crate) fn resolve_flow(&self, written: &str, spot: &Spot) -> Option<FlowName> {
        match resolve_flow(self.project, self.logical_unit, written) {
            Ok(name) => Some(name),
            Err(unknown) => {
                self.report_unknown(spot, unknown);
                None
            }
        }
    }

    pub(crate) fn report_unknown(&self, spot: &Spot, unknown: UnknownProjectName) {
        let message = format!("there is no {} `{}`", unknown.what, unknown.name);
        self.findings.add_near(spot, message, unknown.nearest);
    }
}

/// Resolves `LU.flow`, or `flow` of the logical unit `around`, to the names as deployed.
pub(crate) fn resolve_flow(
    project: &Project,
    around: &LogicalUnit,
    written: &str,
) -> Result<FlowName, UnknownProjectName> {
    let (unit, flow) = match written.split_once('.') {
        Some((unit, flow)) => (project.logical_unit(unit.trim())?, flow.trim()),
        None => (around, written.trim()),
    };
    let (flow, _) = unit.flow(flow)?;
    Ok(FlowName {
        logical_unit: unit.name.clone(),
        flow: flow.to_owned(),
    })
}

/// Describes the flows of a project to the actors that call them.
pub(crate) trait FlowSignatures: Debug + Sync {
    /// None if the flow cannot be read; the check of that flow reports why.
    fn signature(&self, flow: &FlowName) -> Option<FlowSignature>;
}

/// What the caller of a flow must know about it.
#[derive(Debug)]
pub(crate) struct FlowSignature {
    /// Names of its inputs, and whether they are required.
    pub inputs: Vec<(String, bool)>,
    /// The flows that it runs itself.
    pub inner_flows: Vec<FlowName>,
}

/// The inputs of an actor as written in the flow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WrittenInputs<'a>(pub &'a [WrittenInput]);

/// An input of an actor as written in the flow.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WrittenInput {
    pub name: &'static str,
    pub value: Expression,
    pub spot: Spot,
}

impl<'a> WrittenInputs<'a> {
    pub(crate) fn get(self, name: &str) -> Option<&'a WrittenInput> {
        self.0.iter().find(|input| input.name == name)
    }

    /// The value of an input as written.
    pub(crate) fn value(self, name: &str) -> Option<&'a Expression> {
        self.get(name).map(|input| &input.value)
    }

    /// An input that is a text without links.
    pub(crate) fn text(self, name: &str) -> Option<(&'a str, &'a Spot)> {
        let input = self.get(name)?;
        match &input.value {
            Expression::Literal(Value::String(text)) => Some((text, &input.spot)),
            _ => None,
        }
    }
}
