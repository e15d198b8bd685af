//! What statements work with.

use std::sync::Arc;

use super::permit::Policy;
use crate::clock::SharedClock;
use crate::flow::Flows;
use crate::ids::Ids;
use crate::inspect::LiveNodes;
use crate::job::JobKinds;
use crate::node::{NodeConfig, Wake};
use crate::project::ProjectCatalogue;
use crate::store::SharedStore;
use crate::trace::Traces;

/// The parts of a node that statements need. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Services {
    /// Where everything durable is.
    pub store: SharedStore,
    /// Where time comes from.
    pub clock: SharedClock,
    /// Where chance comes from.
    pub ids: Ids,
    /// What the node was told about itself.
    pub config: Arc<NodeConfig>,
    /// `cluster_id` in node.id, where it is set.
    pub cluster_id: Option<String>,
    /// The projects.
    pub catalogue: Arc<ProjectCatalogue>,
    /// Wake-ups between the parts of this process.
    pub wake: Wake,
    /// The kinds of job that this node can run.
    pub kinds: JobKinds,
    /// What runs flows.
    pub flows: Arc<dyn Flows>,
    /// Which nodes live.
    pub nodes: Arc<dyn LiveNodes>,
    /// What this node writes down of itself.
    pub traces: Traces,
    /// What principals may do.
    pub policy: Arc<dyn Policy>,
}
