//! How far a run has come, as the next try finds it.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Missing instances that are named.
const NAMED: usize = 10;

/// What was handed over, and where to go on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// Instances passed, those included that are not stored.
    pub(super) passed: u64,
    /// The last of them.
    pub(super) after: Option<String>,
    /// What was handed over of the one behind it.
    pub(super) inside: Option<Inside>,
    /// Instances handed over as a whole.
    pub(super) instances: u64,
    /// Rows.
    pub(super) rows: u64,
    /// Bytes of lines.
    pub(super) bytes: u64,
    /// Instances that are not stored.
    pub(super) missing: u64,
    /// The first of them.
    pub(super) missing_ids: Vec<String>,
}

/// The part of an instance that was handed over. It counts as long as the instance is what it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Inside {
    /// The instance.
    pub(super) id: String,
    /// What it had, in hex.
    pub(super) content: String,
    /// Lines of it.
    pub(super) lines: u64,
}

impl Progress {
    /// An instance is behind us.
    pub(super) fn pass(&mut self, id: &str) {
        self.passed += 1;
        self.after = Some(id.to_owned());
        self.inside = None;
    }

    /// There is nothing stored of an instance.
    pub(super) fn miss(&mut self, id: &str) {
        self.missing += 1;
        if self.missing_ids.len() < NAMED {
            self.missing_ids.push(id.to_owned());
        }
        self.pass(id);
    }
}

/// What stands in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// The run and what it publishes: a state of another one does not count.
    pub(super) of: Uuid,
    /// The file and its part, where rows go to a file.
    pub(super) part: Option<Part>,
    /// Calls that were answered.
    pub(super) calls: u64,
    /// How far it came.
    pub(super) progress: Progress,
    /// Everything was handed over.
    pub(super) is_complete: bool,
}

/// The beginning of a file, which lies beside it until it is whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    /// The path of the file.
    pub(super) file: String,
    /// The name of the part, in the same folder.
    pub(super) name: String,
    /// How much of it counts.
    pub(super) length: u64,
}
