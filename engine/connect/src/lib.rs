//! Kinds of job that reach outside of Weft: scripts, functions, flows and parsers of the deployed project, HTTP calls,
//! listeners for files, and the republication of stored instances.
//!
//! Each kind implements [`JobKind`] in its own module. A node gets all of them from [`kinds`].

mod arguments;
mod broadway_job;
mod call_back;
mod capture;
mod cdc;
mod deployed;
mod entity_script;
mod file_roots;
mod files;
mod flow;
mod group;
mod hex;
mod hosts;
mod http;
pub mod javascript;
mod listener;
mod on_thread;
mod parser;
mod process;
pub mod records;
mod retry;
mod script;
mod script_process;
mod user_job;
mod work_folder;

use std::sync::Arc;

use weft_node::NodeConfig;
use weft_node::flow::Flows;
use weft_node::job::{CheckpointStore, JobKind};
use weft_node::trace::Traces;
use weft_project::interface::Environment;
use weft_project::{Validator, Validators};
use weft_statement::LateStatements;
use weft_store::SharedStore;

pub use broadway_job::BroadwayJob;
pub use call_back::{CallBack, Grant};
pub use cdc::CdcRepublish;
pub use deployed::DeployedProject;
pub use entity_script::EntityScripts;
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

/// The most functions that flows run at once: each may use its limit of memory.
const FUNCTIONS: usize = 32;

/// The services that the kinds use.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Finds the deployed project.
    pub projects: Arc<dyn DeployedProject>,
    /// The configuration of the node.
    pub config: NodeConfig,
    /// The environment of the node, which scripts inherit and secrets refer to.
    pub environment: Environment,
    /// Grants scripts access to the node that runs them.
    pub call_back: Arc<dyn CallBack>,
    /// Runs the statements of functions and flows.
    pub statements: LateStatements,
    /// Receives the rows of parsers.
    pub store: SharedStore,
    /// Keeps the progress of runs.
    pub checkpoints: CheckpointStore,
    /// The traces of the node.
    pub traces: Traces,
}

/// Makes the kinds of this package. Removes the working folders that an earlier process has left in the data folder, so
/// only one process at a time may use that folder.
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

/// Makes the runner of flows.
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

/// Makes the checks of project files that the kinds of this package run.
pub fn validators() -> Validators {
    Validators::new([
        Arc::new(FunctionFiles) as Arc<dyn Validator>,
        Arc::new(FlowValidator),
        Arc::new(parser::ParserFiles),
    ])
}
