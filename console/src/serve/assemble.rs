//! Putting the parts of a node together: the one place that knows them all.

use std::path::Path;
use std::sync::Arc;

use weft_model::clock::SharedClock;
use weft_model::ids::Ids;
use weft_node::cleanup::Cleanup;
use weft_node::config::Loaded;
use weft_node::job::{CheckpointStore, JobKind, JobKinds};
use weft_node::trace::Traces;
use weft_node::{Context, Node, NodeHandle, Wake};
use weft_project::ProjectCatalogue;
use weft_project::command::CommandFactory;
use weft_project::interface::Environment;
use weft_statement::Coordinator;
use weft_statement::{
    BatchSchedule, LateStatements, LocalTokenPolicy, Migrate, Services, Statements,
};
use weft_store::SharedStore;
use weft_web::RunTokens;

use super::call_back::NodeCallBack;
use super::{PRINCIPAL, project};

/// What a node is made of.
#[derive(Debug)]
pub struct Parts {
    /// Where everything durable is.
    pub store: SharedStore,
    /// Where time comes from.
    pub clock: SharedClock,
    /// Where chance comes from.
    pub ids: Ids,
    /// What the node was told about itself.
    pub loaded: Loaded,
}

/// A node that runs in this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RunningNode {
    handle: NodeHandle,
    /// Runs what is asked of it.
    pub statements: Statements,
    /// The same for the parts that it is made of.
    late: LateStatements,
}

/// Starts a node and waits until it serves. It is called at `url`, by scripts that it runs with one of `run_tokens`.
pub async fn start(parts: Parts, url: &str, run_tokens: RunTokens) -> RunningNode {
    let Loaded {
        node: config,
        cluster_id,
        ..
    } = parts.loaded;
    let (store, clock, ids) = (parts.store, parts.clock, parts.ids);
    let catalogue = ProjectCatalogue::new(
        Arc::clone(&store),
        Arc::clone(&clock),
        config.data.clone(),
        Environment::from_process(),
    );
    let catalogue = Arc::new(catalogue.with_validators(weft_connect::validators()));
    let late = LateStatements::default();
    let traces = Traces::new(&config.data, Arc::clone(&clock));
    let parts = weft_connect::Parts {
        projects: Arc::clone(&catalogue) as Arc<_>,
        config: config.clone(),
        environment: Environment::from_process(),
        call_back: Arc::new(NodeCallBack::new(url, run_tokens)),
        statements: late.clone(),
        store: Arc::clone(&store),
        checkpoints: CheckpointStore::new(Arc::clone(&store), ids.clone(), Arc::clone(&clock)),
        traces: traces.clone(),
    };
    let flows = weft_connect::flows(&parts);
    let connecting = weft_connect::kinds(parts);
    let batch_schedule = Arc::new(BatchSchedule::new(late.clone()));
    let cleanup = Cleanup::new(Arc::clone(&store), Arc::clone(&clock), ids.clone());
    let migrate = Migrate::new(Arc::clone(&batch_schedule));
    let coordinator = Coordinator::new(
        Arc::clone(&store),
        Arc::clone(&clock),
        ids.clone(),
        &config,
        late.clone(),
    );
    let own: [Arc<dyn JobKind>; 4] = [
        batch_schedule,
        Arc::new(migrate),
        Arc::new(cleanup),
        Arc::new(coordinator),
    ];
    let kinds = JobKinds::new(connecting.into_iter().chain(own));
    let wake = Wake::default();
    let context = Context::new(
        Arc::clone(&store),
        Arc::clone(&clock),
        ids.clone(),
        config.clone(),
        Arc::clone(&catalogue) as Arc<dyn CommandFactory>,
        kinds.clone(),
        wake.clone(),
    )
    .with_traces(traces.clone());
    context.set_http_address(url.to_owned());
    project::keep_fresh(Arc::clone(&catalogue));
    let handle = Node::start(Arc::new(context));
    handle.serving().await;
    let services = Services {
        store,
        clock,
        ids,
        config: Arc::new(config),
        cluster_id,
        catalogue,
        wake,
        kinds,
        flows,
        nodes: Arc::new(handle.clone()),
        traces,
        policy: Arc::new(LocalTokenPolicy::new(PRINCIPAL)),
    };
    let statements = Statements::new(services);
    late.serve(statements.clone());
    RunningNode {
        handle,
        statements,
        late,
    }
}

impl RunningNode {
    /// None while the node serves, else why it does not.
    pub fn not_ready(&self) -> Option<String> {
        self.handle.not_ready()
    }

    /// Resolves when the node has ended.
    pub async fn ended(&self) -> Result<(), String> {
        self.handle.ended().await
    }

    /// Finishes or hands back what the node has, and ends it.
    pub async fn drain(&self) {
        self.handle.drain();
        // Why it ended is of no interest to somebody who wanted it to.
        let _ = self.handle.ended().await;
        self.late.close();
    }

    /// Whether a project is deployed.
    pub async fn has_deployment(&self) -> anyhow::Result<bool> {
        Ok(self
            .statements
            .services()
            .store
            .deployment()
            .await?
            .is_some())
    }

    /// Whether the deployed project has this logical unit.
    pub async fn has_logical_unit(&self, name: &str) -> bool {
        let deployment = self
            .statements
            .services()
            .catalogue
            .refresh()
            .await
            .ok()
            .flatten();
        deployment
            .is_some_and(|deployment| deployment.logical_units.iter().any(|unit| unit == name))
    }

    /// Deploys a project folder.
    pub async fn deploy(&self, folder: &Path) -> anyhow::Result<()> {
        project::deploy(self.statements.services(), folder, PRINCIPAL).await?;
        Ok(())
    }
}
