//! Finds the flows of the deployed project and runs them.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Map, Value};
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, info};
use uuid::Uuid;
use weft_node::NodeConfig;
use weft_node::flow::{FlowCall, FlowEnd, FlowFailure, FlowName, FlowPart, FlowRefusal, Flows};
use weft_node::job::CheckpointStore;
use weft_project::{Findings, Project, UnknownProjectName};

use super::definition::FlowDefinition;
use super::execution::Execution;
use super::recovery::FlowCheckpoints;
use super::scope::{KeptBytes, Scope};
use super::tools::Tools;
use crate::deployed::{DeployedProject, must_be_deployed, wait_until_readable};

/// The deepest nesting of flows that call flows.
const NESTED: usize = 8;

tokio::task_local! {
    /// The number of flows around the current one, however they call each other.
    static ENCLOSING_FLOWS: usize;
}

/// Runs the flows of the deployed project. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct FlowRunner {
    projects: Arc<dyn DeployedProject>,
    config: Arc<NodeConfig>,
    checkpoints: CheckpointStore,
    tools: Arc<Tools>,
}

/// A flow as deployed.
struct DeployedFlow {
    project: Arc<Project>,
    name: FlowName,
    definition: FlowDefinition,
    /// The text of its file.
    text: String,
}

impl FlowRunner {
    pub(crate) fn new(
        projects: Arc<dyn DeployedProject>,
        config: NodeConfig,
        checkpoints: CheckpointStore,
        tools: Tools,
    ) -> Self {
        Self {
            projects,
            config: Arc::new(config),
            checkpoints,
            tools: Arc::new(tools),
        }
    }

    async fn find(&self, name: &FlowName) -> Result<DeployedFlow, FlowRefusal> {
        let refused = |message: String, hint: Option<String>| FlowRefusal {
            part: FlowPart::Call,
            message,
            hint,
        };
        let project = must_be_deployed(self.projects.project().await);
        let project = project.map_err(|error| refused(error.message, error.hint))?;
        let unit = project.logical_unit(&name.logical_unit);
        let unit = unit.map_err(|error| {
            unknown(
                &error,
                FlowPart::LogicalUnit,
                "LIST LU shows the logical units",
            )
        })?;
        let flow = unit.flow(&name.flow);
        let (flow, file) = flow.map_err(|error| {
            let known: Vec<&str> = unit.flows.keys().map(String::as_str).collect();
            let hint = match known.as_slice() {
                [] => format!("{} has no flows", unit.name),
                known => format!("{} has {}", unit.name, known.join(", ")),
            };
            unknown(&error, FlowPart::Flow, &hint)
        })?;
        let name = FlowName {
            logical_unit: unit.name.clone(),
            flow: flow.to_owned(),
        };
        let text = file.text.clone();
        let findings = Findings::default();
        let definition = FlowDefinition::read(file, &findings);
        let errors = findings.into_errors();
        match (definition, errors.first()) {
            (Some(definition), None) => Ok(DeployedFlow {
                project: Arc::clone(&project),
                name,
                definition,
                text,
            }),
            // The flow was checked at deployment, by another version.
            (_, error) => {
                let why = error.map_or_else(String::new, |error| format!(": {error}"));
                let message = format!("flow {name} cannot be read by this version{why}");
                Err(refused(message, None))
            }
        }
    }

