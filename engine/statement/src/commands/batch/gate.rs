//! ALLOW_MULTIPLE=false: the same command runs once at a time.

use weft_model::{Batch, BatchId};
use weft_node::batch::{CommandGate, pass_command_gate};
use weft_store::Trust;

use crate::frame::EndStatus;
use crate::refusal::Refusal;
use crate::services::Services;

/// Makes the row of the command name this batch, before the row of the batch itself is written.
///
/// # Errors
/// A live batch runs the same command, or the store did not answer.
pub(super) async fn pass(services: &Services, batch: &Batch, trust: &Trust) -> Result<(), Refusal> {
    let store = services.store.as_ref();
    match pass_command_gate(store, &services.ids, trust, batch).await? {
        CommandGate::Passed => Ok(()),
        CommandGate::Closed(other) => Err(already_running(&other)),
        CommandGate::StillUnknown => Err(not_submitted(batch.id)),
        CommandGate::MovedTooFast => Err(Refusal::failed(
            "other submissions of the same command keep coming in between",
        )
        .hint("with ALLOW_MULTIPLE=true it may run more than once")),
    }
}

fn already_running(other: &Batch) -> Refusal {
    let (id, status) = (other.id, other.status);
    Refusal::failed(format!("the same command is already running as batch {id} ({status})")).hint(
        format!("BATCH_SUMMARY '{id}' shows how far it is; with ALLOW_MULTIPLE=true it may run twice at once"),
    )
}

fn not_submitted(id: BatchId) -> Refusal {
    let message = format!("the store does not answer; batch {id} was not submitted");
    Refusal::new(EndStatus::Unreachable, message)
}
