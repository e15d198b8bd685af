//! The row of a command names the batch that runs it: ALLOW_MULTIPLE=false.

use weft_model::BatchId;

use super::{CompareAndSet, StoredRow};

/// The row of a command names this batch from now on: `IF bid = <replaces>`. The batch is the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimCommand {
    /// Hash of the command.
    pub command_key: String,
    /// The batch to name.
    pub batch: BatchId,
    /// The batch named before, which is missing or has ended; none where there is no row.
    pub replaces: Option<BatchId>,
}

/// The row of a command is removed with the batch that it names: `IF bid = <batch>`. A missing row answers Applied. A batch
/// is named only once, so a delayed copy finds nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseCommand {
    /// Hash of the command.
    pub command_key: String,
    /// The batch that the row must name.
    pub batch: BatchId,
}

/// The row of a command: the batch that it names.
impl StoredRow for BatchId {
    /// Hash of the command.
    type Key = String;
}

impl CompareAndSet for ClaimCommand {
    type Row = BatchId;

    fn key(&self) -> String {
        self.command_key.clone()
    }

    fn is_applied(&self, row: Option<&BatchId>) -> bool {
        row == Some(&self.batch)
    }

    fn holds(&self, row: Option<&BatchId>) -> bool {
        row == self.replaces.as_ref()
    }

    fn apply(&self, _: Option<BatchId>) -> Option<BatchId> {
        Some(self.batch)
    }
}

impl CompareAndSet for ReleaseCommand {
    type Row = BatchId;

    fn key(&self) -> String {
        self.command_key.clone()
    }

    fn is_applied(&self, row: Option<&BatchId>) -> bool {
        row.is_none()
    }

    fn holds(&self, row: Option<&BatchId>) -> bool {
        row == Some(&self.batch)
    }

    fn apply(&self, _: Option<BatchId>) -> Option<BatchId> {
        None
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::{loses, moves_on};
    use super::*;

    fn batch(number: u128) -> BatchId {
        BatchId(Uuid::from_u128(number))
    }

    #[test]
    fn a_command_is_claimed_from_the_batch_that_was_seen() {
        let claim = |replaces| ClaimCommand {
            command_key: "key".to_owned(),
            batch: batch(2),
            replaces,
        };
        assert_eq!(moves_on(&claim(None), None), Some(batch(2)));
        assert_eq!(
            moves_on(&claim(Some(batch(1))), Some(batch(1))),
            Some(batch(2))
        );
        loses(&claim(None), Some(batch(1)));
        loses(&claim(Some(batch(1))), None);
        loses(&claim(Some(batch(1))), Some(batch(3)));
    }

    #[test]
    fn a_command_is_released_by_the_batch_that_it_names() {
        let release = ReleaseCommand {
            command_key: "key".to_owned(),
            batch: batch(1),
        };
        assert_eq!(moves_on(&release, Some(batch(1))), None);
        loses(&release, Some(batch(2)));
    }
}