    async fn run_deployed(
        &self,
        flow: DeployedFlow,
        call: FlowCall,
    ) -> Result<FlowEnd, FlowFailure> {
        let accepted = flow.definition.accept(&call.inputs);
        let inputs = accepted.map_err(|error| FlowFailure::new("Inputs", error.message))?;
        let mut checkpoints = match &call.recovery {
            None => FlowCheckpoints::disabled(),
            Some(recovery) => {
                let run = run_id(call.run_id, &flow, &inputs);
                FlowCheckpoints::take(&self.checkpoints, &self.config, recovery, run).await?
            }
        };
        let name = &flow.name;
        if let Some(outputs) = checkpoints.take_end() {
            info!(flow = %name, "Flow {name} has ended before and returns its saved outputs");
            return Ok(FlowEnd { outputs });
        }
        let kept = KeptBytes::default();
        let mut scope = Scope::new(&kept);
        scope
            .keep_all(inputs)
            .map_err(|message| FlowFailure::new("Memory", message))?;
        let execution = Execution::new(
            self,
            &self.tools,
            &flow.project,
            name,
            &call,
            checkpoints,
            &kept,
        );
        let checkpoints = execution.run(&flow.definition.stages, &mut scope).await?;
        let mut outputs = Map::new();
        for (name, value) in &flow.definition.outputs {
            let value = value
                .value(&scope)
                .map_err(|error| FlowFailure::new("Outputs", format!("output {name}: {error}")))?;
            outputs.insert(name.clone(), value);
        }
        checkpoints.close(&outputs).await?;
        debug!(flow = %name, "Flow {name} has ended");
        Ok(FlowEnd { outputs })
    }
}

#[async_trait]
impl Flows for FlowRunner {
    async fn check(
        &self,
        name: &FlowName,
        inputs: &Map<String, Value>,
    ) -> Result<FlowName, FlowRefusal> {
        let flow = self.find(name).await?;
        match flow.definition.accept(inputs) {
            Ok(_) => Ok(flow.name),
            Err(error) => Err(FlowRefusal {
                part: error.input.map_or(FlowPart::Call, FlowPart::Input),
                message: error.message,
                hint: error.hint,
            }),
        }
    }

    async fn inputs(&self, name: &FlowName) -> Result<Vec<String>, FlowRefusal> {
        let inputs = self.find(name).await?.definition.inputs;
        Ok(inputs.into_iter().map(|input| input.name).collect())
    }

    async fn run(&self, call: FlowCall) -> Result<FlowEnd, FlowFailure> {
        let enclosing = ENCLOSING_FLOWS.try_with(|count| *count).unwrap_or(0);
        if enclosing == NESTED {
            let message = format!("flows call each other more than {NESTED} deep");
            return Err(FlowFailure::new("Nested", message));
        }
        wait_until_readable(self.projects.as_ref(), &call.stop).await;
        let flow = self
            .find(&call.name)
            .await
            .map_err(|refusal| FlowFailure::new("Flow", refusal.message))?;
        if enclosing == 0 {
            return ENCLOSING_FLOWS
                .scope(1, self.run_deployed(flow, call))
                .await;
        }
        // Each inner flow runs in its own task with its own stack, so nesting does not deepen one stack.
        let runner = self.clone();
        let inner = async move { runner.run_deployed(flow, call).await };
        #[allow(
            clippy::disallowed_methods,
            reason = "the task ends with this future, which aborts it when it is dropped"
        )]
        let inner = tokio::spawn(ENCLOSING_FLOWS.scope(enclosing + 1, inner));
        match AbortOnDropHandle::new(inner).await {
            Ok(ended) => ended,
            Err(_) => Err(FlowFailure::new(
                "Panic",
                "the flow failed inside Weft; the log of the node says where",
            )),
        }
    }
}

fn unknown(error: &UnknownProjectName, part: FlowPart, hint: &str) -> FlowRefusal {
    let hint = match &error.nearest {
        Some(near) => format!("did you mean `{near}`?"),
        None => hint.to_owned(),
    };
    FlowRefusal {
        part,
        message: format!("there is no {} `{}`", error.what, error.name),
        hint: Some(hint),
    }
}

/// Identifies a run of this version of a flow with these inputs.
fn run_id(run: Uuid, flow: &DeployedFlow, inputs: &Map<String, Value>) -> Uuid {
    let inputs = Value::Object(inputs.clone()).to_string();
    let name = flow.name.to_string();
    let parts = [name.as_str(), &flow.text, &inputs];
    Uuid::new_v5(&run, parts.join("\0").as_bytes())
}
