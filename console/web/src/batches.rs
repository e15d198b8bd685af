//! Batches: the list, one batch, its summary, its entities.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use weft_model::{BatchStatus, EntityStatus};

use crate::extract::{BatchPath, Caller, Parameters, check_length, page_limit};
use crate::mirror::mirror;
use crate::moment::Moment;
use crate::problem::Problem;
use crate::server::App;

const MAX_TEXT_CHARS: usize = 1_024;

mirror! {
    /// Where a batch stands.
    BatchStatusName of BatchStatus, "SCREAMING_SNAKE_CASE" {
        /// No node has taken it yet.
        WaitingForJob,
        /// A node has taken it.
        New,
        /// The list of ids is being made; entities may already be handled.
        GenerateIid,
        /// The list is complete, entities are being handled.
        InProgress,
        /// Failed entities are being put back.
        ResumeFailures,
        /// Stopped by a person; can go on.
        Paused,
        /// Every entity was handled.
        Done,
        /// The batch itself failed.
        Failed,
        /// Stopped by a person for good.
        Cancelled,
    }
}

mirror! {
    /// The outcome of an entity.
    EntityStatusName of EntityStatus, "SCREAMING_SNAKE_CASE" {
        /// Not handled yet.
        Waiting,
        /// The command ran.
        Completed,
        /// The command failed.
        Failed,
    }
}

/// Which batches a list shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StatusFilter {
    /// Every batch.
    #[default]
    All,
    /// Those that are not DONE, FAILED or CANCELLED.
    Active,
    /// Those that wait for a node.
    WaitingForJob,
    /// Those just taken.
    New,
    /// Those whose list is being made.
    GenerateIid,
    /// Those with a complete list.
    InProgress,
    /// Those that put failed entities back.
    ResumeFailures,
    /// Paused ones.
    Paused,
    /// Those that are done.
    Done,
    /// Those that failed.
    Failed,
    /// Those that were cancelled.
    Cancelled,
}

/// What `GET /api/v1/batches` may ask.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct BatchesQuery {
    /// Which batches; all of them by default.
    #[param(inline, nullable = false)]
    pub status: Option<StatusFilter>,
    /// Submitted at or after (RFC 3339).
    #[param(value_type = Option<String>, format = DateTime, nullable = false)]
    pub from: Option<Moment>,
    /// Submitted before (RFC 3339).
    #[param(value_type = Option<String>, format = DateTime, nullable = false)]
    pub to: Option<Moment>,
    /// Regular expression over the command and the execution id.
    #[param(max_length = 1024, nullable = false)]
    pub filter: Option<String>,
    /// `next` of the page before.
    #[param(max_length = 1024, nullable = false)]
    pub cursor: Option<String>,
    /// At most so many; 100 by default.
    #[param(minimum = 1, maximum = 1000, nullable = false)]
    pub limit: Option<u32>,
}

/// A batch in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BatchItem {
    /// Its id (`bid`).
    pub id: Uuid,
    /// The whole command as typed.
    pub command: String,
    /// What is run for each entity.
    pub fabric_command: String,
    /// The logical unit.
    pub logical_unit: String,
    /// Where it stands.
    pub status: BatchStatusName,
    /// When it was submitted.
    pub created_at: Moment,
    /// When a node began.
    pub started_at: Option<Moment>,
    /// When it ended.
    pub ended_at: Option<Moment>,
    /// The user that submitted it.
    pub created_by: String,
    /// How many entities, once the list is complete.
    pub total: Option<i64>,
    /// How many were handled well.
    pub succeeded: i64,
    /// How many failed.
    pub failed: i64,
    /// How much is done, 0 to 100.
    pub completed_percent: f64,
    /// Correlates log lines and runs.
    pub execution_id: String,
    /// Why the batch itself failed.
    pub error: Option<String>,
    /// Why it waits.
    pub note: Option<String>,
}

/// A page of batches, newest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BatchPage {
    /// The batches.
    pub items: Vec<BatchItem>,
    /// The cursor of the next page, if there is one.
    pub next: Option<String>,
}

/// One batch with everything that is known of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BatchDetail {
    /// What the list shows.
    #[serde(flatten)]
    pub item: BatchItem,
    /// Where the ids come from: the SQL, the instance group or the list.
    pub entity_inclusion: String,
    /// The interface that the ids come from.
    pub interface: Option<String>,
    /// Nodes and DCs that may handle entities; empty = all.
    pub affinity: Vec<String>,
    /// Nodes and DCs that may own the batch; empty = all.
    pub job_affinity: Vec<String>,
    /// The caller did not wait.
    pub asynchronous: bool,
    /// The list is finished before anything is handled.
    pub generate_entities_first: bool,
    /// The same command may run twice at once.
    pub allow_multiple: bool,
    /// At most so many nodes handle entities.
    pub max_nodes: Option<i64>,
    /// At most so many workers per node.
    pub max_workers_per_node: Option<i64>,
    /// The node that owns it.
    pub owner_node: Option<String>,
    /// RUN, PAUSE or CANCEL: what a person wants of it.
    pub desired: String,
    /// How many ids were dropped because they had come before.
    pub duplicates: i64,
    /// The documented arguments, without secrets.
    pub arguments: Value,
    /// The slowest entities, as in the column `extra_stats`.
    pub extra_stats: Option<Value>,
    /// Percentiles of entity time in microseconds: `p50`, `p90`, `p99`, `p99.9`, `max`, `mean`.
    pub percentiles_us: BTreeMap<String, i64>,
}

