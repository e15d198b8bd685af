//! The limit: a bare loop that writes the same rows, of the same columns and with the same durability, and for
//! `sync` the same instances. It claims nothing, counts nothing and cannot be stopped or taken over.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use rusqlite::{Connection, Statement, TransactionBehavior};
use scylla::client::session::Session;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::prepared::PreparedStatement;
use scylla::value::CqlTimestamp;
use uuid::Uuid;
use weft_model::clock::{SharedClock, SystemClock};
use weft_model::{BatchId, Instance, NodeId};
use weft_project::command::{ChunkContext, CommandFactory, EntityOutcome};
use weft_store::SharedStore;

use crate::Measured;
use crate::gauge::{Gauge, Reading, peak_kib};
use crate::place::{self, Place, PlaceKind};
use crate::run::{Kind, Run};
use crate::work::{self, LOGICAL_UNIT, NOOP_RESULT, SYNC_RESULT, Work};

/// Rows of one SQLite transaction, an instance counting as one, as the store's writer groups them.
const GROUP_ROWS: usize = 2_000;
/// Rows of one Cassandra batch, as many as a full chunk has.
const BATCH_ROWS: usize = 1_000;
/// Cassandra batches in flight.
const BATCHES_AT_ONCE: usize = 16;
/// Instance writes in flight per batch, as the store has it.
const SAVES_AT_ONCE: usize = 128;
/// Instances that are made before the clock starts; they are written round and round under other ids.
const SAMPLE: usize = 5_000;

const STARTED: i64 = 1_790_000_000_000;
const LASTED_MS: i64 = 0;
const DURATION_US: i64 = 20;
const NODE: &str = "bench";

pub async fn measure(measured: &Measured) -> Result<Run> {
    let place = measured.place.place()?;
    let images = match measured.work {
        Work::Noop => Vec::new(),
        Work::Sync => sample(&place, measured).await?,
    };
    let result = match measured.work {
        Work::Noop => NOOP_RESULT,
        Work::Sync => SYNC_RESULT,
    };
    let task = Task {
        ids: measured.ids,
        result,
        images,
        server: measured.place.server,
    };
    let reading = match &place.kind {
        PlaceKind::Sqlite => tokio::task::block_in_place(|| sqlite(&place.folder, &task))?,
        PlaceKind::Cassandra { point, cluster_id } => {
            let store = place.open().await?;
            cassandra(&store, point, cluster_id, &task).await?
        }
    };
    let peak_kib = peak_kib()?;
    place.remove().await?;
    Ok(Run {
        peak_kib,
        ..Run::of(Kind::Bare, &place, measured.work, measured.ids, &reading)
    })
}

struct Task {
    ids: usize,
    result: &'static str,
    images: Vec<Instance>,
    server: Option<u32>,
}

/// Instances as `sync_instance` makes them.
async fn sample(place: &Place, measured: &Measured) -> Result<Vec<Instance>> {
    let folder = place.folder.join("sample");
    std::fs::create_dir_all(&folder)?;
    let clock: SharedClock = Arc::new(SystemClock);
    let store: SharedStore = Arc::new(place::sqlite_at(&folder)?);
    let project = measured.project.as_deref();
    let catalogue = work::deployed(&store, &clock, &folder, project).await?;
    let spec = Arc::new(measured.work.spec(measured.ids));
    let command = catalogue
        .bind(&spec)
        .await
        .map_err(|error| anyhow::anyhow!(error))?;
    let context = ChunkContext {
        batch: BatchId(Uuid::new_v4()),
        spec,
        execution_id: "bench".to_owned(),
        fence: 1,
        node: NodeId(NODE.to_owned()),
    };
    let mut instances = Vec::new();
    let ids: Vec<String> = (0..measured.ids.min(SAMPLE)).map(work::id).collect();
    for ids in ids.chunks(BATCH_ROWS) {
        let mut chunk = command.prepare(&context, ids).await?;
        for id in ids {
            match chunk.run(id).await {
                EntityOutcome::Completed { instance, .. } => {
                    instances.push(instance.context("a first sync has an instance")?);
                }
                EntityOutcome::Failed(reason) => anyhow::bail!("{id}: {reason}"),
            }
        }
    }
    Ok(instances)
}

// --- SQLite ---

/// The tables of the SQLite store that rows and instances go to.
const TABLES: &str = "
    PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000;
    PRAGMA cache_size = -4096;
    CREATE TABLE entity (key INTEGER PRIMARY KEY, id TEXT NOT NULL, failed INTEGER NOT NULL, result TEXT,
        error TEXT, node_no INTEGER NOT NULL, start_time INTEGER NOT NULL, lasted_ms INTEGER NOT NULL,
        duration_us INTEGER NOT NULL, attempt INTEGER NOT NULL, fence INTEGER NOT NULL);
    CREATE TABLE instance (no INTEGER PRIMARY KEY, lu_no INTEGER NOT NULL, id TEXT NOT NULL,
        sync_version INTEGER NOT NULL, content_hash BLOB NOT NULL, schema_hash BLOB NOT NULL, bid TEXT,
        image BLOB NOT NULL, UNIQUE (lu_no, id));";

