//! What only the SQLite store promises: one process per file, group commit, survival of kill -9 and of a full disk.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use futures::future::join_all;
use rusqlite::Connection;
use uuid::Uuid;
use weft_model::clock::{SystemClock, Timestamp};
use weft_model::ids::Ids;
use weft_model::{
    BatchId, ChunkState, EntityRow, EntityStatus, Holder, Incarnation, NodeId, NodeRow, NodeState,
    Token,
};
use weft_sqlite::{CommitFault, OpenError, Options, SqliteStore, lock_owner};
use weft_store::SelfFence;
use weft_store::{
    Attempt, ClaimChunk, FlushChunk, Freshness, ListJobs, OpenChunk, Settled, Store, StoreError,
    settle,
};
use weft_tests::conformance::submission;

const FILE: &str = "weft.db";

fn options() -> Options {
    Options::new(Arc::new(SystemClock))
}

fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path, options()).expect("the store can be opened")
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder can be made")
}

fn token() -> Token {
    Token(Uuid::new_v4())
}

fn me() -> Holder {
    Holder {
        node: NodeId("me".to_owned()),
        incarnation: Incarnation(Uuid::from_u128(1)),
    }
}

fn open_chunk(batch: BatchId, number: i64, count: usize) -> OpenChunk {
    OpenChunk {
        batch,
        number,
        state: ChunkState::InProgress,
        holder: Some(me()),
        ids: (0..count).map(|id| format!("{number}-{id}")).collect(),
        source_position: None,
        source_read: None,
        token: token(),
    }
}

/// Flush number `seq` of a chunk that was born claimed: `rows` more rows, each with a result of `width` bytes.
fn flush(batch: BatchId, number: i64, seq: i64, rows: usize, width: usize) -> FlushChunk {
    let first = usize::try_from(seq - 1).expect("from 1") * rows;
    let rows: Vec<_> = (first..first + rows)
        .map(|id| EntityRow {
            id: format!("{number}-{id}"),
            status: EntityStatus::Completed,
            result: Some("r".repeat(width)),
            error: None,
            node: me().node,
            start_time: Timestamp(1),
            end_time: Timestamp(2),
            duration_us: 3,
            attempt: 1,
            fence: 1,
        })
        .collect();
    FlushChunk {
        crashes: 0,
        batch,
        number,
        holder: me(),
        fence: 1,
        seq,
        ok: i64::try_from(first + rows.len()).expect("a chunk is small"),
        failed: 0,
        rows,
        shares: BTreeMap::new(),
        done: false,
        logical_unit: "Customer".to_owned(),
        instances: Vec::new(),
        token: token(),
    }
}

fn integrity(path: &Path) -> String {
    let connection = Connection::open(path).expect("the file can be opened");
    connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .expect("the file can be checked")
}

fn new_batch_id() -> BatchId {
    BatchId(Uuid::new_v4())
}

#[test]
fn a_second_opener_is_refused_with_the_owners_address() {
    let folder = folder();
    let path = folder.path().join(FILE);
    assert_eq!(lock_owner(&path).expect("readable"), None);
    let store = open(&path);
    store
        .set_address("http://127.0.0.1:3213")
        .expect("writable");
    match SqliteStore::open(&path, options()) {
        Err(error @ OpenError::InUse { .. }) => {
            let text = error.to_string();
            assert!(text.contains("http://127.0.0.1:3213"), "{text}");
            assert!(text.contains(&std::process::id().to_string()), "{text}");
        }
        other => panic!("{other:?}"),
    }
    let owner = lock_owner(&path)
        .expect("readable")
        .expect("there is an owner");
    assert_eq!(owner.pid, std::process::id());
    assert_eq!(owner.address.as_deref(), Some("http://127.0.0.1:3213"));
    drop(store);
    assert_eq!(lock_owner(&path).expect("readable"), None);
    open(&path);
}

