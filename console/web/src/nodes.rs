//! Nodes: who is in the cluster.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::extract::Caller;
use crate::moment::Moment;
use crate::problem::Problem;
use crate::server::App;

/// One node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodeItem {
    /// Its stable name.
    pub id: String,
    /// ALIVE, DRAINING or DEAD, as the answering node sees it.
    pub status: String,
    /// Its data centre.
    pub dc: String,
    /// The address it is known by.
    pub effective_ip: String,
    /// All its addresses.
    pub ips: Vec<String>,
    /// Its logical ids with their slots, e.g. `loaders:2-4`.
    pub logical_ids: Vec<String>,
    /// The version of its program.
    pub version: String,
    /// Where its HTTP API listens, if it does.
    pub http_address: Option<String>,
    /// Its own clock at its last heartbeat.
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

/// List the nodes of the cluster
#[utoipa::path(get, path = "/api/v1/nodes", tag = "nodes", responses((status = 200, body = NodeList)))]
pub(crate) async fn list_nodes(
    State(app): State<App>,
    Caller(principal): Caller,
) -> Result<Json<NodeList>, Problem> {
    Ok(Json(app.api.nodes(&principal).await?))
}
