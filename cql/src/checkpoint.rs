//! Checkpoints: the fenced head of a scope in the static row, and its items.

use std::hash::Hash;

use weft_model::{Checkpoint, CheckpointHead};
use weft_store::{
    Attempt, AttemptResult, ForgetCheckpoints, Freshness, SaveCheckpoints, StoreResult,
    TakeCheckpoints,
};

use crate::CassandraStore;
use crate::row::StoredRow;
use crate::values::Values;

const TABLE: &str = "checkpoints";

/// The partition of a scope, for the lock of its compare-and-sets.
fn partition(scope: &str) -> impl Hash + '_ {
    (TABLE, scope)
}

impl CassandraStore {
    pub(crate) async fn take_scope_head(
        &self,
        take: &TakeCheckpoints,
    ) -> AttemptResult<Option<CheckpointHead>> {
        const VERB: &str = "take_checkpoints";
        let values = Values::new()
            .set("scope", &take.scope)
            .set("to_fence", take.fence())
            .set("s_fence", take.seen)
            .set("s_holder", &take.holder);
        let attempt = self
            .compare_and_set(
                VERB,
                partition(&take.scope),
                &self.statements.take_checkpoints,
                values,
                ("s_token", take.token),
            )
            .await?;
        self.with_scope(VERB, attempt, &take.scope).await
    }

    /// Writes the head and all items in one conditional batch on the scope's partition.
    pub(crate) async fn save_scope_items(
        &self,
        save: &SaveCheckpoints,
    ) -> AttemptResult<Option<CheckpointHead>> {
        const VERB: &str = "save_checkpoints";
        save.within_limits()?;
        let mut statements = self.conditional_batch();
        statements.append_statement(self.statements.save_checkpoints.clone());
        let mut values = vec![
            Values::new()
                .set("scope", &save.scope)
                .set("s_fence", save.fence)
                .set("s_seq", save.seq)
                .set("to_seq", save.seq + 1)
                .set("s_token", save.token),
        ];
        for (item, value) in &save.puts {
            statements.append_statement(self.statements.put_checkpoint.clone());
            values.push(
                Values::new()
                    .set("scope", &save.scope)
                    .set("item", item)
                    .set("value", value)
                    .set("updated_at", save.now),
            );
        }
        for item in &save.removes {
            statements.append_statement(self.statements.remove_checkpoint.clone());
            values.push(Values::new().set("scope", &save.scope).set("item", item));
        }
        // Boxed, because the future of many bound rows is too large for the stack.
        let attempt = Box::pin(self.compare_and_set_rows(
            VERB,
            partition(&save.scope),
            &statements,
            values.as_slice(),
            ("s_token", save.token),
        ))
        .await?;
        self.with_scope(VERB, attempt, &save.scope).await
    }

    /// Advances the head and deletes every item. Item names are never empty, so all of them are after ''.
    pub(crate) async fn forget_scope_items(
        &self,
        forget: &ForgetCheckpoints,
    ) -> AttemptResult<Option<CheckpointHead>> {
        const VERB: &str = "forget_checkpoints";
        let mut statements = self.conditional_batch();
        statements.append_statement(self.statements.save_checkpoints.clone());
        statements.append_statement(self.statements.forget_checkpoints.clone());
        let values = [
            Values::new()
                .set("scope", &forget.scope)
                .set("s_fence", forget.fence)
                .set("s_seq", forget.seq)
                .set("to_seq", forget.seq + 1)
                .set("s_token", forget.token),
            Values::new().set("scope", &forget.scope).set("after", ""),
        ];
        let attempt = self
            .compare_and_set_rows(
                VERB,
                partition(&forget.scope),
                &statements,
                values.as_slice(),
                ("s_token", forget.token),
            )
            .await?;
        self.with_scope(VERB, attempt, &forget.scope).await
    }

    /// Adds to a refusal the head that is there. The answer is already definite, so a read may follow it.
    async fn with_scope(
        &self,
        verb: &'static str,
        attempt: Attempt<()>,
        scope: &str,
    ) -> AttemptResult<Option<CheckpointHead>> {
        attempt
            .or_found(self.read_scope_head(verb, scope, Freshness::Serial))
            .await
    }

    pub(crate) async fn read_scope_head(
        &self,
        verb: &'static str,
        scope: &str,
        freshness: Freshness,
    ) -> StoreResult<Option<CheckpointHead>> {
        let statement = self.statements.checkpoint_head.at(freshness);
        let row = self
            .read_one(verb, TABLE, statement, Values::new().set("scope", scope))
            .await?;
        row.map(head_of).transpose()
    }

    pub(crate) async fn read_scope_items(
        &self,
        scope: &str,
        after: Option<&str>,
        limit: usize,
    ) -> StoreResult<Vec<Checkpoint>> {
        let values = Values::new()
            .set("scope", scope)
            .set("after", after.unwrap_or_default())
            .limit(limit);
        self.scan(
            "checkpoints",
            TABLE,
            &self.statements.checkpoints,
            values,
            limit,
        )
        .await?
        .into_iter()
        .map(item_of)
        .collect()
    }
}

fn head_of(mut row: StoredRow) -> StoreResult<CheckpointHead> {
    Ok(CheckpointHead {
        fence: row.require("s_fence")?,
        seq: row.require("s_seq")?,
        holder: row.require("s_holder")?,
        token: row.take("s_token")?,
    })
}

fn item_of(mut row: StoredRow) -> StoreResult<Checkpoint> {
    Ok(Checkpoint {
        item: row.require("item")?,
        value: row.require("value")?,
        updated_at: row.require("updated_at")?,
    })
}
