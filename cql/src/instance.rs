//! Stored instances of logical units: one row per instance, and rows for the pieces of large images.
//!
//! The write timestamp of a save is the time at which its source was read, so a late save of older data has no effect.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use weft_model::{Instance, InstanceHead};
use weft_store::{StoreError, StoreResult, check_sought_id, check_stored_id};

use crate::CassandraStore;
use crate::request::all_of;
use crate::row::StoredRow;
use crate::statements::UnitStatements;
use crate::values::Values;

/// A larger image is stored in pieces of this many bytes.
const PIECE: usize = 1 << 20;
/// `chunks_count` of an image that is in the instance's row. Null would be a tombstone per instance.
const WHOLE: i32 = 0;
/// Saves in flight.
const SAVES_AT_ONCE: usize = 128;
/// Heads read at once.
const READS_AT_ONCE: usize = 64;
/// Pieces of one image read at once.
const PIECES_AT_ONCE: usize = 4;
/// Reads of a large image before giving up because it is replaced during each of them.
const READ_TRIES: usize = 4;
/// Extra rows of a page, for ids that share the token of the last id.
const SAME_TOKEN: usize = 8;

impl CassandraStore {
    /// The statements of a logical unit, prepared at first use.
    async fn unit(&self, logical_unit: &str) -> StoreResult<Arc<UnitStatements>> {
        let keyspace = self.connection.keyspaces.unit(logical_unit)?;
        if let Some(unit) = self.lock_units().get(&keyspace) {
            return Ok(Arc::clone(unit));
        }
        let prepared = UnitStatements::prepare(
            &self.connection.session,
            &self.connection.profiles,
            &keyspace,
        )
        .await;
        let unit = Arc::new(prepared.map_err(|error| match error {
            StoreError::Schema(reason) => StoreError::Schema(format!(
                "logical unit {logical_unit} has no tables, deploy a project that contains it: {reason}"
            )),
            other => other,
        })?);
        self.lock_units().insert(keyspace, Arc::clone(&unit));
        Ok(unit)
    }