#[tokio::test]
async fn a_reader_needs_no_lock_and_writes_nothing() {
    let folder = folder();
    let path = folder.path().join(FILE);
    let store = open(&path);
    let batch = new_batch_id();
    applied(store.open_chunk(&open_chunk(batch, 0, 3)).await);
    let reader = SqliteStore::open_read_only(&path, Arc::new(SystemClock)).expect("readable");
    let found = reader.chunk(batch, 0).await.expect("readable");
    assert_eq!(found.map(|chunk| chunk.ids.len()), Some(3));
    let refused = reader.open_chunk(&open_chunk(batch, 1, 3)).await;
    assert!(
        matches!(refused, Err(StoreError::Refused(_))),
        "{refused:?}"
    );
    let missing = SqliteStore::open_read_only(folder.path().join("no.db"), Arc::new(SystemClock));
    assert!(missing.is_err());
}

#[test]
fn a_newer_schema_is_refused() {
    let folder = folder();
    let path = folder.path().join(FILE);
    drop(open(&path));
    let connection = Connection::open(&path).expect("the file can be opened");
    connection
        .execute("INSERT INTO schema_version VALUES (99, 0)", [])
        .expect("writable");
    drop(connection);
    for options in [options(), options().without_migration()] {
        let error = SqliteStore::open(&path, options).expect_err("too new");
        assert!(error.to_string().contains("version 99"), "{error}");
    }
}

#[tokio::test]
async fn a_file_without_schema_says_what_to_do() {
    let folder = folder();
    let path = folder.path().join(FILE);
    let store = SqliteStore::open(&path, options().without_migration()).expect("openable");
    assert_eq!(store.schema_version().await.expect("readable"), None);
    for error in [
        store.nodes().await.expect_err("no table"),
        store.put_node(&node_row("a")).await.expect_err("no table"),
    ] {
        assert!(error.to_string().contains("weft schema migrate"), "{error}");
    }
}

#[tokio::test]
async fn the_documented_names_are_there_for_people() {
    let folder = folder();
    let path = folder.path().join(FILE);
    let store = open(&path);
    let batch = new_batch_id();
    applied(store.open_chunk(&open_chunk(batch, 0, 3)).await);
    let mut failing = flush(batch, 0, 1, 1, 10);
    failing.rows[0].status = EntityStatus::Failed;
    failing.rows[0].error = Some("broken".to_owned());
    (failing.ok, failing.failed) = (0, 1);
    applied(store.flush_chunk(&failing).await);
    store
        .ensure_logical_units(&["Customer".to_owned()])
        .await
        .expect("tables can be made");

    let connection = Connection::open(&path).expect("the file can be opened");
    let names: Vec<String> = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'view'")
        .and_then(|mut statement| statement.query_map([], |row| row.get(0))?.collect())
        .expect("readable");
    for name in [
        "jobs",
        "jobs_by_name",
        "jobs_due",
        "job_runs",
        "nodes",
        "batchprocess_list",
        "batchprocess_entities_info",
        "batchprocess_entities_errors",
        "batchprocess_node_info",
        "batchprocess_by_day",
        "active_commands",
        "k2view_customer.entity",
    ] {
        assert!(names.iter().any(|found| found == name), "no {name}");
    }
    for name in &names {
        connection
            .query_row(&format!("SELECT count(*) FROM \"{name}\""), [], |row| {
                row.get::<_, i64>(0)
            })
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let rows: Vec<(String, String, Option<String>, Option<String>)> = connection
        .prepare(
            "SELECT entityid, status, end_time, error FROM batchprocess_entities_info \
             WHERE bid = ?1 ORDER BY entityid",
        )
        .and_then(|mut statement| {
            statement
                .query_map([batch.to_string()], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
                })?
                .collect()
        })
        .expect("readable");
    let waiting = |id: &str| (id.to_owned(), "WAITING".to_owned(), None, None);
    assert_eq!(
        rows,
        [
            (
                "0-0".to_owned(),
                "FAILED".to_owned(),
                Some("1970-01-01 00:00:00.002".to_owned()),
                Some("broken".to_owned())
            ),
            waiting("0-1"),
            waiting("0-2"),
        ]
    );
}

/// A gate that commits pass one by one, and a count of those that stood before it.
#[derive(Default)]
struct Gate {
    closed: Mutex<bool>,
    changed: Condvar,
    commits: AtomicUsize,
}

