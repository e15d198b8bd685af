//! A running node: life after life until it is told to leave.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use weft_model::{Holder, Incarnation, NodeId, NodeRow, NodeState, job_type};
use weft_store::StoreError;
use weft_store::Trust;

use super::heartbeat::Beater;
use super::{Context, Life, Member, Membership};
use crate::batch::{BatchProcess, heir};
use crate::scheduler::{Executors, Scheduler};
use crate::tasks::Tasks;
use crate::worker::Dispatcher;

/// Why a node cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// Another process lives under this node's name.
    #[error("node.id is in use by another process: the heartbeat of node {0} moves")]
    InUse(NodeId),
    /// The store cannot be used at all.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Starts nodes.
#[derive(Debug)]
pub struct Node;

/// Holds a running node. Dropping it does not stop the node; [`NodeHandle::drain`] does.
#[derive(Clone, Debug)]
pub struct NodeHandle {
    context: Arc<Context>,
    draining: CancellationToken,
    killed: CancellationToken,
    state: watch::Receiver<State>,
    life: Arc<Mutex<Option<Life>>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Starting,
    Serving,
    Fenced,
    Ended(Result<(), String>),
}

impl Node {
    /// Starts a node in the background of the current runtime.
    pub fn start(context: Arc<Context>) -> NodeHandle {
        register_counters();
        let draining = CancellationToken::new();
        let killed = CancellationToken::new();
        let (state, receiver) = watch::channel(State::Starting);
        let life = Arc::new(Mutex::new(None));
        let handle = NodeHandle {
            context: Arc::clone(&context),
            draining: draining.clone(),
            killed: killed.clone(),
            state: receiver,
            life: Arc::clone(&life),
        };
        let lives = Lives {
            context,
            draining,
            killed,
            state,
            life,
        };
        Tasks::default().spawn(lives.run());
        handle
    }
}

impl NodeHandle {
    /// Asks the node to leave: it starts nothing, finishes or hands back what it has, and ends.
    pub fn drain(&self) {
        self.draining.cancel();
    }

    /// Ends the node at once, as a crash would: nothing is handed back.
    pub fn kill(&self) {
        self.killed.cancel();
    }

    /// Resolves when the node has ended.
    ///
    /// # Errors
    /// Why it could not go on.
    pub async fn ended(&self) -> Result<(), String> {
        let mut state = self.state.clone();
        match state
            .wait_for(|state| matches!(state, State::Ended(_)))
            .await
        {
            Ok(state) => match &*state {
                State::Ended(end) => end.clone(),
                State::Starting | State::Serving | State::Fenced => Ok(()),
            },
            Err(_) => Err("the node's task ended unexpectedly".to_owned()),
        }
    }

    /// Resolves when the node serves for the first time, or has ended.
    pub async fn serving(&self) {
        let mut state = self.state.clone();
        let _ = state
            .wait_for(|state| matches!(state, State::Serving | State::Ended(_)))
            .await;
    }

    /// None while the node serves, else why it does not.
    pub fn not_ready(&self) -> Option<String> {
        match &*self.state.borrow() {
            State::Serving if self.draining.is_cancelled() => {
                Some("the node is draining".to_owned())
            }
            State::Serving => None,
            State::Starting => Some("the node is starting".to_owned()),
            State::Fenced => Some("the node has lost the store and holds still".to_owned()),
            State::Ended(_) => Some("the node has ended".to_owned()),
        }
    }

    /// All nodes as this one judges them; empty while it is starting.
    pub fn members(&self) -> Vec<Member> {
        let life = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        life.as_ref()
            .map(|life| life.membership.members())
            .unwrap_or_default()
    }

    /// The node's row shall say soon what has changed.
    pub fn beat_now(&self) {
        let life = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(life) = life.as_ref() {
            life.heartbeat.beat_now();
        }
    }

    /// What the node shares process-wide.
    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }
}

struct Lives {
    context: Arc<Context>,
    draining: CancellationToken,
    killed: CancellationToken,
    state: watch::Sender<State>,
    life: Arc<Mutex<Option<Life>>>,
}

