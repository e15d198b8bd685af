//! The questions of the HTTP API as questions to the engine, and its answers back.

use regex::Regex;
use weft_model::Principal;
use weft_model::{BatchId, NodeShare};
use weft_statement::inspect::{
    self, BatchInfoQuery, BatchListQuery, EntityQuery, InspectError, Inspector, NodeQuery,
    SummaryQuery,
};
use weft_statement::{Operation, Permit, Statements};
use weft_web::{
    ApiError, ApiResult, BatchDetail, BatchItem, BatchPage, BatchSummary, BatchesQuery,
    EntitiesQuery, EntityItem, EntityPage, EntitySort, NodeItem, NodeList, StatusFilter,
    SummaryLevel, SummaryRow,
};

use super::cursor;

/// A filter larger than this when compiled is refused.
const MAX_REGEX_BYTES: usize = 1 << 20;
/// Pages are at most so long; the HTTP API has its own, smaller, limits.
const MAX_LIMIT: usize = 10_000;

/// Answers questions for one principal.
#[derive(Debug)]
pub struct Queries<'a> {
    statements: &'a Statements,
    inspector: Inspector,
    principal: Principal,
}

impl<'a> Queries<'a> {
    /// Answers for this principal.
    pub fn new(statements: &'a Statements, principal: Principal) -> Self {
        Self {
            statements,
            inspector: statements.inspector(),
            principal,
        }
    }

    fn permit<R: Operation>(&self, request: R) -> ApiResult<Permit<R>> {
        let permitted = self.statements.authorize(&self.principal, request);
        permitted.map_err(|refusal| ApiError::NotAllowed(refusal.message().to_owned()))
    }

    /// A page of batches.
    pub async fn batches(&self, query: BatchesQuery) -> ApiResult<BatchPage> {
        let request = BatchListQuery {
            status: status_filter(query.status.unwrap_or_default()),
            from: query.from.map(|moment| moment.0),
            to: query.to.map(|moment| moment.0),
            filter: query.filter.as_deref().map(regex).transpose()?,
            before: cursor::read(query.cursor.as_deref())?,
            limit: limit(query.limit, 100),
        };
        let page = self
            .inspector
            .batches(&self.permit(request)?)
            .await
            .map_err(failed)?;
        Ok(BatchPage {
            items: page.items.iter().map(batch_item).collect(),
            next: page.next.as_ref().map(cursor::write).transpose()?,
        })
    }

    /// One batch.
    pub async fn batch(&self, id: BatchId) -> ApiResult<BatchDetail> {
        let permit = self.permit(BatchInfoQuery(id))?;
        let info = self.inspector.batch(&permit).await.map_err(failed)?;
        let share = share_of(&info.item);
        let mut detail = BatchDetail::of(&info.item.batch, &share);
        detail.item = batch_item(&info.item);
        detail.percentiles_us = info.percentiles_us;
        Ok(detail)
    }

    /// What nodes, data centres and the cluster did of a batch.
    pub async fn summary(&self, id: BatchId) -> ApiResult<BatchSummary> {
        let permit = self.permit(SummaryQuery(id))?;
        let summary = self.inspector.summary(&permit).await.map_err(failed)?;
        Ok(BatchSummary {
            rows: summary.rows.into_iter().map(summary_row).collect(),
            note: summary.note,
        })
    }

    /// A page of a batch's entities.
    pub async fn entities(&self, id: BatchId, query: EntitiesQuery) -> ApiResult<EntityPage> {
        let request = EntityQuery {
            batch: id,
            status: query.status.map(Into::into),
            entities: None,
            affinity: Vec::new(),
            limit: Some(limit(query.limit, 1_000)),
            after: cursor::read(query.cursor.as_deref())?,
            slowest: query.sort == Some(EntitySort::ProcessTime),
        };
        let page = self
            .inspector
            .entity_page(&self.permit(request)?)
            .await
            .map_err(failed)?;
        Ok(EntityPage {
            items: page.items.into_iter().map(entity_item).collect(),
            next: page.next.as_ref().map(cursor::write).transpose()?,
        })
    }

    /// The nodes of the cluster.
    pub async fn nodes(&self) -> ApiResult<NodeList> {
        let nodes = self
            .inspector
            .nodes(&self.permit(NodeQuery)?)
            .await
            .map_err(failed)?;
        let items = nodes.iter().map(|node| NodeItem {
            status: node.status.to_owned(),
            ..NodeItem::of(&node.row, false, node.answering)
        });
        Ok(NodeList {
            items: items.collect(),
        })
    }
}

pub(super) fn limit(asked: Option<u32>, default: usize) -> usize {
    asked.map_or(default, |limit| {
        usize::try_from(limit)
            .unwrap_or(MAX_LIMIT)
            .clamp(1, MAX_LIMIT)
    })
}

fn regex(text: &str) -> ApiResult<Regex> {
    let built = regex::RegexBuilder::new(text)
        .size_limit(MAX_REGEX_BYTES)
        .build();
    built.map_err(|error| ApiError::Invalid {
        parameter: "filter",
        message: error.to_string(),
    })
}

fn status_filter(filter: StatusFilter) -> inspect::StatusFilter {
    use inspect::StatusFilter::{Active, All, Is};
    use weft_model::BatchStatus;
    match filter {
        StatusFilter::All => All,
        StatusFilter::Active => Active,
        StatusFilter::WaitingForJob => Is(BatchStatus::WaitingForJob),
        StatusFilter::New => Is(BatchStatus::New),
        StatusFilter::GenerateIid => Is(BatchStatus::GenerateIid),
        StatusFilter::InProgress => Is(BatchStatus::InProgress),
        StatusFilter::ResumeFailures => Is(BatchStatus::ResumeFailures),
        StatusFilter::Paused => Is(BatchStatus::Paused),
        StatusFilter::Done => Is(BatchStatus::Done),
        StatusFilter::Failed => Is(BatchStatus::Failed),
        StatusFilter::Cancelled => Is(BatchStatus::Cancelled),
    }
}

fn share_of(item: &inspect::BatchItem) -> NodeShare {
    NodeShare {
        succeeded: item.succeeded,
        failed: item.failed,
        ..NodeShare::default()
    }
}

fn batch_item(item: &inspect::BatchItem) -> BatchItem {
    BatchItem {
        completed_percent: item.completed_percent,
        note: item.note.clone(),
        ..BatchItem::of(&item.batch, &share_of(item))
    }
}

fn summary_row(row: inspect::SummaryRow) -> SummaryRow {
    SummaryRow {
        level: match row.level {
            inspect::SummaryLevel::Node => SummaryLevel::Node,
            inspect::SummaryLevel::DataCentre => SummaryLevel::DataCenter,
            inspect::SummaryLevel::Cluster => SummaryLevel::Cluster,
        },
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

fn entity_item(item: inspect::EntityItem) -> EntityItem {
    EntityItem {
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

pub(super) fn failed(error: InspectError) -> ApiError {
    match error {
        InspectError::NoSuchBatch(_) | InspectError::NoSuchJob(_) => {
            ApiError::NotFound(error.to_string())
        }
        InspectError::Store(store) if store.is_transient() => {
            ApiError::Unavailable(store.to_string())
        }
        InspectError::Store(store) => ApiError::Internal(store.to_string()),
    }
}
