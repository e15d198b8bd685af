//! Chunks: their heads, their ids and the entity rows that flushes record.

use std::collections::HashMap;

use rusqlite::{CachedStatement, Connection, OptionalExtension, params};
use weft_model::clock::Timestamp;
use weft_model::{BatchId, ChunkContent, ChunkFilter, ChunkHead, EntityRow, EntityStatus, NodeId};
use weft_store::{FlushChunk, OpenChunk};

use super::failure::Failure;
use super::instances;
use super::names::Names;
use super::packed::{PackedRows, RowView};
use super::queue::Writing;
use super::rows::{self, CHUNK, incarnation_bytes, json_text, token_bytes};
use super::table::{Outcome, Table, carry_out_by};

/// A flush with its rows packed.
#[derive(Debug)]
pub(super) struct PackedFlush {
    /// The flush without its rows.
    flush: FlushChunk,
    rows: PackedRows,
}

impl PackedFlush {
    pub(super) fn of(flush: &FlushChunk) -> Self {
        Self {
            rows: PackedRows::of(&flush.rows),
            flush: FlushChunk {
                batch: flush.batch,
                number: flush.number,
                holder: flush.holder.clone(),
                fence: flush.fence,
                seq: flush.seq,
                rows: Vec::new(),
                ok: flush.ok,
                failed: flush.failed,
                shares: flush.shares.clone(),
                crashes: flush.crashes,
                done: flush.done,
                logical_unit: flush.logical_unit.clone(),
                instances: flush.instances.clone(),
                token: flush.token,
            },
        }
    }

    /// How much it weighs in its group.
    pub(super) fn weight(&self) -> usize {
        self.rows.len() + self.flush.instances.len()
    }
}

/// A chunk's own number and how many rows it has.
pub(super) struct ChunkSlot {
    no: i64,
    recorded: i64,
}

fn find(
    connection: &Connection,
    names: &mut Names,
    (batch, number): (BatchId, i64),
) -> Result<Option<(ChunkSlot, ChunkHead)>, Failure> {
    let Some(batch_no) = names.batch(connection, batch)? else {
        return Ok(None);
    };
    connection
        .prepare_cached(&format!(
            "SELECT {CHUNK}, no, recorded FROM chunk WHERE batch_no = ?1 AND number = ?2"
        ))?
        .query_row([batch_no, number], |row| {
            let slot = ChunkSlot {
                no: row.get("no")?,
                recorded: row.get("recorded")?,
            };
            Ok(rows::chunk_head(row, batch).map(|head| (slot, head)))
        })
        .optional()?
        .transpose()
}

impl Table for ChunkHead {
    type Slot = ChunkSlot;

    fn load(
        writing: &mut Writing<'_>,
        key: &(BatchId, i64),
    ) -> Result<Option<(ChunkSlot, Self)>, Failure> {
        find(writing.connection, writing.names, *key)
    }

    fn save(
        writing: &mut Writing<'_>,
        _: &(BatchId, i64),
        slot: Option<ChunkSlot>,
        head: Option<&Self>,
    ) -> Result<(), Failure> {
        match (head, slot) {
            (Some(head), Some(slot)) => update(writing.connection, &slot, head),
            (Some(head), None) => insert(writing, head).map(drop),
            // Chunks are removed with their ids and entities, by `cleanup::forget_chunk`.
            (None, _) => Ok(()),
        }
    }
}

/// Writes the head of a chunk that is new; answers its own number.
fn insert(writing: &mut Writing<'_>, head: &ChunkHead) -> Result<i64, Failure> {
    let batch_no = writing.names.batch_or_new(writing.connection, head.batch)?;
    let no = writing
        .connection
        .prepare_cached(
            "INSERT INTO chunk (batch_no, number, state, owner, inc, fence, seq, token, total, ok, failed, \
             shares, source_position, source_read, crashes, creation_time) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16) RETURNING no",
        )?
        .query_row(
            params![
                batch_no,
                head.number,
                head.state.as_str(),
                head.holder.as_ref().map(|holder| &holder.node.0),
                incarnation_of(head),
                head.fence,
                head.seq,
                token_bytes(head.token.as_ref()),
                head.total,
                head.ok,
                head.failed,
                json_text(&head.shares)?,
                head.source_position,
                head.source_read,
                head.crashes,
                writing.clock.now().0,
            ],
            |row| row.get(0),
        )?;
    Ok(no)
}

/// Everything that an operation can change in the head of a chunk.
fn update(connection: &Connection, slot: &ChunkSlot, head: &ChunkHead) -> Result<(), Failure> {
    connection
        .prepare_cached(
            "UPDATE chunk SET state = ?2, owner = ?3, inc = ?4, fence = ?5, seq = ?6, token = ?7, ok = ?8, \
             failed = ?9, shares = ?10, crashes = ?11, recorded = ?12 WHERE no = ?1",
        )?
        .execute(params![
            slot.no,
            head.state.as_str(),
            head.holder.as_ref().map(|holder| &holder.node.0),
            incarnation_of(head),
            head.fence,
            head.seq,
            token_bytes(head.token.as_ref()),
            head.ok,
            head.failed,
            json_text(&head.shares)?,
            head.crashes,
            slot.recorded,
        ])?;
    Ok(())
}

