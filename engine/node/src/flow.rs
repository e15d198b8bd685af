//! Flows: what is asked of one and what it answers. What runs them lives in another package.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use weft_model::{Principal, Session};

use crate::job::{CheckpointHolder, FailureKind, Slot};

/// Names that the command BROADWAY keeps for itself; no input of a flow is called so, in any case.
pub const SETTINGS: [&str; 5] = [
    "RESULT_STRUCTURE",
    "recoveryId",
    "recoveryTtl",
    "recoveryMaxTries",
    "profilerTelemetry",
];

/// A flow of a logical unit, each by its name as deployed.
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

/// A flow that shall run.
#[derive(Clone, Debug)]
pub struct FlowCall {
    /// Which; in any case.
    pub name: FlowName,
    /// Its external inputs, by name.
    pub inputs: Map<String, Value>,
    /// In whose name its statements run.
    pub principal: Principal,
    /// What its statements find set; what they set themselves ends with them.
    pub session: Session,
    /// The same for every try at one run and different for every run.
    pub run_id: Uuid,
    /// Where finished stages are written down; none = a run that breaks off starts over.
    pub recovery: Option<Recovery>,
    /// Cancelled when it shall end: at the latest between two stages.
    pub stop: CancellationToken,
    /// The slot that it takes, lent while it only waits.
    pub slot: Slot,
}

/// How a flow goes on where an earlier try stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// The tries that share what they have finished have the same; so may other runs, one after the other.
    pub scope: String,
    /// Who this try is; a later one takes over.
    pub holder: CheckpointHolder,
    /// Tries that go on where one stopped; the next starts over. None = as the node is configured.
    pub max_tries: Option<u64>,
    /// How long it may be gone on with; later tries start over. None = as the node is configured.
    pub time_to_live: Option<Duration>,
    /// A try after the end answers what was answered, and runs nothing.
    pub keeps_end: bool,
}

/// What a flow answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FlowEnd {
    /// Its external outputs, in the order of its file.
    pub outputs: Map<String, Value>,
}

/// Why a flow was not run to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FlowFailure {
    /// The kind of failure.
    pub kind: FailureKind,
    /// What a person reads.
    pub message: String,
}

impl FlowFailure {
    /// A failure of this kind.
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

/// What of a call cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlowPart {
    /// The logical unit.
    LogicalUnit,
    /// The flow.
    Flow,
    /// An input, by the name that was given.
    Input(String),
    /// The call as a whole, e.g. an input that is missing.
    Call,
}

/// A call that cannot be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowRefusal {
    /// What it is about.
    pub part: FlowPart,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Runs the flows of the deployed project.
#[async_trait]
pub trait Flows: fmt::Debug + Send + Sync {
    /// Whether a flow can be called so; its names as deployed.
    ///
    /// # Errors
    /// What is wrong with the call: an unknown name, an input that is missing or of another type.
    async fn check(
        &self,
        name: &FlowName,
        inputs: &Map<String, Value>,
    ) -> Result<FlowName, FlowRefusal>;

    /// The names of its external inputs, as its file has them.
    ///
    /// # Errors
    /// There is no such flow.
    async fn inputs(&self, name: &FlowName) -> Result<Vec<String>, FlowRefusal>;

    /// Runs it to its end. Dropping the future ends it where it stands.
    ///
    /// # Errors
    /// It cannot be called so, a stage failed, or a stop was requested.
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
