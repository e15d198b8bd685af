//! CLUSTERID.

use serde_json::json;

use crate::commands::Execution;
use crate::permission::{Access, Operation, Permission, Permit};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClusterId;

impl Operation for ClusterId {
    fn access(&self) -> Access {
        Access::to(Permission::BatchRead)
    }
}

pub(crate) async fn run(execution: Execution<'_>, _permit: Permit<ClusterId>) {
    let id = json!(execution.services.cluster_id);
    execution.output.one_row(&["Cluster id"], vec![id]).await;
}
