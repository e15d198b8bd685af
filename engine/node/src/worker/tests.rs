use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use weft_model::{
    Batch, BatchDesired, BatchId, BatchStatus, ChunkState, Incarnation, NodeId, NodeRow,
};
use weft_store::{Freshness, OpenChunk, RequestBatch, Settled};

use super::Dispatcher;
use super::active::ActiveBatch;
use super::choose::Candidate;
use super::chunk_run::{self, ChunkEnd};
use super::stats::BatchStats;
use crate::lock::lock;
use crate::testing::{Bench, TestCommand, completed, soon};

/// A batch at work with one chunk, as this node would find it.
async fn batch_at_work(bench: &Bench, command: &str) -> BatchId {
    let ids = ["a", "b"];
    let batch = Batch {
        status: BatchStatus::InProgress,
        chunks: 1,
        total_entities: Some(2),
        ..bench.batch(&ids, command)
    };
    let id = bench.submit(batch).await;
    let open = OpenChunk {
        batch: id,
        number: 0,
        state: ChunkState::New,
        holder: None,
        ids: ids.map(str::to_owned).to_vec(),
        source_position: None,
        source_read: None,
        token: bench.session.context.ids.token(),
    };
    let opened = bench.session.settle(&open).await.unwrap();
    assert!(matches!(opened, Settled::Applied));
    // The bench writes no heartbeats, and the dispatcher reads the names in memory.
    let named = bench
        .session
        .heartbeat
        .coordinate(id, &bench.session.self_fence);
    let _ = tokio::time::timeout(Duration::from_millis(1), named).await;
    id
}

async fn cancel(bench: &Bench, id: BatchId) {
    let context = &bench.session.context;
    let request = RequestBatch {
        id,
        desired: BatchDesired::Cancel,
        seq: 1,
        allowed: vec![BatchStatus::InProgress],
        due: None,
        token: context.ids.token(),
    };
    let requested = bench.session.settle(&request).await.unwrap();
    assert!(matches!(requested, Settled::Applied));
    context.wake.chunks(id);
}

#[tokio::test]
async fn a_cancel_frees_the_slots_of_entities_that_take_hours() {
    let began = Arc::new(Notify::new());
    let begins = Arc::clone(&began);
    let command = TestCommand::new(move |_| {
        begins.notify_one();
        std::future::pending()
    });
    let bench = Bench::with(Some(Arc::new(command)), |_| ());
    let id = batch_at_work(&bench, "hang ?").await;
    let dispatcher = Dispatcher::start(&bench.session);
    soon("the entity", began.notified()).await;
    cancel(&bench, id).await;
    soon("free slots", dispatcher.idle()).await;
    let head = bench.head(id, 0).await;
    assert_eq!((head.state, head.ok + head.failed), (ChunkState::New, 0));
    assert_eq!(dispatcher.blocked_slots(), 0);
    bench.end().await;
}

