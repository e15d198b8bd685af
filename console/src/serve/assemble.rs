//! Assembles a node from its parts. No other module knows all of them.

use std::path::Path;
use std::sync::Arc;

use weft_model::clock::SharedClock;
use weft_model::ids::Ids;
use weft_node::cleanup::Cleanup;
use weft_node::config::Loaded;
use weft_node::job::{CheckpointStore, JobKind, JobKinds};
use weft_node::trace::Traces;
use weft_node::{Context, Node, NodeClock, NodeHandle, Wake};
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

/// The parts that a command brings to its node.
#[derive(Debug)]
pub struct Parts {
    pub store: SharedStore,
    pub clock: SharedClock,
    pub ids: Ids,
    /// The settings of the node.
    pub loaded: Loaded,
}

/// A node that runs in this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RunningNode {
    handle: NodeHandle,
    /// Runs statements.
    pub statements: Statements,
    /// The same statements, for the parts that run statements themselves.
    late: LateStatements,
}

/// Starts a node and waits until it serves. Scripts that it runs call it at `url`, each with one of `run_tokens`.
pub async fn start(parts: Parts, url: &str, run_tokens: RunTokens) -> RunningNode {
    let Loaded {
        node: config,
        cluster_id,
        ..
    } = parts.loaded;
    let (store, ids) = (parts.store, parts.ids);
    let node_clock = NodeClock::new(parts.clock);
    let clock: SharedClock = node_clock.clone();
    let catalogue = Arc::new(project::catalogue(&store, &clock, &config.data));
    let late = LateStatements::default();
    let traces = Traces::new(&config.data, Arc::clone(&clock));
    let connect = weft_connect::Parts {
        projects: Arc::clone(&catalogue) as Arc<_>,
        config: config.clone(),
        environment: Environment::from_process(),
        call_back: Arc::new(NodeCallBack::new(url, run_tokens)),
        statements: late.clone(),
        store: Arc::clone(&store),
        checkpoints: CheckpointStore::new(Arc::clone(&store), ids.clone(), Arc::clone(&clock)),
        traces: traces.clone(),
    };
    let flows = weft_connect::flows(&connect);
    let kinds = job_kinds(connect, &clock, &ids);
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
    .with_clock(node_clock)
    .with_traces(traces.clone());
    context.set_http_address(url.to_owned());
    project::keep_fresh(Arc::clone(&catalogue));
    let handle = Node::start(Arc::new(context));
    handle.serving().await;
    let statements = Statements::new(Services {
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
    });
    late.serve(statements.clone());
    RunningNode {
        handle,
        statements,
        late,
    }
}

/// The kinds of job that the node runs: those that reach out, and those of the cluster itself.
fn job_kinds(connect: weft_connect::Parts, clock: &SharedClock, ids: &Ids) -> JobKinds {
    let store = Arc::clone(&connect.store);
    let late = connect.statements.clone();
    let cleanup = Cleanup::new(Arc::clone(&store), Arc::clone(clock), ids.clone());
    let batch_schedule = Arc::new(BatchSchedule::new(late.clone()));
    let migrate = Migrate::new(Arc::clone(&batch_schedule));
    let config = &connect.config;
    let coordinator = Coordinator::new(store, Arc::clone(clock), ids.clone(), config, late);
    let cluster: [Arc<dyn JobKind>; 4] = [
        batch_schedule,
        Arc::new(migrate),
        Arc::new(cleanup),
        Arc::new(coordinator),
    ];
    JobKinds::new(weft_connect::kinds(connect).into_iter().chain(cluster))
}

impl RunningNode {
    /// Resolves when the node has ended.
    pub async fn ended(&self) -> Result<(), String> {
        self.handle.ended().await
    }

    /// Ends the node; it finishes or releases its work first.
    pub async fn drain(&self) {
        self.handle.drain();
        // The caller asked for the end, so the reason is not news.
        let _ = self.handle.ended().await;
        self.late.close();
    }

    /// Whether a project is deployed.
    pub async fn has_deployment(&self) -> anyhow::Result<bool> {
        let deployment = self.statements.services().store.deployment().await?;
        Ok(deployment.is_some())
    }

    /// Whether the deployed project has this logical unit.
    pub async fn has_logical_unit(&self, name: &str) -> bool {
        let deployment = self.statements.services().catalogue.refresh().await;
        let Ok(Some(deployment)) = deployment else {
            return false;
        };
        deployment.logical_units.iter().any(|unit| unit == name)
    }

    /// Deploys a project folder.
    pub async fn deploy(&self, folder: &Path) -> anyhow::Result<()> {
        project::deploy(self.statements.services(), folder, PRINCIPAL).await?;
        Ok(())
    }
}
