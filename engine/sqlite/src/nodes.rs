//! Nodes and their figures of batches: plain rows, one writer each.

use rusqlite::{Connection, params};
use weft_model::{BatchId, NodeRow, NodeStats};

use super::failure::Failure;
use super::names::Names;
use super::queue::Writing;
use super::rows::{self, NODE, NODE_STATS, bytes, json_text};

/// A node writes its own row.
pub(super) fn put_node(writing: &Writing<'_>, row: &NodeRow) -> Result<(), Failure> {
    writing
        .connection
        .prepare_cached(&format!(
            "REPLACE INTO node ({NODE}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)"
        ))?
        .execute(params![
            row.guid.0,
            row.dc,
            row.effective_ip,
            json_text(&row.ips)?,
            json_text(&row.logical_ids)?,
            bytes(&row.incarnation.0),
            row.hb_seq,
            row.heartbeat_at.0,
            row.state.as_str(),
            row.version,
            row.http_address,
            json_text(&row.coordinates)?,
        ])?;
    Ok(())
}

/// All nodes.
pub(super) fn nodes(connection: &Connection) -> Result<Vec<NodeRow>, Failure> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT {NODE} FROM node ORDER BY guid"))?;
    let mut found = statement.query([])?;
    let mut nodes = Vec::new();
    while let Some(row) = found.next()? {
        nodes.push(rows::node(row)?);
    }
    Ok(nodes)
}

/// A node writes its own figures of a batch.
pub(super) fn put_node_stats(writing: &mut Writing<'_>, stats: &NodeStats) -> Result<(), Failure> {
    let batch_no = writing
        .names
        .batch_or_new(writing.connection, stats.batch)?;
    writing
        .connection
        .prepare_cached(&format!(
            "REPLACE INTO batch_node (batch_no, {NODE_STATS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
        ))?
        .execute(params![
            batch_no,
            stats.node.0,
            stats.dc,
            stats.updated_time.0,
            json_text(&stats.share)?,
            json_text(&stats.slowest)?,
            stats.histogram,
            stats.pace_milli,
            json_text(&stats.in_process)?,
        ])?;
    Ok(())
}

/// The figures of all nodes of a batch.
pub(super) fn node_stats(
    connection: &Connection,
    names: &mut Names,
    batch: BatchId,
) -> Result<Vec<NodeStats>, Failure> {
    let Some(batch_no) = names.batch(connection, batch)? else {
        return Ok(Vec::new());
    };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {NODE_STATS} FROM batch_node WHERE batch_no = ?1 ORDER BY node"
    ))?;
    let mut found = statement.query([batch_no])?;
    let mut stats = Vec::new();
    while let Some(row) = found.next()? {
        stats.push(rows::node_stats(row, batch)?);
    }
    Ok(stats)
}
