//! `weft deploy`: sends a project folder to a node with the statement DEPLOY.

use std::path::PathBuf;

use clap::Args;

use crate::exit::Failure;
use crate::server::ServerArgs;

/// `weft deploy`.
#[derive(Clone, Debug, Args)]
pub struct DeployArgs {
    /// The project folder, as the node sees it
    #[arg(value_name = "DIR")]
    pub project: PathBuf,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Deploys the folder.
pub fn run(args: &DeployArgs) -> anyhow::Result<u8> {
    let folder = args.project.canonicalize().map_err(|error| {
        Failure::usage(format!("cannot read {}: {error}", args.project.display()))
    })?;
    let Some(folder) = folder.to_str() else {
        return Err(Failure::usage("the path of the project is not UTF-8").into());
    };
    let statement = format!("DEPLOY '{}';", folder.replace('\'', "''"));
    crate::console::run_statement(&args.server, &statement)
}
