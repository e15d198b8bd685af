//! The progress of a run, which the next try resumes.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The most missing instances that are named.
const NAMED: usize = 10;

/// How much has been published, and where to continue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// Instances passed, including those that are not stored.
    pub(super) passed: u64,
    /// The last passed instance.
    pub(super) after: Option<String>,
    /// The published part of the next instance.
    #[serde(rename = "inside")]
    pub(super) partial: Option<PartialInstance>,
    /// Instances published as a whole.
    pub(super) instances: u64,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    /// Instances that are not stored.
    pub(super) missing: u64,
    pub(super) missing_ids: Vec<String>,
}

/// The published part of an instance. It is valid while the instance does not change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PartialInstance {
    pub(super) id: String,
    /// The hash of its content, in hex.
    pub(super) content: String,
    /// The number of published lines.
    pub(super) lines: u64,
}

impl Progress {
    /// Counts an instance that is done.
    pub(super) fn pass(&mut self, id: &str) {
        self.passed += 1;
        self.after = Some(id.to_owned());
        self.partial = None;
    }

    /// Counts an instance that is not stored.
    pub(super) fn miss(&mut self, id: &str) {
        self.missing += 1;
        if self.missing_ids.len() < NAMED {
            self.missing_ids.push(id.to_owned());
        }
        self.pass(id);
    }
}

/// The checkpoint of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RunState {
    /// Identifies the run and its arguments. The state of another run does not count.
    #[serde(rename = "of")]
    pub(super) run: Uuid,
    /// The partial file, if the sink is a file.
    pub(super) part: Option<PartialFile>,
    /// The number of successful calls, if the sink is a server.
    pub(super) calls: u64,
    pub(super) progress: Progress,
    /// Everything has been published.
    pub(super) is_complete: bool,
}

/// A partial file. It lies beside the final file until it is complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PartialFile {
    /// The path of the final file.
    pub(super) file: String,
    /// The name of the partial file, in the same folder.
    pub(super) name: String,
    /// The bytes that count.
    pub(super) length: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_checkpoints_keep_their_keys() {
        let text = r#"{"of":"00000000-0000-0000-0000-000000000001","part":{"file":"/a","name":".b","length":5},"calls":2,"progress":{"passed":1,"after":"x","inside":{"id":"y","content":"ab","lines":3},"instances":1,"rows":4,"bytes":5,"missing":1,"missing_ids":["z"]},"is_complete":false}"#;
        let state: RunState = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&state).unwrap(), text);
    }
}
