//! Batches: the list, and one batch.

use std::collections::BTreeMap;

use axum::Json;
use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use weft_model::{BatchStatus, EntitySource};
use weft_statement::inspect;

use crate::cursor;
use crate::extract::{BatchPath, Node, Parameters, check_length, page_limit};
use crate::json_column::json_or_text;
use crate::mirror::mirror;
use crate::moment::Moment;
use crate::problem::Problem;

const MAX_FILTER_CHARS: usize = 1_024;
/// A filter that is larger than this when compiled is refused.
const MAX_FILTER_BYTES: usize = 1 << 20;
/// How many ids of a list are shown.
const SHOWN_IDS: usize = 100;

mirror! {
    /// The status of a batch.
    BatchStatusName of BatchStatus, "SCREAMING_SNAKE_CASE" {
        /// No node has claimed the batch yet.
        WaitingForJob,
        /// A node has claimed the batch.
        New,
        /// The list of ids is being generated; entities may already run.
        GenerateIid,
        /// The list of ids is complete and entities run.
        InProgress,
        /// Failed entities are being queued again.
        ResumeFailures,
        /// Paused by a user; the batch can be resumed.
        Paused,
        /// Every entity has run.
        Done,
        /// The batch itself failed.
        Failed,
        /// Cancelled by a user.
        Cancelled,
    }
}

/// Which batches to list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StatusFilter {
    /// Every batch.
    #[default]
    All,
    /// Batches that are not DONE, FAILED or CANCELLED.
    Active,
    /// Batches that no node has claimed.
    WaitingForJob,
    /// Batches that a node has just claimed.
    New,
    /// Batches whose list of ids is being generated.
    GenerateIid,
    /// Batches with a complete list of ids whose entities run.
    InProgress,
    /// Batches whose failed entities are being queued again.
    ResumeFailures,
    /// Paused batches.
    Paused,
    /// Batches that are done.
    Done,
    /// Batches that failed.
    Failed,
    /// Cancelled batches.
    Cancelled,
}

/// The parameters of `GET /api/v1/batches`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct BatchesQuery {
    /// Only batches with this status; all by default.
    #[param(inline, nullable = false)]
    pub status: Option<StatusFilter>,
    /// Only batches submitted at or after this time (RFC 3339).
    #[param(value_type = Option<String>, format = DateTime, nullable = false)]
    pub from: Option<Moment>,
    /// Only batches submitted before this time (RFC 3339).
    #[param(value_type = Option<String>, format = DateTime, nullable = false)]
    pub to: Option<Moment>,
    /// Only batches whose statement, entity command or execution id matches this regular expression.
    #[param(max_length = 1024, nullable = false)]
    pub filter: Option<String>,
    /// The `next` of the previous page; the first page by default.
    #[param(max_length = 1024, nullable = false)]
    pub cursor: Option<String>,
    /// The maximum number of items on the page; 100 by default.
    #[param(minimum = 1, maximum = 1000, nullable = false)]
    pub limit: Option<u32>,
}

/// A batch in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BatchItem {
    /// The id of the batch (`bid`).
    pub id: Uuid,
    /// The whole BATCH statement as typed.
    pub command: String,
    /// The command that runs for each entity.
    pub fabric_command: String,
    /// The logical unit.
    pub logical_unit: String,
    /// The status of the batch.
    pub status: BatchStatusName,
    /// When the batch was submitted.
    pub created_at: Moment,
    /// When a node started the batch; null until then.
    pub started_at: Option<Moment>,
    /// When the batch ended; null until then.
    pub ended_at: Option<Moment>,
    /// The user who submitted the batch.
    pub created_by: String,
    /// The number of entities; null until the list of ids is complete.
    pub total: Option<i64>,
    /// The number of entities that succeeded.
    pub succeeded: i64,
    /// The number of entities that failed.
    pub failed: i64,
    /// The percentage of entities that have run; 100 only when the batch is DONE.
    pub completed_percent: f64,
    /// The execution id of the batch, as in its arguments.
    pub execution_id: String,
    /// Why the batch itself failed; failures of entities do not appear here.
    pub error: Option<String>,
    /// Why the batch waits; null if nothing is in its way.
    pub note: Option<String>,
}

/// A page of batches: active ones, then ended ones, each newest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BatchPage {
    /// The batches of the page.
    pub items: Vec<BatchItem>,
    /// The cursor of the next page; null on the last page.
    pub next: Option<String>,
}

