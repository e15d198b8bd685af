//! BROADWAY: runs a flow, and shows its outputs as a table.

mod outputs;
pub(crate) mod parameters;
mod run;

use std::time::Duration;

use serde_json::{Map, Value};
use weft_node::flow::FlowName;

use crate::permission::{Access, Operation, Permission};

pub(crate) use run::run;

/// A flow to run, with a checked call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FlowRequest {
    /// The flow, as deployed.
    name: FlowName,
    /// Its inputs, as texts.
    inputs: Map<String, Value>,
    structure: ResultStructure,
    recovery: Option<RecoveryRequest>,
}

/// recoveryId and its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
struct RecoveryRequest {
    /// Statements of one principal with the same id, for the same flow, share the stages that have finished.
    id: String,
    /// recoveryTtl.
    time_to_live: Option<Duration>,
    /// recoveryMaxTries.
    max_tries: Option<u64>,
}

/// How the outputs of a flow become a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ResultStructure {
    /// One row, a column for each output.
    #[default]
    Column,
    /// A row for each output: its name and its value.
    Row,
    /// The first output is the table.
    Cursor,
}

impl ResultStructure {
    const ALL: [Self; 3] = [Self::Column, Self::Row, Self::Cursor];

    fn as_str(self) -> &'static str {
        match self {
            Self::Column => "COLUMN",
            Self::Row => "ROW",
            Self::Cursor => "CURSOR",
        }
    }
}

impl Operation for FlowRequest {
    fn access(&self) -> Access {
        // A flow may change anything. Each of its statements is authorized on its own.
        Access::on(Permission::Write, [self.name.logical_unit.as_str()])
    }
}
