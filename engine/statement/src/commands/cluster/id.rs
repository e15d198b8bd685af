//! CLUSTERID.

use serde_json::json;

use crate::commands::Execution;
use crate::permission::{Permit, needs};
use crate::refusal::Refusal;

/// CLUSTERID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClusterId;

needs!(BatchRead: ClusterId);

pub(crate) async fn run(
    execution: Execution<'_>,
    _permit: Permit<ClusterId>,
) -> Result<(), Refusal> {
    let id = json!(execution.services.cluster_id);
    execution.output.one_row(&["Cluster id"], vec![id]).await;
    Ok(())
}