/// One batch with all its details.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BatchDetail {
    /// The fields of a batch in a list.
    #[serde(flatten)]
    pub item: BatchItem,
    /// The source of the ids: the SQL, the instance group, the list (its first 100 ids) or `fabric`.
    pub entity_inclusion: String,
    /// The interface that answers the query for ids; null without a query.
    pub interface: Option<String>,
    /// The nodes and data centres that may handle entities; empty = all.
    pub affinity: Vec<String>,
    /// The nodes and data centres that may own the batch; empty = all.
    pub job_affinity: Vec<String>,
    /// Whether the caller returned without waiting for the end.
    pub asynchronous: bool,
    /// Whether the list of ids is completed before the first entity runs.
    pub generate_entities_first: bool,
    /// Whether the same command may run in several batches at once.
    pub allow_multiple: bool,
    /// The maximum number of nodes that run entities.
    pub max_nodes: Option<i64>,
    /// The maximum number of workers on each node.
    pub max_workers_per_node: Option<i64>,
    /// The node that owns the batch.
    pub owner_node: Option<String>,
    /// The requested state: RUN, PAUSE, CANCEL or REMOVE.
    pub desired: String,
    /// The number of ids dropped as duplicates.
    pub duplicates: i64,
    /// The documented arguments of the batch, without secrets.
    pub arguments: Value,
    /// The slowest entities, as stored in the column `extra_stats`.
    pub extra_stats: Option<Value>,
    /// Statistics of the entity times, in microseconds: `p50`, `p90`, `p99`, `p99.9`, `max`, `mean`.
    pub percentiles_us: BTreeMap<String, i64>,
}

impl From<StatusFilter> for inspect::StatusFilter {
    fn from(filter: StatusFilter) -> Self {
        match filter {
            StatusFilter::All => Self::All,
            StatusFilter::Active => Self::Active,
            StatusFilter::WaitingForJob => Self::Is(BatchStatus::WaitingForJob),
            StatusFilter::New => Self::Is(BatchStatus::New),
            StatusFilter::GenerateIid => Self::Is(BatchStatus::GenerateIid),
            StatusFilter::InProgress => Self::Is(BatchStatus::InProgress),
            StatusFilter::ResumeFailures => Self::Is(BatchStatus::ResumeFailures),
            StatusFilter::Paused => Self::Is(BatchStatus::Paused),
            StatusFilter::Done => Self::Is(BatchStatus::Done),
            StatusFilter::Failed => Self::Is(BatchStatus::Failed),
            StatusFilter::Cancelled => Self::Is(BatchStatus::Cancelled),
        }
    }
}

impl BatchesQuery {
    fn request(&self) -> Result<inspect::BatchListQuery, Problem> {
        let filter = self.filter.as_deref();
        check_length("filter", filter, MAX_FILTER_CHARS)?;
        Ok(inspect::BatchListQuery {
            status: self.status.unwrap_or_default().into(),
            from: self.from.map(|moment| moment.0),
            to: self.to.map(|moment| moment.0),
            filter: filter.map(compile).transpose()?,
            before: cursor::read(self.cursor.as_deref())?,
            limit: page_limit(self.limit, 100, 1_000)?,
        })
    }
}

fn compile(filter: &str) -> Result<Regex, Problem> {
    let built = RegexBuilder::new(filter)
        .size_limit(MAX_FILTER_BYTES)
        .build();
    built.map_err(|error| Problem::parameter("filter", error.to_string()))
}

impl From<&inspect::BatchItem> for BatchItem {
    fn from(item: &inspect::BatchItem) -> Self {
        let batch = &item.batch;
        Self {
            id: batch.id.0,
            command: batch.command.clone(),
            fabric_command: batch.spec.fabric_command.clone(),
            logical_unit: batch.spec.logical_unit.clone(),
            status: batch.status.into(),
            created_at: batch.creation_time.into(),
            started_at: batch.start_time.map(Into::into),
            ended_at: batch.end_time.map(Into::into),
            created_by: batch.owner.clone(),
            total: batch.total_entities,
            succeeded: item.succeeded,
            failed: item.failed,
            completed_percent: item.completed_percent,
            execution_id: batch.execution_id.clone(),
            error: batch.error.clone(),
            note: item.note.clone(),
        }
    }
}

