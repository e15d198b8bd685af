//! What is written plainly: nodes, their figures, instances, bundles; and the deployment.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};
use weft_model::{BatchId, Deployment, Instance, InstanceHead, NodeRow, NodeStats, Setting};
use weft_store::{Attempt, Deploy, PutSetting, StoreError};

use super::failure::Failure;
use super::names::Names;
use super::queue::Writing;
use super::rows::{self, DEPLOYMENT, NODE, NODE_STATS, SETTING, bytes, json_text};
use super::verbs_job::sql_limit;

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

/// Saves instances; an older `sync_version` never replaces a newer.
pub(super) fn save_instances(
    writing: &mut Writing<'_>,
    logical_unit: &str,
    instances: &[Instance],
) -> Result<(), Failure> {
    let lu_no = writing
        .names
        .logical_unit_or_new(writing.connection, logical_unit)?;
    let mut save = writing.connection.prepare_cached(
        "INSERT INTO instance (lu_no, id, sync_version, content_hash, schema_hash, bid, image) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
         ON CONFLICT (lu_no, id) DO UPDATE SET sync_version = excluded.sync_version, \
         content_hash = excluded.content_hash, schema_hash = excluded.schema_hash, bid = excluded.bid, \
         image = excluded.image WHERE instance.sync_version < excluded.sync_version",
    )?;
    for instance in instances {
        save.execute(params![
            lu_no,
            instance.head.id,
            instance.head.sync_version,
            instance.head.content_hash,
            instance.head.schema_hash,
            instance.batch.map(|batch| batch.to_string()),
            instance.image,
        ])?;
    }
    Ok(())
}

const INSTANCE_OF: &str = "FROM instance i JOIN logical_unit_number n ON n.no = i.lu_no \
    WHERE n.name = ?1 AND i.id";

/// What is stored of these instances.
pub(super) fn instance_heads(
    connection: &Connection,
    logical_unit: &str,
    ids: &[String],
) -> Result<BTreeMap<String, InstanceHead>, Failure> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT i.content_hash, i.schema_hash, i.sync_version {INSTANCE_OF} = ?2"
    ))?;
    let mut heads = BTreeMap::new();
    for id in ids {
        let head = statement
            .query_row([logical_unit, id], |row| {
                Ok(InstanceHead {
                    id: id.clone(),
                    content_hash: row.get(0)?,
                    schema_hash: row.get(1)?,
                    sync_version: row.get(2)?,
                })
            })
            .optional()?;
        if let Some(head) = head {
            heads.insert(id.clone(), head);
        }
    }
    Ok(heads)
}

/// One instance with its image.
pub(super) fn instance(
    connection: &Connection,
    logical_unit: &str,
    id: &str,
) -> Result<Option<Instance>, Failure> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT i.content_hash, i.schema_hash, i.sync_version, i.bid, i.image {INSTANCE_OF} = ?2"
    ))?;
    let mut found = statement.query([logical_unit, id])?;
    let Some(row) = found.next()? else {
        return Ok(None);
    };
    let mut columns = rows::Columns::of(row, "instance");
    Ok(Some(Instance {
        head: InstanceHead {
            id: id.to_owned(),
            content_hash: columns.take()?,
            schema_hash: columns.take()?,
            sync_version: columns.take()?,
        },
        batch: columns.parsed_or_none("bid")?,
        image: columns.take()?,
    }))
}

