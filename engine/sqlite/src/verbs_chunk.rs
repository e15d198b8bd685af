//! The compare-and-sets of chunks, the flush of results, and what reads them.

use std::collections::HashMap;

use rusqlite::{CachedStatement, Connection, OptionalExtension, params};
use weft_model::clock::Timestamp;
use weft_model::{
    BatchId, ChunkContent, ChunkHead, ChunkState, EntityRow, EntityStatus, Instance, NodeId, Token,
};
use weft_store::{Attempt, ChangeChunk, ClaimChunk, FlushChunk, OpenChunk};

use super::failure::Failure;
use super::names::Names;
use super::packed::{PackedRows, RowView};
use super::plain;
use super::queue::Writing;
use super::rows::{self, CHUNK, bytes, json_text};

/// A flush without its rows, and the rows packed.
#[derive(Debug)]
pub(super) struct PackedFlush {
    batch: BatchId,
    number: i64,
    fence: i64,
    seq: i64,
    ok: i64,
    failed: i64,
    shares: String,
    done: bool,
    logical_unit: String,
    instances: Vec<Instance>,
    token: Token,
    rows: PackedRows,
}

impl PackedFlush {
    pub(super) fn of(flush: &FlushChunk) -> Result<Self, Failure> {
        Ok(Self {
            batch: flush.batch,
            number: flush.number,
            fence: flush.fence,
            seq: flush.seq,
            ok: flush.ok,
            failed: flush.failed,
            shares: json_text(&flush.shares)?,
            done: flush.done,
            logical_unit: flush.logical_unit.clone(),
            instances: flush.instances.clone(),
            token: flush.token,
            rows: PackedRows::of(&flush.rows),
        })
    }

    /// How much it weighs in its group.
    pub(super) fn weight(&self) -> usize {
        self.rows.len() + self.instances.len()
    }
}

/// A chunk's own number and how many rows it has.
struct Place {
    no: i64,
    recorded: i64,
}

fn find(
    connection: &Connection,
    names: &mut Names,
    batch: BatchId,
    number: i64,
) -> Result<Option<(Place, ChunkHead)>, Failure> {
    let Some(batch_no) = names.batch(connection, batch)? else {
        return Ok(None);
    };
    connection
        .prepare_cached(&format!(
            "SELECT {CHUNK}, no, recorded FROM chunk WHERE batch_no = ?1 AND number = ?2"
        ))?
        .query_row([batch_no, number], |row| {
            let place = Place {
                no: row.get("no")?,
                recorded: row.get("recorded")?,
            };
            Ok(rows::chunk_head(row, batch).map(|head| (place, head)))
        })
        .optional()?
        .transpose()
}

/// Checks a compare-and-set of a chunk: its place where it may go on.
fn admitted(
    writing: &mut Writing<'_>,
    batch: BatchId,
    number: i64,
    token: Token,
    condition: impl FnOnce(&ChunkHead) -> bool,
) -> Result<Result<Place, Attempt<Option<ChunkHead>>>, Failure> {
    let Some((place, head)) = find(writing.connection, writing.names, batch, number)? else {
        return Ok(Err(Attempt::Lost(None)));
    };
    if head.token == Some(token) {
        return Ok(Err(Attempt::Applied));
    }
    if !condition(&head) {
        return Ok(Err(Attempt::Lost(Some(head))));
    }
    Ok(Ok(place))
}

/// See [`OpenChunk`].
pub(super) fn open(
    writing: &mut Writing<'_>,
    open: &OpenChunk,
) -> Result<Attempt<Option<ChunkHead>>, Failure> {
    if let Some((_, head)) = find(writing.connection, writing.names, open.batch, open.number)? {
        return Ok(if head.token == Some(open.token) {
            Attempt::Applied
        } else {
            Attempt::Lost(Some(head))
        });
    }
    let batch_no = writing.names.batch_or_new(writing.connection, open.batch)?;
    let no: i64 = writing
        .connection
        .prepare_cached(
            "INSERT INTO chunk (batch_no, number, state, owner, inc, fence, seq, token, total, ok, failed, \
             shares, source_position, crashes, creation_time) \
             VALUES (?1, ?2, ?3, ?4, ?5, 1, 0, ?6, ?7, 0, 0, '{}', ?8, 0, ?9) RETURNING no",
        )?
        .query_row(
            params![
                batch_no,
                open.number,
                open.state.as_str(),
                open.holder.as_ref().map(|holder| &holder.node.0),
                open.holder
                    .as_ref()
                    .map(|holder| bytes(&holder.incarnation.0)),
                bytes(&open.token.0),
                i64::try_from(open.ids.len()).unwrap_or(i64::MAX),
                open.source_position,
                writing.clock.now().0,
            ],
            |row| row.get(0),
        )?;
    if !open.ids.is_empty() {
        writing
            .connection
            .prepare_cached("INSERT INTO chunk_ids (chunk_no, ids) VALUES (?1, ?2)")?
            .execute(params![no, json_text(&open.ids)?])?;
    }
    Ok(Attempt::Applied)
}

