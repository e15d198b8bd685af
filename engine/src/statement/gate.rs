//! ALLOW_MULTIPLE=false: the same command runs once at a time.

use sha2::{Digest, Sha256};
use tracing::debug;
use weft_lang::{Command, Statement};

use super::{EndStatus, Refusal, Services};
use crate::model::{Batch, BatchId};
use crate::node::Trust;
use crate::store::{ClaimCommand, Freshness, Settled, settle};

/// How often others may come in between.
const ATTEMPTS: usize = 5;

/// Tells whether two batches run the same command: SHA-256, in hex, of the command in its printed form, so
/// that blanks, quotes and case do not matter, without ASYNC and ALLOW_MULTIPLE.
pub fn command_key(batch: &Batch) -> String {
    key_of(&batch.command)
}

fn key_of(command: &str) -> String {
    let normalised = match Statement::parse(command).map(|statement| statement.command) {
        Ok(Command::Batch(mut batch)) => {
            batch.options.run_async = None;
            batch.options.allow_multiple = None;
            Command::Batch(batch).to_string()
        }
        Ok(other) => other.to_string(),
        Err(_) => command.trim().to_owned(),
    };
    let digest = Sha256::digest(normalised.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_command_is_the_same_however_it_is_written() {
        let one = r#"BATCH A.('1','2') FABRIC_COMMAND="sync_instance A.?" with ASYNC='true';"#;
        let check = |other: &str, same: bool| {
            assert_eq!(key_of(one) == key_of(other), same, "{other}");
        };
        check(
            r#"batch A ('1', '2') fabric_command='sync_instance A.?'"#,
            true,
        );
        check(
            r#"BATCH A.('1','2') FABRIC_COMMAND="sync_instance A.?" WITH ALLOW_MULTIPLE=false;"#,
            true,
        );
        check(
            r#"BATCH A.('1','3') FABRIC_COMMAND="sync_instance A.?""#,
            false,
        );
        check(
            r#"BATCH B.('1','2') FABRIC_COMMAND="sync_instance A.?""#,
            false,
        );
        check(
            r#"BATCH A.('1','2') FABRIC_COMMAND="sync_instance A.?" with AFFINITY='DC1'"#,
            false,
        );
    }
}
