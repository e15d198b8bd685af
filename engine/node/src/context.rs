//! What all lives and parts of a node share.

use std::sync::{Arc, Mutex, PoisonError};

use weft_model::clock::SharedClock;
use weft_model::ids::Ids;
use weft_project::command::CommandFactory;
use weft_store::SharedStore;

use super::{NodeConfig, Wake};
use crate::affinity::OwnAffinity;
use crate::kind::JobKinds;
use crate::trace::Traces;

/// Process-wide parts, handed down from the binary.
#[derive(Debug)]
pub struct Context {
    /// Where everything durable is.
    pub store: SharedStore,
    /// Where time comes from.
    pub clock: SharedClock,
    /// Where chance comes from.
    pub ids: Ids,
    /// What the node was told about itself.
    pub config: NodeConfig,
    /// Turns commands of batches into something that runs.
    pub factory: Arc<dyn CommandFactory>,
    /// The kinds of job that this node can run, batches aside.
    pub kinds: JobKinds,
    /// Wake-ups between the parts.
    pub wake: Wake,
    /// The logical ids that this node carries now.
    pub affinity: OwnAffinity,
    /// What the node writes down of itself while somebody wants to know.
    pub traces: Traces,
    http_address: Mutex<Option<String>>,
}

impl Context {
    /// Puts the parts together.
    pub fn new(
        store: SharedStore,
        clock: SharedClock,
        ids: Ids,
        config: NodeConfig,
        factory: Arc<dyn CommandFactory>,
        kinds: JobKinds,
        wake: Wake,
    ) -> Self {
        Self {
            affinity: OwnAffinity::new(&config.logical_ids),
            store,
            clock,
            ids,
            config,
            factory,
            kinds,
            wake,
            traces: Traces::default(),
            http_address: Mutex::default(),
        }
    }

    /// The same with traces that statements can begin; without them nothing is ever traced.
    #[must_use]
    pub fn with_traces(self, traces: Traces) -> Self {
        Self { traces, ..self }
    }

    /// Where the node's HTTP API listens, once it does.
    pub fn http_address(&self) -> Option<String> {
        self.http_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The HTTP API listens now; the next heartbeat says so.
    pub fn set_http_address(&self, address: String) {
        *self
            .http_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(address);
    }
}
