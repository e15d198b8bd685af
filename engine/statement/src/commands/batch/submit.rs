//! Submission of a batch: the gate, the two rows, a wake-up; then an answer at once or at the end.

use std::time::Duration;

use serde_json::{Value, json};
use tracing::info;
use weft_model::{Batch, BatchId, BatchSpec};
use weft_node::scheduler::submission_of;
use weft_store::Trust;
use weft_store::{Settled, SubmitLost, settle};

use super::arguments::arguments;
use super::{gate, wait};
use crate::commands::Execution;
use crate::frame::EndStatus;
use crate::inspect::Affinities;
use crate::permission::{Access, Operation, Permission, Permit};
use crate::refusal::Refusal;
use crate::services::Services;

/// How long to re-send a submission whose outcome is unknown.
const PATIENCE: Duration = Duration::from_secs(30);

/// A batch to submit, checked, with its defaults and limits.
#[derive(Clone, Debug)]
pub(crate) struct SubmitRequest {
    pub(crate) spec: BatchSpec,
    /// The command as typed.
    pub(crate) command: String,
    /// It runs `sync_instance`, so its result has Added, Updated and Unchanged.
    pub(crate) is_sync_instance: bool,
    /// How the command was read, where that may surprise.
    pub(crate) notices: Vec<String>,
}

impl Operation for SubmitRequest {
    fn access(&self) -> Access {
        Access::on(Permission::Batch, [self.spec.logical_unit.as_str()])
    }
}

/// Submits the batch; waits for its end unless it is asynchronous.
///
/// # Errors
/// It was refused, or it ended badly.
pub(crate) async fn run(
    execution: Execution<'_>,
    permit: Permit<SubmitRequest>,
) -> Result<(), Refusal> {
    let Execution {
        services,
        session,
        output,
        stop,
    } = execution;
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
/// It was refused, or its outcome is unknown.
pub(crate) async fn create(
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
            // Ids are random: this happens only when rows were copied by hand.
            Err(Refusal::failed(format!(
                "batch {id} exists already; submit it again"
            )))
        }
        Settled::StillUnknown => {
            // The batch may have been written.
            services.wake.jobs();
            Err(outcome_unknown(id))
        }
    }
}

fn outcome_unknown(id: BatchId) -> Refusal {
    let message =
        format!("the store does not answer: batch {id} may or may not have been submitted");
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

/// Why the batch will not begin soon, if something is in its way. The batch is written, whatever the store answers now.
async fn note(services: &Services, batch: &Batch) -> Option<String> {
    let members = services.nodes.members().await.ok()?;
    let affinities = Affinities {
        affinity: &batch.spec.affinity,
        job_affinity: &batch.spec.job_affinity,
    };
    affinities.note(&members)
}
