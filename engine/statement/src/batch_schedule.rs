//! BATCH_SCHEDULE: a job that holds a BATCH statement; each of its runs submits a fresh batch.

use async_trait::async_trait;
use serde_json::{Map, Value};
use tokio::time::sleep;
use weft_lang::{Command, Statement};
use weft_model::Principal;
use weft_model::Session;
use weft_model::{Batch, BatchId, BatchStatistics, BatchStatus, Job, job_type};
use weft_node::job::{Check, JobKind, Run, RunEnd, RunFailure, RunOutput};
use weft_store::Freshness;

use super::permit::part;
use super::request::{Request, SubmitRequest};
use super::{LateStatements, Permit, Refusal, Statements, lower, submit};

/// The argument that holds the statement.
const COMMAND: &str = "command";

/// The kind BATCH_SCHEDULE. With ASYNC='true' in its statement a run ends when the batch is submitted, otherwise when the
/// batch has ended, and fails when the batch failed.
#[derive(Debug)]
pub struct BatchSchedule {
    statements: LateStatements,
}

impl BatchSchedule {
    /// Submits through these.
    pub fn new(statements: LateStatements) -> Self {
        Self { statements }
    }

    /// What a job whose statement is `text` submits.
    async fn lowered(
        &self,
        job: &Job,
        text: &str,
    ) -> Result<(Statements, Permit<SubmitRequest>), Refusal> {
        let statements = self.statements.get()?;
        let statement = Statement::parse(text)?;
        if !matches!(statement.command, Command::Batch(_)) {
            let message = format!(
                "a {} submits BATCH, not {}",
                job.key.job_type,
                statement.keyword()
            );
            return Err(Refusal::usage(message));
        }
        let session = Session::for_job(job);
        let services = statements.services();
        let request = lower(
            &statement,
            &session,
            &services.catalogue,
            &services.config,
            &services.kinds,
            services.flows.as_ref(),
        )
        .await?;
        let principal = Principal {
            name: job.created_by.clone(),
        };
        let (who, request) = statements.authorize(&principal, request)?.open();
        let Request::SubmitBatch(request) = request else {
            return Err(Refusal::usage("a BATCH_SCHEDULE submits BATCH"));
        };
        Ok((statements, part(&who, *request)))
    }

    /// Whether a job whose statement is `text` can submit it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) async fn check_statement(&self, job: &Job, text: &str) -> Result<(), Refusal> {
        self.lowered(job, text).await.map(drop)
    }

    /// Runs a job whose statement is `text`.
    pub(super) async fn run_statement(&self, run: &Run, text: &str) -> RunEnd {
        match self.submit_and_wait(run, text).await {
            Ok(end) => end,
            Err(refusal) => RunEnd::Failed(RunFailure::new("Refused", refusal.to_string())),
        }
    }

    async fn submit_and_wait(&self, run: &Run, text: &str) -> Result<RunEnd, Refusal> {
        let (statements, permit) = self.lowered(&run.job, text).await?;
        let services = statements.services();
        // A try that comes after a crash finds the batch of the one before.
        let id = BatchId(run.idempotency_key());
        let batch = match services.store.batch(id, Freshness::Serial).await? {
            Some(batch) => batch,
            None => submit::create(services, &permit, id).await?,
        };
        if batch.spec.asynchronous {
            return Ok(succeeded(id));
        }
        loop {
            let woken = services.wake.batches_woken();
            let row = services.store.batch(id, Freshness::Committed).await?;
            if let Some(end) = row.as_ref().and_then(end_of) {
                return Ok(end);
            }
            tokio::select! {
                biased;
                () = run.stop.cancelled() => {
                    let message = format!("it waits no longer; batch {id} goes on, BATCH_CANCEL '{id}' ends it");
                    return Ok(RunEnd::Failed(RunFailure::new("Stopped", message)));
                }
                () = woken => (),
                () = sleep(services.config.poll_interval) => (),
            }
        }
    }
}

fn arguments_of(job: &Job) -> Result<Map<String, Value>, Refusal> {
    serde_json::from_str(&job.arguments)
        .map_err(|error| Refusal::failed(format!("its arguments cannot be read: {error}")))
}

/// The statement that the job holds.
fn held_by(job: &Job) -> Result<String, Refusal> {
    let arguments = arguments_of(job)?;
    let text = arguments.get(COMMAND).and_then(Value::as_str);
    text.map(str::to_owned).ok_or_else(|| {
        Refusal::usage("BATCH_SCHEDULE needs ARGS with the statement to submit")
            .hint(r#"ARGS='{"command":"BATCH <LU> FABRIC_COMMAND=\"sync_instance <LU>.?\""}'"#)
    })
}

fn succeeded(id: BatchId) -> RunEnd {
    RunEnd::Succeeded(RunOutput {
        // Fabric: the output of a batch job is the bid.
        text: Some(id.to_string()),
        exit_code: None,
    })
}

/// A batch that is DONE may have entities that failed: its job says so where people look in the morning.
fn done(batch: &Batch) -> RunEnd {
    let total = batch.statistics.as_ref().map(BatchStatistics::total);
    match total.filter(|total| total.failed > 0) {
        None => succeeded(batch.id),
        Some(total) => RunEnd::Succeeded(RunOutput {
            text: Some(format!(
                "{}: {} of {} entities failed",
                batch.id,
                total.failed,
                total.handled()
            )),
            exit_code: None,
        }),
    }
}

/// How the end of the batch reads as the end of the run; none while it goes on.
fn end_of(batch: &Batch) -> Option<RunEnd> {
    let failed = |why: String| {
        let mut failure = RunFailure::new("BatchFailed", why);
        failure.output.text = Some(batch.id.to_string());
        Some(RunEnd::Failed(failure.never_again()))
    };
    match batch.status {
        BatchStatus::Done => Some(done(batch)),
        BatchStatus::Failed => {
            let why = batch.error.as_deref().unwrap_or("for an unknown reason");
            failed(format!("batch {} failed: {why}", batch.id))
        }
        BatchStatus::Cancelled => failed(format!("batch {} was cancelled", batch.id)),
        BatchStatus::WaitingForJob
        | BatchStatus::New
        | BatchStatus::GenerateIid
        | BatchStatus::InProgress
        | BatchStatus::ResumeFailures
        | BatchStatus::Paused => None,
    }
}

#[async_trait]
impl JobKind for BatchSchedule {
    fn job_type(&self) -> &'static str {
        job_type::BATCH_SCHEDULE
    }

    fn takes_slot(&self) -> bool {
        false
    }

    async fn check(&self, job: &Job) -> Result<(), Check> {
        let checked = async { self.check_statement(job, &held_by(job)?).await };
        checked.await.map_err(|refusal| Check {
            message: refusal.to_string(),
            hint: None,
        })
    }

    async fn run(&self, run: Run) -> RunEnd {
        match held_by(&run.job) {
            Ok(text) => self.run_statement(&run, &text).await,
            Err(refusal) => RunEnd::Failed(RunFailure::new("Refused", refusal.to_string())),
        }
    }
}
