//! The compare-and-sets of checkpoints, and what reads them.

use rusqlite::{Connection, params};
use weft_model::{Checkpoint, CheckpointHead, Fence, Token};
use weft_store::{Attempt, ForgetCheckpoints, SaveCheckpoints, TakeCheckpoints};

use super::failure::Failure;
use super::queue::Writing;
use super::rows::{Columns, bytes};
use super::verbs_job::sql_limit;

type Answer = Result<Attempt<Option<CheckpointHead>>, Failure>;

/// See [`TakeCheckpoints`].
pub(super) fn take(writing: &Writing<'_>, take: &TakeCheckpoints) -> Answer {
    let found = head(writing.connection, &take.scope)?;
    if found
        .as_ref()
        .is_some_and(|head| head.token == Some(take.token))
    {
        return Ok(Attempt::Applied);
    }
    if found.as_ref().map(|head| head.fence) != take.seen {
        return Ok(Attempt::Lost(found));
    }
    writing
        .connection
        .prepare_cached(
            "REPLACE INTO checkpoint_head (scope, fence, seq, token, holder) VALUES (?1, ?2, 0, ?3, ?4)",
        )?
        .execute(params![
            take.scope,
            take.fence(),
            bytes(&take.token.0),
            take.holder
        ])?;
    Ok(Attempt::Applied)
}

/// See [`SaveCheckpoints`].
pub(super) fn save(writing: &Writing<'_>, save: &SaveCheckpoints) -> Answer {
    if let Some(answer) = move_on(writing, &save.scope, save.fence, save.seq, save.token)? {
        return Ok(answer);
    }
    let mut put = writing.connection.prepare_cached(
        "REPLACE INTO checkpoint (scope, item, value, updated_at) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for (item, value) in &save.puts {
        put.execute(params![save.scope, item, value, save.now.0])?;
    }
    let mut remove = writing
        .connection
        .prepare_cached("DELETE FROM checkpoint WHERE scope = ?1 AND item = ?2")?;
    for item in &save.removes {
        remove.execute([&save.scope, item])?;
    }
    Ok(Attempt::Applied)
}

/// See [`ForgetCheckpoints`].
pub(super) fn forget(writing: &Writing<'_>, forget: &ForgetCheckpoints) -> Answer {
    let ForgetCheckpoints {
        scope, fence, seq, ..
    } = forget;
    if let Some(answer) = move_on(writing, scope, *fence, *seq, forget.token)? {
        return Ok(answer);
    }
    writing
        .connection
        .prepare_cached("DELETE FROM checkpoint WHERE scope = ?1")?
        .execute([scope])?;
    Ok(Attempt::Applied)
}

/// Raises seq where the head is as the holder has it; an answer where there is nothing more to do.
fn move_on(
    writing: &Writing<'_>,
    scope: &str,
    fence: Fence,
    seq: i64,
    token: Token,
) -> Result<Option<Attempt<Option<CheckpointHead>>>, Failure> {
    match head(writing.connection, scope)? {
        Some(head) if head.token == Some(token) => return Ok(Some(Attempt::Applied)),
        Some(head) if head.fence == fence && head.seq == seq => (),
        found => return Ok(Some(Attempt::Lost(found))),
    }
    writing
        .connection
        .prepare_cached("UPDATE checkpoint_head SET seq = ?2, token = ?3 WHERE scope = ?1")?
        .execute(params![scope, seq + 1, bytes(&token.0)])?;
    Ok(None)
}

/// Who holds a scope.
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

/// Items behind `after`, in the order of their bytes.
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
