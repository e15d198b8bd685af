//! Nodes, a store and clients in one simulated world.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use uuid::Uuid;
use weft_model::batch_job_key;
use weft_model::clock::Clock;
use weft_model::ids::Ids;
use weft_model::{
    Batch, BatchDesired, BatchId, BatchSpec, BatchStatus, ChunkState, DueHint, NodeId,
};
use weft_node::job::{JobKind, JobKinds};
use weft_node::scheduler::submission_of;
use weft_node::{Context, Node, NodeConfig, NodeHandle, Wake};
use weft_store::SelfFence;
use weft_store::{RequestBatch, Settled, Store, SubmitBatch, settle};

use super::control::{Control, SimClock};
use super::jobs::{self, JobRequest, PlannedJob, SimKind};
use super::script::{Effects, Script, ScriptFactory, Scripts};
use super::store::{CLIENT, SimHandle, SimStore};

/// How long a client waits for a definite answer.
const PATIENCE: Duration = Duration::from_secs(120);

/// The world of one seed.
#[derive(Debug)]
pub struct Cluster {
    /// The store that all share.
    pub store: SimStore,
    /// The work of the batches.
    pub scripts: Scripts,
    /// The effects of entities.
    pub effects: Effects,
    /// The effects of jobs.
    pub job_effects: jobs::Effects,
    /// The jobs that clients requested.
    pub jobs: jobs::AllAsked,
    seed: u64,
    nodes: BTreeMap<String, Member>,
    processes: u64,
    submitted: Arc<Mutex<BTreeMap<BatchId, Submitted>>>,
    batches: u128,
    requests: u128,
}

#[derive(Debug)]
struct Member {
    config: NodeConfig,
    skew_ms: Arc<AtomicI64>,
    process: Option<Process>,
}

/// One process of a node.
#[derive(Clone, Debug)]
pub struct Process {
    /// The node in it.
    pub handle: NodeHandle,
    /// Its control.
    pub control: Arc<Control>,
    /// Its own view of the store, with its counts.
    pub store: Arc<SimHandle>,
    /// Its name: node and number.
    pub name: String,
}

/// A batch that a client submitted.
#[derive(Clone, Debug)]
pub struct Submitted {
    /// The request.
    pub spec: BatchSpec,
    /// The client knows that it is stored.
    pub acknowledged: bool,
    /// The client requested its end.
    pub cancelled: bool,
}

impl Cluster {
    /// A world without nodes; simulated time zero is now.
    pub fn new(seed: u64, keep_lines: bool) -> Self {
        Self {
            store: SimStore::new(seed, keep_lines),
            scripts: Scripts::default(),
            effects: Effects::default(),
            job_effects: jobs::Effects::default(),
            jobs: jobs::AllAsked::default(),
            seed,
            nodes: BTreeMap::new(),
            processes: 0,
            submitted: Arc::default(),
            batches: 0,
            requests: 0,
        }
    }

    /// A configuration that makes things happen soon: `T_dead` is 2.5 s.
    pub fn quick_config(name: &str) -> NodeConfig {
        NodeConfig {
            heartbeat_interval: Duration::from_millis(500),
            heartbeat_miss: 5,
            poll_interval: Duration::from_millis(250),
            max_workers_per_node: 4,
            max_chunk_size: 16,
            cancel_grace: Duration::from_secs(2),
            drain_grace: Duration::from_secs(5),
            reconcile_interval: Duration::from_secs(30),
            dc: "DC1".to_owned(),
            effective_ip: format!("10.0.0.{}", name.trim_start_matches('n')),
            ips: Vec::new(),
            ..NodeConfig::with_defaults(NodeId(name.to_owned()), PathBuf::from("/nonexistent"))
        }
    }

    /// A node that can be started.
    pub fn add(&mut self, config: NodeConfig, skew_ms: i64) {
        let member = Member {
            skew_ms: Arc::new(AtomicI64::new(skew_ms)),
            process: None,
            config: config.clone(),
        };
        self.nodes.insert(config.guid.0, member);
    }

    /// Nodes `n1`, `n2`, … with the quick configuration, started.
    pub fn start_quick(&mut self, count: usize) {
        for number in 1..=count {
            let name = format!("n{number}");
            self.add(Self::quick_config(&name), 0);
            self.start(&name);
        }
    }

    /// The names of the nodes.
    pub fn names(&self) -> Vec<String> {
        self.nodes.keys().cloned().collect()
    }