impl Lives {
    async fn run(self) {
        let end = tokio::select! {
            biased;
            () = self.killed.cancelled() => Ok(()),
            end = self.live() => end,
        };
        if self.killed.is_cancelled() {
            let life = self
                .life
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            if let Some(life) = life {
                life.trust.end();
                life.tasks.end(Duration::ZERO).await;
            }
        }
        if let Err(problem) = &end {
            error!(error = %problem, "The node cannot go on: {problem}");
        }
        self.state
            .send_replace(State::Ended(end.map_err(|problem| problem.to_string())));
    }

    async fn live(&self) -> Result<(), NodeError> {
        let mut before = self.watch_own_row().await?;
        loop {
            if self.draining.is_cancelled() {
                return Ok(());
            }
            let incarnation = Incarnation(self.context.ids.uuid());
            let end = self.one_life(incarnation, before).await?;
            if !end.fenced {
                return Ok(());
            }
            before = end.row;
            metrics::counter!("self_fenced_total").increment(1);
            warn!("The node lost the store for too long and fenced itself; it will join again");
            self.state.send_replace(State::Fenced);
        }
    }

    /// After an unclean end somebody else may live under my name: his heartbeat would move.
    async fn watch_own_row(&self) -> Result<Option<NodeRow>, NodeError> {
        let Some(found) = self.own_row().await? else {
            return Ok(None);
        };
        if found.state == NodeState::Left || self.context.store.is_exclusive() {
            return Ok(Some(found));
        }
        info!("The last life of this node did not end cleanly; watching its row");
        tokio::select! {
            biased;
            // Nothing was begun, so there is nothing to finish: the life that follows ends before it starts.
            () = self.draining.cancelled() => return Ok(Some(found)),
            () = tokio::time::sleep(self.context.config.heartbeat_interval * 2) => (),
        }
        match self.own_row().await? {
            Some(now) if now.hb_seq != found.hb_seq || now.incarnation != found.incarnation => {
                Err(NodeError::InUse(self.context.config.guid.clone()))
            }
            _ => Ok(Some(found)),
        }
    }

    async fn own_row(&self) -> Result<Option<NodeRow>, NodeError> {
        let guid = &self.context.config.guid;
        let rows = self.patiently(|| self.context.store.nodes()).await?;
        Ok(rows.into_iter().find(|row| row.guid == *guid))
    }

