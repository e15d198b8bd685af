//! The state of a client session. The client carries it from statement to statement, so that any node can answer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{BatchId, Job};

/// The key of the session's values in the column `arguments`.
pub const SESSION_SCOPE: &str = "session_scope";

/// A JSON value that the client sends with each statement and receives back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Session {
    /// The SET values. Jobs and batches that the session starts inherit them.
    pub scope: BTreeMap<String, String>,
    /// The attached instances: the instance id by logical unit.
    pub attached: BTreeMap<String, String>,
    /// The last asynchronous batch, for BATCH_CANCEL without an id.
    pub last_batch: Option<BatchId>,
    /// The id of the session in its trace, if it started one. The trace ends with the session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_session: Option<Uuid>,
}

impl Session {
    /// A new session with the SET values of the session that started the job, as in Fabric.
    pub fn for_job(job: &Job) -> Self {
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