impl Gate {
    fn set(&self, closed: bool) {
        *self.closed.lock().expect("no panic inside") = closed;
        self.changed.notify_all();
    }

    fn pass(&self) {
        self.commits.fetch_add(1, Ordering::SeqCst);
        let closed = self.closed.lock().expect("no panic inside");
        drop(
            self.changed
                .wait_while(closed, |closed| *closed)
                .expect("no panic inside"),
        );
    }

    /// Waits until a commit after the first `seen` has reached the gate.
    async fn reached(&self, seen: usize) {
        while self.commits.load(Ordering::SeqCst) <= seen {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

fn node_row(guid: &str) -> NodeRow {
    NodeRow {
        guid: NodeId(guid.to_owned()),
        dc: String::new(),
        effective_ip: String::new(),
        ips: Vec::new(),
        logical_ids: Vec::new(),
        incarnation: Incarnation(Uuid::from_u128(1)),
        hb_seq: 1,
        heartbeat_at: Timestamp(0),
        state: NodeState::Alive,
        version: String::new(),
        http_address: None,
        coordinates: Vec::new(),
    }
}

#[tokio::test]
async fn one_refused_verb_does_not_fail_its_neighbours() {
    let folder = folder();
    let gate = Arc::new(Gate::default());
    let at_commit = Arc::clone(&gate);
    let store = SqliteStore::open(
        folder.path().join(FILE),
        Options {
            commit_fault: Some(Arc::new(move || {
                at_commit.pass();
                None
            })),
            ..options()
        },
    )
    .expect("openable");
    gate.set(true);
    let rows: Vec<_> = (0..10)
        .map(|number| node_row(&format!("n{number}")))
        .collect();
    // While the first commit waits at the gate, the others gather into one group.
    let first = store.put_node(&rows[0]);
    let others = async {
        gate.reached(0).await;
        let units = ["not a name".to_owned()];
        let opening = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            gate.set(false);
        };
        let neighbours = join_all(rows[1..].iter().map(|row| store.put_node(row)));
        tokio::join!(neighbours, store.ensure_logical_units(&units), opening)
    };
    let (first, (neighbours, refused, ())) = tokio::join!(first, others);
    first.expect("writable");
    assert!(
        matches!(refused, Err(StoreError::Refused(_))),
        "{refused:?}"
    );
    assert!(neighbours.iter().all(Result::is_ok), "{neighbours:?}");
    assert_eq!(gate.commits.load(Ordering::SeqCst), 2, "two groups");
    assert_eq!(store.nodes().await.expect("readable").len(), 10);
}

#[tokio::test]
async fn a_serial_read_sees_an_attempt_under_way() {
    let folder = folder();
    let gate = Arc::new(Gate::default());
    let at_commit = Arc::clone(&gate);
    let store = SqliteStore::open(
        folder.path().join(FILE),
        Options {
            commit_fault: Some(Arc::new(move || {
                at_commit.pass();
                None
            })),
            ..options()
        },
    )
    .expect("openable");
    let submit = weft_tests::conformance::submission();
    gate.set(true);
    let id = submit.batch.id;
    let attempt = store.submit_batch(&submit);
    let reads = async {
        gate.reached(0).await;
        let committed = store.batch(id, weft_store::Freshness::Committed).await;
        let opening = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            gate.set(false);
        };
        let serial = store.batch(id, weft_store::Freshness::Serial);
        let (serial, ()) = tokio::join!(serial, opening);
        (committed, serial)
    };
    let (answer, (committed, serial)) = tokio::join!(attempt, reads);
    applied(answer);
    assert_eq!(committed.expect("readable"), None);
    assert!(serial.expect("readable").is_some());
}

#[tokio::test]
async fn a_failed_commit_is_unknown_to_its_group_and_settles() {
    let folder = folder();
    let path = folder.path().join(FILE);
    let commits = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&commits);
    let store = SqliteStore::open(
        &path,
        Options {
            // The chunk is opened by the first one; every second one of the next fails.
            commit_fault: Some(Arc::new(move || {
                match counted.fetch_add(1, Ordering::SeqCst) {
                    1 | 5 => Some(CommitFault::NotApplied),
                    3 | 7 => Some(CommitFault::Applied),
                    _ => None,
                }
            })),
            ..options()
        },
    )
    .expect("openable");
    let batch = new_batch_id();
    applied(store.open_chunk(&open_chunk(batch, 0, 16)).await);
    // Sixteen rivals for one seq.
    let rivals: Vec<_> = (0..16).map(|_| flush(batch, 0, 1, 1, 10)).collect();
    let answers = join_all(rivals.iter().map(|rival| store.flush_chunk(rival))).await;
    assert!(
        answers
            .iter()
            .any(|answer| matches!(answer, Ok(Attempt::Unknown(_)))),
        "no commit failed: {answers:?}"
    );
    let self_fence = SelfFence::for_duration(Arc::new(SystemClock), Duration::from_secs(30));
    let ids = Ids::seeded(7);
    let settled = join_all(
        rivals
            .iter()
            .map(|rival| settle(&store, &ids, &self_fence, rival)),
    )
    .await;
    let applied = settled
        .iter()
        .filter(|settled| matches!(settled, Ok(Settled::Applied)))
        .count();
    let lost = settled
        .iter()
        .filter(|settled| matches!(settled, Ok(Settled::Lost(Some(_)))))
        .count();
    assert_eq!((applied, lost), (1, 15));
    let rows = store.entities(batch, 0).await.expect("readable");
    assert_eq!(rows.len(), 1);
    drop(store);
    assert_eq!(integrity(&path), "ok");
}

