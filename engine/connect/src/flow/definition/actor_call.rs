//! Reads the calls of actors.

use serde_json::Value;
use weft_project::yaml::{Entry, Node, Yaml};
use weft_project::{Fields, Spot, nearest};

use super::ActorCall;
use super::reader::{Members, Reader};
use crate::flow::actor::{Actor, WrittenInput};
use crate::flow::actors;
use crate::flow::expression::Expression;
use crate::flow::input::InputKind;

/// The most actors of a flow.
const ACTORS: usize = 2_000;

impl Reader<'_> {
    /// Reads actors that run side by side, so none sees the outputs of another.
    pub(super) fn parallel_actors(&mut self, node: &Node, spot: &Spot) -> Vec<ActorCall> {
        let mut calls = Vec::new();
        for (item, spot) in self.items(node, spot) {
            calls.extend(self.actor_call(item, &spot));
        }
        for call in &calls {
            self.show_outputs(call);
        }
        calls
    }

    /// Reads actors that run in sequence, so each sees the outputs of those before it.
    pub(super) fn sequential_actors(&mut self, node: &Node, spot: &Spot) -> Vec<ActorCall> {
        let mut calls = Vec::new();
        for (item, spot) in self.items(node, spot) {
            if let Some(call) = self.actor_call(item, &spot) {
                self.show_outputs(&call);
                calls.push(call);
            }
        }
        calls
    }

    /// Makes the outputs of an actor visible.
    fn show_outputs(&mut self, call: &ActorCall) {
        let outputs = call.actor.spec().outputs.iter();
        let outputs = outputs.map(|(name, _)| (*name).to_owned()).collect();
        self.visible
            .insert(call.name.clone(), Members::Outputs(outputs));
    }

    fn actor_call(&mut self, node: &Node, spot: &Spot) -> Option<ActorCall> {
        self.actor_count += 1;
        if self.actor_count == ACTORS + 1 {
            let message = format!("a flow has at most {ACTORS} actors");
            self.findings.add(spot, message);
        }
        let mut fields = Fields::new(node, spot.clone(), self.findings);
        fields.text("description");
        let name = fields.required("name");
        if let Some(name) = name {
            self.declare(name, &fields.spot("name"));
            if name == "error" {
                self.findings.add(
                    &fields.spot("name"),
                    "`error` is the error that a handler receives; choose another name",
                );
            }
        }
        let actor_spot = fields.spot("actor");
        let actor = fields.required("actor").and_then(|written| {
            let found = actors::find(written);
            if found.is_none() {
                let near = nearest(written, actors::names());
                let message = format!("there is no actor `{written}`");
                self.findings.add_near(&actor_spot, message, near);
            }
            found
        });
        let given = fields.entries("inputs");
        let inputs = actor.map(|actor| self.inputs_of(actor, given, spot));
        fields.finish();
        Some(ActorCall {
            name: name?.to_owned(),
            actor: actor?,
            inputs: inputs?,
            spot: spot.clone(),
        })
    }

    fn inputs_of(
        &mut self,
        actor: &dyn Actor,
        given: Vec<(&Entry, Spot)>,
        spot: &Spot,
    ) -> Vec<WrittenInput> {
        let spec = actor.spec();
        let mut inputs = Vec::new();
        for (entry, spot) in given {
            let Some(input) = spec.input(&entry.key) else {
                let known = spec.inputs.iter().map(|input| input.name);
                let near = nearest(&entry.key, known);
                let message = format!("{} has no input `{}`", spec.name, entry.key);
                self.findings.add_near(&spot, message, near);
                continue;
            };
            let value = match (input.kind, &entry.node.value) {
                (InputKind::Fixed, Yaml::Text(text)) => self.fixed_text(text, &spot),
                (InputKind::Code, Yaml::Text(text)) => {
                    Expression::Literal(Value::from(text.as_str()))
                }
                _ => Expression::read(&entry.node, &spot, self),
            };
            if let Some(literal) = value.literal()
                && !(literal.is_null() && (!input.is_required || input.kind == InputKind::Fixed))
                && let Err(error) = input.kind.accept(literal)
            {
                self.findings.add(&spot, error);
            }
            inputs.push(WrittenInput {
                name: input.name,
                value,
                spot,
            });
        }
        for input in spec.inputs.iter().filter(|input| input.is_required) {
            if !inputs.iter().any(|given| given.name == input.name) {
                let message = format!("{} needs the input `{}`", spec.name, input.name);
                self.findings.add(spot, message);
            }
        }
        inputs
    }
}
