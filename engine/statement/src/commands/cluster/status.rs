//! CLUSTERSTATUS: the nodes.

use serde_json::json;

use crate::commands::Execution;
use crate::inspect::NodeQuery;
use crate::output::time_cell;
use crate::permission::Permit;
use crate::refusal::Refusal;

const CLUSTER_STATUS: [&str; 8] = [
    "Status",
    "Node id",
    "Logical ids",
    "DC",
    "Effective IP",
    "IPs",
    "Version",
    "Last heartbeat",
];

pub(crate) async fn run(
    execution: Execution<'_>,
    permit: Permit<NodeQuery>,
) -> Result<(), Refusal> {
    let nodes = execution.inspector().nodes(&permit).await?;
    let output = execution.output;
    output.columns(&CLUSTER_STATUS).await;
    for node in nodes {
        let row = vec![
            json!(node.status),
            json!(node.row.guid),
            json!(node.row.logical_ids.join(",")),
            json!(node.row.dc),
            json!(node.row.effective_ip),
            json!(node.row.ips.join(",")),
            json!(node.row.version),
            time_cell(Some(node.row.heartbeat_at)),
        ];
        output.row(row).await;
    }
    Ok(())
}
