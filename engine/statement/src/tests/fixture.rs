//! A project of two logical units, a store, and statements on them.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use weft_model::batch_job_key;
use weft_model::clock::{Clock, SharedClock, SystemClock, Timestamp};
use weft_model::ids::Ids;
use weft_model::{
    Batch, BatchId, BatchStatistics, BatchStatus, ChunkState, EntityRow, EntityStatus,
    FilledChunks, Holder, Incarnation, Job, JobStatus, NodeId, NodeRow, NodeShare, NodeState,
    NodeStats,
};
use weft_model::{Principal, Session};
use weft_node::trace::Traces;
use weft_node::{NodeConfig, Wake};
use weft_project::ProjectCatalogue;
use weft_project::interface::Environment;
use weft_sqlite::{CommitFault, Options, SqliteStore};
use weft_store::faulty::FaultyStore;
use weft_store::{
    Attempt, BatchGuard, BatchSet, ClaimBatch, ClaimChunk, ClaimJob, EndJob, FinishBatch,
    FlushChunk, Freshness, MoveBatch, OpenChunk, ReserveChunks, SharedStore,
};

use crate::inspect::StoredNodes;
use crate::{End, EndStatus, Frame, LocalTokenPolicy, Services, Statements};

/// The line that must always work.
pub const THE_LINE: &str = r#"BATCH AUTODATA_DELTA FROM idsFile USING ('select id from ids  limit 100') FABRIC_COMMAND="sync_instance AUTODATA_DELTA.?" with JOB_AFFINITY='10.21.2.102' ASYNC='true';"#;

const LU: &str = "\
root: vehicle
ids: select id from ids
tables:
  vehicle:
    interface: idsFile
    query: select id, name from ids where id in (:ids)
    id_column: id
    key: [id]
    columns: {id: TEXT, name: TEXT}
instance_groups:
  small: {interface: idsFile, query: select id from ids limit 3}
";

pub struct Fixture {
    pub folder: TempDir,
    pub store: SharedStore,
    /// The same store, whose calls a test can let fail.
    pub faulty: Arc<FaultyStore>,
    pub statements: Statements,
    pub clock: SharedClock,
    pub outage: Arc<Outage>,
    ids: Ids,
}

/// While it lasts no commit is known to have happened, and time flies.
#[derive(Debug, Default)]
pub struct Outage {
    pub begun: AtomicBool,
    seconds: AtomicU64,
}

impl Clock for Outage {
    fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    fn monotonic(&self) -> Duration {
        let step = if self.begun.load(Ordering::Relaxed) {
            10
        } else {
            0
        };
        let passed = self.seconds.fetch_add(step, Ordering::Relaxed);
        SystemClock.monotonic() + Duration::from_secs(passed)
    }
}

/// What a text answered.
#[derive(Debug)]
pub struct Answer {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Value>>,
    pub notices: Vec<String>,
    pub progress: Vec<crate::Progress>,
    pub end: End,
}

impl Answer {
    pub fn ok(self) -> Self {
        assert_eq!(self.end.status, EndStatus::Ok, "{:?}", self.end.error);
        self
    }

    pub fn error(&self) -> &str {
        self.end.error.as_deref().unwrap_or_default()
    }

    /// A column of the first row.
    pub fn cell(&self, column: &str) -> &Value {
        self.row_cell(0, column)
    }

    pub fn row_cell(&self, row: usize, column: &str) -> &Value {
        let at = self.columns.iter().position(|name| name == column);
        &self.rows[row][at.unwrap_or_else(|| panic!("no {column} in {:?}", self.columns))]
    }

    /// The rows as texts with `|` between them.
    pub fn lines(&self) -> Vec<String> {
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        self.rows
            .iter()
            .map(|row| row.iter().map(text).collect::<Vec<_>>().join("|"))
            .collect()
    }
}

