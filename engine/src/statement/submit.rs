//! BATCH: the gate, the two rows, a wake-up; then an answer at once or at the end.

use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::arguments::arguments;
use super::output::Output;
use super::request::SubmitRequest;
use super::{EndStatus, Permit, Refusal, Services, Session, gate, wait};
use crate::inspect::Affinities;
use crate::model::{
    Batch, BatchDesired, BatchId, BatchStatus, DueHint, Job, JobDesired, JobStatus,
};
use crate::node::Trust;
use crate::scheduler::job_key_of;
use crate::store::{Settled, SubmitBatch, SubmitLost, settle};

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
    let batch = create(services, &permit).await?;
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
async fn create(services: &Services, permit: &Permit<SubmitRequest>) -> Result<Batch, Refusal> {
    let batch = batch_of(services, permit);
    let trust = Trust::for_duration(services.clock.clone(), PATIENCE);
    if !batch.spec.allow_multiple {
        gate::pass(services, &batch, &trust).await?;
    }
    let key = job_key_of(&batch);
    let submit = SubmitBatch {
        job: job_of(&batch),
        due: DueHint {
            due_at: batch.creation_time,
            key,
        },
        token: services.ids.token(),
        batch,
    };
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

fn batch_of(services: &Services, permit: &Permit<SubmitRequest>) -> Batch {
    let request = permit.request();
    let owner = &permit.principal().name;
    let id = BatchId(services.ids.uuid());
    let execution_id = services.ids.uuid().to_string();
    Batch {
        id,
        status: BatchStatus::WaitingForJob,
        arguments: arguments(id, &request.spec, &request.command, &execution_id, owner),
        spec: request.spec.clone(),
        command: request.command.clone(),
        creation_time: services.clock.now(),
        start_time: None,
        end_time: None,
        error: None,
        extra_stats: None,
        statistics: None,
        owner: owner.clone(),
        total_entities: None,
        duplicates: 0,
        execution_id,
        fence: 0,
        owner_node: None,
        owner_incarnation: None,
        op_token: None,
        desired: BatchDesired::Run,
        desired_seq: 0,
        desired_token: None,
        chunks: 0,
        stats_seq: 0,
        notes: None,
    }
}

/// The job that coordinates a batch. What the session had is kept in the batch alone.
fn job_of(batch: &Batch) -> Job {
    Job {
        key: job_key_of(batch),
        status: JobStatus::Waiting,
        affinity: batch.spec.job_affinity.clone(),
        archived: false,
        arguments: json!({ "bid": batch.id }).to_string(),
        creation_time: batch.creation_time,
        start_time: None,
        end_time: None,
        error: None,
        execution_interval: None,
        output: None,
        tries: 0,
        worker: None,
        owner_incarnation: None,
        next_run: None,
        fence: 0,
        op_token: None,
        desired: JobDesired::Run,
        desired_seq: 0,
        desired_token: None,
        notes: None,
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
