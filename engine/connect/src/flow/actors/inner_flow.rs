//! InnerFlow: another flow, run within this one.

use std::collections::BTreeSet;

use async_trait::async_trait;
use serde_json::{Map, Value};
use weft_node::flow::{FlowCall, FlowName, Flows};
use weft_project::{Findings, LogicalUnit, Project};

use crate::flow::actor::{
    Actor, ActorError, ActorRun, ActorSpec, Checking, InputKind, Inputs, WrittenInputs, optional,
    required,
};
use crate::flow::definition::FlowDefinition;
use crate::flow::expression::Expression;
use crate::flow::runner::target;

#[derive(Debug)]
pub(super) struct InnerFlow;

const SPEC: ActorSpec = ActorSpec {
    name: "InnerFlow",
    aliases: &["Broadway"],
    summary: "runs another flow and waits for it",
    inputs: &[
        required(
            "flow",
            InputKind::Fixed,
            "the flow, of this logical unit or as `LU.flow`",
        ),
        optional("inputs", InputKind::Map, "its inputs"),
    ],
    outputs: &[("outputs", "its outputs, a map")],
};

#[async_trait]
impl Actor for InnerFlow {
    fn spec(&self) -> &'static ActorSpec {
        &SPEC
    }

    async fn check(&self, inputs: WrittenInputs<'_>, at: Checking<'_>) {
        let Some((written, spot)) = inputs.text("flow") else {
            return;
        };
        let (unit, name) = match target(at.project, at.logical_unit, written) {
            Ok(found) => found,
            Err(unknown) => {
                let message = format!("there is no {} `{}`", unknown.what, unknown.name);
                at.findings.add_near(spot, message, unknown.nearest);
                return;
            }
        };
        let own = FlowName {
            logical_unit: at.logical_unit.name.clone(),
            flow: at.flow.to_owned(),
        };
        if leads_to(at.project, name.clone(), &own) {
            let message = format!("flow {own} would run itself again and again");
            at.findings.add(spot, message);
        }
        let given = match inputs.get("inputs").map(|input| &input.value) {
            None => Map::new(),
            Some(Expression::Literal(Value::Object(map))) => map.clone(),
            // What links lead to is known when it runs, their names are known now.
            Some(Expression::Map(entries)) => {
                let entries = entries
                    .iter()
                    .filter(|(_, value)| value.literal().is_none());
                entries
                    .map(|(name, _)| (name.clone(), Value::Null))
                    .collect()
            }
            Some(_) => return,
        };
        let Some(definition) = definition(unit, &name.flow) else {
            // What is wrong there is said there.
            return;
        };
        let known = || definition.inputs.iter().map(|input| input.name.as_str());
        let written = |wanted: &str| match inputs.get("inputs").map(|input| &input.value) {
            Some(Expression::Map(entries)) => entries.iter().any(|(name, _)| name == wanted),
            _ => given.contains_key(wanted),
        };
        for name in given
            .keys()
            .filter(|name| !known().any(|known| known == *name))
        {
            let near = weft_project::nearest(name, known());
            let message = format!("the flow has no input `{name}`");
            at.findings.add_near(spot, message, near);
        }
        for input in definition.inputs.iter().filter(|input| input.is_required) {
            if !written(&input.name) {
                let message = format!("the input `{}` of that flow must be given", input.name);
                at.findings.add(spot, message);
            }
        }
    }

    async fn act(
        &self,
        inputs: Inputs,
        run: ActorRun<'_>,
    ) -> Result<Map<String, Value>, ActorError> {
        let unit = run.project.logical_unit(&run.flow.logical_unit);
        let unit = unit.map_err(|error| ActorError::new("Flow", error.to_string()))?;
        let (_, name) = target(run.project, unit, inputs.text("flow"))
            .map_err(|error| ActorError::new("Flow", error.to_string()))?;
        let call = FlowCall {
            name: name.clone(),
            inputs: inputs
                .value("inputs")
                .as_object()
                .cloned()
                .unwrap_or_default(),
            principal: run.principal.clone(),
            session: run.session.clone(),
            run_id: run.key,
            recovery: None,
            stop: run.stop.clone(),
            slot: run.slot.clone(),
        };
        let end = run.runner.run(call).await.map_err(|failure| {
            let error = ActorError::from(failure);
            ActorError {
                message: format!("flow {name}: {}", error.message),
                ..error
            }
        })?;
        Ok(Map::from_iter([(
            "outputs".to_owned(),
            Value::Object(end.outputs),
        )]))
    }
}

fn definition(unit: &LogicalUnit, flow: &str) -> Option<FlowDefinition> {
    let (_, file) = unit.flow(flow).ok()?;
    FlowDefinition::read(file, &Findings::default())
}

/// Whether one flow runs another, directly or by way of others.
fn leads_to(project: &Project, from: FlowName, to: &FlowName) -> bool {
    let mut seen = BTreeSet::new();
    let mut waiting = vec![from];
    while let Some(name) = waiting.pop() {
        if name == *to {
            return true;
        }
        if !seen.insert(name.to_string()) {
            continue;
        }
        let Ok(unit) = project.logical_unit(&name.logical_unit) else {
            continue;
        };
        let Some(definition) = definition(unit, &name.flow) else {
            continue;
        };
        for call in definition.calls() {
            if call.actor.spec().name != SPEC.name {
                continue;
            }
            let written = WrittenInputs(&call.inputs).text("flow");
            let found = written.and_then(|(flow, _)| target(project, unit, flow).ok());
            waiting.extend(found.map(|(_, name)| name));
        }
    }
    false
}