#[tokio::test]
async fn a_worker_that_claims_a_chunk_after_the_request_to_cancel_hands_it_back() {
    let command = TestCommand::new(|_| async { panic!("no entity may begin") });
    let bench = Bench::with(Some(Arc::new(command)), |_| ());
    let id = batch_at_work(&bench, "echo ?").await;
    let context = &bench.session.context;
    let row = context
        .store
        .batch(id, Freshness::Serial)
        .await
        .unwrap()
        .unwrap();
    let node = bench.session.me.node.clone();
    let stats = BatchStats::new(id, node, String::new(), 1, Duration::from_secs(1), None);
    let active = ActiveBatch {
        id,
        command: context.factory.bind(&row.spec).await.unwrap(),
        spec: Arc::new(row.spec),
        execution_id: row.execution_id,
        stats: Arc::new(stats),
        stop: CancellationToken::new(),
    };
    // The worker has not heard of the request, and finds it in the row.
    cancel(&bench, id).await;
    let seen = Candidate::found(&bench.head(id, 0).await, Duration::ZERO);
    let end = chunk_run::run(bench.session.clone(), active, 0, seen).await;
    assert_eq!(end, ChunkEnd::Released);
    let head = bench.head(id, 0).await;
    assert_eq!((head.state, head.fence), (ChunkState::New, 3));
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_command_that_cannot_be_stopped_keeps_its_slot_and_is_counted() {
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let began = Arc::new(Notify::new());
    let begins = Arc::clone(&began);
    let command = TestCommand::new(move |_| {
        begins.notify_one();
        // Ends when the test drops the sender.
        let _ = lock(&released).recv();
        std::future::ready(completed())
    });
    let bench = Bench::with(Some(Arc::new(command)), |config| {
        config.cancel_grace = Duration::from_millis(50);
    });
    let id = batch_at_work(&bench, "block ?").await;
    let dispatcher = Dispatcher::start(&bench.session);
    soon("the entity", began.notified()).await;
    assert_eq!(dispatcher.blocked_slots(), 0);
    cancel(&bench, id).await;
    let is_counted = || dispatcher.blocked_slots() == 1;
    bench
        .becomes("the count of the blocked slot", is_counted)
        .await;
    drop(release);
    soon("free slots", dispatcher.idle()).await;
    let is_over = || dispatcher.blocked_slots() == 0;
    bench.becomes("the end of the count", is_over).await;
    bench.end().await;
}

#[tokio::test]
async fn a_command_that_panics_fails_its_entity_and_no_other() {
    let command = TestCommand::new(|id| async move {
        assert!(id != "a", "as the test says");
        completed()
    });
    let bench = Bench::with(Some(Arc::new(command)), |_| ());
    let id = batch_at_work(&bench, "panic ?").await;
    let dispatcher = Dispatcher::start(&bench.session);
    bench.store.set("flush_chunk", "", None);
    bench.store.called("flush_chunk", 1).await;
    soon("free slots", dispatcher.idle()).await;
    let head = bench.head(id, 0).await;
    assert_eq!((head.state, head.ok, head.failed), (ChunkState::Done, 1, 1));
    bench.end().await;
}

/// Names a batch in the row of a node that is seen to be dead, or alive.
fn name(bench: &Bench, node: u128, batch: BatchId, is_dead: bool) {
    let session = &bench.session;
    let own = session.membership.members().remove(0).row;
    let row = NodeRow {
        guid: NodeId(format!("other{node}")),
        incarnation: Incarnation(Uuid::from_u128(node)),
        coordinates: vec![batch],
        ..own
    };
    let now = session.context.clock.monotonic();
    let dead_after = session.context.config.dead_after();
    let seen_at = if is_dead { Duration::ZERO } else { now };
    session.membership.observe(vec![row], seen_at, seen_at);
    let died_at = now.max(dead_after);
    session.membership.observe(Vec::new(), died_at, died_at);
}

#[tokio::test]
async fn an_ended_batch_of_a_dead_node_is_read_once() {
    let bench = Bench::new();
    let of_dead = BatchId(Uuid::from_u128(71));
    let of_live = BatchId(Uuid::from_u128(72));
    name(&bench, 8, of_dead, true);
    name(&bench, 9, of_live, false);
    bench.store.set("", of_dead.to_string(), None);
    bench.store.set("batch", of_live.to_string(), None);
    Dispatcher::start(&bench.session);
    // The batch of the live node may appear at any time, so it is read at every poll.
    bench.store.called("batch", 4).await;
    assert_eq!(bench.store.calls(""), 1);
    bench.end().await;
}

/// The reads of the store while one tiny batch is found, run and recorded beside as many batches that are at work.
async fn reads_of_a_tiny_batch(others: usize) -> usize {
    let hangs = Arc::new(AtomicBool::new(true));
    let begun = Arc::new(AtomicUsize::new(0));
    let (hang, begin) = (Arc::clone(&hangs), Arc::clone(&begun));
    let command = TestCommand::new(move |_| {
        let hangs = hang.load(Ordering::Acquire);
        begin.fetch_add(1, Ordering::AcqRel);
        async move {
            if hangs {
                std::future::pending::<()>().await;
            }
            completed()
        }
    });
    let bench = Bench::with(Some(Arc::new(command)), |config| {
        config.max_workers_per_node = 128;
        // Only wake-ups make the node read.
        config.poll_interval = Duration::from_secs(3_600);
    });
    for _ in 0..others {
        batch_at_work(&bench, "hang ?").await;
    }
    Dispatcher::start(&bench.session);
    let all_run = || begun.load(Ordering::Acquire) == others;
    bench.becomes("the entities of the others", all_run).await;
    hangs.store(false, Ordering::Release);
    let tiny = batch_at_work(&bench, "tiny ?").await;
    let reads = ["batch", "chunk_heads", "chunk", "node_stats"];
    for verb in reads {
        bench.store.set(verb, "", None);
    }
    bench.store.set("flush_chunk", "", None);
    bench.session.context.wake.chunks(tiny);
    bench.store.called("flush_chunk", 1).await;
    let count = reads.iter().map(|verb| bench.store.calls(verb)).sum();
    bench.end().await;
    count
}

#[tokio::test]
async fn a_tiny_batch_costs_the_same_reads_beside_fifty_others() {
    let alone = reads_of_a_tiny_batch(0).await;
    let beside = reads_of_a_tiny_batch(50).await;
    assert!(alone > 0);
    // One more check may fall before the flush.
    assert!(beside <= alone + 3, "{beside} reads, alone {alone}");
}