/// See [`ClaimChunk`].
pub(super) fn claim(
    writing: &mut Writing<'_>,
    claim: &ClaimChunk,
) -> Result<Attempt<Option<ChunkHead>>, Failure> {
    let condition = |head: &ChunkHead| {
        head.fence == claim.seen_fence
            && matches!(head.state, ChunkState::New | ChunkState::InProgress)
    };
    let place = match admitted(writing, claim.batch, claim.number, claim.token, condition)? {
        Ok(place) => place,
        Err(answer) => return Ok(answer),
    };
    writing
        .connection
        .prepare_cached(
            "UPDATE chunk SET state = ?2, owner = ?3, inc = ?4, fence = ?5, crashes = ?6, token = ?7 \
             WHERE no = ?1",
        )?
        .execute(params![
            place.no,
            ChunkState::InProgress.as_str(),
            claim.holder.node.0,
            bytes(&claim.holder.incarnation.0),
            claim.seen_fence + 1,
            claim.crashes,
            bytes(&claim.token.0),
        ])?;
    Ok(Attempt::Applied)
}

/// See [`ChangeChunk`].
pub(super) fn change(
    writing: &mut Writing<'_>,
    change: &ChangeChunk,
) -> Result<Attempt<Option<ChunkHead>>, Failure> {
    let condition = |head: &ChunkHead| head.fence == change.seen_fence && head.state == change.from;
    let place = match admitted(
        writing,
        change.batch,
        change.number,
        change.token,
        condition,
    )? {
        Ok(place) => place,
        Err(answer) => return Ok(answer),
    };
    writing
        .connection
        .prepare_cached(
            "UPDATE chunk SET state = ?2, owner = NULL, inc = NULL, fence = ?3, token = ?4 WHERE no = ?1",
        )?
        .execute(params![
            place.no,
            change.to.as_str(),
            change.seen_fence + 1,
            bytes(&change.token.0),
        ])?;
    Ok(Attempt::Applied)
}

/// See [`FlushChunk`]. Instances, rows and head change in one transaction.
pub(super) fn flush(
    writing: &mut Writing<'_>,
    flush: &PackedFlush,
) -> Result<Attempt<Option<ChunkHead>>, Failure> {
    let condition = |head: &ChunkHead| head.fence == flush.fence && head.seq == flush.seq - 1;
    let place = match admitted(writing, flush.batch, flush.number, flush.token, condition)? {
        Ok(place) => place,
        Err(answer) => return Ok(answer),
    };
    if !flush.instances.is_empty() {
        plain::save_instances(writing, &flush.logical_unit, &flush.instances)?;
    }
    let recorded = record(writing, flush, &place)?;
    writing
        .connection
        .prepare_cached(
            "UPDATE chunk SET seq = ?2, ok = ?3, failed = ?4, shares = ?5, token = ?6, recorded = ?7, \
             state = CASE WHEN ?8 THEN 'DONE' ELSE state END WHERE no = ?1",
        )?
        .execute(params![
            place.no,
            flush.seq,
            flush.ok,
            flush.failed,
            flush.shares,
            bytes(&flush.token.0),
            recorded,
            flush.done,
        ])?;
    Ok(Attempt::Applied)
}

