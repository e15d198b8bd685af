//! The entities of a batch and their outcomes.

use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use weft_model::EntityStatus;
use weft_statement::inspect;

use crate::cursor;
use crate::extract::{BatchPath, Node, Parameters, page_limit};
use crate::mirror::mirror;
use crate::moment::Moment;
use crate::problem::Problem;

mirror! {
    /// The outcome of an entity.
    EntityStatusName of EntityStatus, "SCREAMING_SNAKE_CASE" {
        /// The entity has not run yet.
        Waiting,
        /// The command succeeded.
        Completed,
        /// The command failed.
        Failed,
    }
}

/// The order and selection of entities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EntitySort {
    /// Only the slowest entities, slowest last; `status` and `cursor` do not apply.
    ProcessTime,
}

/// The parameters of `GET /api/v1/batches/{id}/entities`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EntitiesQuery {
    /// Only entities with this outcome.
    #[param(inline, nullable = false)]
    pub status: Option<EntityStatusName>,
    /// The order of the entities; that of the source by default.
    #[param(inline, nullable = false)]
    pub sort: Option<EntitySort>,
    /// The `next` of the previous page; the first page by default.
    #[param(max_length = 1024, nullable = false)]
    pub cursor: Option<String>,
    /// The maximum number of items on the page; 1000 by default.
    #[param(minimum = 1, maximum = 10000, nullable = false)]
    pub limit: Option<u32>,
}

/// One entity of a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EntityItem {
    /// The id of the entity.
    pub id: String,
    /// The outcome of the entity.
    pub status: EntityStatusName,
    /// The node that ran the entity; null until it has run.
    pub node: Option<String>,
    /// Why the entity failed; null unless it did.
    pub error: Option<String>,
    /// The result of the command as text, which for a sync is JSON such as `{"Added":1}`.
    pub result: Option<String>,
    /// When the entity started.
    pub started_at: Option<Moment>,
    /// When the entity ended.
    pub ended_at: Option<Moment>,
    /// The run time of the entity, in microseconds.
    pub duration_us: Option<i64>,
    /// The number of the last attempt, from 1.
    pub attempt: Option<i32>,
}

/// A page of entities.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EntityPage {
    /// The entities of the page.
    pub items: Vec<EntityItem>,
    /// The cursor of the next page; null on the last page.
    pub next: Option<String>,
}

impl From<inspect::EntityItem> for EntityItem {
    fn from(item: inspect::EntityItem) -> Self {
        Self {
            id: item.id,
            status: item.status.into(),
            node: item.node.map(|node| node.0),
            error: item.error,
            result: item.result,
            started_at: item.start_time.map(Into::into),
            ended_at: item.end_time.map(Into::into),
            duration_us: item.duration_us,
            attempt: item.attempt,
        }
    }
}

/// List the entities of a batch
#[utoipa::path(get, path = "/api/v1/batches/{id}/entities", tag = "batches",
    params(("id" = Uuid, Path, description = "The batch"), EntitiesQuery),
    responses((status = 200, body = EntityPage), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn list_entities(
    BatchPath(batch): BatchPath,
    Parameters(query): Parameters<EntitiesQuery>,
    node: Node,
) -> Result<Json<EntityPage>, Problem> {
    let permit = node.permit(inspect::EntityQuery {
        batch,
        status: query.status.map(Into::into),
        entities: None,
        affinity: Vec::new(),
        limit: Some(page_limit(query.limit, 1_000, 10_000)?),
        after: cursor::read(query.cursor.as_deref())?,
        slowest: query.sort == Some(EntitySort::ProcessTime),
    })?;
    let page = node.inspector().entity_page(&permit).await?;
    Ok(Json(EntityPage {
        items: page.items.into_iter().map(Into::into).collect(),
        next: page.next.as_ref().map(cursor::write),
    }))
}
