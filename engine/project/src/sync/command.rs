//! `sync_instance LU.?`: reads an instance from its sources and reports whether it changed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::{FutureExt, StreamExt, TryStreamExt};
use weft_lang::Pattern;
use weft_model::Value;
use weft_model::clock::SharedClock;
use weft_model::{BatchId, Instance, InstanceHead};
use weft_store::{Outage, SharedStore};

use super::image::{self, Builder, ImageError, Stamps};
use super::mode::SyncMode;
use super::read;
use super::row::{self, ContentHash, Row};
use super::shape::Shape;
use crate::command::{ChunkContext, EntityCommand, EntityOutcome, PreparedChunk};
use crate::source::SharedInterface;
use crate::{LogicalUnit, Project, SyncMethod, Table, TableLink};

/// The number of stored images that are read in parallel, for tables that need not be read from their sources.
const PARALLEL_IMAGES: usize = 16;

/// The result of the sync of one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Added,
    Updated,
    Unchanged,
}

impl Change {
    fn result(self) -> String {
        let count = |change| i32::from(self == change);
        let (added, updated, unchanged) = (
            count(Self::Added),
            count(Self::Updated),
            count(Self::Unchanged),
        );
        format!("{{\"Added\":{added},\"Updated\":{updated},\"Unchanged\":{unchanged}}}")
    }
}

/// The command, bound to one version of a project.
#[derive(Clone, Debug)]
pub struct SyncCommand(Arc<Bound>);

struct Bound {
    logical_unit: LogicalUnit,
    shape: Arc<Shape>,
    /// By table, in the order of the logical unit.
    interfaces: Vec<Result<SharedInterface, String>>,
    /// The instance id, with `?` for the entity id.
    instance: Pattern,
    mode: SyncMode,
    store: SharedStore,
    clock: SharedClock,
    /// Unused builders, at most one for each worker.
    builders: Mutex<Vec<Builder>>,
}

impl SyncCommand {
    /// Binds `sync_instance <logical_unit>.<instance>`.
    ///
    /// # Errors
    /// A sentence: the project has no such logical unit.
    pub fn new(
        project: &Project,
        logical_unit: &str,
        instance: Pattern,
        mode: SyncMode,
        store: SharedStore,
        clock: SharedClock,
    ) -> Result<Self, String> {
        let logical_unit = project
            .logical_unit(logical_unit)
            .map_err(|error| error.to_string())?;
        let tables = logical_unit.tables.iter();
        Ok(Self(Arc::new(Bound {
            interfaces: tables
                .map(|table| project.interface(&table.query.interface))
                .collect(),
            shape: Arc::new(Shape::new(logical_unit)),
            logical_unit: logical_unit.clone(),
            instance,
            mode,
            store,
            clock,
            builders: Mutex::default(),
        })))
    }
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncCommand")
            .field("logical_unit", &self.logical_unit.name)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl EntityCommand for SyncCommand {
    fn writes(&self) -> Option<&str> {
        Some(&self.0.logical_unit.name)
    }

    async fn prepare(
        &self,
        context: &ChunkContext,
        ids: &[String],
    ) -> Result<Box<dyn PreparedChunk>, Outage> {
        let instances: Vec<String> = ids.iter().map(|id| self.0.instance.fill(id)).collect();
        Ok(Box::new(Prepared {
            read: self.0.read_ahead(&instances).await?,
            builder: None,
            batch: context.batch,
            bound: Arc::clone(&self.0),
        }))
    }
}

/// An instance as read from its sources, or from its stored image for tables that need no new read.
struct ReadInstance {
    head: Option<InstanceHead>,
    /// The time before the first source was read, in microseconds since 1970.
    read_at: i64,
    /// The rows by table; none if the mode is OFF.
    tables: Option<Vec<Vec<Row>>>,
    /// The read times of the tables that come from the stored image.
    stored_stamps: Stamps,
}

/// The tables of a stored instance that need not be read from their sources, by name.
#[derive(Default)]
struct StoredTables {
    rows: BTreeMap<String, Vec<Row>>,
    stamps: Stamps,
}

impl Bound {
    /// Reads instances by id. A failure of one of them is its own; only an outage of the node's own store fails all.
    async fn read_ahead(
        &self,
        ids: &[String],
    ) -> Result<BTreeMap<String, Result<ReadInstance, String>>, Outage> {
        // Read before the sources, so that the stored version is older than the one that is read now.
        let (heads, unreadable) = self.heads(ids).await?;
        let readable = ids.iter().filter(|id| !unreadable.contains_key(*id));
        let readable: Vec<String> = readable.cloned().collect();
        let mut instances = self.read_instances(&readable, heads).await?;
        instances.extend(unreadable.into_iter().map(|(id, why)| (id, Err(why))));
        Ok(instances)
    }