    /// Repeats a plain call while the store is away.
    async fn patiently<T, F, C>(&self, call: C) -> Result<T, NodeError>
    where
        C: Fn() -> F,
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut said = false;
        loop {
            match call().await {
                Ok(value) => return Ok(value),
                Err(error) if error.is_transient() => {
                    if !said {
                        warn!(error = %error, "Waiting for the store: {error}");
                    }
                    said = true;
                }
                Err(error) => return Err(error.into()),
            }
            let pause = self.context.ids.jitter(Duration::from_secs(1));
            tokio::select! {
                biased;
                () = self.draining.cancelled() => {
                    return Err(StoreError::Unavailable("told to leave while waiting".to_owned()).into());
                }
                () = tokio::time::sleep(pause) => (),
            }
        }
    }

    /// One life, which goes on from the row of the one before.
    async fn one_life(
        &self,
        incarnation: Incarnation,
        before: Option<NodeRow>,
    ) -> Result<LifeEnd, NodeError> {
        let context = &self.context;
        let me = Holder {
            node: context.config.guid.clone(),
            incarnation,
        };
        let recalled = self.patiently(|| crate::node_group::recall(context)).await;
        if self.draining.is_cancelled() {
            return Ok(LifeEnd {
                fenced: false,
                row: before,
            });
        }
        recalled?;
        let (mut beater, heartbeat) = Beater::new(Arc::clone(context), &me, before.as_ref());
        let trust = loop {
            // Trust begins with the first heartbeat that is acknowledged.
            let candidate = Trust::until(
                Arc::clone(&context.clock),
                context.clock.monotonic() + context.config.dead_after(),
                CancellationToken::new(),
            );
            match beater.beat(&candidate).await {
                Ok(()) => break candidate,
                Err(error) if error.is_transient() => {
                    let pause = context.ids.jitter(Duration::from_secs(1));
                    tokio::select! {
                        biased;
                        () = self.draining.cancelled() => {
                            return Ok(LifeEnd { fenced: false, row: before });
                        }
                        () = tokio::time::sleep(pause) => (),
                    }
                }
                Err(error) => return Err(error.into()),
            }
        };
        let membership = Arc::new(Membership::new(me.clone(), context.config.dead_after()));
        let rows = context.store.nodes().await.unwrap_or_default();
        membership.observe(rows, context.clock.monotonic());
        let life = Life {
            context: Arc::clone(context),
            me,
            trust: trust.clone(),
            tasks: Tasks::default(),
            membership: Arc::clone(&membership),
            heartbeat: heartbeat.clone(),
            earlier_heartbeat: before.as_ref().map(|row| row.heartbeat_at),
            draining: self.draining.clone(),
        };
        *self.life.lock().unwrap_or_else(PoisonError::into_inner) = Some(life.clone());
        info!(node.id = %life.me.node, incarnation = %incarnation, "Node {} is alive", life.me.node);

        let closing = CancellationToken::new();
        let beating =
            life.tasks
                .spawn(beater.run(trust.clone(), closing.clone(), Arc::clone(&membership)));
        let dispatcher = Dispatcher::start(&life);
        let batches = Arc::new(BatchProcess::new(life.clone(), dispatcher.offers()));
        let executors = Executors::of_kinds(&life).with(job_type::BATCH_PROCESS, batches);
        let scheduler = Scheduler::start(&life, executors);
        let (deaths, died) = mpsc::channel(64);
        let inherited = heartbeat.coordinates();
        life.tasks
            .spawn_vital(&trust, heir::run(life.clone(), inherited, died));
        life.tasks
            .spawn_vital(&trust, crate::observer::run(life.clone(), deaths));
        life.tasks
            .spawn_vital(&trust, crate::reconcile::run(life.clone()));
        life.tasks
            .spawn_vital(&trust, crate::cleanup::run(life.clone()));
        life.tasks
            .spawn_vital(&trust, crate::node_group::run(life.clone()));
        self.state.send_replace(State::Serving);

        let fenced = tokio::select! {
            biased;
            () = trust.ended() => true,
            () = self.draining.cancelled() => false,
        };
        if !fenced {
            info!("Node {} is draining", life.me.node);
            heartbeat.drain();
            let grace = tokio::time::sleep(context.config.drain_grace);
            tokio::select! {
                biased;
                () = trust.ended() => (),
                () = async { dispatcher.idle().await; scheduler.idle().await } => (),
                () = grace => warn!("Not everything was finished within the grace period"),
            }
        }
        closing.cancel();
        let beater = beating.await.ok();
        let row = beater
            .as_ref()
            .map(|beater| beater.row().clone())
            .or(before);
        if let Some(beater) = beater.filter(|_| !fenced) {
            // If this fails the others find out by the silence.
            if let Err(error) = beater.leave().await {
                warn!(error = %error, "Could not say good-bye: {error}");
            }
        }
        trust.end();
        life.tasks.end(Duration::from_secs(5)).await;
        Ok(LifeEnd { fenced, row })
    }
}

/// How a life ended, and its row for the next one to go on from.
struct LifeEnd {
    fenced: bool,
    row: Option<NodeRow>,
}

/// An alert on a series that is not there never fires: what can be counted is there from the start.
fn register_counters() {
    metrics::counter!("self_fenced_total").increment(0);
    metrics::counter!("reconciled_total", "kind" => "batch_without_job").increment(0);
    for kind in ["job", "batch", "generation"] {
        metrics::counter!("takeovers_total", "kind" => kind).increment(0);
    }
}
