//! What a client carries from statement to statement. Nodes keep none, so any node can answer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{BatchId, Job};

/// Where the session's values stand in `arguments`.
pub const SESSION_SCOPE: &str = "session_scope";

/// A small JSON value that the client sends and receives back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Session {
    /// SET values; inherited by the jobs and batches that the session starts.
    pub scope: BTreeMap<String, String>,
    /// Attached instances: logical unit → instance id.
    pub attached: BTreeMap<String, String>,
    /// The last asynchronous batch, for BATCH_CANCEL without an id.
    pub last_batch: Option<BatchId>,
    /// What this session is called where it began a trace, which ends with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_session: Option<Uuid>,
}

impl Session {
    /// A fresh session with what the one that started the job had set (Fabric R60).
    pub fn of_job(job: &Job) -> Self {
        #[derive(Default, Deserialize)]
        struct Stored {
            scope: BTreeMap<String, String>,
        }
        let arguments: Map<String, Value> =
            serde_json::from_str(&job.arguments).unwrap_or_default();
        let text = arguments.get(SESSION_SCOPE).and_then(Value::as_str);
        let stored: Option<Stored> = text.and_then(|text| serde_json::from_str(text).ok());
        Self {
            scope: stored.unwrap_or_default().scope,
            ..Self::default()
        }
    }
}