    /// The heads of stored instances, and the ids whose head the store refuses for good, with the reason. An id that the
    /// store cannot answer for must not fail the others, so a refused set is halved.
    async fn heads(
        &self,
        ids: &[String],
    ) -> Result<(BTreeMap<String, InstanceHead>, BTreeMap<String, String>), Outage> {
        let name = &self.logical_unit.name;
        let (mut heads, mut unreadable) = (BTreeMap::new(), BTreeMap::new());
        let mut sets: Vec<&[String]> = vec![ids];
        while let Some(set) = sets.pop() {
            let error = match self.store.instance_heads(name, set).await {
                Ok(found) => {
                    heads.extend(found);
                    continue;
                }
                Err(error) => error,
            };
            let error = match error.into_outage() {
                Ok(outage) => return Err(outage),
                Err(error) => error,
            };
            match set {
                [id] => {
                    let reason = format!("stored instance {name}.{id} cannot be read: {error}");
                    unreadable.insert(id.clone(), reason);
                }
                _ => {
                    let (left, right) = set.split_at(set.len() / 2);
                    sets.extend([left, right].into_iter().filter(|set| !set.is_empty()));
                }
            }
        }
        Ok((heads, unreadable))
    }

    async fn read_instances(
        &self,
        ids: &[String],
        mut heads: BTreeMap<String, InstanceHead>,
    ) -> Result<BTreeMap<String, Result<ReadInstance, String>>, Outage> {
        let read_at = self.clock.now().0.saturating_mul(1_000);
        let sources = match self.mode {
            SyncMode::Off => None,
            SyncMode::On | SyncMode::Force => Some(self.read_sources(ids, &heads, read_at).await?),
        };
        let Some(mut sources) = sources else {
            let mut unread = |id: &String| ReadInstance {
                head: heads.remove(id),
                read_at,
                tables: None,
                stored_stamps: Stamps::new(),
            };
            return Ok(ids.iter().map(|id| (id.clone(), Ok(unread(id)))).collect());
        };
        let together = ids.iter().map(|id| {
            let source = sources
                .remove(id)
                .unwrap_or_else(|| Err("it was not read".to_owned()));
            let instance = source.map(|(tables, stored_stamps)| ReadInstance {
                head: heads.remove(id),
                read_at,
                tables: Some(tables),
                stored_stamps,
            });
            (id.clone(), instance)
        });
        Ok(together.collect())
    }

    /// The rows of all tables for each id, and the read times of tables from stored images.
    async fn read_sources(
        &self,
        ids: &[String],
        heads: &BTreeMap<String, InstanceHead>,
        now: i64,
    ) -> Result<BTreeMap<String, Result<(Vec<Vec<Row>>, Stamps), String>>, Outage> {
        let mut kept = self.stored_tables(ids, heads, now).await?;
        let mut failures: BTreeMap<String, String> = BTreeMap::new();
        // By table, then by id.
        let mut read: Vec<BTreeMap<String, Vec<Row>>> = Vec::new();
        for (table, interface) in self.logical_unit.tables.iter().zip(&self.interfaces) {
            let mut rows: BTreeMap<String, Vec<Row>> = BTreeMap::new();
            let mut open: Vec<&String> = Vec::new();
            for id in ids.iter().filter(|id| !failures.contains_key(*id)) {
                match kept
                    .get_mut(id)
                    .and_then(|kept| kept.rows.remove(&table.name))
                {
                    Some(stored) => drop(rows.insert(id.clone(), stored)),
                    None => open.push(id),
                }
            }
            for (id, found) in self.find_rows(table, interface, &open, &read).await? {
                match found {
                    Ok(found) => drop(rows.insert(id, found)),
                    Err(reason) => drop(failures.insert(id, reason)),
                }
            }
            if table.name == self.logical_unit.root {
                for (id, _) in rows.iter().filter(|(_, rows)| rows.is_empty()) {
                    let name = &self.logical_unit.name;
                    failures.insert(
                        id.clone(),
                        format!("instance {name}.{id} was not found in source"),
                    );
                }
            }
            read.push(rows);
        }
        let together = ids.iter().map(|id| {
            let outcome = match failures.remove(id) {
                Some(failure) => Err(failure),
                None => {
                    let tables = read
                        .iter_mut()
                        .map(|rows| rows.remove(id).unwrap_or_default());
                    let stamps = kept.remove(id).unwrap_or_default().stamps;
                    Ok((tables.collect(), stamps))
                }
            };
            (id.clone(), outcome)
        });
        Ok(together.collect())
    }

