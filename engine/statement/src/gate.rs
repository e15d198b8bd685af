//! ALLOW_MULTIPLE=false: the same command runs once at a time.

use tracing::debug;
use weft_model::{Batch, BatchId, command_key};
use weft_store::Trust;
use weft_store::{ClaimCommand, Freshness, Settled, settle};

use super::{EndStatus, Refusal, Services};

/// How often others may come in between.
const ATTEMPTS: usize = 5;

/// Makes the row of the command name this batch, before there is a row of the batch itself.
///
/// # Errors
/// A live batch runs the same command, or the store did not answer.
pub(super) async fn pass(services: &Services, batch: &Batch, trust: &Trust) -> Result<(), Refusal> {
    let store = services.store.as_ref();
    let command_key = command_key(batch);
    for _ in 0..ATTEMPTS {
        let named = store.active_command(&command_key).await?;
        if let Some(other) = named
            && let Some(other) = store.batch(other, Freshness::Committed).await?
            && !other.status.is_final()
            && other.id != batch.id
        {
            return Err(already_running(&other));
        }
        let claim = ClaimCommand {
            command_key: command_key.clone(),
            batch: batch.id,
            replaces: named,
        };
        match settle(store, &services.ids, trust, &claim).await? {
            Settled::Applied => return Ok(()),
            Settled::Lost(found) => {
                debug!(?found, "Another submission of the same command was faster")
            }
            Settled::StillUnknown => return Err(not_settled(batch.id)),
        }
    }
    Err(
        Refusal::failed("the same command is being submitted by others all the time")
            .hint("with ALLOW_MULTIPLE=true it may run more than once"),
    )
}

fn already_running(other: &Batch) -> Refusal {
    let (id, status) = (other.id, other.status);
    Refusal::failed(format!("the same command is already running as batch {id} ({status})")).hint(
        format!("BATCH_SUMMARY '{id}' shows how far it is; with ALLOW_MULTIPLE=true it may run twice at once"),
    )
}

fn not_settled(id: BatchId) -> Refusal {
    let message = format!("the store does not answer; batch {id} was not submitted");
    Refusal::new(EndStatus::Unreachable, message)
}