/// Writes the rows of a flush; answers how many rows the chunk has now.
fn record(writing: &mut Writing<'_>, flush: &PackedFlush, place: &Place) -> Result<i64, Failure> {
    let count = i64::try_from(flush.rows.len()).unwrap_or(i64::MAX);
    let nodes = flush
        .rows
        .nodes()
        .iter()
        .map(|node| writing.names.node_or_new(writing.connection, node))
        .collect::<Result<Vec<i64>, Failure>>()?;
    // The counts tell whether an id comes back (a retry): then fewer have ended than rows would stand.
    let comes_back = place.recorded > 0 && flush.ok + flush.failed < place.recorded + count;
    let earlier = if comes_back {
        keys_by_id(writing.connection, place.no)?
    } else {
        HashMap::new()
    };
    let first_key = *writing.next_entity_key;
    let mut key = first_key;
    let mut insert = writing.connection.prepare_cached(
        "INSERT INTO entity (key, id, failed, result, error, node_no, start_time, lasted_ms, duration_us, \
         attempt, fence) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?;
    for row in flush.rows.iter() {
        if let Some(key) = earlier.get(row.id) {
            let mut replace = writing.connection.prepare_cached(
                "REPLACE INTO entity (key, id, failed, result, error, node_no, start_time, lasted_ms, \
                 duration_us, attempt, fence) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            )?;
            write_row(&mut replace, *key, &row, &nodes)?;
        } else {
            write_row(&mut insert, key, &row, &nodes)?;
            key += 1;
        }
    }
    if key > first_key {
        writing
            .connection
            .prepare_cached(
                "INSERT INTO entity_run (chunk_no, first_key, row_count) VALUES (?1, ?2, ?3)",
            )?
            .execute([place.no, first_key, key - first_key])?;
    }
    *writing.next_entity_key = key;
    Ok(place.recorded + key - first_key)
}

fn write_row(
    statement: &mut CachedStatement<'_>,
    key: i64,
    row: &RowView<'_>,
    nodes: &[i64],
) -> Result<(), Failure> {
    statement.raw_bind_parameter(1, key)?;
    statement.raw_bind_parameter(2, row.id)?;
    statement.raw_bind_parameter(3, row.failed)?;
    statement.raw_bind_parameter(4, row.result)?;
    statement.raw_bind_parameter(5, row.error)?;
    statement.raw_bind_parameter(6, nodes[row.node])?;
    statement.raw_bind_parameter(7, row.start_time)?;
    statement.raw_bind_parameter(8, row.lasted_ms)?;
    statement.raw_bind_parameter(9, row.duration_us)?;
    statement.raw_bind_parameter(10, row.attempt)?;
    statement.raw_bind_parameter(11, row.fence)?;
    statement.raw_execute()?;
    Ok(())
}

/// The rows of a chunk, by the runs of keys they were appended under.
const ROWS_OF_CHUNK: &str = "FROM entity_run r JOIN entity e \
    ON e.key >= r.first_key AND e.key < r.first_key + r.row_count";

fn keys_by_id(connection: &Connection, chunk_no: i64) -> Result<HashMap<String, i64>, Failure> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT e.id, e.key {ROWS_OF_CHUNK} WHERE r.chunk_no = ?1"
    ))?;
    let keys = statement
        .query_map([chunk_no], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    Ok(keys)
}

/// The heads of a span of numbers.
pub(super) fn heads(
    connection: &Connection,
    names: &mut Names,
    batch: BatchId,
    from: i64,
    to: i64,
) -> Result<Vec<ChunkHead>, Failure> {
    let Some(batch_no) = names.batch(connection, batch)? else {
        return Ok(Vec::new());
    };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {CHUNK} FROM chunk WHERE batch_no = ?1 AND number >= ?2 AND number < ?3 ORDER BY number"
    ))?;
    let mut found = statement.query([batch_no, from, to])?;
    let mut heads = Vec::new();
    while let Some(row) = found.next()? {
        heads.push(rows::chunk_head(row, batch)?);
    }
    Ok(heads)
}

/// One chunk with its ids.
pub(super) fn content(
    connection: &Connection,
    names: &mut Names,
    batch: BatchId,
    number: i64,
) -> Result<Option<ChunkContent>, Failure> {
    let Some((place, head)) = find(connection, names, batch, number)? else {
        return Ok(None);
    };
    let ids = connection
        .prepare_cached("SELECT ids FROM chunk_ids WHERE chunk_no = ?1")?
        .query_row([place.no], |row| {
            Ok(rows::Columns::of(row, "chunk_ids").json("ids"))
        })
        .optional()?
        .transpose()?
        .unwrap_or_default();
    let mut statement = connection.prepare_cached(&format!(
        "SELECT e.id {ROWS_OF_CHUNK} WHERE r.chunk_no = ?1 ORDER BY e.key"
    ))?;
    let handled = statement
        .query_map([place.no], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    Ok(Some(ChunkContent { head, ids, handled }))
}

/// The handled entities of a chunk, in the order they were recorded.
pub(super) fn entities(
    connection: &Connection,
    names: &mut Names,
    batch: BatchId,
    number: i64,
) -> Result<Vec<EntityRow>, Failure> {
    let Some((place, _)) = find(connection, names, batch, number)? else {
        return Ok(Vec::new());
    };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT e.id, e.failed, e.result, e.error, \
         (SELECT guid FROM node_number WHERE no = e.node_no), e.start_time, e.lasted_ms, e.duration_us, \
         e.attempt, e.fence {ROWS_OF_CHUNK} WHERE r.chunk_no = ?1 ORDER BY e.key"
    ))?;
    let rows = statement
        .query_map([place.no], |row| {
            let start_time: i64 = row.get(5)?;
            Ok(EntityRow {
                id: row.get(0)?,
                status: if row.get(1)? {
                    EntityStatus::Failed
                } else {
                    EntityStatus::Completed
                },
                result: row.get(2)?,
                error: row.get(3)?,
                node: NodeId(row.get(4)?),
                start_time: Timestamp(start_time),
                end_time: Timestamp(start_time + row.get::<_, i64>(6)?),
                duration_us: row.get(7)?,
                attempt: row.get(8)?,
                fence: row.get(9)?,
            })
        })?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}
