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

/// The scope of a row of a summary.
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

/// A row of a summary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SummaryRow {
    /// Its scope.
    pub level: SummaryLevel,
    /// The node or data centre; null for the cluster.
    pub name: Option<String>,
    /// The status of the batch; only for the cluster.
    pub status: Option<BatchStatusName>,
    /// Start of the first entity.
    pub started_at: Option<Moment>,
    /// End of the last entity.
    pub ended_at: Option<Moment>,
    /// The time it has been working, in milliseconds.
    pub duration_ms: i64,
    /// The estimated time left at this pace, in milliseconds.
    pub remaining_ms: Option<i64>,
    /// Entities that have not run yet.
    pub remaining: Option<i64>,
    /// All entities; only for the cluster.
    pub total: Option<i64>,
    /// Entities that succeeded.
    pub succeeded: i64,
    /// Entities that failed.
    pub failed: i64,
    /// Sums of the numbers in the results by key, e.g. `Added`, `Updated`, `Unchanged`.
    pub aggregated: BTreeMap<String, i64>,
    /// From 0 to 100. For the cluster the progress; for a node or DC its share of the work.
    pub completed_percent: f64,
    /// Entities per second in the last window.
    pub pace: f64,
    /// Entities per second over the whole time.
    pub average: f64,
}

/// What nodes, data centres and the cluster did of a batch. Empty until a node has claimed the batch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BatchSummary {
    /// Node rows, then DC rows, then the cluster.
    pub rows: Vec<SummaryRow>,
    /// Why it waits, if it does.
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
