//! Measures how fast the store records entities, compared with the bare driver.
//!
//! `write_rate [HOST:PORT] [CHUNKS] [ROWS_PER_CHUNK] [IN_FLIGHT]`, by default a node on this machine, 100 chunks of
//! 1,000 rows, 16 in flight. It prints three rates for the same rows in the same table: unlogged single-partition
//! batches of the bare driver, conditional flushes of the store, and whole chunks (open with ids, claim, flush).

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::statement::batch::{Batch, BatchType};
use uuid::Uuid;
use weft_cql::{CassandraOptions, CassandraStore, migrate};
use weft_model::clock::{SystemClock, Timestamp};
use weft_model::ids::Ids;
use weft_model::{
    BatchId, ChunkState, EntityRow, EntityStatus, Holder, Incarnation, NodeId, NodeShare, Token,
};
use weft_store::SelfFence;
use weft_store::{ClaimChunk, Conditional, FlushChunk, OpenChunk, Settled, Store, settle};

struct Plan {
    chunks: i64,
    rows: usize,
    in_flight: usize,
}

impl Plan {
    /// Milliseconds per chunk in each of the `in_flight` slots.
    fn slot_ms(&self, time: Duration) -> f64 {
        time.as_secs_f64() * 1_000.0 * self.in_flight as f64 / self.chunks as f64
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let point = arguments
        .next()
        .unwrap_or_else(|| "127.0.0.1:9042".to_owned());
    let mut number = |default: usize| -> Result<usize> {
        Ok(arguments.next().map_or(Ok(default), |text| text.parse())?)
    };
    let plan = Plan {
        chunks: i64::try_from(number(100)?)?,
        rows: number(1_000)?,
        in_flight: number(16)?,
    };
    let mut options = CassandraOptions::at([point.clone()]);
    options.cluster_id = "writerate".to_owned();
    migrate(&options).await?;
    let store = CassandraStore::connect(options).await?;
    let session = SessionBuilder::new().known_node(point).build().await?;
    // The first round warms up both sides and is not reported.
    measure(
        &store,
        &session,
        &Plan {
            chunks: plan.chunks.min(20),
            ..plan
        },
        false,
    )
    .await?;
    for _ in 0..3 {
        measure(&store, &session, &plan, true).await?;
    }
    Ok(())
}

async fn measure(
    store: &CassandraStore,
    session: &Session,
    plan: &Plan,
    report_rates: bool,
) -> Result<()> {
    let bare = write_with_driver(session, plan).await?;
    let batch = BatchId(Uuid::new_v4());
    let opening = timed(all(plan, |number| open(store, plan, batch, number))).await?;
    let claiming = timed(all(plan, |number| claim(store, batch, number))).await?;
    let flushing = timed(all(plan, |number| flush(store, plan, batch, number))).await?;
    let handled = store
        .chunk(batch, 0)
        .await?
        .context("the chunk exists")?
        .handled
        .len();
    ensure!(handled == plan.rows, "{handled} rows are handled");
    if report_rates {
        let rate = |time: Duration| plan.chunks as f64 * plan.rows as f64 / time.as_secs_f64();
        let share = |time: Duration| 100.0 * bare.as_secs_f64() / time.as_secs_f64();
        let whole = opening + claiming + flushing;
        report(&format!(
            "bare {:>7.0} rows/s   flush {:>7.0} ({:.0} %)   whole chunk {:>7.0} ({:.0} %)   ms per chunk and \
             slot: bare {:.1} open {:.1} claim {:.1} flush {:.1}",
            rate(bare),
            rate(flushing),
            share(flushing),
            rate(whole),
            share(whole),
            plan.slot_ms(bare),
            plan.slot_ms(opening),
            plan.slot_ms(claiming),
            plan.slot_ms(flushing),
        ));
    }
    Ok(())
}

async fn timed(work: impl Future<Output = Result<()>>) -> Result<Duration> {
    let start = Instant::now();
    work.await?;
    Ok(start.elapsed())
}

#[expect(
    clippy::print_stdout,
    reason = "the rates are the output of this program"
)]
fn report(line: &str) {
    println!("{line}");
}

async fn all<F: Future<Output = Result<()>>>(plan: &Plan, work: impl Fn(i64) -> F) -> Result<()> {
    stream::iter(0..plan.chunks)
        .map(|number| Ok(work(number)))
        .try_buffer_unordered(plan.in_flight)
        .try_collect()
        .await
}

