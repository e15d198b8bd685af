//! What statements work with.

use std::sync::Arc;

use weft_model::clock::SharedClock;
use weft_model::ids::Ids;
use weft_node::flow::Flows;
use weft_node::job::JobKinds;
use weft_node::trace::Traces;
use weft_node::{NodeConfig, Wake};
use weft_project::ProjectCatalogue;
use weft_store::SharedStore;

use super::permit::Policy;
use crate::inspect::LiveNodes;

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