impl Fixture {
    pub async fn new() -> Self {
        let outage = Arc::new(Outage::default());
        let folder = tempfile::tempdir().unwrap();
        write_project(&folder, 120);
        let clock: SharedClock = outage.clone();
        let fault = outage.clone();
        let options = Options {
            commit_fault: Some(Arc::new(move || {
                let begun = fault.begun.load(Ordering::Relaxed);
                begun.then_some(CommitFault::NotApplied)
            })),
            ..Options::new(clock.clone())
        };
        let store = SqliteStore::open(folder.path().join("weft.db"), options);
        let faulty = Arc::new(FaultyStore::new(Arc::new(store.unwrap())));
        let store: SharedStore = faulty.clone();
        let data = folder.path().join("data");
        let environment = Environment::from_map(BTreeMap::new());
        let ids = Ids::seeded(7);
        let catalogue = ProjectCatalogue::new(store.clone(), clock.clone(), &data, environment);
        let traces = Traces::new(&data, clock.clone());
        let services = Services {
            store: store.clone(),
            clock: clock.clone(),
            ids: ids.clone(),
            config: Arc::new(NodeConfig::with_defaults(NodeId("n1".to_owned()), data)),
            cluster_id: Some("c1".to_owned()),
            catalogue: Arc::new(catalogue),
            wake: Wake::default(),
            kinds: weft_node::job::JobKinds::default(),
            flows: Arc::new(weft_node::flow::NoFlows),
            nodes: Arc::new(StoredNodes(store.clone())),
            traces,
            policy: Arc::new(LocalTokenPolicy::new("admin")),
        };
        let fixture = Self {
            folder,
            store,
            faulty,
            statements: Statements::new(services),
            clock,
            outage,
            ids,
        };
        fixture.put_node("n1", "127.0.0.1").await;
        fixture
    }

    /// With the project deployed.
    pub async fn deployed() -> Self {
        let fixture = Self::new().await;
        fixture.run(&fixture.deploy_line()).await.ok();
        fixture
    }

    pub fn deploy_line(&self) -> String {
        format!("DEPLOY '{}';", self.folder.path().join("project").display())
    }

    pub async fn run(&self, text: &str) -> Answer {
        self.run_in(Session::default(), text).await
    }

    pub async fn run_in(&self, session: Session, text: &str) -> Answer {
        self.run_as("admin", session, text).await
    }

    pub async fn run_as(&self, name: &str, session: Session, text: &str) -> Answer {
        let (sender, receiver) = mpsc::channel(64);
        let principal = Principal {
            name: name.to_owned(),
        };
        let stop = CancellationToken::new();
        let running = self.statements.run(&principal, text, session, sender, stop);
        let ((), answer) = tokio::join!(running, gather(receiver));
        answer
    }

    /// Submits and says which batch it is.
    pub async fn submit(&self, text: &str) -> BatchId {
        let answer = self.run(text).await.ok();
        answer.cell("Batch id").as_str().unwrap().parse().unwrap()
    }

    pub async fn batch(&self, id: BatchId) -> Batch {
        let batch = self.store.batch(id, Freshness::Serial).await.unwrap();
        batch.expect("it was submitted")
    }

    /// The only batch that there is.
    pub async fn only_batch(&self) -> Option<Batch> {
        let list = weft_store::ListBatches {
            from: Timestamp(0),
            to: self.clock.now().plus(Duration::from_secs(60)),
            before: None,
            limit: 10,
        };
        let page = self.store.batches(&list).await.unwrap();
        assert!(page.listings.len() <= 1, "more than one batch");
        match page.listings.first() {
            Some(listing) => Some(self.batch(listing.id).await),
            None => None,
        }
    }

    pub async fn put_node(&self, guid: &str, ip: &str) {
        self.put_coordinator(guid, ip, Vec::new()).await;
    }

    /// A node that says that it coordinates these batches.
    pub async fn put_coordinator(&self, guid: &str, ip: &str, coordinates: Vec<BatchId>) {
        let row = NodeRow {
            guid: NodeId(guid.to_owned()),
            dc: "DC1".to_owned(),
            effective_ip: ip.to_owned(),
            ips: vec![ip.to_owned()],
            logical_ids: vec!["loaders:2-4".to_owned()],
            incarnation: Incarnation(Uuid::from_u128(1)),
            hb_seq: 1,
            heartbeat_at: Timestamp(1_600_000_000_000),
            state: NodeState::Alive,
            version: "0.1.0".to_owned(),
            http_address: None,
            coordinates,
        };
        self.store.put_node(&row).await.unwrap();
    }

    pub async fn put_stats(&self, stats: NodeStats) {
        self.store.put_node_stats(&stats).await.unwrap();
    }

