//! What a client carries from statement to statement. Nodes keep none, so any node can answer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::BatchId;

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
}