impl From<inspect::BatchInfo> for BatchDetail {
    fn from(info: inspect::BatchInfo) -> Self {
        let batch = &info.item.batch;
        let spec = &batch.spec;
        let (entity_inclusion, interface) = inclusion(&spec.source);
        Self {
            item: BatchItem::from(&info.item),
            entity_inclusion,
            interface,
            affinity: spec.affinity.clone(),
            job_affinity: spec.job_affinity.clone(),
            asynchronous: spec.asynchronous,
            generate_entities_first: spec.generate_entities_first,
            allow_multiple: spec.allow_multiple,
            max_nodes: spec.max_nodes,
            max_workers_per_node: spec.max_workers_per_node,
            owner_node: batch.owner_node.as_ref().map(|node| node.0.clone()),
            desired: batch.desired.as_str().to_owned(),
            duplicates: batch.duplicates,
            arguments: json_or_text(&batch.arguments),
            extra_stats: batch.extra_stats.as_deref().map(json_or_text),
            percentiles_us: info.percentiles_us,
        }
    }
}

/// Where the ids come from, and the interface. A long list is cut.
fn inclusion(source: &EntitySource) -> (String, Option<String>) {
    match source {
        EntitySource::List { ids } => {
            let mut shown: Vec<&str> = ids.iter().take(SHOWN_IDS).map(String::as_str).collect();
            if ids.len() > SHOWN_IDS {
                shown.push("…");
            }
            (shown.join(","), None)
        }
        EntitySource::Query {
            instance_group,
            sql,
            interface,
            parameters: _,
        } => {
            let inclusion = instance_group.as_ref().unwrap_or(sql);
            (inclusion.clone(), Some(interface.clone()))
        }
        EntitySource::Stored => ("fabric".to_owned(), None),
    }
}

/// List batches: active ones, then ended ones, each newest first
#[utoipa::path(get, path = "/api/v1/batches", tag = "batches", params(BatchesQuery),
    responses((status = 200, body = BatchPage), (status = 422, body = Problem)))]
pub(crate) async fn list_batches(
    Parameters(query): Parameters<BatchesQuery>,
    node: Node,
) -> Result<Json<BatchPage>, Problem> {
    let permit = node.permit(query.request()?)?;
    let page = node.inspector().batches(&permit).await?;
    Ok(Json(BatchPage {
        items: page.items.iter().map(Into::into).collect(),
        next: page.next.as_ref().map(cursor::write),
    }))
}

/// Show one batch
#[utoipa::path(get, path = "/api/v1/batches/{id}", tag = "batches",
    params(("id" = Uuid, Path, description = "The batch")),
    responses((status = 200, body = BatchDetail), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn get_batch(
    BatchPath(id): BatchPath,
    node: Node,
) -> Result<Json<BatchDetail>, Problem> {
    let permit = node.permit(inspect::BatchInfoQuery(id))?;
    let info = node.inspector().batch(&permit).await?;
    Ok(Json(info.into()))
}

#[cfg(test)]
mod tests {
    use weft_model::clock::Timestamp;

    use super::*;

    #[test]
    fn a_query_becomes_a_request_with_every_filter() {
        let query = BatchesQuery {
            status: Some(StatusFilter::WaitingForJob),
            from: Some(Moment(Timestamp(1_767_323_045_000))),
            filter: Some("a.*b".to_owned()),
            ..BatchesQuery::default()
        };
        let request = query.request().unwrap();
        let status = inspect::StatusFilter::Is(BatchStatus::WaitingForJob);
        assert_eq!(request.status, status);
        assert_eq!(request.from, Some(Timestamp(1_767_323_045_000)));
        assert_eq!((request.to, request.before), (None, None));
        assert_eq!(request.filter.unwrap().as_str(), "a.*b");
        assert_eq!(request.limit, 100);
        let request = BatchesQuery::default().request().unwrap();
        assert_eq!(request.status, inspect::StatusFilter::All);
    }

    #[test]
    fn a_filter_that_is_too_large_is_refused() {
        let filter = |text: &str| BatchesQuery {
            filter: Some(text.to_owned()),
            ..BatchesQuery::default()
        };
        assert!(filter("(").request().is_err());
        assert!(filter(&"x".repeat(1_025)).request().is_err());
        assert!(filter("(\\w{100}){1000}").request().is_err());
    }

    #[test]
    fn a_long_list_shows_its_first_ids() {
        let ids: Vec<String> = (0..1_000).map(|id| id.to_string()).collect();
        let (text, interface) = inclusion(&EntitySource::List { ids });
        assert!(
            text.starts_with("0,1,2,") && text.ends_with(",99,…"),
            "{text}"
        );
        assert_eq!(interface, None);
    }
}