    /// Reads the rows of one table for some ids. `read` has the rows of the tables before it.
    async fn find_rows(
        &self,
        table: &Table,
        interface: &Result<SharedInterface, String>,
        ids: &[&String],
        read: &[BTreeMap<String, Vec<Row>>],
    ) -> Result<BTreeMap<String, Result<Vec<Row>, String>>, Outage> {
        match &table.link {
            TableLink::Instance { .. } => {
                let values: Vec<Value> = ids.iter().map(|id| Value::Text((*id).clone())).collect();
                let mut found = read::find(table, interface, &values).await?;
                Ok(ids
                    .iter()
                    .map(|id| ((*id).clone(), found.take(id)))
                    .collect())
            }
            TableLink::Parent { parent, .. } => {
                let parent = self.position(parent);
                let parents = ids
                    .iter()
                    .filter_map(|id| Some(((*id).clone(), read.get(parent)?.get(*id)?.clone())))
                    .collect();
                let parent = &self.logical_unit.tables[parent];
                read::find_children(table, parent, interface, &parents).await
            }
        }
    }

    fn position(&self, table: &str) -> usize {
        let tables = &self.logical_unit.tables;
        tables
            .iter()
            .position(|known| known.name == table)
            .unwrap_or(0)
    }

    /// The tables of stored images that need not be read from their sources yet.
    async fn stored_tables(
        &self,
        ids: &[String],
        heads: &BTreeMap<String, InstanceHead>,
        now: i64,
    ) -> Result<BTreeMap<String, StoredTables>, Outage> {
        if !self.shape.has_stamps || self.mode == SyncMode::Force {
            return Ok(BTreeMap::new());
        }
        // An instance with another schema is read completely.
        let same_shape = |id: &&String| {
            heads
                .get(*id)
                .is_some_and(|head| head.schema_hash == self.shape.hash)
        };
        let of_id = |id: &String| {
            let id = id.clone();
            async move {
                let kept = self.stored_tables_of(&id, now).await?;
                Ok((id, kept.unwrap_or_default()))
            }
            .boxed()
        };
        let images: Vec<_> = ids.iter().filter(same_shape).map(of_id).collect();
        let kept = futures::stream::iter(images).buffered(PARALLEL_IMAGES);
        kept.try_collect().await
    }

    /// The fresh tables of one stored image; none if it cannot be read, so that its sources are read.
    async fn stored_tables_of(&self, id: &str, now: i64) -> Result<Option<StoredTables>, Outage> {
        match self.store.instance(&self.logical_unit.name, id).await {
            Ok(stored) => Ok(stored.and_then(|stored| self.fresh_tables(&stored, now))),
            // An instance that cannot be read is read from its sources, as one that is not stored.
            Err(error) => error.into_outage().map_or(Ok(None), Err),
        }
    }

    fn fresh_tables(&self, stored: &Instance, now: i64) -> Option<StoredTables> {
        let image = image::open_image(stored).ok()?;
        let mut stamps = image::stamps(&image).ok()?;
        let mut kept = StoredTables::default();
        for (table, select) in self.logical_unit.tables.iter().zip(&self.shape.select) {
            if let Some(read_at) = stamps.remove(&table.name)
                && is_fresh(table, read_at, now)
            {
                kept.rows
                    .insert(table.name.clone(), image::rows(&image, select).ok()?);
                kept.stamps.insert(table.name.clone(), read_at);
            }
        }
        Some(kept)
    }

    fn sync(
        &self,
        id: &str,
        read: ReadInstance,
        batch: BatchId,
        builder: &mut Option<Builder>,
    ) -> EntityOutcome {
        match self.try_sync(id, read, batch, builder) {
            Ok((change, instance)) => EntityOutcome::Completed {
                result: change.result(),
                instance,
            },
            Err(reason) => EntityOutcome::Failed(reason),
        }
    }