fn applied<F: std::fmt::Debug>(answer: Result<Attempt<F>, StoreError>) {
    assert!(matches!(answer, Ok(Attempt::Applied)), "{answer:?}");
}

/// Flushes until the file is full. Returns the number of that chunk, the refused flush and its error.
async fn fill(store: &SqliteStore, batch: BatchId) -> (i64, FlushChunk, String) {
    for number in 0..10_000 {
        let answer = store.open_chunk(&open_chunk(batch, number, 100)).await;
        if !matches!(answer, Ok(Attempt::Applied)) {
            continue;
        }
        let flush = flush(batch, number, 1, 100, 1_000);
        match store.flush_chunk(&flush).await {
            Ok(Attempt::Applied) => (),
            other => return (number, flush, format!("{other:?}")),
        }
    }
    panic!("there is space without end");
}

#[tokio::test]
async fn a_full_file_is_reported_and_reads_continue() {
    let folder = folder();
    let path = folder.path().join(FILE);
    let limited = Options {
        max_page_count: Some(400),
        ..options()
    };
    let store = SqliteStore::open(&path, limited).expect("openable");
    let batch = new_batch_id();
    let (number, refused, error) = fill(&store, batch).await;
    assert!(error.contains("Full"), "{error}");
    assert!(number > 0);
    for earlier in 0..number {
        let rows = store.entities(batch, earlier).await.expect("readable");
        assert_eq!(rows.len(), 100);
    }
    assert!(
        store
            .entities(batch, number)
            .await
            .expect("readable")
            .is_empty()
    );
    drop(store);
    assert_eq!(integrity(&path), "ok");
    // Space has returned.
    let store = open(&path);
    applied(store.flush_chunk(&refused).await);
    assert_eq!(
        store.entities(batch, number).await.expect("readable").len(),
        100
    );
}

/// Rows of entities have no key of their chunk, so only a count of the table shows that none is left behind.
#[tokio::test]
async fn a_removed_chunk_leaves_no_row_in_any_table() {
    let folder = folder();
    let path = folder.path().join(FILE);
    let store = open(&path);
    let (batch, other) = (new_batch_id(), new_batch_id());
    for batch in [batch, other] {
        applied(store.open_chunk(&open_chunk(batch, 0, 5)).await);
        for seq in 1..=2 {
            applied(store.flush_chunk(&flush(batch, 0, seq, 2, 10)).await);
        }
    }
    store.forget_chunks(batch, 0, 1).await.expect("writable");
    assert_eq!(store.entities(other, 0).await.expect("readable").len(), 4);
    drop(store);
    let connection = Connection::open(&path).expect("openable");
    let count = |table: &str| -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        connection
            .query_row(&sql, [], |row| row.get(0))
            .expect("a count")
    };
    let left = ["entity", "entity_run", "chunk_ids", "chunk_filter", "chunk"].map(count);
    assert_eq!(left, [4, 2, 1, 1, 1]);
}

