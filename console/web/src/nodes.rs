//! The nodes of the cluster.

use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use weft_statement::inspect;

use crate::extract::Node;
use crate::moment::Moment;
use crate::problem::Problem;

/// A node of the cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodeItem {
    /// The id of the node, which stays the same after a restart.
    pub id: String,
    /// ALIVE, DRAINING or DEAD, as the answering node sees it.
    pub status: String,
    /// The data centre of the node.
    pub dc: String,
    /// The address that affinities are compared with.
    pub effective_ip: String,
    /// All addresses of the node.
    pub ips: Vec<String>,
    /// The logical ids of the node with their slots, e.g. `loaders:2-4`.
    pub logical_ids: Vec<String>,
    /// The version of the program.
    pub version: String,
    /// The address of its HTTP API; null without one.
    pub http_address: Option<String>,
    /// When the node last sent a heartbeat, by its own clock.
    pub heartbeat_at: Moment,
    /// The ids of the batches that the node owns.
    pub batches: Vec<Uuid>,
    /// Whether this node answers the call.
    pub answering: bool,
}

/// The nodes of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodeList {
    /// The nodes.
    pub items: Vec<NodeItem>,
}

impl From<inspect::NodeItem> for NodeItem {
    fn from(item: inspect::NodeItem) -> Self {
        let row = item.row;
        Self {
            id: row.guid.0,
            status: item.status.to_owned(),
            dc: row.dc,
            effective_ip: row.effective_ip,
            ips: row.ips,
            logical_ids: row.logical_ids,
            version: row.version,
            http_address: row.http_address,
            heartbeat_at: row.heartbeat_at.into(),
            batches: row.coordinates.iter().map(|batch| batch.0).collect(),
            answering: item.answering,
        }
    }
}

/// List the nodes of the cluster
#[utoipa::path(get, path = "/api/v1/nodes", tag = "nodes", responses((status = 200, body = NodeList)))]
pub(crate) async fn list_nodes(node: Node) -> Result<Json<NodeList>, Problem> {
    let permit = node.permit(inspect::NodeQuery)?;
    let nodes = node.inspector().nodes(&permit).await?;
    Ok(Json(NodeList {
        items: nodes.into_iter().map(Into::into).collect(),
    }))
}
