//! ALLOW_MULTIPLE=false: a command runs in one batch at a time.

use weft_model::ids::Ids;
use weft_model::{Batch, BatchId, command_key};
use weft_store::{
    ClaimCommand, Decided, Decision, Freshness, SelfFence, Store, StoreError, StoreResult,
    decide_and_settle,
};

/// Whether a batch may run its command.
#[derive(Clone, Debug, PartialEq)]
pub enum CommandGate {
    /// The row of the command names this batch.
    Passed,
    /// Another batch runs the command and has not ended.
    Closed(Box<Batch>),
    /// The store did not say whether the row names this batch.
    StillUnknown,
    /// Other batches claimed the command in between every time.
    MovedTooFast,
}

/// Makes the row of the command name `batch`, unless it names another batch that exists and has not ended.
///
/// # Errors
/// The error of the store.
pub async fn pass_command_gate(
    store: &dyn Store,
    ids: &Ids,
    self_fence: &SelfFence,
    batch: &Batch,
) -> StoreResult<CommandGate> {
    let command_key = command_key(batch);
    let decide = |named: Option<BatchId>| {
        let command_key = command_key.clone();
        async move {
            if named == Some(batch.id) {
                return Ok(Decision::Stop(CommandGate::Passed));
            }
            if let Some(other) = named
                && let Some(other) = store.batch(other, Freshness::Serial).await?
                && !other.status.is_final()
            {
                return Ok(Decision::Stop(CommandGate::Closed(Box::new(other))));
            }
            Ok::<_, StoreError>(Decision::Settle(ClaimCommand {
                command_key,
                batch: batch.id,
                replaces: named,
            }))
        }
    };
    let read = store.active_command(&command_key);
    Ok(
        match decide_and_settle(store, ids, self_fence, read, decide).await? {
            Decided::Applied { .. } => CommandGate::Passed,
            Decided::Stopped(gate) => gate,
            Decided::StillUnknown(_) => CommandGate::StillUnknown,
            Decided::MovedTooFast(_) => CommandGate::MovedTooFast,
        },
    )
}
