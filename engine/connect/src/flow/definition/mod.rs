//! The definition of a flow: what its file `flows/<name>.yaml` says.

mod actor_call;
mod check;
mod reader;
mod stage;

use reader::Reader;
use serde_json::{Map, Value};
use weft_project::{Findings, ProjectFile, Spot, nearest, yaml};

use super::actor::{Actor, WrittenInput, WrittenInputs};
use super::condition::Condition;
use super::expression::Expression;
use super::input::InputKind;

/// A flow.
#[derive(Debug)]
pub(crate) struct FlowDefinition {
    pub inputs: Vec<FlowInput>,
    /// Run in this order.
    pub stages: Vec<Stage>,
    pub outputs: Vec<(String, Expression)>,
}

/// An external input of a flow.
#[derive(Debug)]
pub(crate) struct FlowInput {
    pub name: String,
    pub kind: InputKind,
    pub is_required: bool,
    /// The value of an omitted input.
    pub default: Value,
}

/// A stage.
#[derive(Debug)]
pub(crate) struct Stage {
    pub name: String,
    /// The stage is skipped unless it holds.
    pub condition: Option<Condition>,
    /// The stage runs once for each row.
    pub repeat: Option<RowLoop>,
    pub body: Body,
    pub on_error: Option<ErrorHandler>,
}

/// The work of a stage.
#[derive(Debug)]
pub(crate) enum Body {
    /// Run side by side.
    Actors(Vec<ActorCall>),
    /// Run in this order.
    Stages(Vec<Stage>),
}

/// The loop of a stage.
#[derive(Debug)]
pub(crate) struct RowLoop {
    pub rows: RowSource,
    /// The name of the current row.
    pub variable: String,
    /// How many rows run at once.
    pub parallel: usize,
    /// Lists that keep a value of each row.
    pub collect: Vec<(String, Expression)>,
}

/// The source of the rows of a loop.
#[derive(Debug)]
pub(crate) enum RowSource {
    List(Expression),
    /// A query of one column. Its rows are streamed.
    Query {
        interface: String,
        sql: String,
        parameters: Expression,
        spot: Spot,
    },
}

/// The error handler of a stage.
#[derive(Debug)]
pub(crate) struct ErrorHandler {
    /// Run in this order.
    pub actors: Vec<ActorCall>,
    /// The flow continues after the handler; otherwise it fails.
    pub continues: bool,
}

/// A call of an actor.
#[derive(Debug)]
pub(crate) struct ActorCall {
    pub name: String,
    pub actor: &'static dyn Actor,
    pub inputs: Vec<WrittenInput>,
    pub spot: Spot,
}

impl FlowDefinition {
    /// Reads the file of a flow and reports its errors; none if too much of it is wrong.
    pub(crate) fn read(file: &ProjectFile, findings: &Findings) -> Option<Self> {
        let spot = file.spot();
        match yaml::parse(&file.text) {
            Ok(node) => Reader::new(findings).flow(&node, spot),
            Err(error) => {
                let spot = Spot {
                    line: error.line,
                    ..spot
                };
                findings.add(&spot, error.message);
                None
            }
        }
    }

    /// All actors in the order of the file, those of error handlers included.
    pub(crate) fn calls(&self) -> Vec<&ActorCall> {
        let mut stages: Vec<&Stage> = self.stages.iter().rev().collect();
        let mut calls = Vec::new();
        while let Some(stage) = stages.pop() {
            match &stage.body {
                Body::Actors(actors) => calls.extend(actors),
                Body::Stages(inner) => stages.extend(inner.iter().rev()),
            }
            calls.extend(stage.on_error.iter().flat_map(|handler| &handler.actors));
        }
        calls
    }

    /// The flows that the actors run inside this one, as written.
    pub(crate) fn inner_flows(&self) -> Vec<&str> {
        self.calls()
            .into_iter()
            .filter_map(|call| call.actor.inner_flow(WrittenInputs(&call.inputs)))
            .collect()
    }

    /// Converts the inputs of a call, and adds the defaults.
    ///
    /// # Errors
    /// An input is unknown, missing or of another kind.
    pub(crate) fn accept(
        &self,
        given: &Map<String, Value>,
    ) -> Result<Map<String, Value>, InputError> {
        self.check_names(given)?;
        let mut accepted = Map::new();
        for input in &self.inputs {
            let value = match given.get(&input.name) {
                None | Some(Value::Null) => input.default.clone(),
                Some(value) => {
                    input
                        .kind
                        .accept(parse_text(input.kind, value))
                        .map_err(|error| InputError {
                            input: Some(input.name.clone()),
                            message: format!("the input `{}` {error}", input.name),
                            hint: None,
                        })?
                }
            };
            accepted.insert(input.name.clone(), value);
        }
        Ok(accepted)
    }

    /// Every given input is known, and every required one is given.
    fn check_names(&self, given: &Map<String, Value>) -> Result<(), InputError> {
        let known = || self.inputs.iter().map(|input| input.name.as_str());
        if let Some(unknown) = given
            .keys()
            .find(|name| !known().any(|known| known == *name))
        {
            let hint = match nearest(unknown, known()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if self.inputs.is_empty() => "it takes none".to_owned(),
                None => format!("it takes {}", known().collect::<Vec<_>>().join(", ")),
            };
            return Err(InputError {
                input: Some(unknown.clone()),
                message: format!("the flow has no input `{unknown}`"),
                hint: Some(hint),
            });
        }
        let missing: Vec<&str> = self
            .inputs
            .iter()
            .filter(|input| input.is_required && given.get(&input.name).is_none_or(Value::is_null))
            .map(|input| input.name.as_str())
            .collect();
        let message = match missing.as_slice() {
            [] => return Ok(()),
            [one] => format!("the input `{one}` must be given"),
            several => format!("the inputs `{}` must be given", several.join("`, `")),
        };
        Err(InputError {
            input: None,
            message,
            hint: None,
        })
    }
}

/// Commands pass all inputs as texts, so lists and maps may be written as JSON.
fn parse_text(kind: InputKind, value: &Value) -> Value {
    match (kind, value) {
        (InputKind::List | InputKind::Map, Value::String(text)) => {
            serde_json::from_str(text).unwrap_or_else(|_| value.clone())
        }
        _ => value.clone(),
    }
}

/// Inputs that a flow does not accept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InputError {
    /// The given input that is wrong; none if one is missing.
    pub input: Option<String>,
    pub message: String,
    pub hint: Option<String>,
}
