//! GET: syncs instances as the session says, and attaches them.

use serde_json::json;
use weft_lang::Get;

use super::InstanceName;
use super::sync::{COUNTS, sync};
use crate::commands::{Execution, Lowering};
use crate::permission::{Access, Operation, Permission, Permit};
use crate::refusal::Refusal;

/// Instances to sync and attach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GetRequest {
    /// At most one of each logical unit.
    instances: Vec<InstanceName>,
    /// The first error ends the command.
    stop_on_error: bool,
}

impl Operation for GetRequest {
    fn access(&self) -> Access {
        let units = self.instances.iter();
        let units = units.map(|instance| instance.logical_unit.as_str());
        Access::on(Permission::Write, units)
    }
}

pub(crate) async fn lower(get: &Get, context: Lowering<'_>) -> Result<GetRequest, Refusal> {
    let mut instances: Vec<InstanceName> = Vec::new();
    for instance in &get.instances {
        let name = InstanceName::lower(instance, context).await?;
        if instances
            .iter()
            .any(|other| other.logical_unit == name.logical_unit)
        {
            let message = "Only single instance per LUT can be used on the same GET command.";
            return Err(Refusal::usage(message).at(instance.lu.span));
        }
        instances.push(name);
    }
    Ok(GetRequest {
        instances,
        stop_on_error: get.stop_on_error.as_ref().is_none_or(|stop| stop.value),
    })
}

/// Syncs and attaches the instances.
///
/// # Errors
/// The first failure; after all instances if the command says to continue.
pub(crate) async fn run(
    execution: Execution<'_>,
    permit: Permit<GetRequest>,
) -> Result<(), Refusal> {
    let Execution {
        services,
        session,
        output,
        stop,
    } = execution;
    let request = permit.request();
    let mut failure = None;
    let columns: Vec<&str> = ["LU name", "Instance id"]
        .into_iter()
        .chain(COUNTS)
        .collect();
    output.columns(&columns).await;
    for instance in &request.instances {
        match sync(services, session, instance, stop).await {
            Ok(counts) => {
                let InstanceName { logical_unit, id } = instance.clone();
                let mut row = vec![json!(logical_unit), json!(id)];
                row.extend(counts);
                output.row(row).await;
                session.attached.insert(logical_unit, id);
            }
            Err(refusal) if request.stop_on_error => return Err(refusal),
            Err(refusal) => {
                output.notice(refusal.message()).await;
                failure.get_or_insert(refusal);
            }
        }
    }
    failure.map_or(Ok(()), Err)
}
