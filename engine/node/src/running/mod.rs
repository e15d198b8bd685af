//! Starts a node and gives its callers a handle to it.

mod sessions;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use weft_model::NodeId;
use weft_store::StoreError;

use self::sessions::NodeSessions;
use crate::lock::lock;
use crate::tasks::Tasks;
use crate::{Context, Member, NodeSession};

/// Why a node cannot continue.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// Another process uses the name of this node.
    #[error("node.id is in use by another process: the heartbeat of node {0} advances")]
    InUse(NodeId),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Starts nodes.
#[derive(Debug)]
pub struct Node;

/// A handle to a running node. Dropping it does not stop the node; [`NodeHandle::drain`] does.
#[derive(Clone, Debug)]
pub struct NodeHandle {
    context: Arc<Context>,
    draining: CancellationToken,
    killed: CancellationToken,
    phase: watch::Receiver<NodePhase>,
    session: Arc<Mutex<Option<NodeSession>>>,
}

/// What a node does now.
#[derive(Clone, Debug, PartialEq, Eq)]
enum NodePhase {
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
        let (phase, receiver) = watch::channel(NodePhase::Starting);
        let session = Arc::new(Mutex::new(None));
        let handle = NodeHandle {
            context: Arc::clone(&context),
            draining: draining.clone(),
            killed: killed.clone(),
            phase: receiver,
            session: Arc::clone(&session),
        };
        let sessions = NodeSessions {
            context,
            draining,
            killed,
            phase,
            session,
        };
        Tasks::default().spawn(sessions.run());
        handle
    }
}

impl NodeHandle {
    /// Makes the node leave: it starts nothing, finishes its work or hands it back, and ends.
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
    /// Why the node could not continue.
    pub async fn ended(&self) -> Result<(), String> {
        let mut phase = self.phase.clone();
        match phase
            .wait_for(|phase| matches!(phase, NodePhase::Ended(_)))
            .await
        {
            Ok(phase) => match &*phase {
                NodePhase::Ended(end) => end.clone(),
                NodePhase::Starting | NodePhase::Serving | NodePhase::Fenced => Ok(()),
            },
            Err(_) => Err("the node's task ended unexpectedly".to_owned()),
        }
    }

    /// Resolves when the node serves for the first time, or has ended.
    pub async fn serving(&self) {
        let mut phase = self.phase.clone();
        let _ = phase
            .wait_for(|phase| matches!(phase, NodePhase::Serving | NodePhase::Ended(_)))
            .await;
    }

    /// Why the node does not serve; `None` while it serves.
    pub fn not_ready(&self) -> Option<String> {
        match &*self.phase.borrow() {
            NodePhase::Serving if self.draining.is_cancelled() => {
                Some("the node is draining".to_owned())
            }
            NodePhase::Serving => self.context.node_clock.problem(),
            NodePhase::Starting => Some("the node is starting".to_owned()),
            NodePhase::Fenced => Some("the node has lost the store and is paused".to_owned()),
            NodePhase::Ended(_) => Some("the node has ended".to_owned()),
        }
    }

    /// All nodes as this one sees them; empty while it starts.
    pub fn members(&self) -> Vec<Member> {
        let session = lock(&self.session);
        session
            .as_ref()
            .map(|session| session.membership.members())
            .unwrap_or_default()
    }

    /// Writes the row of the node now, because something in it has changed.
    pub fn write_row_soon(&self) {
        let session = lock(&self.session);
        if let Some(session) = session.as_ref() {
            session.heartbeat.write_soon();
        }
    }

    /// What the parts of the node share.
    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }
}

/// An alert on a missing series never fires, so all counters exist from the start.
fn register_counters() {
    metrics::counter!("self_fenced_total").increment(0);
    metrics::gauge!("clock_offset_ms").increment(0.0);
    for kind in ["batch_without_job", "job_without_hint"] {
        metrics::counter!("reconciled_total", "kind" => kind).increment(0);
    }
    for kind in ["entity", "job"] {
        metrics::counter!("poisoned_total", "kind" => kind).increment(0);
    }
    for kind in ["job", "batch", "generation"] {
        metrics::counter!("takeovers_total", "kind" => kind).increment(0);
    }
}
