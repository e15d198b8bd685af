//! Operations on a scope of checkpoints. Each moves the scope's head; the items are written beside it.

use std::collections::BTreeSet;

use weft_model::clock::Timestamp;
use weft_model::{CheckpointHead, Fence, Token};

use super::{CompareAndSet, StoredRow, changes_existing_row, sent_by};
use crate::StoreError;

/// A run takes a scope: `IF s_fence = <seen>` (none: there is no head) → seen + 1, seq 0.
///
/// From then on no run that took it before can write. The fence never goes down and a head is never removed, so a delayed
/// copy of this operation, or of a write under an older fence, does not find the fence that it expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakeCheckpoints {
    /// The scope.
    pub scope: String,
    /// The run that takes it, as text.
    pub holder: String,
    /// The fence that was seen; none where the scope was never taken.
    pub seen: Option<Fence>,
    /// Names this attempt.
    pub token: Token,
}

impl TakeCheckpoints {
    /// The fence under which the scope is held from then on.
    pub fn fence(&self) -> Fence {
        self.seen.unwrap_or(0) + 1
    }
}

/// Bytes of items and values that one [`SaveCheckpoints`] may carry.
pub const CHECKPOINT_BYTES: usize = 256 * 1024;
/// Items that one [`SaveCheckpoints`] may write and remove.
pub const CHECKPOINT_ITEMS: usize = 1_000;
/// Longest name of an item, and of a scope, in bytes.
pub const CHECKPOINT_NAME_BYTES: usize = 8 * 1024;

/// The run that holds a scope writes and removes items, all or none: `IF s_fence = <held> AND s_seq = <seq>` → seq + 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaveCheckpoints {
    /// The scope.
    pub scope: String,
    /// The fence under which it is held.
    pub fence: Fence,
    /// Writes under this fence so far.
    pub seq: i64,
    /// Items to write, each once.
    pub puts: Vec<(String, String)>,
    /// Items to remove; none of them is in `puts`.
    pub removes: Vec<String>,
    /// The time of the write.
    pub now: Timestamp,
    /// Names this attempt.
    pub token: Token,
}

/// The run that holds a scope removes all of its items: `IF s_fence = <held> AND s_seq = <seq>` → seq + 1.
///
/// The head stays with its fence. If it were removed, the condition of a delayed take or write could hold again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForgetCheckpoints {
    /// The scope.
    pub scope: String,
    /// The fence under which it is held.
    pub fence: Fence,
    /// Writes under this fence so far.
    pub seq: i64,
    /// Names this attempt.
    pub token: Token,
}

sent_by! {
    save_checkpoints: SaveCheckpoints, Option<CheckpointHead>;
    forget_checkpoints: ForgetCheckpoints, Option<CheckpointHead>;
}

impl StoredRow for CheckpointHead {
    /// The scope.
    type Key = String;
}

impl CompareAndSet for TakeCheckpoints {
    type Row = CheckpointHead;

    fn key(&self) -> String {
        self.scope.clone()
    }

    fn is_applied(&self, row: Option<&CheckpointHead>) -> bool {
        row.is_some_and(|head| head.token == Some(self.token))
    }

    fn holds(&self, row: Option<&CheckpointHead>) -> bool {
        row.map(|head| head.fence) == self.seen
    }

    fn apply(&self, _: Option<CheckpointHead>) -> Option<CheckpointHead> {
        Some(CheckpointHead {
            fence: self.fence(),
            seq: 0,
            holder: self.holder.clone(),
            token: Some(self.token),
        })
    }
}

changes_existing_row!(SaveCheckpoints, CheckpointHead, token, |save| save
    .scope
    .clone());
changes_existing_row!(ForgetCheckpoints, CheckpointHead, token, |forget| forget
    .scope
    .clone());

fn after_write(head: CheckpointHead, token: Token) -> CheckpointHead {
    CheckpointHead {
        seq: head.seq + 1,
        token: Some(token),
        ..head
    }
}

impl SaveCheckpoints {
    /// See [`CompareAndSet::holds`].
    pub fn holds(&self, head: &CheckpointHead) -> bool {
        head.fence == self.fence && head.seq == self.seq
    }