/// Fills a real disk and frees space again; the same process must continue. Runs only if `WEFT_SMALL_DISK` names a
/// folder on a file system of its own with a few MiB (a tmpfs).
#[tokio::test]
async fn a_full_disk_is_reported_and_recovered_from() {
    let Some(folder) = std::env::var_os("WEFT_SMALL_DISK") else {
        return;
    };
    let folder = tempfile::tempdir_in(folder).expect("a folder can be made");
    let path = folder.path().join(FILE);
    let ballast = folder.path().join("ballast");
    std::fs::write(&ballast, vec![0_u8; 2 * 1024 * 1024]).expect("there is space for ballast");
    let store = open(&path);
    let batch = new_batch_id();
    let (number, refused, error) = fill(&store, batch).await;
    assert!(error.contains("Full"), "{error}");
    for earlier in 0..number {
        let found = store.chunk(batch, earlier).await.expect("readable");
        if let Some(chunk) = found {
            assert_eq!(chunk.ids.len(), 100);
        }
    }
    let rows = store.entities(batch, number).await.expect("readable");
    assert!(rows.is_empty(), "a flush that found no space left rows");
    std::fs::remove_file(&ballast).expect("removable");
    let self_fence = SelfFence::for_duration(Arc::new(SystemClock), Duration::from_secs(30));
    let settled = settle(&store, &Ids::seeded(7), &self_fence, &refused).await;
    assert!(matches!(settled, Ok(Settled::Applied)), "{settled:?}");
    drop(store);
    assert_eq!(integrity(&path), "ok");
}

const CHILD_FILE: &str = "WEFT_TEST_CHILD_FILE";
const CHILD_BATCH: &str = "WEFT_TEST_CHILD_BATCH";

/// The process that is killed, started by the test below; without a file it does nothing. Eight workers record results and say so once it is acknowledged.
#[test]
fn child_that_flushes() {
    let Some(path) = std::env::var_os(CHILD_FILE) else {
        return;
    };
    let batch: BatchId = std::env::var(CHILD_BATCH)
        .expect("given by the parent")
        .parse()
        .expect("a bid");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let store = open(Path::new(&path));
    runtime.block_on(async {
        let first = store
            .chunk_heads(batch, 0, i64::MAX)
            .await
            .expect("readable")
            .last()
            .map_or(0, |head| head.number + 1);
        let next = AtomicUsize::new(0);
        join_all((0..8).map(|_| async {
            loop {
                let offset = next.fetch_add(1, Ordering::Relaxed);
                let number = first + i64::try_from(offset).expect("few");
                applied(store.open_chunk(&open_chunk(batch, number, 300)).await);
                for seq in 1..=3 {
                    applied(store.flush_chunk(&flush(batch, number, seq, 100, 40)).await);
                    let mut out = std::io::stdout().lock();
                    writeln!(out, "ACK {number} {seq}").expect("the parent listens");
                    out.flush().expect("the parent listens");
                }
            }
        }))
        .await;
    });
}

