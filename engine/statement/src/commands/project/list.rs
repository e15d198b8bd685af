//! LIST: what the deployed project has.

use serde_json::json;
use weft_project::Project;

use crate::commands::Execution;
use crate::output::Output;
use crate::permission::{Permit, needs};
use crate::refusal::Refusal;

/// What to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListProject {
    LogicalUnits,
    InstanceGroups,
    Interfaces,
}

needs!(BatchRead: ListProject);

/// Lists a part of the deployed project.
///
/// # Errors
/// No project is deployed.
pub(crate) async fn run(
    execution: Execution<'_>,
    permit: Permit<ListProject>,
) -> Result<(), Refusal> {
    let project = execution.services.project().await?;
    let output = execution.output;
    match permit.request() {
        ListProject::LogicalUnits => list_logical_units(&project, output).await,
        ListProject::InstanceGroups => list_instance_groups(&project, output).await,
        ListProject::Interfaces => list_interfaces(&project, output).await,
    }
    Ok(())
}

async fn list_logical_units(project: &Project, output: &Output) {
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

async fn list_instance_groups(project: &Project, output: &Output) {
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

async fn list_interfaces(project: &Project, output: &Output) {
    output.columns(&["Interface", "Type", "Path"]).await;
    for interface in project.interfaces() {
        let definition = &interface.definition;
        let kind = format!("{:?}", definition.kind).to_lowercase();
        let row = vec![json!(definition.name), json!(kind), json!(definition.path)];
        output.row(row).await;
    }
}
