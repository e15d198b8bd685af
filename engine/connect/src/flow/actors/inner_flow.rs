//! InnerFlow: runs another flow inside this one.

use std::collections::BTreeSet;

use async_trait::async_trait;
use serde_json::{Map, Value};
use weft_node::flow::{FlowCall, FlowFailure, FlowName};
use weft_project::nearest;

use crate::flow::actor::{
    Actor, ActorResult, ActorRun, ActorSpec, CheckContext, FlowSignatures, WrittenInputs,
};
use crate::flow::input::{InputKind, Inputs, optional, required};

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

    async fn check(&self, inputs: WrittenInputs<'_>, context: CheckContext<'_>) {
        let Some((written, spot)) = inputs.text("flow") else {
            return;
        };
        let Some(name) = context.resolve_flow(written, spot) else {
            return;
        };
        let own = FlowName {
            logical_unit: context.logical_unit.name.clone(),
            flow: context.flow.to_owned(),
        };
        if leads_to(context.signatures, name.clone(), &own) {
            let message = format!("flow {own} would run itself again and again");
            context.findings.add(spot, message);
        }
        let given = match inputs.value("inputs") {
            None => Vec::new(),
            Some(map) => match map.keys() {
                Some(names) => names,
                // The map is known only when the flow runs.
                None => return,
            },
        };
        let Some(signature) = context.signatures.signature(&name) else {
            return;
        };
        let known = || signature.inputs.iter().map(|(name, _)| name.as_str());
        for name in given
            .iter()
            .filter(|name| !known().any(|known| known == **name))
        {
            let message = format!("the flow has no input `{name}`");
            context
                .findings
                .add_near(spot, message, nearest(name, known()));
        }
        for (name, is_required) in &signature.inputs {
            if *is_required && !given.contains(&name.as_str()) {
                let message = format!("the input `{name}` of that flow must be given");
                context.findings.add(spot, message);
            }
        }
    }

    fn inner_flow<'a>(&self, inputs: WrittenInputs<'a>) -> Option<&'a str> {
        inputs.text("flow").map(|(flow, _)| flow)
    }

    async fn act(&self, inputs: Inputs, run: ActorRun<'_>) -> ActorResult {
        let name = run.resolve_flow(inputs.text("flow"));
        let name = name.map_err(|error| FlowFailure::new("Flow", error.to_string()))?;
        let call = FlowCall {
            name: name.clone(),
            inputs: inputs.map("inputs"),
            principal: run.principal.clone(),
            session: run.session.clone(),
            run_id: run.key,
            recovery: None,
            stop: run.stop.clone(),
            slot: run.slot.clone(),
        };
        let end = run.flows.run(call).await.map_err(|failure| FlowFailure {
            message: format!("flow {name}: {}", failure.message),
            ..failure
        })?;
        Ok(Map::from_iter([(
            "outputs".to_owned(),
            Value::Object(end.outputs),
        )]))
    }
}

/// Whether a flow runs another, directly or through others.
fn leads_to(signatures: &dyn FlowSignatures, from: FlowName, to: &FlowName) -> bool {
    let mut seen = BTreeSet::new();
    let mut waiting = vec![from];
    while let Some(name) = waiting.pop() {
        if name == *to {
            return true;
        }
        if seen.insert(name.to_string())
            && let Some(signature) = signatures.signature(&name)
        {
            waiting.extend(signature.inner_flows);
        }
    }
    false
}
