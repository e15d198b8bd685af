//! The key by which ALLOW_MULTIPLE=false recognises the same command.

use sha2::{Digest, Sha256};
use weft_lang::{Command, Statement};

use crate::Batch;

/// The key of the command of a batch: SHA-256, in hex, of its printed form without ASYNC and ALLOW_MULTIPLE. White
/// space, quotes and case of keywords do not matter.
pub fn command_key(batch: &Batch) -> String {
    command_text_key(&batch.command)
}

fn command_text_key(command: &str) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_command_is_the_same_however_it_is_written() {
        let one = r#"BATCH A.('1','2') FABRIC_COMMAND="sync_instance A.?" with ASYNC='true';"#;
        let check = |other: &str, same: bool| {
            assert_eq!(
                command_text_key(one) == command_text_key(other),
                same,
                "{other}"
            );
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
