//! What actors are: their inputs and outputs, and what they do with them.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use weft_engine::flow::{FlowFailure, FlowName};
use weft_engine::job::{FailureKind, Slot};
use weft_engine::project::{Findings, LogicalUnit, Project, Spot};
use weft_engine::statement::{Principal, Session};

use super::condition::kind_of;
use super::expression::Expression;
use super::runner::FlowRunner;

/// What the outputs of one actor may take, as JSON.
pub(crate) const OUTPUT_BYTES: usize = 8 * 1024 * 1024;

/// What is known of an actor without running it.
#[derive(Debug)]
pub(crate) struct ActorSpec {
    /// Its name in flows.
    pub name: &'static str,
    /// Other names for it.
    pub aliases: &'static [&'static str],
    /// What it does.
    pub summary: &'static str,
    /// What it takes.
    pub inputs: &'static [InputSpec],
    /// What it gives: names and what they are.
    pub outputs: &'static [(&'static str, &'static str)],
}

/// One input.
#[derive(Debug)]
pub(crate) struct InputSpec {
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub kind: InputKind,
    /// Whether it must be there.
    pub is_required: bool,
    /// What it is.
    pub help: &'static str,
}

/// An input that must be there.
pub(crate) const fn required(name: &'static str, kind: InputKind, help: &'static str) -> InputSpec {
    InputSpec {
        name,
        kind,
        is_required: true,
        help,
    }
}

/// An input that may be left out.
pub(crate) const fn optional(name: &'static str, kind: InputKind, help: &'static str) -> InputSpec {
    InputSpec {
        is_required: false,
        ..required(name, kind, help)
    }
}

/// What an input takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InputKind {
    /// Any value.
    Any,
    /// A text; numbers and truth values are written out.
    Text,
    /// A text that stands in the flow as it is: code and names are deployed, never data.
    Fixed,
    /// A text in a language of its own, in which `${…}` has another meaning.
    Code,
    /// A number, or a text that is one.
    Number,
    /// A whole number within bounds, or a text that is one.
    Whole(u64, u64),
    /// True or false, or a text that says so.
    Flag,
    /// A list.
    List,
    /// A map.
    Map,
    /// A list or a map.
    ListOrMap,
}

impl InputKind {
    /// In words.
    pub(crate) fn words(self) -> String {
        match self {
            Self::Any => "any value".to_owned(),
            Self::Text => "a text".to_owned(),
            Self::Fixed => "a text without links".to_owned(),
            Self::Code => "code".to_owned(),
            Self::Number => "a number".to_owned(),
            Self::Whole(from, to) => format!("a whole number from {from} to {to}"),
            Self::Flag => "true or false".to_owned(),
            Self::List => "a list".to_owned(),
            Self::Map => "a map".to_owned(),
            Self::ListOrMap => "a list or a map".to_owned(),
        }
    }

    /// The value as the actor takes it.
    ///
    /// # Errors
    /// What it must be.
    pub(crate) fn accept(self, value: Value) -> Result<Value, String> {
        let accepted = match (self, value) {
            (Self::Any, value)
            | (Self::Text | Self::Fixed | Self::Code, value @ Value::String(_))
            | (Self::Number, value @ Value::Number(_))
            | (Self::Flag, value @ Value::Bool(_))
            | (Self::List | Self::ListOrMap, value @ Value::Array(_))
            | (Self::Map | Self::ListOrMap, value @ Value::Object(_)) => Ok(value),
            (Self::Text, value @ (Value::Number(_) | Value::Bool(_))) => {
                Ok(Value::from(value.to_string()))
            }
            (Self::Number, Value::String(text)) => {
                let number = serde_json::from_str(text.trim()).ok();
                number.filter(Value::is_number).ok_or(Value::String(text))
            }
            (Self::Flag, Value::String(text)) => match text.to_ascii_lowercase().as_str() {
                "true" => Ok(Value::Bool(true)),
                "false" => Ok(Value::Bool(false)),
                _ => Err(Value::String(text)),
            },
            (Self::Whole(from, to), value) => {
                let number = match &value {
                    Value::Number(number) => number.as_u64(),
                    Value::String(text) => text.trim().parse().ok(),
                    _ => None,
                };
                let allowed = number.filter(|number| (from..=to).contains(number));
                allowed.map(Value::from).ok_or(value)
            }
            (_, value) => Err(value),
        };
        accepted.map_err(|value| {
            let found = match &value {
                Value::String(text) if text.len() <= 40 => format!("`{text}`"),
                Value::Number(_) | Value::Bool(_) => value.to_string(),
                value => kind_of(value).to_owned(),
            };
            format!("must be {}, not {found}", self.words())
        })
    }
}

