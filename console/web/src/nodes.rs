//! The nodes of the cluster.

use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use weft_statement::inspect;

use crate::extract::Node;
use crate::moment::Moment;
use crate::problem::Problem;

/// One node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodeItem {
    /// Its stable id.
    pub id: String,
    /// ALIVE, DRAINING or DEAD, as the answering node sees it.
    pub status: String,
    /// Its data centre.
    pub dc: String,
    /// The address that an affinity is compared with.
    pub effective_ip: String,
    /// All its addresses.
    pub ips: Vec<String>,
    /// Its logical ids with their slots, e.g. `loaders:2-4`.
    pub logical_ids: Vec<String>,
    /// The version of its program.
    pub version: String,
    /// The address of its HTTP API, if it has one.
    pub http_address: Option<String>,
    /// Its last heartbeat, by its own clock.
    pub heartbeat_at: Moment,
    /// The batches it owns.
    pub batches: Vec<Uuid>,
    /// It is the node that answers.
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