/// Ids of stored instances behind `after`, in the order of their bytes.
pub(super) fn instance_ids(
    connection: &Connection,
    logical_unit: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<String>, Failure> {
    // Two statements, because a condition with OR would not walk the index.
    let mut statement = connection.prepare_cached(&match after {
        Some(_) => format!("SELECT i.id {INSTANCE_OF} > ?3 ORDER BY i.id LIMIT ?2"),
        None => format!("SELECT i.id {INSTANCE_OF} >= '' ORDER BY i.id LIMIT ?2"),
    })?;
    statement.raw_bind_parameter(1, logical_unit)?;
    statement.raw_bind_parameter(2, sql_limit(limit))?;
    if let Some(after) = after {
        statement.raw_bind_parameter(3, after)?;
    }
    let mut found = statement.raw_query();
    let mut ids = Vec::new();
    while let Some(row) = found.next()? {
        ids.push(row.get(0)?);
    }
    Ok(ids)
}

/// Gives logical units their numbers and the view `k2view_<lu>.entity`.
pub(super) fn ensure_logical_units(
    writing: &mut Writing<'_>,
    logical_units: &[String],
) -> Result<(), Failure> {
    for name in logical_units {
        let fits = !name.is_empty()
            && name
                .chars()
                .all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        if !fits {
            return Err(Failure::Store(StoreError::Refused(format!(
                "{name:?} is no name for a logical unit: letters, digits and _ only"
            ))));
        }
        let lu_no = writing
            .names
            .logical_unit_or_new(writing.connection, name)?;
        writing.connection.execute_batch(&format!(
            "CREATE VIEW IF NOT EXISTS \"k2view_{}.entity\" AS \
             SELECT id, bid AS batch_id, image AS data, schema_hash, content_hash, sync_version \
             FROM instance WHERE lu_no = {lu_no}",
            name.to_ascii_lowercase()
        ))?;
    }
    Ok(())
}

/// Stores a bundle; the same one twice is one.
pub(super) fn put_bundle(writing: &Writing<'_>, hash: &str, bytes: &[u8]) -> Result<(), Failure> {
    writing
        .connection
        .prepare_cached("INSERT INTO bundle (hash, bytes) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
        .execute(params![hash, bytes])?;
    Ok(())
}

/// A stored bundle.
pub(super) fn bundle(connection: &Connection, hash: &str) -> Result<Option<Vec<u8>>, Failure> {
    Ok(connection
        .prepare_cached("SELECT bytes FROM bundle WHERE hash = ?1")?
        .query_row([hash], |row| row.get(0))
        .optional()?)
}

/// See [`Deploy`].
pub(super) fn deploy(
    writing: &Writing<'_>,
    deploy: &Deploy,
) -> Result<Attempt<Option<Deployment>>, Failure> {
    let mut seq = 0;
    if let Some((token, found)) = deployed(writing.connection)? {
        if token == Some(deploy.token) {
            return Ok(Attempt::Applied);
        }
        seq = found.seq;
        if seq != deploy.deployment.seq - 1 {
            return Ok(Attempt::Lost(Some(found)));
        }
    }
    if seq != deploy.deployment.seq - 1 {
        return Ok(Attempt::Lost(None));
    }
    writing
        .connection
        .prepare_cached(&format!(
            "REPLACE INTO deployment (one, {DEPLOYMENT}) VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6)"
        ))?
        .execute(params![
            bytes(&deploy.token.0),
            deploy.deployment.seq,
            deploy.deployment.hash,
            deploy.deployment.deployed_at.0,
            deploy.deployment.deployed_by,
            json_text(&deploy.deployment.logical_units)?,
        ])?;
    Ok(Attempt::Applied)
}

/// See [`PutSetting`].
pub(super) fn put_setting(
    writing: &Writing<'_>,
    put: &PutSetting,
) -> Result<Attempt<Option<Setting>>, Failure> {
    let setting = &put.setting;
    let found = written_setting(writing.connection, &setting.name)?;
    let seq = match &found {
        Some((token, _)) if *token == Some(put.token) => return Ok(Attempt::Applied),
        Some((_, found)) => found.seq,
        None => 0,
    };
    if seq != setting.seq - 1 {
        return Ok(Attempt::Lost(found.map(|(_, found)| found)));
    }
    writing
        .connection
        .prepare_cached(&format!(
            "REPLACE INTO cluster_setting ({SETTING}) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
        ))?
        .execute(params![
            bytes(&put.token.0),
            setting.name,
            setting.seq,
            setting.value,
            setting.changed_at.0,
            setting.changed_by,
        ])?;
    Ok(Attempt::Applied)
}

/// One setting.
pub(super) fn setting(connection: &Connection, name: &str) -> Result<Option<Setting>, Failure> {
    Ok(written_setting(connection, name)?.map(|(_, setting)| setting))
}

fn written_setting(
    connection: &Connection,
    name: &str,
) -> Result<Option<(Option<weft_model::Token>, Setting)>, Failure> {
    connection
        .prepare_cached(&format!(
            "SELECT {SETTING} FROM cluster_setting WHERE name = ?1"
        ))?
        .query_row([name], |row| Ok(rows::setting(row)))
        .optional()?
        .transpose()
}

/// The deployed project.
pub(super) fn deployment(connection: &Connection) -> Result<Option<Deployment>, Failure> {
    Ok(deployed(connection)?.map(|(_, deployment)| deployment))
}

fn deployed(
    connection: &Connection,
) -> Result<Option<(Option<weft_model::Token>, Deployment)>, Failure> {
    connection
        .prepare_cached(&format!(
            "SELECT {DEPLOYMENT} FROM deployment WHERE one = 1"
        ))?
        .query_row([], |row| Ok(rows::deployment(row)))
        .optional()?
        .transpose()
}