    fn lock_units(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<UnitStatements>>> {
        self.unit_statements
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) async fn write_instances(
        &self,
        verb: &'static str,
        logical_unit: &str,
        instances: &[Instance],
    ) -> StoreResult<()> {
        let mut ids = instances.iter().map(|instance| instance.head.id.as_str());
        ids.try_for_each(check_stored_id)?;
        let unit = self.unit(logical_unit).await?;
        let saves = instances
            .iter()
            .map(|instance| self.write_instance(verb, &unit, instance))
            .collect();
        all_of(SAVES_AT_ONCE, saves).await.map(|_| ())
    }

    async fn write_instance(
        &self,
        verb: &'static str,
        unit: &UnitStatements,
        instance: &Instance,
    ) -> StoreResult<()> {
        let head = &instance.head;
        let in_pieces = instance.image.len() > PIECE;
        let replaced = if in_pieces {
            self.write_pieces(verb, unit, instance).await?
        } else {
            None
        };
        let pieces = if in_pieces {
            i32::try_from(instance.image.chunks(PIECE).count()).unwrap_or(i32::MAX)
        } else {
            WHOLE
        };
        let values = Values::new()
            .set("id", &head.id)
            .set("batch_id", instance.batch)
            .set("chunks_count", pieces)
            .set("data", (!in_pieces).then_some(instance.image.as_slice()))
            .set("schema_hash", head.schema_hash.as_slice())
            .set("content_hash", head.content_hash.as_slice())
            .set("sync_version", head.sync_version)
            .set("stamp", head.sync_version);
        self.write(verb, &unit.put, values).await?;
        match replaced {
            Some((version, pieces)) => {
                self.delete_pieces(verb, unit, &head.id, version, pieces)
                    .await
            }
            None => Ok(()),
        }
    }

    /// Writes the pieces of a large image. Returns the version and the number of pieces of the older image that it
    /// replaces.
    async fn write_pieces(
        &self,
        verb: &'static str,
        unit: &UnitStatements,
        instance: &Instance,
    ) -> StoreResult<Option<(i64, i32)>> {
        let head = &instance.head;
        let stored = self
            .read_one(
                verb,
                "entity",
                &unit.head,
                Values::new().set("id", &head.id),
            )
            .await?;
        let replaced = match stored {
            Some(mut row) => row.take("sync_version")?.zip(row.take("chunks_count")?),
            None => None,
        };
        for (number, piece) in instance.image.chunks(PIECE).enumerate() {
            let values = piece_key(&head.id, head.sync_version, number)
                .set("data", piece)
                .set("stamp", head.sync_version);
            self.write(verb, &unit.put_chunk, values).await?;
        }
        Ok(replaced.filter(|(version, _)| *version < head.sync_version))
    }

    async fn delete_pieces(
        &self,
        verb: &'static str,
        unit: &UnitStatements,
        id: &str,
        version: i64,
        pieces: i32,
    ) -> StoreResult<()> {
        for number in 0..usize::try_from(pieces).unwrap_or(0) {
            self.write(verb, &unit.drop_chunk, piece_key(id, version, number))
                .await?;
        }
        Ok(())
    }

    pub(crate) async fn read_instance_heads(
        &self,
        logical_unit: &str,
        ids: &[String],
    ) -> StoreResult<BTreeMap<String, InstanceHead>> {
        const VERB: &str = "instance_heads";
        ids.iter().try_for_each(|id| check_sought_id(id))?;
        let unit = self.unit(logical_unit).await?;
        let reads = ids
            .iter()
            .map(|id| self.read_one(VERB, "entity", &unit.head, Values::new().set("id", id)))
            .collect();
        let mut heads = BTreeMap::new();
        for mut row in all_of(READS_AT_ONCE, reads).await?.into_iter().flatten() {
            let head = instance_head_of(&mut row)?;
            heads.insert(head.id.clone(), head);
        }
        Ok(heads)
    }

    pub(crate) async fn read_instance(
        &self,
        logical_unit: &str,
        id: &str,
    ) -> StoreResult<Option<Instance>> {
        const VERB: &str = "instance";
        check_sought_id(id)?;
        let unit = self.unit(logical_unit).await?;
        for _ in 0..READ_TRIES {
            let row = self
                .read_one(VERB, "entity", &unit.whole, Values::new().set("id", id))
                .await?;
            let Some(mut row) = row else {
                return Ok(None);
            };
            let head = instance_head_of(&mut row)?;
            let batch: Option<String> = row.take("batch_id")?;
            let batch = batch
                .map(|id| id.parse())
                .transpose()
                .map_err(|error| row.corrupt("batch_id", &error))?;
            let image = match row.take::<i32>("chunks_count")? {
                None | Some(WHOLE) => Some(row.require("data")?),
                Some(pieces) => self.read_pieces(&unit, &head, pieces).await?,
            };
            // A missing piece belongs to an image that was replaced after its row was read.
            if let Some(image) = image {
                return Ok(Some(Instance { head, batch, image }));
            }
        }
        Err(StoreError::Unavailable(format!(
            "instance {logical_unit}.{id} was replaced during each of {READ_TRIES} reads"
        )))
    }

    async fn read_pieces(
        &self,
        unit: &UnitStatements,
        head: &InstanceHead,
        pieces: i32,
    ) -> StoreResult<Option<Vec<u8>>> {
        let reads = (0..usize::try_from(pieces).unwrap_or(0))
            .map(|number| {
                let key = piece_key(&head.id, head.sync_version, number);
                self.read_one("instance", "entity_chunks", &unit.chunk, key)
            })
            .collect();
        let mut image = Vec::new();
        for row in all_of(PIECES_AT_ONCE, reads).await? {
            let Some(mut row) = row else {
                return Ok(None);
            };
            image.extend(row.require::<Vec<u8>>("data")?);
        }
        Ok(Some(image))
    }

    /// Reads ids in the order of their tokens, the only order in which the cluster can page through them.
    pub(crate) async fn read_instance_ids(
        &self,
        logical_unit: &str,
        after: Option<&str>,
        limit: usize,
    ) -> StoreResult<Vec<String>> {
        const VERB: &str = "instance_ids";
        let unit = self.unit(logical_unit).await?;
        let wanted = limit.saturating_add(SAME_TOKEN);
        let values = Values::new().limit(wanted);
        let (statement, values) = match after {
            Some(id) => (&unit.next_ids, values.set("id", id)),
            None => (&unit.first_ids, values),
        };
        let mut ids: Vec<String> = self
            .scan(VERB, "entity", statement, values, wanted)
            .await?
            .into_iter()
            .map(|mut row| row.require("id"))
            .collect::<StoreResult<_>>()?;
        if let Some(after) = after
            && let Some(position) = ids.iter().position(|id| id == after)
        {
            ids.drain(..=position);
        }
        ids.truncate(limit);
        Ok(ids)
    }
}

fn piece_key(id: &str, version: i64, number: usize) -> Values {
    Values::new()
        .set("id", id)
        .set("sync_version", version)
        .set("chunk", i32::try_from(number).unwrap_or(i32::MAX))
}

fn instance_head_of(row: &mut StoredRow) -> StoreResult<InstanceHead> {
    Ok(InstanceHead {
        id: row.require("id")?,
        content_hash: row.take("content_hash")?.unwrap_or_default(),
        schema_hash: row.take("schema_hash")?.unwrap_or_default(),
        sync_version: row.require("sync_version")?,
    })
}
