//! What statements work with.

use std::sync::Arc;

use weft_model::clock::SharedClock;
use weft_model::ids::Ids;
use weft_node::flow::Flows;
use weft_node::job::JobKinds;
use weft_node::trace::Traces;
use weft_node::{NodeConfig, Wake};
use weft_project::{Project, ProjectCatalogue};
use weft_store::SharedStore;

use crate::live_nodes::LiveNodes;
use crate::permission::Policy;
use crate::refusal::Refusal;

/// The parts of a node that statements need. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Services {
    /// Everything durable.
    pub store: SharedStore,
    /// The only source of time.
    pub clock: SharedClock,
    /// The only source of chance.
    pub ids: Ids,
    /// The configuration of the node.
    pub config: Arc<NodeConfig>,
    /// `cluster_id` in node.id, where it is set.
    pub cluster_id: Option<String>,
    /// The deployed projects.
    pub catalogue: Arc<ProjectCatalogue>,
    /// Wakes the other parts of this process.
    pub wake: Wake,
    /// The kinds of job that this node can run.
    pub kinds: JobKinds,
    /// Runs flows.
    pub flows: Arc<dyn Flows>,
    /// Which nodes are alive.
    pub nodes: Arc<dyn LiveNodes>,
    /// The traces of this node.
    pub traces: Traces,
    /// What principals may do.
    pub policy: Arc<dyn Policy>,
}

impl Services {
    /// The deployed project. Reads the store first, in case there is a newer one.
    pub(crate) async fn project(&self) -> Result<Arc<Project>, Refusal> {
        self.catalogue.refresh().await?;
        Ok(self.catalogue.current()?)
    }
}
