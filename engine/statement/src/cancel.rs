//! BATCH_CANCEL: a wish in the batch's row, which its owner carries out.

use std::time::Duration;

use serde_json::json;
use tracing::info;
use weft_model::batch_job_key;
use weft_model::{Batch, BatchDesired, BatchId, BatchStatus, DueHint};
use weft_store::Trust;
use weft_store::{Freshness, RequestBatch, Settled, settle};

use super::output::Output;
use super::request::CancelTarget;
use super::{EndStatus, Permit, Refusal, Services};

/// How often the row may move while we ask.
const ATTEMPTS: usize = 10;
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks for the end of a batch.
///
/// # Errors
/// There is no such batch, or it has ended.
pub(super) async fn cancel(
    services: &Services,
    permit: Permit<CancelTarget>,
    output: &Output,
) -> Result<(), Refusal> {
    let id = match *permit.request() {
        CancelTarget::Batch(id) => id,
        CancelTarget::LastOfNode => last_of_node(services).await?,
    };
    let (batch, notes) = wish(services, id, &permit.principal().name).await?;
    let columns = ["Batch id", "Status", "Notes"];
    let row = vec![json!(id), json!(batch.status.as_str()), json!(notes)];
    output.one_row(&columns, row).await;
    Ok(())
}

/// Asks for the end of a batch; answers what comes first.
///
/// # Errors
/// There is no such batch, or it has ended.
pub(super) async fn wish_of(
    services: &Services,
    id: BatchId,
    principal: &str,
) -> Result<&'static str, Refusal> {
    wish(services, id, principal).await.map(|(_, note)| note)
}

/// The row as it is afterwards, and what to say.
async fn wish(
    services: &Services,
    id: BatchId,
    principal: &str,
) -> Result<(Batch, &'static str), Refusal> {
    let store = services.store.as_ref();
    let trust = Trust::for_duration(services.clock.clone(), PATIENCE);
    for _ in 0..ATTEMPTS {
        let batch = existing(services, id, Freshness::Serial).await?;
        if batch.status.is_final() {
            return Err(Refusal::conflict(format!(
                "batch {id} is {} and cannot be cancelled",
                batch.status
            )));
        }
        if batch.desired == BatchDesired::Cancel {
            return Ok((batch, "it is being cancelled already"));
        }
        let request = RequestBatch {
            id,
            desired: BatchDesired::Cancel,
            seq: batch.desired_seq + 1,
            allowed: open_statuses(),
            due: Some(DueHint {
                due_at: services.clock.now(),
                key: batch_job_key(&batch),
            }),
            token: services.ids.token(),
        };
        match settle(store, &services.ids, &trust, &request).await? {
            Settled::Applied => {
                info!(batch.id = %id, principal, "{principal} asked to cancel batch {id}");
                services.wake.jobs();
                services.wake.batches();
                services.wake.chunks();
                let batch = existing(services, id, Freshness::Committed).await?;
                let first = what_comes_first(&batch);
                return Ok((batch, first));
            }
            // It moved, or somebody else wished for something: look again.
            Settled::Lost(_) => (),
            Settled::StillUnknown => {
                let message = format!(
                    "the store does not answer: nobody knows whether batch {id} will be cancelled"
                );
                return Err(Refusal::new(EndStatus::Unreachable, message)
                    .hint("ask again: to cancel twice does no harm"));
            }
        }
    }
    Err(Refusal::conflict(format!(
        "batch {id} moves too fast to be cancelled; ask again"
    )))
}

/// What happens before the batch says CANCELLED.
fn what_comes_first(batch: &Batch) -> &'static str {
    match batch.status {
        BatchStatus::WaitingForJob | BatchStatus::New => {
            "nothing has run; the next node that looks ends it"
        }
        status if status.is_final() => "it has ended",
        _ => "running entities end first",
    }
}

fn open_statuses() -> Vec<BatchStatus> {
    let all = BatchStatus::ALL.iter().copied();
    all.filter(|status| !status.is_final()).collect()
}

async fn existing(
    services: &Services,
    id: BatchId,
    freshness: Freshness,
) -> Result<Batch, Refusal> {
    let batch = services.store.batch(id, freshness).await?;
    batch.ok_or_else(|| {
        Refusal::not_found(format!("there is no batch {id}"))
            .hint("BATCH_LIST STATUS='ALL' shows the batches that there are")
    })
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