fn incarnation_of(head: &ChunkHead) -> Option<&[u8]> {
    let holder = head.holder.as_ref();
    incarnation_bytes(holder.map(|holder| &holder.incarnation))
}

/// See [`OpenChunk`].
pub(super) fn open(writing: &mut Writing<'_>, open: &OpenChunk) -> Outcome<ChunkHead> {
    carry_out_by(writing, open, |writing, _, head| {
        let no = head.map(|head| insert(writing, head)).transpose()?;
        if !open.ids.is_empty() {
            writing
                .connection
                .prepare_cached("INSERT INTO chunk_ids (chunk_no, ids) VALUES (?1, ?2)")?
                .execute(params![no, json_text(&open.ids)?])?;
        }
        if let Some(filter) = open.filter() {
            writing
                .connection
                .prepare_cached("INSERT INTO chunk_filter (chunk_no, filter) VALUES (?1, ?2)")?
                .execute(params![no, filter.bytes()])?;
        }
        Ok(())
    })
}

/// See [`FlushChunk`]. Instances, rows and head change in one transaction.
pub(super) fn flush(writing: &mut Writing<'_>, packed: &PackedFlush) -> Outcome<ChunkHead> {
    let flush = &packed.flush;
    carry_out_by(writing, flush, |writing, slot, head| {
        if !flush.instances.is_empty() {
            instances::save(writing, &flush.logical_unit, &flush.instances)?;
        }
        if let Some((slot, head)) = slot.zip(head) {
            let recorded = record(writing, packed, &slot)?;
            let slot = ChunkSlot { recorded, ..slot };
            update(writing.connection, &slot, head)?;
        }
        Ok(())
    })
}

/// Writes the rows of a flush; answers how many rows the chunk has now.
fn record(
    writing: &mut Writing<'_>,
    packed: &PackedFlush,
    slot: &ChunkSlot,
) -> Result<i64, Failure> {
    let PackedFlush { flush, rows } = packed;
    let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    let nodes = rows
        .nodes()
        .iter()
        .map(|node| writing.names.node_or_new(writing.connection, node))
        .collect::<Result<Vec<i64>, Failure>>()?;
    // The counts show whether an id was recorded before (a retry): then fewer have ended than there would be rows.
    let is_retry = slot.recorded > 0 && flush.ok + flush.failed < slot.recorded + count;
    let earlier = if is_retry {
        keys_by_id(writing.connection, slot.no)?
    } else {
        HashMap::new()
    };
    let first_key = *writing.next_entity_key;
    let mut key = first_key;
    let mut insert = writing.connection.prepare_cached(
        "INSERT INTO entity (key, id, failed, result, error, node_no, start_time, lasted_ms, duration_us, \
         attempt, fence) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?;
    for row in rows.iter() {
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
            .execute([slot.no, first_key, key - first_key])?;
    }
    *writing.next_entity_key = key;
    Ok(slot.recorded + key - first_key)
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

/// The filters of a span of numbers.
pub(super) fn filters(
    connection: &Connection,
    names: &mut Names,
    batch: BatchId,
    from: i64,
    to: i64,
) -> Result<Vec<(i64, ChunkFilter)>, Failure> {
    let Some(batch_no) = names.batch(connection, batch)? else {
        return Ok(Vec::new());
    };
    let mut statement = connection.prepare_cached(
        "SELECT c.number, f.filter FROM chunk c JOIN chunk_filter f ON f.chunk_no = c.no \
         WHERE c.batch_no = ?1 AND c.number >= ?2 AND c.number < ?3 ORDER BY c.number",
    )?;
    let filters = statement
        .query_map([batch_no, from, to], |row| {
            Ok((row.get(0)?, ChunkFilter::from_bytes(row.get(1)?)))
        })?
        .collect::<Result<_, _>>()?;
    Ok(filters)
}

/// One chunk with its ids.
pub(super) fn content(
    connection: &Connection,
    names: &mut Names,
    batch: BatchId,
    number: i64,
) -> Result<Option<ChunkContent>, Failure> {
    let Some((slot, head)) = find(connection, names, (batch, number))? else {
        return Ok(None);
    };
    let ids = connection
        .prepare_cached("SELECT ids FROM chunk_ids WHERE chunk_no = ?1")?
        .query_row([slot.no], |row| {
            Ok(rows::Columns::of(row, "chunk_ids").json("ids"))
        })
        .optional()?
        .transpose()?
        .unwrap_or_default();
    let mut statement = connection.prepare_cached(&format!(
        "SELECT e.id {ROWS_OF_CHUNK} WHERE r.chunk_no = ?1 ORDER BY e.key"
    ))?;
    let handled = statement
        .query_map([slot.no], |row| row.get(0))?
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
    let Some((slot, _)) = find(connection, names, (batch, number))? else {
        return Ok(Vec::new());
    };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT e.id, e.failed, e.result, e.error, \
         (SELECT guid FROM node_number WHERE no = e.node_no), e.start_time, e.lasted_ms, e.duration_us, \
         e.attempt, e.fence {ROWS_OF_CHUNK} WHERE r.chunk_no = ?1 ORDER BY e.key"
    ))?;
    let rows = statement
        .query_map([slot.no], |row| {
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
