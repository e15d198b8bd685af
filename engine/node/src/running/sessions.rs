//! The sessions of a node: from joining the cluster to a self-fence, again and again until the node is to leave.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use weft_model::clock::Timestamp;
use weft_model::{Bug, Holder, Incarnation, NodeRow, NodeState, job_type};
use weft_store::{SelfFence, StoreError};

use super::{NodeError, NodePhase};
use crate::batch::{BatchProcess, heir};
use crate::heartbeat::HeartbeatWriter;
use crate::lock::lock;
use crate::scheduler::{Executors, Scheduler};
use crate::tasks::Tasks;
use crate::worker::Dispatcher;
use crate::{Context, Heartbeat, Membership, NodeSession};

/// How long the tasks of a session may take to end by themselves after its self-fence; then they are aborted.
const END_GRACE: Duration = Duration::from_secs(5);

/// Runs one node session after another until the node is to leave.
pub(super) struct NodeSessions {
    pub(super) context: Arc<Context>,
    pub(super) draining: CancellationToken,
    pub(super) killed: CancellationToken,
    pub(super) phase: watch::Sender<NodePhase>,
    /// The current session.
    pub(super) session: Arc<Mutex<Option<NodeSession>>>,
}

impl NodeSessions {
    pub(super) async fn run(self) {
        let end = tokio::select! {
            biased;
            () = self.killed.cancelled() => Ok(()),
            end = self.run_sessions() => end,
        };
        if self.killed.is_cancelled() {
            let session = lock(&self.session).take();
            if let Some(session) = session {
                session.self_fence.fence();
                session.tasks.end(Duration::ZERO).await;
            }
        }
        if let Err(problem) = &end {
            error!(error = %problem, "The node cannot continue: {problem}");
        }
        self.phase
            .send_replace(NodePhase::Ended(end.map_err(|problem| problem.to_string())));
    }

    async fn run_sessions(&self) -> Result<(), NodeError> {
        let mut before = self.watch_own_row().await?;
        if let Some(row) = before.as_ref().filter(|row| row.state == NodeState::Left) {
            self.context.end_session(row.incarnation);
        }
        loop {
            if self.draining.is_cancelled() {
                return Ok(());
            }
            let incarnation = Incarnation(self.context.ids.uuid());
            let end = self.run_session(incarnation, before).await?;
            if !end.fenced {
                return Ok(());
            }
            before = end.row;
            self.context.end_session(incarnation);
            metrics::counter!("self_fenced_total").increment(1);
            warn!("The node lost the store for too long and fenced itself; it will join again");
            self.phase.send_replace(NodePhase::Fenced);
        }
    }

    /// After an unclean end another process may be using the name of this node. Its heartbeat would advance.
    async fn watch_own_row(&self) -> Result<Option<NodeRow>, NodeError> {
        let Some(found) = self.read_own_row().await? else {
            return Ok(None);
        };
        if found.state == NodeState::Left || self.context.store.is_exclusive() {
            return Ok(Some(found));
        }
        info!("The last session of this node did not end cleanly; watching its row");
        tokio::select! {
            biased;
            // Nothing has begun, so nothing is to be finished: the next session ends before it starts.
            () = self.draining.cancelled() => return Ok(Some(found)),
            () = tokio::time::sleep(self.context.config.heartbeat_interval * 2) => (),
        }
        match self.read_own_row().await? {
            Some(now) if now.hb_seq != found.hb_seq || now.incarnation != found.incarnation => {
                Err(NodeError::InUse(self.context.config.guid.clone()))
            }
            _ => Ok(Some(found)),
        }
    }

    async fn read_own_row(&self) -> Result<Option<NodeRow>, NodeError> {
        let guid = &self.context.config.guid;
        let rows = self.retry(|| self.context.store.nodes()).await?;
        Ok(rows.into_iter().find(|row| row.guid == *guid))
    }

