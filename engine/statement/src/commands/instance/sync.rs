//! The sync of one instance outside of a batch, by the same code that a batch runs.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use weft_model::{BatchId, BatchSpec, EntitySource, Instance, Session};
use weft_project::command::{ChunkContext, CommandFactory, EntityOutcome};
use weft_store::{Outage, StoreError};

use super::InstanceName;
use crate::refusal::Refusal;
use crate::services::Services;

pub(super) const COUNTS: [&str; 3] = ["Added", "Updated", "Unchanged"];

/// Syncs one instance and saves it. Returns the values of [`COUNTS`].
pub(super) async fn sync(
    services: &Services,
    session: &Session,
    instance: &InstanceName,
    stop: &CancellationToken,
) -> Result<Vec<Value>, Refusal> {
    let lu = &instance.logical_unit;
    let spec = Arc::new(spec_of(services, session, lu));
    let command = services.catalogue.bind(&spec).await?;
    let context = ChunkContext {
        batch: BatchId(services.ids.uuid()),
        spec,
        execution_id: services.ids.uuid().to_string(),
        fence: 0,
        node: services.config.guid.clone(),
    };
    let ids = [instance.id.clone()];
    let run = async {
        let mut prepared = command.prepare(&context, &ids).await?;
        Ok(prepared.run(&instance.id).await)
    };
    let outcome = tokio::select! {
        biased;
        () = stop.cancelled() => return Err(Refusal::failed("stopped")),
        outcome = run => outcome.map_err(|outage: Outage| Refusal::from(StoreError::from(outage)))?,
    };
    match outcome {
        EntityOutcome::Completed { result, instance } => {
            // The instance belongs to no batch.
            let saved: Vec<_> = instance
                .into_iter()
                .map(|instance| Instance {
                    batch: None,
                    ..instance
                })
                .collect();
            if !saved.is_empty() {
                services.store.save_instances(lu, &saved).await?;
            }
            Ok(counts(&result))
        }
        EntityOutcome::Failed(reason) => Err(Refusal::failed(reason)),
    }
}

/// The specification of a batch that would run this one command.
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