impl ActorSpec {
    /// The input of this name.
    pub(crate) fn input(&self, name: &str) -> Option<&'static InputSpec> {
        self.inputs.iter().find(|input| input.name == name)
    }
}

/// The inputs of a run, as the actor takes them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Inputs(Map<String, Value>);

impl Inputs {
    /// With everything that a spec says of them looked at.
    ///
    /// # Errors
    /// An input is missing, or is of another kind.
    pub(crate) fn of(spec: &ActorSpec, mut given: Map<String, Value>) -> Result<Self, String> {
        let mut inputs = Map::new();
        for input in spec.inputs {
            let name = input.name;
            match given.remove(name) {
                None | Some(Value::Null) if !input.is_required => (),
                None => return Err(format!("the input `{name}` is missing")),
                Some(value) => {
                    let value = input.kind.accept(value);
                    let value = value.map_err(|error| format!("the input `{name}` {error}"))?;
                    inputs.insert(name.to_owned(), value);
                }
            }
        }
        Ok(Self(inputs))
    }

    /// An input; null where it was left out.
    pub(crate) fn value(&self, name: &str) -> &Value {
        self.0.get(name).unwrap_or(&Value::Null)
    }

    /// A text; none where it was left out.
    pub(crate) fn optional_text(&self, name: &str) -> Option<&str> {
        self.value(name).as_str()
    }

    /// A text that is there.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.optional_text(name).unwrap_or_default()
    }

    /// A number; none where it was left out.
    pub(crate) fn whole(&self, name: &str) -> Option<u64> {
        self.value(name).as_u64()
    }

    /// A truth value; false where it was left out.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.value(name).as_bool().unwrap_or(false)
    }

    /// All of them.
    pub(crate) fn into_map(self) -> Map<String, Value> {
        self.0
    }
}

/// Why an actor failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ActorError {
    /// The kind of failure.
    pub kind: FailureKind,
    /// What a person reads.
    pub message: String,
}

impl ActorError {
    /// A failure of this kind.
    pub(crate) fn new(kind: impl Into<FailureKind>, message: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            message: message.into(),
        }
    }

    /// It was told to stop while it waited.
    pub(crate) fn stopped(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Stopped, message)
    }
}

impl From<FlowFailure> for ActorError {
    fn from(failure: FlowFailure) -> Self {
        Self {
            kind: failure.kind,
            message: failure.message,
        }
    }
}

/// What an actor runs in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ActorRun<'a> {
    /// Runs flows, and has what actors share.
    pub runner: &'a FlowRunner,
    /// The project of this run.
    pub project: &'a Arc<Project>,
    /// The flow that it stands in.
    pub flow: &'a FlowName,
    /// In whose name statements run.
    pub principal: &'a Principal,
    /// What statements find set.
    pub session: &'a Session,
    /// Cancelled when the flow shall end.
    pub stop: &'a CancellationToken,
    /// The slot of the run.
    pub slot: &'a Slot,
    /// Names this actor in this run, and in every further try at it.
    pub key: Uuid,
    /// Where it stands, e.g. `each[3]/call`.
    pub place: &'a str,
}

/// What an actor is looked at with when its flow is deployed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checking<'a> {
    /// The project.
    pub project: &'a Project,
    /// The logical unit of the flow.
    pub logical_unit: &'a LogicalUnit,
    /// The flow's name.
    pub flow: &'a str,
    /// Where what is wrong goes.
    pub findings: &'a Findings,
    /// Where the actor stands.
    pub spot: &'a Spot,
}

/// The inputs of an actor as they stand in the flow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WrittenInputs<'a>(pub &'a [WrittenInput]);

/// One of them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WrittenInput {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub value: Expression,
    /// Where it stands.
    pub spot: Spot,
}

impl<'a> WrittenInputs<'a> {
    /// The one of this name.
    pub(crate) fn get(self, name: &str) -> Option<&'a WrittenInput> {
        self.0.iter().find(|input| input.name == name)
    }

    /// The text that stands there without a link.
    pub(crate) fn text(self, name: &str) -> Option<(&'a str, &'a Spot)> {
        let input = self.get(name)?;
        match &input.value {
            Expression::Literal(Value::String(text)) => Some((text, &input.spot)),
            _ => None,
        }
    }
}

/// A kind of step.
#[async_trait]
pub(crate) trait Actor: Debug + Send + Sync {
    /// What is known of it.
    fn spec(&self) -> &'static ActorSpec;

    /// Says what is wrong with what stands in the flow, beyond names and kinds.
    async fn check(&self, _inputs: WrittenInputs<'_>, _at: Checking<'_>) {}

    /// Does it.
    ///
    /// # Errors
    /// Why it could not.
    async fn act(
        &self,
        inputs: Inputs,
        run: ActorRun<'_>,
    ) -> Result<Map<String, Value>, ActorError>;
}