    /// Plays the owner of a batch.
    pub async fn owner(&self, id: BatchId) -> Owner<'_> {
        let holder = Holder {
            node: NodeId("n1".to_owned()),
            incarnation: Incarnation(Uuid::from_u128(1)),
        };
        let batch = self.batch(id).await;
        let key = batch_job_key(&batch);
        let job = self.store.job(&key, Freshness::Serial).await.unwrap();
        let job = job.expect("its job was submitted");
        let now = self.clock.now();
        let claim = ClaimJob {
            cut_short: None,
            key: key.clone(),
            seen_status: job.status,
            seen_fence: job.fence,
            holder: holder.clone(),
            now,
            due: weft_model::DueHint { due_at: now, key },
            token: self.ids.token(),
        };
        applied(self.store.claim_job(&claim).await.unwrap());
        let claim = ClaimBatch {
            id,
            seen_fence: batch.fence,
            to_fence: job.fence + 1,
            holder: holder.clone(),
            token: self.ids.token(),
        };
        applied(self.store.claim_batch(&claim).await.unwrap());
        Owner {
            fixture: self,
            holder,
            id,
            fence: job.fence + 1,
            status: batch.status,
        }
    }
}

async fn gather(mut frames: mpsc::Receiver<Frame>) -> Answer {
    let mut answer = None;
    let (mut columns, mut rows) = (Vec::new(), Vec::new());
    let (mut notices, mut progress) = (Vec::new(), Vec::new());
    while let Some(frame) = frames.recv().await {
        assert!(answer.is_none(), "End is the last frame");
        match frame {
            Frame::Columns { columns: named } => {
                (columns, rows) = (named, Vec::new());
            }
            Frame::Row { row } => {
                assert_eq!(row.len(), columns.len(), "{columns:?} {row:?}");
                rows.push(row);
            }
            Frame::Progress(step) => progress.push(step),
            Frame::Notice { message } => notices.push(message),
            Frame::End(end) => answer = Some(end),
        }
    }
    Answer {
        columns,
        rows,
        notices,
        progress,
        end: answer.expect("there is an End"),
    }
}

pub struct Owner<'f> {
    fixture: &'f Fixture,
    pub holder: Holder,
    id: BatchId,
    fence: i64,
    status: BatchStatus,
}