fn sqlite(folder: &Path, task: &Task) -> Result<Reading> {
    let mut connection = Connection::open(folder.join("bare.sqlite"))?;
    connection.execute_batch(TABLES)?;
    let group = if task.images.is_empty() {
        GROUP_ROWS
    } else {
        GROUP_ROWS / 2
    };
    let batch = Uuid::new_v4().to_string();
    let gauge = Gauge::start(None)?;
    let mut from = 0;
    while from < task.ids {
        let to = (from + group).min(task.ids);
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut row =
                transaction.prepare_cached("INSERT INTO entity VALUES (?,?,?,?,?,?,?,?,?,?,?)")?;
            let mut image =
                transaction.prepare_cached("INSERT INTO instance VALUES (NULL,?,?,?,?,?,?,?)")?;
            for number in from..to {
                write_row(&mut row, number, task, &batch, &mut image)?;
            }
        }
        transaction.commit()?;
        from = to;
    }
    gauge.read()
}

fn write_row(
    row: &mut Statement<'_>,
    number: usize,
    task: &Task,
    batch: &str,
    image: &mut Statement<'_>,
) -> Result<()> {
    let id = work::id(number);
    row.raw_bind_parameter(1, i64::try_from(number)?)?;
    row.raw_bind_parameter(2, &id)?;
    row.raw_bind_parameter(3, false)?;
    row.raw_bind_parameter(4, task.result)?;
    row.raw_bind_parameter(5, None::<&str>)?;
    row.raw_bind_parameter(6, 1)?;
    row.raw_bind_parameter(7, STARTED)?;
    row.raw_bind_parameter(8, LASTED_MS)?;
    row.raw_bind_parameter(9, DURATION_US)?;
    row.raw_bind_parameter(10, 1)?;
    row.raw_bind_parameter(11, 2)?;
    row.raw_execute()?;
    if !task.images.is_empty() {
        let instance = &task.images[number % task.images.len()];
        image.raw_bind_parameter(1, 1)?;
        image.raw_bind_parameter(2, &id)?;
        image.raw_bind_parameter(3, instance.head.sync_version)?;
        image.raw_bind_parameter(4, &instance.head.content_hash)?;
        image.raw_bind_parameter(5, &instance.head.schema_hash)?;
        image.raw_bind_parameter(6, batch)?;
        image.raw_bind_parameter(7, &instance.image)?;
        image.raw_execute()?;
    }
    Ok(())
}

// --- Cassandra ---

async fn cassandra(
    store: &SharedStore,
    point: &str,
    cluster_id: &str,
    task: &Task,
) -> Result<Reading> {
    if !task.images.is_empty() {
        let unit = LOGICAL_UNIT.to_owned();
        store.ensure_logical_units(&[unit]).await?;
    }
    let session = place::session(point).await?;
    let row = session
        .prepare(format!(
            "INSERT INTO k2batchprocess_{cluster_id}.batchprocess_entities_info (bid, chunk, entityid, status, \
             results, nodeid, start_time, end_time, duration_us, attempt, fence) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        ))
        .await?;
    let image = if task.images.is_empty() {
        None
    } else {
        let unit = LOGICAL_UNIT.to_ascii_lowercase();
        let insert = format!(
            "INSERT INTO k2view_{unit}_{cluster_id}.entity (id, batch_id, data, schema_hash, content_hash, \
             sync_version) VALUES (?, ?, ?, ?, ?, ?) USING TIMESTAMP ?"
        );
        Some(session.prepare(insert).await?)
    };
    let batch = Uuid::new_v4().to_string();
    let gauge = Gauge::start(task.server)?;
    let chunks = task.ids.div_ceil(BATCH_ROWS);
    let (session, row, image, batch) = (&session, &row, image.as_ref(), batch.as_str());
    stream::iter(0..chunks)
        .map(|chunk| Ok(write_chunk(session, row, image, batch, chunk, task)))
        .try_buffer_unordered(BATCHES_AT_ONCE)
        .try_collect::<()>()
        .await?;
    let reading = gauge.read()?;
    ensure!(chunks > 0, "there was something to write");
    Ok(reading)
}

async fn write_chunk(
    session: &Session,
    row: &PreparedStatement,
    image: Option<&PreparedStatement>,
    batch: &str,
    chunk: usize,
    task: &Task,
) -> Result<()> {
    let from = chunk * BATCH_ROWS;
    let ids: Vec<String> = (from..(from + BATCH_ROWS).min(task.ids))
        .map(work::id)
        .collect();
    if let Some(image) = image {
        let save = |(index, id): (usize, &String)| {
            let instance = &task.images[(from + index) % task.images.len()];
            let id = id.clone();
            async move {
                let head = &instance.head;
                let values = (
                    id,
                    batch,
                    instance.image.as_slice(),
                    head.schema_hash.as_slice(),
                    head.content_hash.as_slice(),
                    head.sync_version,
                    head.sync_version,
                );
                session.execute_unpaged(image, values).await.map(drop)
            }
        };
        let saves: Vec<_> = ids.iter().enumerate().map(save).collect();
        stream::iter(saves)
            .buffer_unordered(SAVES_AT_ONCE)
            .try_collect::<()>()
            .await?;
    }
    let mut statements = Batch::new(BatchType::Unlogged);
    let mut values = Vec::with_capacity(ids.len());
    let chunk = i64::try_from(chunk)?;
    for id in &ids {
        statements.append_statement(row.clone());
        values.push((
            batch,
            chunk,
            id,
            "COMPLETED",
            task.result,
            NODE,
            CqlTimestamp(STARTED),
            CqlTimestamp(STARTED + LASTED_MS),
            DURATION_US,
            1_i32,
            2_i64,
        ));
    }
    session.batch(&statements, values).await?;
    Ok(())
}
