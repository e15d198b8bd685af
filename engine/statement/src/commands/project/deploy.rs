//! DEPLOY of a folder on the node.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use weft_lang::{DeployTarget, Spanned};
use weft_project::{CatalogueError, ProjectError};
use weft_store::Trust;

use super::apply_deployment;
use crate::commands::Execution;
use crate::output::Output;
use crate::permission::{Permit, needs};
use crate::refusal::Refusal;

/// How long to re-send a deployment whose outcome is unknown.
const PATIENCE: Duration = Duration::from_secs(60);

/// The project to deploy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeployRequest {
    /// The folder, on the node.
    folder: PathBuf,
    /// SOFT_DEPLOY: jobs are left alone.
    is_soft: bool,
}

needs!(Deploy: DeployRequest);

pub(crate) fn lower(
    target: &DeployTarget,
    soft_deploy: Option<&Spanned<bool>>,
) -> Result<DeployRequest, Refusal> {
    match target {
        DeployTarget::Folder(folder) => Ok(DeployRequest {
            folder: folder.value.clone().into(),
            is_soft: soft_deploy.is_some_and(|soft| soft.value),
        }),
        DeployTarget::Project | DeployTarget::LogicalUnit(_) => Err(Refusal::usage(
            "DEPLOY takes the folder of a project in this version",
        )
        .hint("DEPLOY '<folder on the node>'")),
    }
}

/// Deploys the project.
///
/// # Errors
/// Everything that is wrong with the project, as a table, or why the store did not take it.
pub(crate) async fn run(
    execution: Execution<'_>,
    permit: Permit<DeployRequest>,
) -> Result<(), Refusal> {
    let Execution {
        services, output, ..
    } = execution;
    let DeployRequest { folder, is_soft } = permit.request();
    if !folder.is_dir() {
        let message = format!("{} is not a folder on this node", folder.display());
        return Err(Refusal::not_found(message));
    }
    let trust = Trust::for_duration(services.clock.clone(), PATIENCE);
    let by = &permit.principal().name;
    let deployed = services
        .catalogue
        .deploy(folder, by, &services.ids, &trust)
        .await;
    if let Err(CatalogueError::Invalid(errors)) = &deployed {
        show_errors(errors, output).await;
    }
    let report = deployed?;
    let columns = ["Project", "Version", "Logical units", "Interfaces", "Notes"];
    let notes = match report.changed {
        true => "deployed",
        false => "this project was deployed already",
    };
    let row = vec![
        json!(report.deployment.hash),
        json!(report.deployment.seq),
        json!(report.deployment.logical_units.join(",")),
        json!(report.interfaces.join(",")),
        json!(notes),
    ];
    output.one_row(&columns, row).await;
    if !is_soft {
        for note in apply_deployment(services, permit.principal(), &report).await {
            output.notice(note).await;
        }
    }
    Ok(())
}

async fn show_errors(errors: &[ProjectError], output: &Output) {
    output
        .columns(&["File", "Line", "Field", "Error", "Did you mean"])
        .await;
    for error in errors {
        let row = vec![
            json!(error.file),
            json!(error.line),
            json!(error.field),
            json!(error.message),
            json!(error.nearest),
        ];
        output.row(row).await;
    }
}
