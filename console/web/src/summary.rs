//! The summary of a batch: what nodes, data centres and the cluster did.

use std::collections::BTreeMap;

use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use weft_statement::inspect;

use crate::batches::BatchStatusName;
use crate::extract::{BatchPath, Node};
use crate::moment::Moment;
use crate::problem::Problem;

/// What a row of a summary covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum SummaryLevel {
    /// One node.
    Node,
    /// One data centre.
    #[serde(rename = "DC")]
    DataCenter,
    /// The whole cluster.
    Cluster,
}

/// The work of a node, a data centre or the cluster on a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SummaryRow {
    /// What the row covers.
    pub level: SummaryLevel,
    /// The name of the node or data centre; null for the cluster.
    pub name: Option<String>,
    /// The status of the batch; null unless the row is for the cluster.
    pub status: Option<BatchStatusName>,
    /// When the first entity started; for the cluster, when the batch started.
    pub started_at: Option<Moment>,
    /// When the last entity ended, once the batch has ended; for the cluster, when the batch ended.
    pub ended_at: Option<Moment>,
    /// The working time, in milliseconds.
    pub duration_ms: i64,
    /// The estimated time to the end at this pace, in milliseconds; null if unknown.
    pub remaining_ms: Option<i64>,
    /// The number of entities that have not run yet; null if unknown.
    pub remaining: Option<i64>,
    /// The number of entities; null unless the row is for the cluster and they are known.
    pub total: Option<i64>,
    /// The number of entities that succeeded.
    pub succeeded: i64,
    /// The number of entities that failed.
    pub failed: i64,
    /// The sums of the numbers in the results by key, e.g. `Added`, `Updated`, `Unchanged`.
    pub aggregated: BTreeMap<String, i64>,
    /// For the cluster, the percentage of entities that have run; for a node or DC, its percentage of the work.
    pub completed_percent: f64,
    /// Entities per second in the last window.
    pub pace: f64,
    /// Entities per second since the start.
    pub average: f64,
}

/// The work of nodes, data centres and the cluster on a batch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BatchSummary {
    /// Rows of nodes, then of data centres, then of the cluster. Empty until a node has claimed the batch.
    pub rows: Vec<SummaryRow>,
    /// Why the batch waits; null if nothing is in its way.
    pub note: Option<String>,
}

impl From<inspect::SummaryLevel> for SummaryLevel {
    fn from(level: inspect::SummaryLevel) -> Self {
        match level {
            inspect::SummaryLevel::Node => Self::Node,
            inspect::SummaryLevel::DataCentre => Self::DataCenter,
            inspect::SummaryLevel::Cluster => Self::Cluster,
        }
    }
}

impl From<inspect::SummaryRow> for SummaryRow {
    fn from(row: inspect::SummaryRow) -> Self {
        Self {
            level: row.level.into(),
            name: row.name,
            status: row.status.map(Into::into),
            started_at: row.start_time.map(Into::into),
            ended_at: row.end_time.map(Into::into),
            duration_ms: row.duration_ms,
            remaining_ms: row.remaining_ms,
            remaining: row.remaining,
            total: row.total,
            succeeded: row.succeeded,
            failed: row.failed,
            aggregated: row.aggregated,
            completed_percent: row.completed_percent,
            pace: row.pace,
            average: row.average,
        }
    }
}

/// Sum up a batch by node, data centre and cluster
#[utoipa::path(get, path = "/api/v1/batches/{id}/summary", tag = "batches",
    params(("id" = Uuid, Path, description = "The batch")),
    responses((status = 200, body = BatchSummary), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn get_batch_summary(
    BatchPath(id): BatchPath,
    node: Node,
) -> Result<Json<BatchSummary>, Problem> {
    let permit = node.permit(inspect::SummaryQuery(id))?;
    let summary = node.inspector().summary(&permit).await?;
    Ok(Json(BatchSummary {
        rows: summary.rows.into_iter().map(Into::into).collect(),
        note: summary.note,
    }))
}
