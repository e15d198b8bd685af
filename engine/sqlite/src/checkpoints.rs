//! Scopes of checkpoints: their heads and their items.

use rusqlite::{Connection, params};
use weft_model::{Checkpoint, CheckpointHead, Token};
use weft_store::{ForgetCheckpoints, SaveCheckpoints};

use super::failure::Failure;
use super::queue::Writing;
use super::rows::{Columns, sql_limit, token_bytes};
use super::table::{Outcome, Table, carry_out_by};

impl Table for CheckpointHead {
    type Slot = ();

    fn load(writing: &mut Writing<'_>, scope: &String) -> Result<Option<((), Self)>, Failure> {
        Ok(head(writing.connection, scope)?.map(|head| ((), head)))
    }

    fn save(
        writing: &mut Writing<'_>,
        scope: &String,
        _: Option<()>,
        head: Option<&Self>,
    ) -> Result<(), Failure> {
        // A head is never removed.
        let Some(head) = head else {
            return Ok(());
        };
        writing
            .connection
            .prepare_cached(
                "REPLACE INTO checkpoint_head (scope, fence, seq, token, holder) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                scope,
                head.fence,
                head.seq,
                token_bytes(head.token.as_ref()),
                head.holder,
            ])?;
        Ok(())
    }
}

/// See [`SaveCheckpoints`].
pub(super) fn save(writing: &mut Writing<'_>, save: &SaveCheckpoints) -> Outcome<CheckpointHead> {
    let scope = &save.scope;
    carry_out_by(writing, save, |writing, slot, head| {
        let mut put = writing.connection.prepare_cached(
            "REPLACE INTO checkpoint (scope, item, value, updated_at) VALUES (?1, ?2, ?3, ?4)",
        )?;
        for (item, value) in &save.puts {
            put.execute(params![scope, item, value, save.now.0])?;
        }
        let mut remove = writing
            .connection
            .prepare_cached("DELETE FROM checkpoint WHERE scope = ?1 AND item = ?2")?;
        for item in &save.removes {
            remove.execute([scope, item])?;
        }
        CheckpointHead::save(writing, scope, slot, head)
    })
}

/// See [`ForgetCheckpoints`].
pub(super) fn forget(
    writing: &mut Writing<'_>,
    forget: &ForgetCheckpoints,
) -> Outcome<CheckpointHead> {
    let scope = &forget.scope;
    carry_out_by(writing, forget, |writing, slot, head| {
        writing
            .connection
            .prepare_cached("DELETE FROM checkpoint WHERE scope = ?1")?
            .execute([scope])?;
        CheckpointHead::save(writing, scope, slot, head)
    })
}

/// The head of a scope.
pub(super) fn head(
    connection: &Connection,
    scope: &str,
) -> Result<Option<CheckpointHead>, Failure> {
    let mut statement = connection
        .prepare_cached("SELECT fence, seq, token, holder FROM checkpoint_head WHERE scope = ?1")?;
    let mut found = statement.query([scope])?;
    let Some(row) = found.next()? else {
        return Ok(None);
    };
    let mut columns = Columns::of(row, "checkpoint_head");
    Ok(Some(CheckpointHead {
        fence: columns.take()?,
        seq: columns.take()?,
        token: columns.uuid_or_none("token")?.map(Token),
        holder: columns.take()?,
    }))
}

/// Items after `after`, in the order of their bytes.
pub(super) fn items(
    connection: &Connection,
    scope: &str,
    after: &str,
    limit: usize,
) -> Result<Vec<Checkpoint>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT item, value, updated_at FROM checkpoint WHERE scope = ?1 AND item > ?2 ORDER BY item LIMIT ?3",
    )?;
    let mut found = statement.query(params![scope, after, sql_limit(limit)])?;
    let mut items = Vec::new();
    while let Some(row) = found.next()? {
        let mut columns = Columns::of(row, "checkpoint");
        items.push(Checkpoint {
            item: columns.take()?,
            value: columns.take()?,
            updated_at: columns.time()?,
        });
    }
    Ok(items)
}