fn entity(number: i64, row: usize) -> EntityRow {
    EntityRow {
        id: format!("{:09}", number * 1_000 + i64::try_from(row).unwrap_or(0)),
        status: EntityStatus::Completed,
        result: Some(r#"{"Added":1,"Updated":0,"Unchanged":0}"#.to_owned()),
        error: None,
        node: NodeId("0b5f2f6e-6a0a-4c8e-9c7d-3a1c2f7d9e10".to_owned()),
        start_time: Timestamp(1_790_000_000_000),
        end_time: Timestamp(1_790_000_000_003),
        duration_us: 2_345,
        attempt: 1,
        fence: 2,
    }
}

/// Sends an operation until its answer is definite, as the engine does: on a busy machine some answers are timeouts.
async fn apply<C: Conditional<Found: Debug>>(store: &CassandraStore, operation: &C) -> Result<()> {
    let self_fence = SelfFence::for_duration(Arc::new(SystemClock), Duration::from_secs(60));
    let settled = settle(store, &Ids::from_system(), &self_fence, operation).await?;
    ensure!(
        matches!(settled, Settled::Applied),
        "{}: {settled:?}",
        operation.verb()
    );
    Ok(())
}

async fn open(store: &CassandraStore, plan: &Plan, batch: BatchId, number: i64) -> Result<()> {
    let open = OpenChunk {
        batch,
        number,
        state: ChunkState::New,
        holder: None,
        ids: (0..plan.rows).map(|row| entity(number, row).id).collect(),
        source_position: Some(number.to_string()),
        source_read: None,
        token: Token(Uuid::new_v4()),
    };
    apply(store, &open).await
}

async fn claim(store: &CassandraStore, batch: BatchId, number: i64) -> Result<()> {
    let claim = ClaimChunk {
        batch,
        number,
        seen_fence: 1,
        holder: worker(),
        crashes: 0,
        token: Token(Uuid::new_v4()),
    };
    apply(store, &claim).await
}

fn worker() -> Holder {
    Holder {
        node: entity(0, 0).node,
        incarnation: Incarnation(Uuid::nil()),
    }
}

async fn flush(store: &CassandraStore, plan: &Plan, batch: BatchId, number: i64) -> Result<()> {
    let rows: Vec<EntityRow> = (0..plan.rows).map(|row| entity(number, row)).collect();
    let count = i64::try_from(rows.len())?;
    let share = NodeShare {
        succeeded: count,
        aggregated: BTreeMap::from([("Added".to_owned(), count)]),
        ..NodeShare::default()
    };
    let flush = FlushChunk {
        crashes: 0,
        batch,
        number,
        holder: worker(),
        fence: 2,
        seq: 1,
        shares: BTreeMap::from([(rows[0].node.clone(), share)]),
        rows,
        ok: count,
        failed: 0,
        done: true,
        logical_unit: String::new(),
        instances: Vec::new(),
        token: Token(Uuid::new_v4()),
    };
    apply(store, &flush).await
}

/// Writes only the cells of the rows of a flush.
async fn write_with_driver(session: &Session, plan: &Plan) -> Result<Duration> {
    let insert = session
        .prepare(
            "INSERT INTO k2batchprocess_writerate.batchprocess_entities_info (bid, chunk, entityid, status, \
             results, nodeid, start_time, end_time, duration_us, attempt, fence) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .await?;
    let batch = BatchId(Uuid::new_v4()).to_string();
    let (insert, batch) = (&insert, &batch);
    let start = Instant::now();
    all(plan, |number| async move {
        let mut statements = Batch::new(BatchType::Unlogged);
        let rows: Vec<EntityRow> = (0..plan.rows).map(|row| entity(number, row)).collect();
        let mut values = Vec::with_capacity(rows.len());
        for row in &rows {
            statements.append_statement(insert.clone());
            values.push((
                batch,
                number,
                &row.id,
                row.status.as_str(),
                &row.result,
                &row.node.0,
                scylla::value::CqlTimestamp(row.start_time.0),
                scylla::value::CqlTimestamp(row.end_time.0),
                row.duration_us,
                row.attempt,
                row.fence,
            ));
        }
        session.batch(&statements, values).await?;
        Ok(())
    })
    .await?;
    Ok(start.elapsed())
}
