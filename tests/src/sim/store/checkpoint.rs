//! Scopes of checkpoints: each one partition.

use std::collections::BTreeMap;
use std::ops::Bound;

use weft_model::clock::Timestamp;
use weft_model::{Checkpoint, CheckpointHead};
use weft_store::{AttemptResult, Conditional, ForgetCheckpoints, SaveCheckpoints};

use super::SimHandle;

/// One partition of `checkpoints`.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Its static columns.
    pub head: CheckpointHead,
    /// Its rows.
    pub items: BTreeMap<String, (String, Timestamp)>,
}

impl Scope {
    /// Items after `after`.
    pub fn items_after(&self, after: Option<&str>, limit: usize) -> Vec<Checkpoint> {
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
}

impl SimHandle {
    pub(super) async fn save_items(
        &self,
        save: &SaveCheckpoints,
    ) -> AttemptResult<Option<CheckpointHead>> {
        save.within_limits()?;
        self.swap_with(save.verb(), save, |save, _, scope, _| {
            for (item, value) in &save.puts {
                scope.items.insert(item.clone(), (value.clone(), save.now));
            }
            for item in &save.removes {
                scope.items.remove(item);
            }
        })
        .await
    }

    pub(super) async fn forget_items(
        &self,
        forget: &ForgetCheckpoints,
    ) -> AttemptResult<Option<CheckpointHead>> {
        self.swap_with(forget.verb(), forget, |_, _, scope, _| scope.items.clear())
            .await
    }
}