#[tokio::test]
async fn kill_9_loses_nothing_acknowledged() {
    let folder = folder();
    let path = folder.path().join(FILE);
    let batch = new_batch_id();
    let mut acknowledged: BTreeMap<i64, i64> = BTreeMap::new();
    for round in 1..=4 {
        let mut child = Command::new(std::env::current_exe().expect("this binary"))
            .args(["sqlite::child_that_flushes", "--exact", "--nocapture"])
            .env(CHILD_FILE, &path)
            .env(CHILD_BATCH, batch.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the child can be started");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut count = 0;
        for line in lines {
            let Ok(line) = line else { break };
            let Some(rest) = line.strip_prefix("ACK ") else {
                continue;
            };
            let (number, seq) = rest.split_once(' ').expect("two numbers");
            let (Ok(number), Ok(seq)) = (number.parse(), seq.parse::<i64>()) else {
                // Cut off by the kill.
                continue;
            };
            let known = acknowledged.entry(number).or_default();
            *known = seq.max(*known);
            count += 1;
            if count == 40 * round {
                // SIGKILL, while others are in the middle of their flushes.
                child.kill().expect("the child can be killed");
            }
        }
        child.wait().expect("the child has ended");
        assert!(count >= 40 * round, "the child ended by itself");
    }
    assert_eq!(integrity(&path), "ok");
    let store = open(&path);
    for (number, seq) in acknowledged {
        let chunk = store.chunk(batch, number).await.expect("readable");
        let head = chunk.expect("an acknowledged chunk").head;
        assert!(head.seq >= seq, "chunk {number} lost flush {seq}");
        let rows = store.entities(batch, number).await.expect("readable");
        // A flush is there as a whole or not at all, and its head says so.
        assert_eq!(i64::try_from(rows.len()), Ok(head.seq * 100));
        assert_eq!(head.ok, head.seq * 100);
    }
}

#[tokio::test]
async fn a_row_that_cannot_be_read_hides_no_other() {
    let folder = folder();
    let path = folder.path().join("weft.db");
    let mut keys = Vec::new();
    {
        let store = open(&path);
        for _ in 0..3 {
            let submit = submission();
            applied(store.submit_batch(&submit).await);
            keys.push(submit.job.key);
        }
    }
    keys.sort();
    let connection = Connection::open(&path).expect("the file can be opened");
    let changed = connection.execute("UPDATE job SET status = '' WHERE uid = ?1", [&keys[1].uid]);
    assert_eq!(changed, Ok(1));
    let store = open(&path);
    let list = ListJobs {
        limit: 2,
        ..ListJobs::default()
    };
    let first = store.jobs(&list).await.expect("readable");
    assert_eq!(first.jobs.len(), 1);
    assert_eq!(first.jobs[0].key, keys[0]);
    assert_eq!(first.next.as_ref(), Some(&keys[1]));
    let behind = ListJobs {
        after: first.next,
        ..list
    };
    let second = store.jobs(&behind).await.expect("readable");
    assert_eq!(second.jobs[0].key, keys[2]);
    assert_eq!(second.next, None);
    let broken = store.job(&keys[1], Freshness::Committed).await;
    assert!(
        matches!(broken, Err(StoreError::Corrupt { .. })),
        "{broken:?}"
    );
}

#[tokio::test]
async fn a_chunk_is_claimed_by_the_heir_of_a_closed_store() {
    let folder = folder();
    let path = folder.path().join(FILE);
    let batch = new_batch_id();
    let store = open(&path);
    applied(store.open_chunk(&open_chunk(batch, 0, 10)).await);
    drop(store);
    let log = folder.path().join("weft.db-wal");
    assert!(!log.exists(), "a clean end leaves no log behind");
    let store = open(&path);
    let claim = ClaimChunk {
        batch,
        number: 0,
        seen_fence: 1,
        holder: me(),
        crashes: 1,
        token: token(),
    };
    applied(store.claim_chunk(&claim).await);
}

#[tokio::test]
async fn a_node_whose_state_is_of_a_newer_version_hides_no_other() {
    let folder = folder();
    let path = folder.path().join(FILE);
    let store = SqliteStore::open(&path, options()).expect("openable");
    for guid in ["n1", "n2"] {
        store.put_node(&node_row(guid)).await.expect("written");
    }
    let connection = rusqlite::Connection::open(&path).expect("openable");
    let newer = "UPDATE node SET state = 'RESTING' WHERE guid = 'n1'";
    assert_eq!(connection.execute(newer, []).expect("updated"), 1);
    let states: Vec<_> = store
        .nodes()
        .await
        .expect("all nodes")
        .into_iter()
        .map(|row| (row.guid.0, row.state))
        .collect();
    assert_eq!(
        states,
        [
            ("n1".to_owned(), NodeState::Draining),
            ("n2".to_owned(), NodeState::Alive)
        ]
    );
}
