//! What all sessions and parts of a node share.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use weft_model::Incarnation;
use weft_model::clock::SharedClock;
use weft_model::ids::Ids;
use weft_project::command::CommandFactory;
use weft_store::SharedStore;

use super::{NodeClock, NodeConfig, Wake};
use crate::affinity::OwnAffinity;
use crate::kind::JobKinds;
use crate::lock::lock;
use crate::trace::Traces;

/// What all sessions and parts of a node share. The binary creates it.
#[derive(Debug)]
pub struct Context {
    /// The store.
    pub store: SharedStore,
    /// The source of time: `node_clock`.
    pub clock: SharedClock,
    /// The clock of the machine, compared with the store's.
    pub node_clock: Arc<NodeClock>,
    /// The source of ids and randomness.
    pub ids: Ids,
    /// The configuration of the node.
    pub config: NodeConfig,
    /// Makes batch commands executable.
    pub factory: Arc<dyn CommandFactory>,
    /// The kinds of job that this node can run, except batches.
    pub kinds: JobKinds,
    /// Wake-ups between the parts of the node.
    pub wake: Wake,
    /// The current logical ids of this node.
    pub affinity: OwnAffinity,
    /// The traces of this node.
    pub traces: Traces,
    http_address: Mutex<Option<String>>,
    /// The latest sessions of this node that ended without a crash.
    ended_sessions: Mutex<VecDeque<Incarnation>>,
}

/// How many ended sessions a node remembers.
const ENDED_SESSIONS: usize = 256;

impl Context {
    /// Creates a context without traces, which reads `machine`, the clock of the machine, through a [`NodeClock`].
    pub fn new(
        store: SharedStore,
        machine: SharedClock,
        ids: Ids,
        config: NodeConfig,
        factory: Arc<dyn CommandFactory>,
        kinds: JobKinds,
        wake: Wake,
    ) -> Self {
        let node_clock = NodeClock::new(machine);
        Self {
            affinity: OwnAffinity::new(&config.logical_ids),
            store,
            clock: node_clock.clone(),
            node_clock,
            ids,
            config,
            factory,
            kinds,
            wake,
            traces: Traces::default(),
            http_address: Mutex::default(),
            ended_sessions: Mutex::default(),
        }
    }

    /// Shares a clock with parts that were made before.
    #[must_use]
    pub fn with_clock(self, node_clock: Arc<NodeClock>) -> Self {
        Self {
            clock: node_clock.clone(),
            node_clock,
            ..self
        }
    }

    /// Adds traces that statements can begin; without them nothing is ever traced.
    #[must_use]
    pub fn with_traces(self, traces: Traces) -> Self {
        Self { traces, ..self }
    }

    /// A session of this node fenced itself or left: what it held was not lost by the death of its process.
    pub fn end_session(&self, session: Incarnation) {
        let mut ended = self.ended_sessions();
        ended.truncate(ENDED_SESSIONS - 1);
        ended.push_front(session);
    }

    /// Whether this session of this node is known to have ended without a crash.
    pub fn has_ended(&self, session: Incarnation) -> bool {
        self.ended_sessions().contains(&session)
    }

    fn ended_sessions(&self) -> std::sync::MutexGuard<'_, VecDeque<Incarnation>> {
        lock(&self.ended_sessions)
    }

    /// The address of the HTTP API of this node, once it listens.
    pub fn http_address(&self) -> Option<String> {
        lock(&self.http_address).clone()
    }

    /// Publishes the address of the HTTP API with the next heartbeat.
    pub fn set_http_address(&self, address: String) {
        *lock(&self.http_address) = Some(address);
    }
}
