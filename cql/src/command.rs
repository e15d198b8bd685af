//! Active commands: which batch runs a command that may run only once at a time.

use weft_model::BatchId;
use weft_store::{Attempt, AttemptResult, ClaimCommand, ReleaseCommand, StoreError, StoreResult};

use crate::CassandraStore;
use crate::values::Values;

const COMMANDS: &str = "active_commands";

impl CassandraStore {
    pub(crate) async fn claim_command_row(
        &self,
        claim: &ClaimCommand,
    ) -> AttemptResult<Option<BatchId>> {
        let values = Values::new()
            .set("bid", claim.batch)
            .set("command_key", &claim.command_key)
            .set("replaces", claim.replaces);
        let partition = (COMMANDS, &claim.command_key);
        let attempt = self
            .compare_and_set_text(
                "claim_command",
                partition,
                &self.statements.claim_command,
                values,
                "bid",
            )
            .await?;
        match attempt {
            Attempt::Applied => Ok(Attempt::Applied),
            Attempt::Unknown(reason) => Ok(Attempt::Unknown(reason)),
            Attempt::Lost(None) => Ok(Attempt::Lost(None)),
            Attempt::Lost(Some(found)) => {
                let found = parse_id(&found)?;
                Ok(if found == claim.batch {
                    Attempt::Applied
                } else {
                    Attempt::Lost(Some(found))
                })
            }
        }
    }

    pub(crate) async fn read_active_command(
        &self,
        command_key: &str,
    ) -> StoreResult<Option<BatchId>> {
        let values = Values::new().set("command_key", command_key);
        let row = self
            .read_one(
                "active_command",
                COMMANDS,
                &self.statements.active_command,
                values,
            )
            .await?;
        row.map(|mut row| row.take_parsed("bid")).transpose()
    }

    pub(crate) async fn release_command_row(
        &self,
        release: &ReleaseCommand,
    ) -> AttemptResult<Option<BatchId>> {
        let values = Values::new()
            .set("bid", release.batch)
            .set("command_key", &release.command_key);
        let attempt = self
            .compare_and_set_text(
                "release_command",
                (COMMANDS, &release.command_key),
                &self.statements.release_command,
                values,
                "bid",
            )
            .await?;
        Ok(match attempt {
            Attempt::Applied | Attempt::Lost(None) => Attempt::Applied,
            Attempt::Lost(Some(found)) => Attempt::Lost(Some(parse_id(&found)?)),
            Attempt::Unknown(reason) => Attempt::Unknown(reason),
        })
    }
}

fn parse_id(text: &str) -> StoreResult<BatchId> {
    text.parse()
        .map_err(|error: uuid::Error| StoreError::Corrupt {
            row: COMMANDS.to_owned(),
            column: "bid",
            reason: error.to_string(),
        })
}