/// What a row of a summary sums up.
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
    /// What it sums up.
    pub level: SummaryLevel,
    /// The node or data centre; null for the cluster.
    pub name: Option<String>,
    /// Where the batch stands; only for the cluster.
    pub status: Option<BatchStatusName>,
    /// Start of the first entity.
    pub started_at: Option<Moment>,
    /// End of the last entity.
    pub ended_at: Option<Moment>,
    /// How long it has been working, in milliseconds.
    pub duration_ms: i64,
    /// How long it will still take at this pace, in milliseconds.
    pub remaining_ms: Option<i64>,
    /// Entities still to handle.
    pub remaining: Option<i64>,
    /// All entities; only for the cluster.
    pub total: Option<i64>,
    /// Handled well.
    pub succeeded: i64,
    /// Failed.
    pub failed: i64,
    /// Sums of the numbers in the results by key, e.g. `Added`, `Updated`, `Unchanged`.
    pub aggregated: BTreeMap<String, i64>,
    /// Cluster: how much is done. Node and DC: their share of the work. 0 to 100.
    pub completed_percent: f64,
    /// Entities per second in the last window.
    pub pace: f64,
    /// Entities per second over the whole time.
    pub average: f64,
}

/// What nodes, data centres and the cluster did of a batch. Empty until a node has taken the batch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BatchSummary {
    /// Node rows, then DC rows, then the cluster.
    pub rows: Vec<SummaryRow>,
    /// Why nothing happens, if nothing does.
    pub note: Option<String>,
}

/// The order of entities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EntitySort {
    /// The slowest ones only, slowest last; `status` and `cursor` do not apply.
    ProcessTime,
}

/// What `GET /api/v1/batches/{id}/entities` may ask.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EntitiesQuery {
    /// Only entities with this outcome.
    #[param(inline, nullable = false)]
    pub status: Option<EntityStatusName>,
    /// The order; that of the source by default.
    #[param(inline, nullable = false)]
    pub sort: Option<EntitySort>,
    /// `next` of the page before.
    #[param(max_length = 1024, nullable = false)]
    pub cursor: Option<String>,
    /// At most so many; 1000 by default.
    #[param(minimum = 1, maximum = 10000, nullable = false)]
    pub limit: Option<u32>,
}

/// One entity of a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EntityItem {
    /// Its id.
    pub id: String,
    /// How it ended, if it did.
    pub status: EntityStatusName,
    /// Where it ran.
    pub node: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// What came of it, as text; JSON such as `{"Added":1}` for a sync.
    pub result: Option<String>,
    /// When it started.
    pub started_at: Option<Moment>,
    /// When it ended.
    pub ended_at: Option<Moment>,
    /// How long it took, in microseconds.
    pub duration_us: Option<i64>,
    /// Which attempt this was, from 1.
    pub attempt: Option<i32>,
}

/// A page of entities.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EntityPage {
    /// The entities.
    pub items: Vec<EntityItem>,
    /// The cursor of the next page, if there is one.
    pub next: Option<String>,
}

/// List batches, newest first
#[utoipa::path(get, path = "/api/v1/batches", tag = "batches", params(BatchesQuery),
    responses((status = 200, body = BatchPage), (status = 422, body = Problem)))]
pub(crate) async fn list_batches(
    State(app): State<App>,
    Caller(principal): Caller,
    Parameters(mut query): Parameters<BatchesQuery>,
) -> Result<Json<BatchPage>, Problem> {
    check_length("filter", query.filter.as_deref(), MAX_TEXT_CHARS)?;
    check_length("cursor", query.cursor.as_deref(), MAX_TEXT_CHARS)?;
    query.limit = Some(page_limit(query.limit, 100, 1_000)?);
    Ok(Json(app.api.batches(&principal, query).await?))
}

/// Show one batch
#[utoipa::path(get, path = "/api/v1/batches/{id}", tag = "batches",
    params(("id" = Uuid, Path, description = "The batch")),
    responses((status = 200, body = BatchDetail), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn get_batch(
    State(app): State<App>,
    Caller(principal): Caller,
    BatchPath(id): BatchPath,
) -> Result<Json<BatchDetail>, Problem> {
    Ok(Json(app.api.batch(&principal, id).await?))
}

/// Sum up a batch by node, data centre and cluster
#[utoipa::path(get, path = "/api/v1/batches/{id}/summary", tag = "batches",
    params(("id" = Uuid, Path, description = "The batch")),
    responses((status = 200, body = BatchSummary), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn get_batch_summary(
    State(app): State<App>,
    Caller(principal): Caller,
    BatchPath(id): BatchPath,
) -> Result<Json<BatchSummary>, Problem> {
    Ok(Json(app.api.batch_summary(&principal, id).await?))
}

/// List the entities of a batch
#[utoipa::path(get, path = "/api/v1/batches/{id}/entities", tag = "batches",
    params(("id" = Uuid, Path, description = "The batch"), EntitiesQuery),
    responses((status = 200, body = EntityPage), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn list_entities(
    State(app): State<App>,
    Caller(principal): Caller,
    BatchPath(id): BatchPath,
    Parameters(mut query): Parameters<EntitiesQuery>,
) -> Result<Json<EntityPage>, Problem> {
    check_length("cursor", query.cursor.as_deref(), MAX_TEXT_CHARS)?;
    query.limit = Some(page_limit(query.limit, 1_000, 10_000)?);
    Ok(Json(app.api.batch_entities(&principal, id, query).await?))
}
