//! Kinds of job that reach out of Weft: scripts, functions, flows and parsers of the deployed project, calls over HTTP, and
//! stored instances that are published again.
//!
//! Each kind is one file and stands behind [`JobKind`]; a node is handed [`kinds`] of them.

mod arguments;
mod broadway_job;
mod call_back;
mod capture;
mod cdc;
mod files;
mod flow;
mod group;
mod hosts;
mod http;
pub mod javascript;
mod listener;
mod on_thread;
mod parser;
mod process;
pub mod records;
mod script;
mod user_job;
mod work_folder;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use weft_node::NodeConfig;
use weft_node::flow::Flows;
use weft_node::job::{Check, CheckpointStore, JobKind};
use weft_node::trace::Traces;
use weft_project::interface::Environment;
use weft_project::{CatalogueError, Project, ProjectCatalogue, Validator, Validators};
use weft_statement::LateStatements;
use weft_store::SharedStore;

pub use broadway_job::BroadwayJob;
pub use call_back::{CallBack, Grant};
pub use cdc::CdcRepublish;
pub use flow::actors_markdown;
pub use http::Http;
pub use listener::Listener;
pub use parser::Parser;
pub use process::Process;
pub use user_job::UserJob;

use files::Files;
use flow::{FlowRunner, FlowValidator, Tools};
use javascript::{FunctionFiles, JavaScript, Limits};
use work_folder::WorkFolders;

/// Functions that flows run at a time; each may hold its limit of memory.
const FUNCTIONS: usize = 32;

/// What the kinds are made of.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Where the scripts of the deployed project are.
    pub projects: Arc<dyn DeployedProject>,
    /// What the node was told about itself: its data folder, the hosts that may be called.
    pub config: NodeConfig,
    /// The variables of the node: what a script inherits and a header names.
    pub environment: Environment,
    /// How a script may talk to the node that runs it.
    pub call_back: Arc<dyn CallBack>,
    /// What runs the statements of functions and flows.
    pub statements: LateStatements,
    /// Where what parsers read goes to.
    pub store: SharedStore,
    /// Where runs write down what they have finished.
    pub checkpoints: CheckpointStore,
    /// What the node writes down of itself.
    pub traces: Traces,
}

/// Where the deployed project lies on this node.
#[async_trait]
pub trait DeployedProject: std::fmt::Debug + Send + Sync {
    /// The folder in which the project that is deployed now is unpacked; none where nothing is deployed.
    ///
    /// # Errors
    /// A sentence: it cannot be found out, or the project cannot be unpacked.
    async fn folder(&self) -> Result<Option<PathBuf>, String>;

    /// The project that is deployed now; none where nothing is deployed.
    ///
    /// # Errors
    /// A sentence: it cannot be found out, or the project cannot be read.
    async fn project(&self) -> Result<Option<Arc<Project>>, String>;
}

#[async_trait]
impl DeployedProject for ProjectCatalogue {
    async fn folder(&self) -> Result<Option<PathBuf>, String> {
        deployed(self.current_folder().await)
    }

    async fn project(&self) -> Result<Option<Arc<Project>>, String> {
        deployed(self.current_project().await)
    }
}

fn deployed<T>(found: Result<T, CatalogueError>) -> Result<Option<T>, String> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(CatalogueError::NothingDeployed) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// What is deployed, for what cannot do without it.
fn must_be_deployed<T>(found: Result<Option<T>, String>) -> Result<T, Check> {
    match found {
        Ok(Some(found)) => Ok(found),
        Ok(None) => Err(Check {
            message: "no project is deployed".to_owned(),
            hint: Some("DEPLOY '<folder>' deploys one".to_owned()),
        }),
        Err(message) => Err(Check {
            message,
            hint: None,
        }),
    }
}

/// The kinds of this package. Working folders that an earlier process left behind in the data folder are removed, so
/// one process at a time may have that folder.
pub fn kinds(parts: Parts) -> Vec<Arc<dyn JobKind>> {
    let folders = WorkFolders::new(&parts.config.data);
    folders.remove_leftovers();
    let parser = Parser::new(&parts);
    let republish = CdcRepublish::new(&parts);
    let hosts = parts.config.http_allowed_hosts.clone();
    let http = Http::new(&hosts, parts.environment.clone());
    let flows = flows(&parts);
    let listener = Listener::new(&parts, Arc::clone(&flows));
    let broadway = BroadwayJob::new(flows);
    let user_job = UserJob::new(
        Arc::clone(&parts.projects),
        parts.statements,
        parts.environment.clone(),
    );
    let process = Process::new(parts.projects, folders, parts.environment, parts.call_back);
    vec![
        Arc::new(process),
        Arc::new(http),
        Arc::new(user_job),
        Arc::new(parser),
        Arc::new(broadway),
        Arc::new(republish),
        Arc::new(listener),
    ]
}

/// What runs the flows of the deployed project.
pub fn flows(parts: &Parts) -> Arc<dyn Flows> {
    let tools = Tools {
        statements: parts.statements.clone(),
        http: Http::new(&parts.config.http_allowed_hosts, parts.environment.clone()),
        java_script: JavaScript::new(Limits::default(), FUNCTIONS),
        files: Files::new(&parts.config.file_roots),
    };
    Arc::new(FlowRunner::new(
        Arc::clone(&parts.projects),
        parts.config.clone(),
        parts.checkpoints.clone(),
        tools,
    ))
}

/// What checks the files of a project that the kinds of this package run.
pub fn validators() -> Validators {
    Validators::new([
        Arc::new(FunctionFiles) as Arc<dyn Validator>,
        Arc::new(FlowValidator),
        Arc::new(parser::ParserFiles),
    ])
}