    /// Starts a process of the node.
    pub fn start(&mut self, name: &str) -> Process {
        self.processes += 1;
        let number = self.processes;
        let member = self.nodes.get_mut(name).expect("a node that was added");
        let control = Control::new(self.store.started());
        let store = self.store.handle(name, Arc::clone(&control));
        let factory = ScriptFactory {
            scripts: self.scripts.clone(),
            effects: self.effects.clone(),
            control: Arc::clone(&control),
            process: format!("{name}.{number}"),
            store: self.store.clone(),
        };
        let clock = SimClock::new(Arc::clone(&control), Arc::clone(&member.skew_ms));
        let kind = SimKind {
            effects: self.job_effects.clone(),
            control: Arc::clone(&control),
            clock: Arc::clone(&clock),
            process: format!("{name}.{number}"),
            store: self.store.clone(),
        };
        let context = Context::new(
            store.clone(),
            clock,
            Ids::seeded(self.seed.wrapping_mul(1_000).wrapping_add(number)),
            member.config.clone(),
            Arc::new(factory),
            JobKinds::new([Arc::new(kind) as Arc<dyn JobKind>]),
            Wake::default(),
        );
        let process = Process {
            handle: Node::start(Arc::new(context)),
            control,
            store,
            name: format!("{name}.{number}"),
        };
        process.control.holds(process.handle.clone());
        member.process = Some(process.clone());
        self.note(name, "start");
        process
    }

    /// Sets the wall clock of the node's machine forward by this many milliseconds, or back.
    pub fn step_clock(&self, name: &str, step_ms: i64) {
        if let Some(member) = self.nodes.get(name) {
            member.skew_ms.fetch_add(step_ms, Ordering::AcqRel);
            self.store.inner().clocks_set = true;
            self.note(name, "clock set");
        }
    }

    /// Sets the wall clock of the node's machine to this deviation.
    pub fn set_skew(&self, name: &str, skew_ms: i64) {
        if let Some(member) = self.nodes.get(name) {
            member.skew_ms.store(skew_ms, Ordering::Release);
        }
    }

    /// The process of the node, if it has one.
    pub fn process(&self, name: &str) -> Option<&Process> {
        self.nodes.get(name)?.process.as_ref()
    }

    /// How many processes were started.
    pub fn processes(&self) -> u64 {
        self.processes
    }

    /// Ends the node's process as kill -9 does.
    pub fn kill(&mut self, name: &str) {
        let process = self
            .nodes
            .get_mut(name)
            .and_then(|member| member.process.take());
        if let Some(process) = process {
            process.control.die();
            self.note(name, "kill");
        }
    }

    /// Removes the node's process if it has ended by itself; answers whether it had.
    pub fn reap(&mut self, name: &str) -> bool {
        let Some(member) = self.nodes.get_mut(name) else {
            return false;
        };
        let ended = member.process.as_ref().is_some_and(|process| {
            process.handle.not_ready().as_deref() == Some("the node has ended")
        });
        if ended {
            member.process = None;
        }
        ended
    }

    /// Writes something into the trace.
    pub fn note(&self, who: &str, what: &str) {
        let now = self.store.now();
        self.store.inner().trace.note(now, who, what, "");
    }

    /// A batch of this script, as a client would submit it.
    pub fn spec(&self, script: Script) -> BatchSpec {
        BatchSpec {
            asynchronous: true,
            allow_multiple: true,
            ..BatchSpec::new(
                "AUTODATA_DELTA",
                self.scripts.add(script),
                "simulate AUTODATA_DELTA.?",
            )
        }
    }

    /// A client submits a batch in the background; the answer is its id.
    pub fn submit(&mut self, spec: BatchSpec) -> BatchId {
        self.batches += 1;
        let number = self.batches;
        let id = BatchId(Uuid::from_u128(
            (u128::from(self.seed) << 64) | (number << 96) | number,
        ));
        let (client, clock, ids) = self.client(number);
        let submit = submission(id, spec.clone(), clock.as_ref(), &ids);
        let submitted = Submitted {
            spec,
            acknowledged: false,
            cancelled: false,
        };
        if let Some(script) = self.scripts.of(&submitted.spec) {
            let list = script.list();
            self.store.inner().watch.expect_list(id, list);
        }
        self.lock().insert(id, submitted);
        let all = Arc::clone(&self.submitted);
        tokio::spawn(async move {
            let self_fence = SelfFence::for_duration(clock, PATIENCE);
            let settled = settle(client.as_ref(), &ids, &self_fence, &submit).await;
            if matches!(settled, Ok(Settled::Applied))
                && let Some(submitted) = all
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .get_mut(&id)
            {
                submitted.acknowledged = true;
            }
        });
        id
    }

    /// A client requests the end of a batch, in the background.
    pub fn cancel(&mut self, id: BatchId) {
        if let Some(submitted) = self.lock().get_mut(&id) {
            submitted.cancelled = true;
        }
        let (client, clock, ids) = self.client(u128::from(self.store.now()) + 1_000);
        tokio::spawn(async move {
            let self_fence = SelfFence::for_duration(clock.clone(), PATIENCE);
            loop {
                let freshness = weft_store::Freshness::Serial;
                let row = match client.batch(id, freshness).await {
                    Ok(Some(row)) => row,
                    // Its submission may still be under way.
                    Ok(None) | Err(_) if self_fence.wait(Duration::from_millis(200)).await => {
                        continue;
                    }
                    Ok(None) | Err(_) => return,
                };
                if row.status.is_final() || row.desired == BatchDesired::Cancel {
                    return;
                }
                let request = RequestBatch {
                    id,
                    desired: BatchDesired::Cancel,
                    seq: row.desired_seq + 1,
                    allowed: BatchStatus::ALL
                        .iter()
                        .copied()
                        .filter(|status| !status.is_final())
                        .collect(),
                    due: Some(DueHint {
                        due_at: clock.now(),
                        key: batch_job_key(&row),
                    }),
                    token: ids.token(),
                };
                match settle(client.as_ref(), &ids, &self_fence, &request).await {
                    Ok(Settled::Lost(_)) => (),
                    Ok(Settled::Applied | Settled::StillUnknown) | Err(_) => return,
                }
            }
        });
    }