    /// Repeats a store call while the store is unavailable.
    async fn retry<T, F, C>(&self, call: C) -> Result<T, NodeError>
    where
        C: Fn() -> F,
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut is_logged = false;
        loop {
            match call().await {
                Ok(value) => return Ok(value),
                Err(error) if error.is_transient() => {
                    if !is_logged {
                        warn!(error = %error, "Waiting for the store: {error}");
                    }
                    is_logged = true;
                }
                Err(error) => return Err(error.into()),
            }
            let pause = self.context.ids.jitter(Duration::from_secs(1));
            tokio::select! {
                biased;
                () = self.draining.cancelled() => {
                    return Err(StoreError::Unavailable("the node was stopped while it waited for the store".to_owned()).into());
                }
                () = tokio::time::sleep(pause) => (),
            }
        }
    }

    /// Runs one node session, whose row continues `before`, the row of the previous session.
    async fn run_session(
        &self,
        incarnation: Incarnation,
        before: Option<NodeRow>,
    ) -> Result<SessionEnd, NodeError> {
        let refreshed = self
            .retry(|| crate::node_group::refresh(&self.context))
            .await;
        if self.draining.is_cancelled() {
            return Ok(SessionEnd::without_start(before));
        }
        refreshed?;
        if !self.compare_clocks().await? {
            return Ok(SessionEnd::without_start(before));
        }
        let me = Holder {
            node: self.context.config.guid.clone(),
            incarnation,
        };
        let Some(hints_read_until) = self.hints_read_until(before.as_ref()).await? else {
            return Ok(SessionEnd::without_start(before));
        };
        let (mut writer, heartbeat) = HeartbeatWriter::new(
            Arc::clone(&self.context),
            &me,
            before.as_ref(),
            hints_read_until,
        );
        let Some(self_fence) = self.write_first_heartbeat(&mut writer).await? else {
            return Ok(SessionEnd::without_start(before));
        };
        let session = self.create_session(me, self_fence, heartbeat).await;
        let closing = CancellationToken::new();
        let heartbeats = session.tasks.spawn(writer.run(
            session.self_fence.clone(),
            closing.clone(),
            Arc::clone(&session.membership),
        ));
        let (dispatcher, scheduler) = start_parts(&session);
        self.phase.send_replace(NodePhase::Serving);

        let fenced = tokio::select! {
            biased;
            () = session.self_fence.fenced() => true,
            () = session.in_use.cancelled() => {
                // The row belongs to the other process by now: this one does not write LEFT.
                session.self_fence.fence();
                session.tasks.end(Duration::from_secs(5)).await;
                return Err(NodeError::InUse(self.context.config.guid.clone()));
            }
            () = self.draining.cancelled() => false,
        };
        if !fenced {
            drain(&session, &dispatcher, &scheduler).await;
        }
        closing.cancel();
        let writer = heartbeats.await.ok();
        let row = writer
            .as_ref()
            .map(|writer| writer.row().clone())
            .or(before);
        session.self_fence.fence();
        let grace = self.context.config.drain_grace.min(END_GRACE);
        let has_ended = session.tasks.end(grace).await;
        if let Some(writer) = writer.filter(|_| !fenced) {
            leave(writer, has_ended).await;
        }
        Ok(SessionEnd { fenced, row })
    }

    /// Compares the clock with the store's, before anything is started by it. Returns false if the node is to leave.
    async fn compare_clocks(&self) -> Result<bool, NodeError> {
        let Context {
            node_clock, store, ..
        } = self.context.as_ref();
        let before = node_clock.offset_ms();
        let measured = self.retry(|| node_clock.measure(store.as_ref())).await;
        if self.draining.is_cancelled() {
            return Ok(false);
        }
        crate::node_clock::report(before, measured?);
        Ok(true)
    }

    /// Up to where due hints were read before this session: by the previous session of this node, or by others if there
    /// was none. `None` if the node is to leave.
    async fn hints_read_until(
        &self,
        before: Option<&NodeRow>,
    ) -> Result<Option<Timestamp>, NodeError> {
        if Bug::HintsOfOutageSkipped.is_planted() {
            return Ok(Some(self.context.clock.now()));
        }
        if let Some(before) = before {
            return Ok(Some(before.heartbeat_at));
        }
        let rows = self.retry(|| self.context.store.nodes()).await;
        if self.draining.is_cancelled() {
            return Ok(None);
        }
        let newest = rows?.iter().map(|row| row.heartbeat_at).max();
        Ok(Some(newest.unwrap_or_else(|| self.context.clock.now())))
    }

    /// The self-fence of the session, which begins with its first acknowledged heartbeat; `None` if the node is to leave.
    async fn write_first_heartbeat(
        &self,
        writer: &mut HeartbeatWriter,
    ) -> Result<Option<SelfFence>, NodeError> {
        let context = &self.context;
        loop {
            let self_fence = SelfFence::until(
                Arc::clone(&context.clock),
                context.clock.monotonic() + context.config.dead_after(),
                CancellationToken::new(),
            );
            match writer.write(&self_fence).await {
                Ok(()) => return Ok(Some(self_fence)),
                Err(error) if error.is_transient() => (),
                Err(error) => return Err(error.into()),
            }
            let pause = context.ids.jitter(Duration::from_secs(1));
            tokio::select! {
                biased;
                () = self.draining.cancelled() => return Ok(None),
                () = tokio::time::sleep(pause) => (),
            }
        }
    }

    async fn create_session(
        &self,
        me: Holder,
        self_fence: SelfFence,
        heartbeat: Heartbeat,
    ) -> NodeSession {
        let context = &self.context;
        let membership = Arc::new(Membership::new(me.clone(), context.config.dead_after()));
        membership.heartbeat_succeeded(context.clock.monotonic());
        let asked_at = context.clock.monotonic();
        let rows = context.store.nodes().await.unwrap_or_default();
        membership.observe(rows, asked_at, context.clock.monotonic());
        let session = NodeSession {
            context: Arc::clone(context),
            me,
            self_fence,
            tasks: Tasks::default(),
            membership,
            heartbeat,
            in_use: CancellationToken::new(),
            draining: self.draining.clone(),
        };
        *lock(&self.session) = Some(session.clone());
        let Holder { node, incarnation } = &session.me;
        info!(node.id = %node, incarnation = %incarnation, "Node {node} is alive");
        session
    }
}

