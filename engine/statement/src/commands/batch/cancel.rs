//! BATCH_CANCEL: a request in the batch's row, which the owner of the batch carries out.

use std::future::ready;
use std::time::Duration;

use serde_json::json;
use tracing::info;
use weft_lang::{CancelSpelling, Spanned, Text};
use weft_model::{Batch, BatchDesired, BatchId, BatchStatus, DueHint, Session, batch_job_key};
use weft_store::{Decided, Decision, Freshness, RequestBatch, SelfFence, decide_and_settle};

use crate::commands::Execution;
use crate::commands::literal::batch_id;
use crate::frame::EndStatus;
use crate::permission::{Permit, needs};
use crate::refusal::Refusal;
use crate::services::Services;

/// How long to re-send a request whose outcome is unknown.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which batch to cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CancelTarget {
    Batch(BatchId),
    /// The last one that this node coordinates (CANCEL BATCH without an id).
    LastOfNode,
}

needs!(Batch: CancelTarget);

/// BATCH_CANCEL, CANCEL BATCH, KILL of a batch.
pub(crate) fn lower(
    spelling: CancelSpelling,
    id: Option<&Spanned<Text>>,
    session: &Session,
) -> Result<CancelTarget, Refusal> {
    match (spelling, id) {
        (_, Some(id)) => batch_id(id).map(CancelTarget::Batch),
        (CancelSpelling::CancelBatch, None) => Ok(CancelTarget::LastOfNode),
        (CancelSpelling::BatchCancel | CancelSpelling::Kill, None) => {
            session.last_batch.map(CancelTarget::Batch).ok_or_else(|| {
                Refusal::usage("no asynchronous batch was started in this session").hint(
                    "name the batch: BATCH_CANCEL '<batch id>'; BATCH_LIST shows the active ones",
                )
            })
        }
    }
}

/// Requests the end of a batch, and shows what happens before it.
///
/// # Errors
/// There is no such batch, or it has ended.
pub(crate) async fn run(
    execution: Execution<'_>,
    permit: Permit<CancelTarget>,
) -> Result<(), Refusal> {
    let services = execution.services;
    let id = match *permit.request() {
        CancelTarget::Batch(id) => id,
        CancelTarget::LastOfNode => last_of_node(services).await?,
    };
    let (batch, notes) = request_cancel(services, id, &permit.principal().name).await?;
    let columns = ["Batch id", "Status", "Notes"];
    let row = vec![json!(id), json!(batch.status.as_str()), json!(notes)];
    execution.output.one_row(&columns, row).await;
    Ok(())
}

/// Requests the end of a batch. Returns the row after that, and what happens before the end.
///
/// # Errors
/// There is no such batch, or it has ended.
pub(crate) async fn request_cancel(
    services: &Services,
    id: BatchId,
    principal: &str,
) -> Result<(Batch, &'static str), Refusal> {
    let store = services.store.as_ref();
    let self_fence = SelfFence::for_duration(services.clock.clone(), PATIENCE);
    let read = store.batch(id, Freshness::Serial);
    let decide = |found: Option<Batch>| ready(decide_cancel(services, id, found));
    match decide_and_settle(store, &services.ids, &self_fence, read, decide).await? {
        Decided::Applied { .. } => {
            info!(batch.id = %id, principal, "{principal} requested to cancel batch {id}");
            services.wake.jobs();
            services.wake.batch(id);
            services.wake.chunks(id);
            let batch = store.batch(id, Freshness::Committed).await?;
            let batch = batch.ok_or_else(|| Refusal::no_such_batch(id))?;
            let first = what_comes_first(&batch);
            Ok((batch, first))
        }
        Decided::Stopped(batch) => Ok((batch, "it is being cancelled already")),
        Decided::StillUnknown(_) => {
            let message =
                format!("the store does not answer: batch {id} may or may not be cancelled");
            Err(Refusal::new(EndStatus::Unreachable, message)
                .hint("ask again: to cancel twice does no harm"))
        }
        Decided::MovedTooFast(_) => Err(Refusal::conflict(format!(
            "batch {id} changes too fast to be cancelled; ask again"
        ))),
    }
}

fn decide_cancel(
    services: &Services,
    id: BatchId,
    found: Option<Batch>,
) -> Result<Decision<RequestBatch, Batch>, Refusal> {
    let batch = found.ok_or_else(|| Refusal::no_such_batch(id))?;
    if batch.status.is_final() {
        return Err(Refusal::conflict(format!(
            "batch {id} is {} and cannot be cancelled",
            batch.status
        )));
    }
    if batch.desired == BatchDesired::Cancel {
        return Ok(Decision::Stop(batch));
    }
    Ok(Decision::Settle(RequestBatch {
        id,
        desired: BatchDesired::Cancel,
        seq: batch.desired_seq + 1,
        allowed: open_statuses(),
        due: Some(DueHint {
            due_at: services.clock.now(),
            key: batch_job_key(&batch),
        }),
        token: services.ids.token(),
    }))
}

/// What happens before the batch is CANCELLED.
fn what_comes_first(batch: &Batch) -> &'static str {
    match batch.status {
        BatchStatus::WaitingForJob | BatchStatus::New => {
            "nothing has run; the next node that reads it ends it"
        }
        status if status.is_final() => "it has ended",
        _ => "running entities end first",
    }
}

fn open_statuses() -> Vec<BatchStatus> {
    let all = BatchStatus::ALL.iter().copied();
    all.filter(|status| !status.is_final()).collect()
}

/// The newest batch that this node coordinates.
async fn last_of_node(services: &Services) -> Result<BatchId, Refusal> {
    let guid = &services.config.guid;
    let rows = services.store.nodes().await?;
    let mine = rows.into_iter().filter(|row| row.guid == *guid);
    let mut newest: Option<Batch> = None;
    for id in mine.flat_map(|row| row.coordinates) {
        let batch = services.store.batch(id, Freshness::Committed).await?;
        let is_newer = |batch: &Batch| {
            newest
                .as_ref()
                .is_none_or(|newest| batch.creation_time > newest.creation_time)
        };
        if let Some(batch) = batch.filter(|batch| !batch.status.is_final() && is_newer(batch)) {
            newest = Some(batch);
        }
    }
    newest.map(|batch| batch.id).ok_or_else(|| {
        Refusal::not_found(format!("node {guid} coordinates no batch"))
            .hint("name the batch: BATCH_CANCEL '<batch id>'; BATCH_LIST shows the active ones")
    })
}