impl Owner<'_> {
    async fn guard(&self) -> BatchGuard {
        BatchGuard {
            id: self.id,
            holder: self.holder.clone(),
            fence: self.fence,
            status: self.status,
            desired_seq: self.fixture.batch(self.id).await.desired_seq,
        }
    }

    pub async fn move_to(&mut self, to: BatchSet) {
        let status = to.status;
        let change = MoveBatch {
            guard: self.guard().await,
            to,
            token: self.fixture.ids.token(),
        };
        applied(self.fixture.store.move_batch(&change).await.unwrap());
        self.status = status;
    }

    /// WAITING_FOR_JOB → NEW → GENERATE_IID with one chunk of these ids.
    pub async fn generate(&mut self, ids: &[&str]) {
        let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        self.generate_chunks(&[ids]).await;
    }

    /// WAITING_FOR_JOB → NEW → GENERATE_IID with chunks of these ids.
    pub async fn generate_chunks(&mut self, chunks: &[Vec<String>]) {
        let now = self.fixture.clock.now();
        self.move_to(BatchSet::taken()).await;
        self.move_to(BatchSet::generating(now)).await;
        let reserve = ReserveChunks {
            guard: self.guard().await,
            from: 0,
            to: 64,
            filled: FilledChunks::default(),
            token: self.fixture.ids.token(),
        };
        applied(self.fixture.store.reserve_chunks(&reserve).await.unwrap());
        for (number, ids) in chunks.iter().enumerate() {
            let open = OpenChunk {
                batch: self.id,
                number: whole(number),
                state: ChunkState::New,
                holder: None,
                ids: ids.clone(),
                source_position: None,
                source_read: None,
                token: self.fixture.ids.token(),
            };
            applied(self.fixture.store.open_chunk(&open).await.unwrap());
        }
        let total = chunks.iter().map(Vec::len).sum();
        let filled = whole(chunks.len());
        self.move_to(BatchSet::list_complete(filled, whole(total), 1))
            .await;
    }

    /// Records what became of entities of chunk 0: id, error, milliseconds.
    pub async fn record(&self, rows: &[(&str, Option<&str>, i64)], done: bool) -> NodeShare {
        let claim = ClaimChunk {
            batch: self.id,
            number: 0,
            seen_fence: 1,
            holder: self.holder.clone(),
            crashes: 0,
            token: self.fixture.ids.token(),
        };
        applied(self.fixture.store.claim_chunk(&claim).await.unwrap());
        let now = self.fixture.clock.now();
        let rows: Vec<EntityRow> = rows
            .iter()
            .map(|(id, error, millis)| EntityRow {
                id: (*id).to_owned(),
                status: match error {
                    Some(_) => EntityStatus::Failed,
                    None => EntityStatus::Completed,
                },
                result: error
                    .is_none()
                    .then(|| r#"{"Added":1,"Updated":0,"Unchanged":0}"#.to_owned()),
                error: error.map(str::to_owned),
                node: self.holder.node.clone(),
                start_time: now,
                end_time: now,
                duration_us: millis * 1_000,
                attempt: 1,
                fence: 2,
            })
            .collect();
        let failed = whole(rows.iter().filter(|row| row.error.is_some()).count());
        let share = NodeShare {
            succeeded: whole(rows.len()) - failed,
            failed,
            aggregated: BTreeMap::from([("Added".to_owned(), whole(rows.len()) - failed)]),
            first_start: Some(now),
            last_end: Some(now),
        };
        let flush = FlushChunk {
            crashes: 0,
            batch: self.id,
            number: 0,
            holder: self.holder.clone(),
            fence: 2,
            seq: 1,
            ok: share.succeeded,
            failed,
            shares: BTreeMap::from([(self.holder.node.clone(), share.clone())]),
            rows,
            done,
            logical_unit: "AUTODATA_DELTA".to_owned(),
            instances: Vec::new(),
            token: self.fixture.ids.token(),
        };
        applied(self.fixture.store.flush_chunk(&flush).await.unwrap());
        share
    }

    pub async fn finish(&mut self, status: BatchStatus, error: Option<&str>, share: NodeShare) {
        let now = self.fixture.clock.now();
        let statistics = BatchStatistics {
            nodes: BTreeMap::from([(self.holder.node.clone(), share)]),
            trial: None,
            percentiles_us: [
                ("p50", 1_500),
                ("p90", 2_000),
                ("p99", 3_000),
                ("max", 4_000),
            ]
            .map(|(name, micros)| (name.to_owned(), micros))
            .into(),
        };
        let slowest = r#"{"slowestProcessed":[{"entityId":"1","processTimeMS":2,"status":"COMPLETED","result":"{}","nodeId":"n1"},{"entityId":"2","processTimeMS":5,"status":"FAILED","nodeId":"n1"}]}"#;
        let batch = self.fixture.batch(self.id).await;
        let key = batch_job_key(&batch);
        let finish = FinishBatch {
            batch: MoveBatch {
                guard: self.guard().await,
                to: BatchSet::ended(
                    status,
                    now,
                    error.map(str::to_owned),
                    slowest.to_owned(),
                    statistics,
                ),
                token: self.fixture.ids.token(),
            },
            job: EndJob {
                fence: self.fence,
                seen_status: JobStatus::InProcess,
                output: Some(self.id.to_string()),
                ..EndJob::of(
                    &Job::waiting(key, now),
                    self.holder.clone(),
                    JobStatus::Processed,
                    now,
                    self.fixture.ids.token(),
                )
            },
        };
        applied(self.fixture.store.finish_batch(&finish).await.unwrap());
        self.status = status;
        self.fixture.statements.services().wake.batch(self.id);
    }
}

fn applied<F: std::fmt::Debug>(attempt: Attempt<F>) {
    match attempt {
        Attempt::Applied => (),
        other => panic!("not applied: {other}"),
    }
}

pub fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap()
}

/// A project whose ids come from a CSV file.
pub fn write_project(folder: &TempDir, ids: usize) {
    let csv: String = (1..=ids).map(|id| format!("{id},car {id}\n")).collect();
    let source = folder.path().join("source");
    fs::create_dir_all(&source).unwrap();
    fs::write(source.join("ids.csv"), format!("id,name\n{csv}")).unwrap();
    let interface = format!("type: csv\npath: {}\n", source.display());
    let files = [
        ("interfaces/idsFile.yaml", interface.as_str()),
        ("logical_units/AUTODATA_DELTA/lu.yaml", LU),
        ("logical_units/Other/lu.yaml", LU),
    ];
    for (path, content) in files {
        let path = folder.path().join("project").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}
