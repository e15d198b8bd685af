//! Checkpoints: the fenced head in the static row, and the items of a scope.

use std::hash::Hash;

use scylla::statement::batch::{Batch as Statements, BatchType};
use weft_model::{Checkpoint, CheckpointHead};
use weft_store::{
    Attempt, AttemptResult, ForgetCheckpoints, Freshness, SaveCheckpoints, StoreResult,
    TakeCheckpoints,
};

use crate::CassandraStore;
use crate::rows::{Found, Values};

const TABLE: &str = "checkpoints";

/// The partition of a scope, for the lane of its compare-and-sets.
fn lane(scope: &str) -> impl Hash + '_ {
    (TABLE, scope)
}

impl CassandraStore {
    pub(crate) async fn take_scope(
        &self,
        take: &TakeCheckpoints,
    ) -> AttemptResult<Option<CheckpointHead>> {
        const VERB: &str = "take_checkpoints";
        let values = Values::new()
            .set("scope", &take.scope)
            .set("to_fence", take.fence())
            .set("s_fence", take.seen)
            .set("s_holder", &take.holder)
            .set("s_token", take.token);
        let attempt = self
            .compare_and_set(
                VERB,
                lane(&take.scope),
                &self.statements.take_checkpoints,
                values,
                ("s_token", take.token),
            )
            .await?;
        self.with_scope(VERB, attempt, &take.scope).await
    }

    /// The head and all items in one conditional batch on the scope's partition.
    pub(crate) async fn save_scope(
        &self,
        save: &SaveCheckpoints,
    ) -> AttemptResult<Option<CheckpointHead>> {
        const VERB: &str = "save_checkpoints";
        save.within_limits()?;
        let mut statements = self.conditional();
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
        // Boxed as the flush of a chunk is: many bound rows.
        let attempt = Box::pin(self.compare_and_set_rows(
            VERB,
            lane(&save.scope),
            &statements,
            values.as_slice(),
            ("s_token", save.token),
        ))
        .await?;
        self.with_scope(VERB, attempt, &save.scope).await
    }

    /// The head moves and one deletion covers every item: names are never empty.
    pub(crate) async fn forget_scope(
        &self,
        forget: &ForgetCheckpoints,
    ) -> AttemptResult<Option<CheckpointHead>> {
        const VERB: &str = "forget_checkpoints";
        let mut statements = self.conditional();
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
                lane(&forget.scope),
                &statements,
                values.as_slice(),
                ("s_token", forget.token),
            )
            .await?;
        self.with_scope(VERB, attempt, &forget.scope).await
    }

    fn conditional(&self) -> Statements {
        let mut statements = Statements::new(BatchType::Unlogged);
        statements.set_execution_profile_handle(Some(self.link.profiles.compare_and_set.clone()));
        statements.set_is_idempotent(false);
        statements
    }

    /// A refusal with the head that refused. The answer is definite already, so reading may follow.
    async fn with_scope(
        &self,
        verb: &'static str,
        attempt: Attempt<()>,
        scope: &str,
    ) -> AttemptResult<Option<CheckpointHead>> {
        attempt
            .or_found(self.read_scope(verb, scope, Freshness::Serial))
            .await
    }

    pub(crate) async fn read_scope(
        &self,
        verb: &'static str,
        scope: &str,
        freshness: Freshness,
    ) -> StoreResult<Option<CheckpointHead>> {
        let statement = match freshness {
            Freshness::Committed => &self.statements.checkpoint_head,
            Freshness::Serial => &self.statements.checkpoint_head_serial,
        };
        let row = self
            .read_one(verb, TABLE, statement, Values::new().set("scope", scope))
            .await?;
        row.map(head_of).transpose()
    }

    pub(crate) async fn items_of(
        &self,
        scope: &str,
        after: Option<&str>,
        limit: usize,
    ) -> StoreResult<Vec<Checkpoint>> {
        let rows = i32::try_from(limit).unwrap_or(i32::MAX);
        let values = Values::new()
            .set("scope", scope)
            .set("after", after.unwrap_or_default())
            .set("rows", rows);
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

fn head_of(mut row: Found) -> StoreResult<CheckpointHead> {
    Ok(CheckpointHead {
        fence: row.need("s_fence")?,
        seq: row.need("s_seq")?,
        holder: row.need("s_holder")?,
        token: row.take("s_token")?,
    })
}

fn item_of(mut row: Found) -> StoreResult<Checkpoint> {
    Ok(Checkpoint {
        item: row.need("item")?,
        value: row.need("value")?,
        updated_at: row.need("updated_at")?,
    })
}
