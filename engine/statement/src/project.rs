//! DEPLOY and LIST.

use std::time::Duration;

use serde_json::json;
use weft_lang::ListTarget;
use weft_project::{CatalogueError, ProjectError};
use weft_store::Trust;

use super::lower::{of_catalogue, project};
use super::output::Output;
use super::{DeployRequest, Permit, Refusal, Services, apply_deployment};

const PATIENCE: Duration = Duration::from_secs(60);

/// Deploys the project in a folder of this node.
///
/// # Errors
/// Everything that is wrong with it, as a table, or why the store did not take it.
pub(super) async fn deploy(
    services: &Services,
    permit: Permit<DeployRequest>,
    output: &Output,
) -> Result<(), Refusal> {
    let DeployRequest { folder, is_soft } = permit.request();
    if !folder.is_dir() {
        let message = format!("{} is no folder on this node", folder.display());
        return Err(Refusal::not_found(message));
    }
    let trust = Trust::for_duration(services.clock.clone(), PATIENCE);
    let by = &permit.principal().name;
    let report = match services
        .catalogue
        .deploy(folder, by, &services.ids, &trust)
        .await
    {
        Ok(report) => report,
        Err(CatalogueError::Invalid(errors)) => {
            show_errors(&errors, output).await;
            return Err(of_catalogue(&CatalogueError::Invalid(errors)));
        }
        Err(error) => return Err(of_catalogue(&error)),
    };
    let columns = ["Project", "Version", "Logical units", "Interfaces", "Notes"];
    let notes = match report.changed {
        true => "deployed",
        false => "this very project was deployed already",
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

/// What the deployed project has.
///
/// # Errors
/// Nothing is deployed.
pub(super) async fn list(
    services: &Services,
    permit: Permit<ListTarget>,
    output: &Output,
) -> Result<(), Refusal> {
    let project = project(&services.catalogue).await?;
    match permit.request() {
        ListTarget::LogicalUnits => {
            output
                .columns(&["LU name", "Root table", "Tables", "Instance groups"])
                .await;
            for lu in project.logical_units() {
                let tables: Vec<&str> = lu.tables.iter().map(|table| table.name.as_str()).collect();
                let groups: Vec<&str> = lu.instance_groups.keys().map(String::as_str).collect();
                let row = vec![
                    json!(lu.name),
                    json!(lu.root),
                    json!(tables.join(",")),
                    json!(groups.join(",")),
                ];
                output.row(row).await;
            }
        }
        ListTarget::InstanceGroups => {
            output
                .columns(&["LU name", "Instance group", "Interface", "Query"])
                .await;
            for lu in project.logical_units() {
                for (name, query) in &lu.instance_groups {
                    let row = vec![
                        json!(lu.name),
                        json!(name),
                        json!(query.interface),
                        json!(query.sql.trim()),
                    ];
                    output.row(row).await;
                }
            }
        }
        ListTarget::Interfaces => {
            output.columns(&["Interface", "Type", "Path"]).await;
            for interface in project.interfaces() {
                let definition = &interface.definition;
                let kind = format!("{:?}", definition.kind).to_lowercase();
                output
                    .row(vec![
                        json!(definition.name),
                        json!(kind),
                        json!(definition.path),
                    ])
                    .await;
            }
        }
        ListTarget::AffinityRules => debug_assert!(false, "lowered to a request of its own"),
    }
    Ok(())
}
