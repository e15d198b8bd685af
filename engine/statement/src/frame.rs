//! What a running statement sends to its caller: the frames of `POST /api/v1/statements`.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use weft_model::{BatchId, Session};

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
    /// The progress of a synchronous batch.
    Progress(Progress),
    /// A sentence for people.
    Notice {
        /// The sentence.
        message: String,
    },
    /// The statement has ended.
    End(End),
}

impl Frame {
    /// Reads a frame.
    ///
    /// # Errors
    /// The text is no frame of this version.
    pub fn parse(text: &str) -> serde_json::Result<Self> {
        // By way of a value: serde buffers what a tagged enum reads, and numbers with all their digits do not survive that.
        serde_json::from_str(text).and_then(serde_json::from_value)
    }
}

/// The progress of a synchronous batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The batch.
    pub batch: BatchId,
    /// The status of the batch, e.g. `GENERATE_IID`.
    pub status: String,
    /// Handled entities.
    pub done: i64,
    /// Failed ones among them.
    pub failed: i64,
    /// All entities, once the list is complete.
    pub total: Option<i64>,
    /// Entities per second in the last window.
    pub pace: f64,
    /// Why the batch waits, if something is in its way.
    pub note: Option<String>,
}

/// How a statement ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// Decides the exit code of the console.
    pub status: EndStatus,
    /// The error as rendered for people, with caret and hint where there is a place.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
    /// The session after the statement; the caller sends it with the next one.
    pub session: Session,
}

/// How a statement can end. Each end has its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndStatus {
    /// It succeeded.
    Ok,
    /// The command failed.
    Failed,
    /// The text cannot be read.
    Usage,
    /// The batch ended FAILED, or DONE with failed entities.
    BatchFailed,
    /// The batch ended CANCELLED.
    Cancelled,
    /// The named object does not exist.
    NotFound,
    /// The principal lacks the permission.
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
