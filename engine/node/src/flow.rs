//! The interface of flows: calls and answers. Another crate implements it.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use weft_model::{Principal, Session};

use crate::job::{CheckpointHolder, FailureKind, Slot};

/// Argument names that the command BROADWAY reserves, in any case; no input of a flow may have one.
pub const SETTINGS: [&str; 5] = [
    "RESULT_STRUCTURE",
    "recoveryId",
    "recoveryTtl",
    "recoveryMaxTries",
    "profilerTelemetry",
];

/// The name of a flow, as deployed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowName {
    /// The logical unit.
    pub logical_unit: String,
    /// The flow.
    pub flow: String,
}

impl fmt::Display for FlowName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.logical_unit, self.flow)
    }
}

/// A call of a flow.
#[derive(Clone, Debug)]
pub struct FlowCall {
    /// The flow, in any case.
    pub name: FlowName,
    /// Its external inputs, by name.
    pub inputs: Map<String, Value>,
    /// The principal of its statements.
    pub principal: Principal,
    /// The initial session of its statements; their changes end with the call.
    pub session: Session,
    /// The same for all tries of one run, and different for each run.
    pub run_id: Uuid,
    /// Where finished stages are recorded; `None`: a broken run starts over.
    pub recovery: Option<Recovery>,
    /// Cancelled when the flow must end, at the latest between two stages.
    pub stop: CancellationToken,
    /// Its slot, lent while it only waits.
    pub slot: Slot,
}

/// How a flow continues where an earlier try stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Tries with the same scope share their finished stages. Later runs may use it again.
    pub scope: String,
    /// Identifies this try; a later try takes the scope over.
    pub holder: CheckpointHolder,
    /// How many tries continue an earlier one before one starts over. `None`: as the node is configured.
    pub max_tries: Option<u64>,
    /// How long tries may continue an earlier one; later ones start over. `None`: as the node is configured.
    pub time_to_live: Option<Duration>,
    /// A try after the end returns the recorded answer and runs nothing.
    pub keeps_end: bool,
}

/// The answer of a flow.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FlowEnd {
    /// Its external outputs, in the order of its file.
    pub outputs: Map<String, Value>,
}

/// Why a flow did not finish.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FlowFailure {
    /// The kind of failure.
    pub kind: FailureKind,
    /// The message for users.
    pub message: String,
}

impl FlowFailure {
    /// Creates a failure; exception types convert to a kind.
    pub fn new(kind: impl Into<FailureKind>, message: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            message: message.into(),
        }
    }

    /// The exception type, for people and error handlers.
    pub fn exception_type(&self) -> &str {
        self.kind.exception_type()
    }
}

/// The part of a call that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlowPart {
    /// The logical unit.
    LogicalUnit,
    /// The flow.
    Flow,
    /// An input, by its name in the call.
    Input(String),
    /// The call as a whole, e.g. a missing input.
    Call,
}

/// A call that cannot be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowRefusal {
    /// The part that is wrong.
    pub part: FlowPart,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Runs the flows of the deployed project.
#[async_trait]
pub trait Flows: fmt::Debug + Send + Sync {
    /// Checks a call; answers the name as deployed.
    ///
    /// # Errors
    /// An unknown name, or an input that is missing or has another type.
    async fn check(
        &self,
        name: &FlowName,
        inputs: &Map<String, Value>,
    ) -> Result<FlowName, FlowRefusal>;

    /// The names of its external inputs, as in its file.
    ///
    /// # Errors
    /// There is no such flow.
    async fn inputs(&self, name: &FlowName) -> Result<Vec<String>, FlowRefusal>;

    /// Runs the flow to its end. Dropping the future ends it at its current stage.
    ///
    /// # Errors
    /// The call is wrong, a stage failed, or a stop was requested.
    async fn run(&self, call: FlowCall) -> Result<FlowEnd, FlowFailure>;
}

/// A node without flows.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFlows;

const NO_FLOWS: &str = "this node runs no flows";

#[async_trait]
impl Flows for NoFlows {
    async fn check(
        &self,
        _name: &FlowName,
        _inputs: &Map<String, Value>,
    ) -> Result<FlowName, FlowRefusal> {
        Err(FlowRefusal {
            part: FlowPart::Call,
            message: NO_FLOWS.to_owned(),
            hint: None,
        })
    }

    async fn inputs(&self, name: &FlowName) -> Result<Vec<String>, FlowRefusal> {
        self.check(name, &Map::new()).await.map(|_| Vec::new())
    }

    async fn run(&self, _call: FlowCall) -> Result<FlowEnd, FlowFailure> {
        Err(FlowFailure::new("Flow", NO_FLOWS))
    }
}
