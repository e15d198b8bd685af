//! BATCH: the gate, the two rows, a wake-up; then an answer at once or at the end.

use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tracing::info;
use weft_model::Session;
use weft_model::{Batch, BatchId};
use weft_node::scheduler::submission_of;
use weft_store::Trust;
use weft_store::{Settled, SubmitLost, settle};

use super::arguments::arguments;
use super::output::Output;
use super::request::SubmitRequest;
use super::{EndStatus, Permit, Refusal, Services, gate, wait};
use crate::inspect::Affinities;

/// How long a submission is sent again while nobody knows what became of it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Submits the batch; waits for its end unless it is asynchronous.
///
/// # Errors
/// It was refused, or it ended badly.
pub(super) async fn submit(
    services: &Services,
    session: &mut Session,
    permit: Permit<SubmitRequest>,
    output: &Output,
    stop: &CancellationToken,
) -> Result<(), Refusal> {
    for notice in &permit.request().notices {
        output.notice(notice).await;
    }
    let id = BatchId(services.ids.uuid());
    let batch = create(services, &permit, id).await?;
    if batch.spec.asynchronous {
        session.last_batch = Some(batch.id);
        let note = note(services, &batch)
            .await
            .map_or(Value::Null, Value::from);
        let columns = ["Batch id", "Notes", "Execution id"];
        let row = vec![json!(batch.id), note, json!(batch.execution_id)];
        output.one_row(&columns, row).await;
        return Ok(());
    }
    wait::until_ended(
        services,
        &batch,
        permit.request().is_sync_instance,
        output,
        stop,
    )
    .await
}

/// Writes the rows of a new batch.
///
/// # Errors
/// It was refused, or nobody knows what became of it.
pub(super) async fn create(
    services: &Services,
    permit: &Permit<SubmitRequest>,
    id: BatchId,
) -> Result<Batch, Refusal> {
    let batch = batch_of(services, permit, id);
    let trust = Trust::for_duration(services.clock.clone(), PATIENCE);
    if !batch.spec.allow_multiple {
        gate::pass(services, &batch, &trust).await?;
    }
    let submit = submission_of(batch, services.ids.token());
    let id = submit.batch.id;
    match settle(services.store.as_ref(), &services.ids, &trust, &submit).await? {
        Settled::Applied => {
            services.wake.jobs();
            let lu = &submit.batch.spec.logical_unit;
            info!(batch.id = %id, batch.logical_unit = %lu, "Submitted batch {id} on {lu}");
            Ok(submit.batch)
        }
        Settled::Lost(SubmitLost::Batch(_) | SubmitLost::Job(_)) => {
            // Ids are random: this happens when somebody copies rows by hand.
            Err(Refusal::failed(format!(
                "batch {id} exists already; submit it again"
            )))
        }
        Settled::StillUnknown => {
            // Should it stand there, somebody should look.
            services.wake.jobs();
            Err(outcome_unknown(id))
        }
    }
}

fn outcome_unknown(id: BatchId) -> Refusal {
    let message =
        format!("the store does not answer: nobody knows whether batch {id} was submitted");
    Refusal::new(EndStatus::Unreachable, message).hint(format!(
        "look with BATCH_INFO '{id}' before you submit it again"
    ))
}

fn batch_of(services: &Services, permit: &Permit<SubmitRequest>, id: BatchId) -> Batch {
    let request = permit.request();
    let owner = &permit.principal().name;
    let execution_id = services.ids.uuid().to_string();
    Batch {
        arguments: arguments(id, &request.spec, &request.command, &execution_id, owner),
        command: request.command.clone(),
        owner: owner.clone(),
        execution_id,
        ..Batch::waiting(id, request.spec.clone(), services.clock.now())
    }
}

/// Why it will not begin soon, if it will not. The batch stands whatever the store says now.
async fn note(services: &Services, batch: &Batch) -> Option<String> {
    let members = services.nodes.members().await.ok()?;
    let affinities = Affinities {
        affinity: &batch.spec.affinity,
        job_affinity: &batch.spec.job_affinity,
    };
    affinities.note(&members)
}
