//! How fast results become durable rows: the SQLite store against a bare rusqlite loop that writes the same
//! rows, alternating in one sitting.
//!
//! `cargo run --release -p weft-tests --example sqlite_write_rate -- [rows] [rounds] [workers] [folder]`

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use futures::future::join_all;
use rusqlite::{Connection, TransactionBehavior};
use uuid::Uuid;
use weft_model::clock::{SystemClock, Timestamp};
use weft_model::{
    BatchId, ChunkState, EntityRow, EntityStatus, Holder, Incarnation, NodeId, NodeShare, Token,
};
use weft_sqlite::{Options, SqliteStore};
use weft_store::{Attempt, ClaimChunk, FlushChunk, OpenChunk, Store};

const CHUNK: usize = 1_000;
const RESULT: &str = r#"{"Added":1,"Updated":0,"Unchanged":0}"#;

fn argument(position: usize, default: usize) -> usize {
    std::env::args()
        .nth(position)
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

fn main() -> anyhow::Result<()> {
    let rows = argument(1, 1_000_000);
    let rounds = argument(2, 3);
    let workers = argument(3, 8);
    let parent = std::env::args().nth(4).unwrap_or_else(|| ".".to_owned());
    let folder = tempfile::tempdir_in(parent)?;
    for round in 0..rounds {
        let file = |kind: &str| folder.path().join(format!("{kind}{round}.db"));
        measure("bare loop, groups of 2,000", rows, || {
            bare(&file("bare"), rows)
        })?;
        measure("store: open", rows, || {
            store(&file("store"), rows, workers, Work::Open)
        })?;
        measure("store: claim + flush", rows, || {
            store(&file("store"), rows, workers, Work::Flush)
        })?;
    }
    Ok(())
}

fn measure(
    name: &str,
    rows: usize,
    work: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (start, cpu) = (Instant::now(), cpu_us()?);
    work()?;
    let seconds = start.elapsed().as_secs_f64();
    let cpu = cpu_us()? - cpu;
    #[expect(clippy::print_stdout, reason = "this program is for its output")]
    #[expect(clippy::cast_precision_loss, reason = "these are small")]
    {
        let rows = rows as f64;
        println!(
            "{name:28} {:>9.0} rows/s  {:>5.2} µs CPU/row",
            rows / seconds,
            cpu / rows
        );
    }
    Ok(())
}

/// CPU time of this process so far.
fn cpu_us() -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    // utime and stime, in hundredths of a second.
    Ok((fields[11].parse::<f64>()? + fields[12].parse::<f64>()?) * 10_000.0)
}

/// What no store can beat: one thread, one prepared statement, nothing but rows.
fn bare(path: &Path, rows: usize) -> anyhow::Result<()> {
    let mut connection = Connection::open(path)?;
    connection.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=4000; \
         PRAGMA cache_size=-65536; \
         CREATE TABLE entity (key INTEGER PRIMARY KEY, id TEXT NOT NULL, failed INTEGER NOT NULL, \
         result TEXT, error TEXT, node_no INTEGER NOT NULL, start_time INTEGER NOT NULL, \
         lasted_ms INTEGER NOT NULL, duration_us INTEGER NOT NULL, attempt INTEGER NOT NULL, \
         fence INTEGER NOT NULL)",
    )?;
    let rows = i64::try_from(rows)?;
    let mut key = 0_i64;
    while key < rows {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut insert =
                transaction.prepare_cached("INSERT INTO entity VALUES (?,?,?,?,?,?,?,?,?,?,?)")?;
            for _ in 0..2 * CHUNK {
                insert.execute((
                    key,
                    format!("customer-{key}"),
                    false,
                    RESULT,
                    None::<&str>,
                    1,
                    1_700_000_000_000_i64,
                    3,
                    3_000,
                    1,
                    2,
                ))?;
                key += 1;
            }
        }
        transaction.commit()?;
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Work {
    Open,
    Flush,
}

fn store(path: &Path, rows: usize, workers: usize, work: Work) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let store = SqliteStore::open(path, Options::new(Arc::new(SystemClock)))?;
    let next = AtomicI64::new(0);
    let chunks = i64::try_from(rows / CHUNK)?;
    let batch = BatchId(Uuid::from_u128(7));
    let me = Holder {
        node: NodeId("7d1c7b5e-9a53-4e0b-b3cf-2f3c5a0a8a11".to_owned()),
        incarnation: Incarnation(Uuid::from_u128(1)),
    };
    runtime.block_on(join_all((0..workers).map(|_| async {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= chunks {
                return;
            }
            match work {
                Work::Open => open(&store, batch, number).await,
                Work::Flush => flush(&store, batch, number, &me).await,
            }
        }
    })));
    Ok(())
}

fn token() -> Token {
    Token(Uuid::new_v4())
}

fn id(number: i64, position: usize) -> String {
    format!("customer-{}", number as usize * CHUNK + position)
}

async fn open(store: &SqliteStore, batch: BatchId, number: i64) {
    let open = OpenChunk {
        batch,
        number,
        state: ChunkState::New,
        holder: None,
        ids: (0..CHUNK).map(|position| id(number, position)).collect(),
        source_position: None,
        source_read: None,
        token: token(),
    };
    let answer = store.open_chunk(&open).await;
    assert!(matches!(answer, Ok(Attempt::Applied)), "{answer:?}");
}

async fn flush(store: &SqliteStore, batch: BatchId, number: i64, me: &Holder) {
    let claim = ClaimChunk {
        batch,
        number,
        seen_fence: 1,
        holder: me.clone(),
        crashes: 0,
        token: token(),
    };
    let answer = store.claim_chunk(&claim).await;
    assert!(matches!(answer, Ok(Attempt::Applied)), "{answer:?}");
    let flush = FlushChunk {
        crashes: 0,
        batch,
        number,
        holder: me.clone(),
        fence: 2,
        seq: 1,
        rows: (0..CHUNK)
            .map(|position| EntityRow {
                id: id(number, position),
                status: EntityStatus::Completed,
                result: Some(RESULT.to_owned()),
                error: None,
                node: me.node.clone(),
                start_time: Timestamp(1_700_000_000_000),
                end_time: Timestamp(1_700_000_000_003),
                duration_us: 3_000,
                attempt: 1,
                fence: 2,
            })
            .collect(),
        ok: 1_000,
        failed: 0,
        shares: BTreeMap::from([(me.node.clone(), NodeShare::default())]),
        done: true,
        logical_unit: "Customer".to_owned(),
        instances: Vec::new(),
        token: token(),
    };
    let answer = store.flush_chunk(&flush).await;
    assert!(matches!(answer, Ok(Attempt::Applied)), "{answer:?}");
}