    /// See [`CompareAndSet::apply`].
    pub fn apply(&self, head: CheckpointHead) -> CheckpointHead {
        after_write(head, self.token)
    }

    /// Every store checks this first.
    ///
    /// # Errors
    /// Names what exceeds its limit; nothing was written.
    pub fn within_limits(&self) -> Result<(), StoreError> {
        let scope = &self.scope;
        let refused = |what: String| {
            Err(StoreError::Refused(format!(
                "checkpoints of {scope}: {what}"
            )))
        };
        let names = self.puts.iter().map(|(item, _)| item).chain(&self.removes);
        let mut seen = BTreeSet::new();
        let mut bytes: usize = self.puts.iter().map(|(_, value)| value.len()).sum();
        for name in names {
            if name.is_empty() || name.len() > CHECKPOINT_NAME_BYTES {
                return refused(format!(
                    "the name of an item has {} bytes, 1 to {CHECKPOINT_NAME_BYTES} are allowed",
                    name.len()
                ));
            }
            if !seen.insert(name) {
                return refused(format!("item {name:?} stands twice in one write"));
            }
            bytes += name.len();
        }
        if seen.len() > CHECKPOINT_ITEMS {
            return refused(format!(
                "{} items in one write, at most {CHECKPOINT_ITEMS} are allowed",
                seen.len()
            ));
        }
        if bytes > CHECKPOINT_BYTES {
            return refused(format!(
                "{bytes} bytes in one write, at most {CHECKPOINT_BYTES} are allowed"
            ));
        }
        Ok(())
    }
}

impl ForgetCheckpoints {
    /// See [`CompareAndSet::holds`].
    pub fn holds(&self, head: &CheckpointHead) -> bool {
        head.fence == self.fence && head.seq == self.seq
    }

    /// See [`CompareAndSet::apply`].
    pub fn apply(&self, head: CheckpointHead) -> CheckpointHead {
        after_write(head, self.token)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::{loses, moves_on};
    use super::*;

    fn token(number: u128) -> Token {
        Token(Uuid::from_u128(number))
    }

    fn take(seen: Option<Fence>) -> TakeCheckpoints {
        TakeCheckpoints {
            scope: "s".to_owned(),
            holder: "run".to_owned(),
            seen,
            token: token(1),
        }
    }

    fn forget(fence: Fence, seq: i64) -> ForgetCheckpoints {
        ForgetCheckpoints {
            scope: "s".to_owned(),
            fence,
            seq,
            token: token(2),
        }
    }

    #[test]
    fn a_take_fences_out_the_holder_before() {
        let first = moves_on(&take(None), None).expect("a head");
        let older = CheckpointHead {
            token: Some(token(9)),
            ..first
        };
        assert_eq!((older.fence, older.seq), (1, 0));
        let second = moves_on(&take(Some(1)), Some(older.clone()));
        assert_eq!(second.as_ref().map(|head| head.fence), Some(2));
        loses(&forget(1, 0), second);
        loses(&take(None), Some(older));
        loses(&take(Some(1)), None);
    }

    #[test]
    fn a_write_counts_the_writes_under_its_fence() {
        let taken = moves_on(&take(Some(4)), Some(head(4, 7)));
        let saved = moves_on(&forget(5, 0), taken);
        assert_eq!(saved.map(|head| (head.fence, head.seq)), Some((5, 1)));
        loses(&forget(5, 0), None);
        loses(&forget(5, 0), Some(head(5, 1)));
    }

    fn head(fence: Fence, seq: i64) -> CheckpointHead {
        CheckpointHead {
            fence,
            seq,
            holder: "run".to_owned(),
            token: None,
        }
    }

    #[test]
    fn a_save_moves_the_head_as_a_forget_does() {
        let save = SaveCheckpoints {
            scope: "s".to_owned(),
            fence: 3,
            seq: 1,
            puts: Vec::new(),
            removes: Vec::new(),
            now: Timestamp(1),
            token: token(4),
        };
        let saved = moves_on(&save, Some(head(3, 1)));
        assert_eq!(saved.map(|head| head.seq), Some(2));
        loses(&save, Some(head(2, 1)));
        loses(&save, Some(head(3, 0)));
        loses(&save, None);
    }
}
