//! What a running statement sends to whoever asked: the frames of `POST /api/v1/statements`.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use weft_model::BatchId;
use weft_model::Session;

/// One frame of an answer. Frames come in order: columns before rows, `End` last and exactly once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "frame", rename_all = "snake_case")]
pub enum Frame {
    /// A table begins; an answer may have several tables.
    Columns {
        /// The columns' names.
        columns: Vec<String>,
    },
    /// A row of the table.
    Row {
        /// As many values as columns.
        row: Vec<Value>,
    },
    /// How far a synchronous batch is.
    Progress(Progress),
    /// Something a person should read.
    Notice {
        /// The sentence.
        message: String,
    },
    /// The statement has ended.
    End(End),
}

/// How far a synchronous batch is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The batch.
    pub batch: BatchId,
    /// Its status, e.g. `GENERATE_IID`.
    pub status: String,
    /// Handled entities.
    pub done: i64,
    /// Failed ones among them.
    pub failed: i64,
    /// All entities, once the list is complete.
    pub total: Option<i64>,
    /// Entities per second in the last window.
    pub pace: f64,
    /// Why nothing happens, if nothing does.
    pub note: Option<String>,
}

/// How a statement ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// What kind of end; the console's exit code follows from it.
    pub status: EndStatus,
    /// What went wrong, as rendered for people (with caret and hint where there is a place).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
    /// The session as it is after the statement; send it with the next one.
    pub session: Session,
}

/// Kinds of end, each with its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndStatus {
    /// All well.
    Ok,
    /// The command failed.
    Failed,
    /// The text cannot be read.
    Usage,
    /// The batch ended FAILED, or DONE with failed entities.
    BatchFailed,
    /// The batch ended CANCELLED.
    Cancelled,
    /// What was named does not exist.
    NotFound,
    /// The principal may not do this.
    NotAllowed,
    /// The store or the node cannot be reached.
    Unreachable,
}

impl EndStatus {
    /// The console's exit code.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::BatchFailed => 3,
            Self::Cancelled => 4,
            Self::NotFound => 5,
            Self::NotAllowed => 6,
            Self::Unreachable => 7,
        }
    }
}