    /// The store crashes, loses the writes of the last `loss` although it has acknowledged them, and is back after `away`.
    pub async fn crash_store(&self, loss: Duration, away: Duration) {
        self.store.inner().sync_commit_log();
        tokio::time::sleep(loss).await;
        self.store.inner().crash();
        self.note("store", "crash");
        tokio::time::sleep(away).await;
        self.store.inner().outage = false;
    }

    /// The store loses the first chunk that is not done, and no copy of it arrives late.
    pub fn lose_chunk(&self) {
        let mut inner = self.store.inner();
        let is_open = |state| matches!(state, ChunkState::New | ChunkState::InProgress);
        let lost = inner.tables.chunks.iter().find_map(|(key, row)| {
            let batch = inner.tables.batches.get(&key.0)?.peek();
            let is_at_work = batch.status == BatchStatus::InProgress;
            (is_at_work && is_open(row.peek().head.state)).then_some(*key)
        });
        if let Some((batch, number)) = lost {
            inner.lose_chunk(batch, number);
            drop(inner);
            self.note("store", "lost a chunk");
        }
    }

    /// A client starts a job in the background.
    pub fn start_job(&mut self, number: usize, planned: PlannedJob) {
        let (store, clock, ids) = self.client(number as u128 + 1_000_000);
        let client = jobs::Client { store, clock, ids };
        client.start(format!("j{number}"), planned, self.jobs.clone());
    }

    /// A client requests something of it.
    pub fn request_job(&mut self, number: usize, request: JobRequest) {
        self.requests += 1;
        let (store, clock, ids) = self.client(self.requests + 2_000_000);
        let client = jobs::Client { store, clock, ids };
        client.request(format!("j{number}"), request, self.jobs.clone());
    }

    fn client(&self, number: u128) -> (Arc<SimHandle>, Arc<SimClock>, Ids) {
        let control = Control::new(self.store.started());
        let store = self.store.handle(CLIENT, Arc::clone(&control));
        let number = u64::try_from(number).unwrap_or(u64::MAX);
        let ids = Ids::seeded(!self.seed.wrapping_mul(1_000).wrapping_add(number));
        (store, SimClock::new(control, Arc::default()), ids)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<BatchId, Submitted>> {
        self.submitted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The batches that clients submitted.
    pub fn submitted(&self) -> BTreeMap<BatchId, Submitted> {
        self.lock().clone()
    }

    /// The current row of a batch.
    pub fn batch(&self, id: BatchId) -> Option<Batch> {
        let inner = self.store.inner();
        inner.tables.batches.get(&id).map(|row| row.peek().clone())
    }

    /// Waits until `reached`, at most this long; answers whether it was reached.
    pub async fn wait(&self, limit: Duration, mut reached: impl FnMut(&Self) -> bool) -> bool {
        let began = tokio::time::Instant::now();
        while !reached(self) {
            if began.elapsed() >= limit {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        true
    }

    /// Waits until the batch has ended.
    pub async fn wait_for_end(&self, id: BatchId, limit: Duration) -> Option<BatchStatus> {
        let ended = |cluster: &Self| {
            let batch = cluster.batch(id);
            batch.is_some_and(|batch| batch.status.is_final())
        };
        self.wait(limit, ended).await;
        self.batch(id).map(|batch| batch.status)
    }

    /// Every batch and every job has ended, and nothing is under way.
    pub fn is_quiet(&self) -> bool {
        let submitted = self.submitted();
        let inner = self.store.inner();
        let tables = &inner.tables;
        let is_stored = |(id, submitted): (&BatchId, &Submitted)| {
            !submitted.acknowledged || tables.batches.contains_key(id)
        };
        submitted.iter().all(is_stored)
            && tables
                .batches
                .values()
                .all(|row| row.peek().status.is_final())
            && tables.jobs.values().all(|row| jobs::rests(row.peek()))
    }
}

fn submission(id: BatchId, spec: BatchSpec, clock: &dyn Clock, ids: &Ids) -> SubmitBatch {
    let batch = Batch {
        command: format!("BATCH {} …", spec.logical_unit),
        owner: "admin".to_owned(),
        execution_id: ids.uuid().to_string(),
        ..Batch::waiting(id, spec, clock.now())
    };
    submission_of(batch, ids.token())
}
