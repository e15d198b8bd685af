//! Scopes of checkpoints: each one partition.

use std::collections::BTreeMap;
use std::ops::Bound;

use weft_model::clock::Timestamp;
use weft_model::{Checkpoint, CheckpointHead, Fence};

use super::row::Row;
use super::statement::{Answer, Found, Swap};
use super::tables::Tables;

/// One partition of `checkpoints`.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Its static columns.
    pub head: CheckpointHead,
    /// Its rows.
    pub items: BTreeMap<String, (String, Timestamp)>,
}

impl Scope {
    /// Items behind `after`.
    pub fn behind(&self, after: Option<&str>, limit: usize) -> Vec<Checkpoint> {
        let from = Bound::Excluded(after.unwrap_or_default());
        self.items
            .range::<str, _>((from, Bound::Unbounded))
            .take(limit)
            .map(|(item, (value, updated_at))| Checkpoint {
                item: item.clone(),
                value: value.clone(),
                updated_at: *updated_at,
            })
            .collect()
    }

    fn held(&self, fence: Fence, seq: i64) -> bool {
        self.head.fence == fence && self.head.seq == seq
    }
}

impl Tables {
    pub(super) fn swap_checkpoints(&mut self, swap: &Swap, hidden_until: u64) -> Answer {
        let (name, token) = match swap {
            Swap::TakeCheckpoints(take) => (&take.scope, take.token),
            Swap::SaveCheckpoints(save) => (&save.scope, save.token),
            Swap::ForgetCheckpoints(forget) => (&forget.scope, forget.token),
            _ => unreachable!("not a statement on a scope"),
        };
        let row = self.checkpoints.get_mut(name);
        let before = row.map(|row| row.serial().clone());
        let known = before.as_ref().and_then(|scope| scope.head.token);
        if known == Some(token) {
            return Answer::Applied;
        }
        let Some(mut after) = changed(swap, before.as_ref()) else {
            return Answer::Lost(Found::Checkpoints(before.map(|scope| scope.head)));
        };
        after.head.token = Some(token);
        match self.checkpoints.get_mut(name) {
            Some(row) => row.write(after, hidden_until),
            None => {
                self.checkpoints
                    .insert(name.clone(), Row::new(after, hidden_until));
            }
        }
        Answer::Applied
    }
}

/// The scope after the statement; none where its condition does not hold.
fn changed(swap: &Swap, before: Option<&Scope>) -> Option<Scope> {
    match swap {
        Swap::TakeCheckpoints(take) => {
            if before.map(|scope| scope.head.fence) != take.seen {
                return None;
            }
            let head = CheckpointHead {
                fence: take.fence(),
                seq: 0,
                holder: take.holder.clone(),
                token: None,
            };
            let items = before.map(|scope| scope.items.clone()).unwrap_or_default();
            Some(Scope { head, items })
        }
        Swap::SaveCheckpoints(save) => {
            let mut after = before
                .filter(|scope| scope.held(save.fence, save.seq))?
                .clone();
            after.head.seq += 1;
            for (item, value) in &save.puts {
                after.items.insert(item.clone(), (value.clone(), save.now));
            }
            for item in &save.removes {
                after.items.remove(item);
            }
            Some(after)
        }
        Swap::ForgetCheckpoints(forget) => {
            let mut after = before
                .filter(|scope| scope.held(forget.fence, forget.seq))?
                .clone();
            after.head.seq += 1;
            after.items.clear();
            Some(after)
        }
        _ => unreachable!("not a statement on a scope"),
    }
}