    fn try_sync(
        &self,
        id: &str,
        read: ReadInstance,
        batch: BatchId,
        builder: &mut Option<Builder>,
    ) -> Result<(Change, Option<Instance>), String> {
        let name = &self.logical_unit.name;
        let Some(tables) = read.tables else {
            return match read.head {
                Some(_) => Ok((Change::Unchanged, None)),
                None => Err(format!(
                    "Instance '{name}:{id}' was not found and Sync is disabled."
                )),
            };
        };
        let mut content = ContentHash::new(&self.shape.hash);
        let mut normalised = Vec::with_capacity(tables.len());
        for (rows, table) in tables.into_iter().zip(&self.logical_unit.tables) {
            let rows = row::normalise(table, rows)?;
            content.add_table(&rows);
            normalised.push(rows);
        }
        let content_hash = content.finish();
        let change = match &read.head {
            None => Change::Added,
            Some(head) if head.content_hash == content_hash => Change::Unchanged,
            Some(_) => Change::Updated,
        };
        let stamps = self.stamps(&read.stored_stamps, read.read_at);
        // A new read time is stored even if no row changed, so that the next sync does not read the table again.
        let must_save = change != Change::Unchanged || stamps != read.stored_stamps;
        if !must_save {
            return Ok((change, None));
        }
        let image = self
            .build(builder, &normalised, &stamps)
            .map_err(|error| format!("instance {name}.{id}: {error}"))?;
        // The stored version is older than this one, even if the clock of the node that wrote it is ahead.
        let stored_version = read.head.map_or(i64::MIN, |head| head.sync_version);
        let instance = Instance {
            head: InstanceHead {
                id: id.to_owned(),
                content_hash,
                schema_hash: self.shape.hash.clone(),
                sync_version: read.read_at.max(stored_version.saturating_add(1)),
            },
            batch: Some(batch),
            image,
        };
        Ok((change, Some(instance)))
    }

    /// The read times of the tables that not every sync reads.
    fn stamps(&self, stored: &Stamps, read_at: i64) -> Stamps {
        let tables = self.logical_unit.tables.iter();
        tables
            .filter(|table| table.sync != SyncMethod::Always)
            .map(|table| {
                let stamp = stored.get(&table.name).copied().unwrap_or(read_at);
                (table.name.clone(), stamp)
            })
            .collect()
    }

    fn build(
        &self,
        builder: &mut Option<Builder>,
        tables: &[Vec<Row>],
        stamps: &Stamps,
    ) -> Result<Vec<u8>, ImageError> {
        let mut ready = match builder.take().or_else(|| self.builders().pop()) {
            Some(ready) => ready,
            None => Builder::new(Arc::clone(&self.shape))?,
        };
        // A builder that failed is not reused.
        let image = ready.build(tables, stamps)?;
        *builder = Some(ready);
        Ok(image)
    }

    fn builders(&self) -> std::sync::MutexGuard<'_, Vec<Builder>> {
        self.builders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_fresh(table: &Table, read_at: i64, now: i64) -> bool {
    match table.sync {
        SyncMethod::Always => false,
        SyncMethod::None => true,
        SyncMethod::Interval(interval) => {
            let micros = i64::try_from(interval.as_micros()).unwrap_or(i64::MAX);
            // A stamp in the future was written with a wrong clock.
            read_at <= now && now - read_at < micros
        }
    }
}

/// A chunk whose data was read.
struct Prepared {
    bound: Arc<Bound>,
    batch: BatchId,
    read: BTreeMap<String, Result<ReadInstance, String>>,
    builder: Option<Builder>,
}

#[async_trait]
impl PreparedChunk for Prepared {
    async fn prepare_again(&mut self, id: &str) -> Result<(), Outage> {
        let id = self.bound.instance.fill(id);
        let again = self.bound.read_ahead(std::slice::from_ref(&id)).await?;
        self.read.extend(again);
        Ok(())
    }

    async fn run(&mut self, id: &str) -> EntityOutcome {
        let id = self.bound.instance.fill(id);
        match self.read.remove(&id) {
            Some(Ok(read)) => self.bound.sync(&id, read, self.batch, &mut self.builder),
            Some(Err(reason)) => EntityOutcome::Failed(reason),
            None => EntityOutcome::Failed("it was not read".to_owned()),
        }
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        if let Some(builder) = self.builder.take() {
            self.bound.builders().push(builder);
        }
    }
}