/// Writes the row of a node that has left. Other nodes take over at once when they read it, so no task may run any more.
async fn leave(writer: HeartbeatWriter, has_ended: bool) {
    if !has_ended {
        warn!(
            "Some work of the node cannot be stopped: others take over when its heartbeat has been silent for T_dead"
        );
        return;
    }
    // If this fails, the other nodes notice that the heartbeat does not advance.
    if let Err(error) = writer.leave().await {
        warn!(error = %error, "Could not write the last row of the node: {error}");
    }
}

/// Starts the tasks of a session.
fn start_parts(session: &NodeSession) -> (Dispatcher, Scheduler) {
    let dispatcher = Dispatcher::start(session);
    let batches = Arc::new(BatchProcess::new(session.clone(), dispatcher.offers()));
    let executors = Executors::of_kinds(session).with(job_type::BATCH_PROCESS, batches);
    let scheduler = Scheduler::start(session, executors);
    let (deaths, died) = mpsc::channel(64);
    let inherited = session.heartbeat.coordinates();
    let (tasks, self_fence) = (&session.tasks, &session.self_fence);
    tasks.spawn_vital(self_fence, heir::run(session.clone(), inherited, died));
    tasks.spawn_vital(self_fence, crate::observer::run(session.clone(), deaths));
    let context = &session.context;
    let clock = crate::node_clock::run(
        Arc::clone(&context.node_clock),
        Arc::clone(&context.store),
        context.wake.clone(),
        self_fence.clone(),
    );
    tasks.spawn_vital(self_fence, clock);
    tasks.spawn_vital(self_fence, crate::reconcile::run(session.clone()));
    tasks.spawn_vital(self_fence, crate::cleanup::run(session.clone()));
    tasks.spawn_vital(self_fence, crate::node_group::run(session.clone()));
    (dispatcher, scheduler)
}

/// Waits until the session has no work left, at most for the grace period.
async fn drain(session: &NodeSession, dispatcher: &Dispatcher, scheduler: &Scheduler) {
    info!("Node {} is draining", session.me.node);
    session.heartbeat.drain();
    tokio::select! {
        biased;
        () = session.self_fence.fenced() => (),
        () = async { dispatcher.idle().await; scheduler.idle().await } => (),
        () = tokio::time::sleep(session.context.config.drain_grace) => {
            warn!("Not everything was finished within the grace period");
        }
    }
}

/// How a node session ended, and its last row, which the next session continues.
struct SessionEnd {
    fenced: bool,
    row: Option<NodeRow>,
}

impl SessionEnd {
    /// The node is to leave before the session has begun.
    fn without_start(before: Option<NodeRow>) -> Self {
        Self {
            fenced: false,
            row: before,
        }
    }
}
