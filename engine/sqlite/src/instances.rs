//! Instances of logical units: plain rows, guarded by their version.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};
use weft_model::{Instance, InstanceHead};
use weft_store::StoreError;

use super::failure::Failure;
use super::queue::Writing;
use super::rows::{self, sql_limit};

/// Saves instances; an older `sync_version` never replaces a newer.
pub(super) fn save(
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

/// The heads of these instances; missing ones are left out.
pub(super) fn heads(
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
pub(super) fn get(
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

/// Ids of stored instances after `after`, in the order of their bytes.
pub(super) fn ids(
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

/// Assigns numbers to logical units and creates the view `k2view_<lu>.entity`.
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
