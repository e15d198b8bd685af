//! GET and SYNC_INSTANCE: one instance at a time, by the same code that a batch runs.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use weft_model::Session;
use weft_model::{BatchId, BatchSpec, EntitySource};
use weft_project::command::{ChunkContext, CommandFactory, EntityOutcome};

use super::output::Output;
use super::request::{GetRequest, InstanceName};
use super::{Permit, Refusal, Services};

const COUNTS: [&str; 3] = ["Added", "Updated", "Unchanged"];

/// SYNC_INSTANCE.
///
/// # Errors
/// Why the instance could not be synced.
pub(super) async fn sync_instance(
    services: &Services,
    session: &Session,
    permit: Permit<InstanceName>,
    output: &Output,
    stop: &CancellationToken,
) -> Result<(), Refusal> {
    let result = sync(services, session, permit.request(), stop).await?;
    output.one_row(&COUNTS, counts(&result)).await;
    Ok(())
}

/// GET: syncs instances as the session says, and attaches them.
///
/// # Errors
/// The first failure, after all of them where the command says to go on.
pub(super) async fn get(
    services: &Services,
    session: &mut Session,
    permit: Permit<GetRequest>,
    output: &Output,
    stop: &CancellationToken,
) -> Result<(), Refusal> {
    let request = permit.request();
    let mut failure = None;
    let columns: Vec<&str> = ["LU name", "Instance id"]
        .into_iter()
        .chain(COUNTS)
        .collect();
    output.columns(&columns).await;
    for instance in &request.instances {
        match sync(services, session, instance, stop).await {
            Ok(result) => {
                let InstanceName { logical_unit, id } = instance.clone();
                let mut row = vec![json!(logical_unit), json!(id)];
                row.extend(counts(&result));
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

/// Syncs one instance and saves it; the result as JSON text.
async fn sync(
    services: &Services,
    session: &Session,
    instance: &InstanceName,
    stop: &CancellationToken,
) -> Result<String, Refusal> {
    let lu = &instance.logical_unit;
    let spec = Arc::new(spec_of(services, session, lu));
    let command = services
        .catalogue
        .bind(&spec)
        .await
        .map_err(Refusal::failed)?;
    let context = ChunkContext {
        batch: BatchId(services.ids.uuid()),
        spec,
        execution_id: services.ids.uuid().to_string(),
        fence: 0,
        node: services.config.guid.clone(),
    };
    let ids = [instance.id.clone()];
    let run = async {
        let mut prepared = command.prepare(&context, &ids).await;
        prepared.run(&instance.id).await
    };
    let outcome = tokio::select! {
        biased;
        () = stop.cancelled() => return Err(Refusal::failed("stopped")),
        outcome = run => outcome,
    };
    match outcome {
        EntityOutcome::Completed { result, instance } => {
            // It belongs to no batch.
            let saved: Vec<_> = instance
                .into_iter()
                .map(|instance| weft_model::Instance {
                    batch: None,
                    ..instance
                })
                .collect();
            if !saved.is_empty() {
                services.store.save_instances(lu, &saved).await?;
            }
            Ok(result)
        }
        EntityOutcome::Failed(reason) => Err(Refusal::failed(reason)),
    }
}

/// What a batch of this one command would be asked to do.
fn spec_of(services: &Services, session: &Session, logical_unit: &str) -> BatchSpec {
    BatchSpec {
        allow_multiple: true,
        session_scope: session.scope.clone(),
        project: services
            .catalogue
            .deployment()
            .map(|deployment| deployment.hash),
        ..BatchSpec::new(
            logical_unit.to_owned(),
            EntitySource::List { ids: Vec::new() },
            format!("sync_instance {logical_unit}.?"),
        )
    }
}

fn counts(result: &str) -> Vec<Value> {
    let parsed: Value = serde_json::from_str(result).unwrap_or_default();
    COUNTS
        .iter()
        .map(|key| parsed.get(key).cloned().unwrap_or(json!(0)))
        .collect()
}
