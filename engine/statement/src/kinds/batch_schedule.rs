//! BATCH_SCHEDULE: a job that holds a BATCH statement; each of its runs submits a new batch.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value};
use tokio::time::sleep;
use tracing::warn;
use weft_lang::{Command, Statement};
use weft_model::{Batch, BatchId, BatchStatistics, BatchStatus, Job, Principal, Session, job_type};
use weft_node::job::{DefinitionError, FailureKind, JobKind, Run, RunEnd, RunFailure, RunOutput};
use weft_store::{Backoff, Freshness};

use crate::commands::Lowering;
use crate::commands::batch::definition;
use crate::commands::batch::submit::{self, SubmitRequest};
use crate::frame::EndStatus;
use crate::late::LateStatements;
use crate::permission::Permit;
use crate::refusal::Refusal;
use crate::statements::Statements;

/// The pauses between tries while the store does not answer.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The argument that holds the statement.
const COMMAND: &str = "command";

/// The kind BATCH_SCHEDULE. With ASYNC='true' in its statement a run ends when the batch is submitted. Otherwise it ends with
/// the batch, and fails when the batch failed.
#[derive(Debug)]
pub struct BatchSchedule {
    statements: LateStatements,
}

impl BatchSchedule {
    /// Submits through these statements.
    pub fn new(statements: LateStatements) -> Self {
        Self { statements }
    }

    /// What a job with this statement submits.
    async fn lower(
        &self,
        job: &Job,
        text: &str,
    ) -> Result<(Statements, Permit<SubmitRequest>), Refusal> {
        let statements = self.statements.get()?;
        let statement = Statement::parse(text)?;
        let Command::Batch(command) = &statement.command else {
            let message = format!(
                "a {} submits BATCH, not {}",
                job.key.job_type,
                statement.keyword()
            );
            return Err(Refusal::usage(message));
        };
        if !statement.is_available() {
            return Err(Refusal::not_available(statement.keyword()));
        }
        let session = Session::for_job(job);
        let context = Lowering {
            session: &session,
            services: statements.services(),
        };
        let request = definition::lower(command, &statement, context).await?;
        let principal = Principal {
            name: job.created_by.clone(),
        };
        let permit = statements.authorize(&principal, request)?;
        Ok((statements, permit))
    }

    /// Checks that a job with this statement can submit it.
    ///
    /// # Errors
    /// What is wrong with the statement.
    pub(super) async fn check_statement(&self, job: &Job, text: &str) -> Result<(), Refusal> {
        self.lower(job, text).await.map(drop)
    }

    /// Runs a job with this statement.
    pub(super) async fn run_statement(&self, run: &Run, text: &str) -> RunEnd {
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        loop {
            let refusal = match self.submit_and_wait(run, text).await {
                Ok(end) => return end,
                Err(refusal) => refusal,
            };
            if refusal.status() != EndStatus::Unreachable {
                return RunEnd::Failed(RunFailure::new("Refused", refusal.to_string()));
            }
            // An outage of the store says nothing about the run, which finds its batch again by its idempotency key.
            if backoff.is_fresh() {
                let key = &run.job.key;
                warn!(
                    job.uid = key.uid,
                    "Job {} waits for the store: {refusal}", key.uid
                );
            }
            tokio::select! {
                biased;
                () = run.stop.cancelled() => {
                    let id = BatchId(run.idempotency_key());
                    let message = format!("it stopped waiting for the store; batch {id} continues if it was submitted");
                    return RunEnd::Failed(RunFailure::new(FailureKind::Stopped, message));
                }
                () = sleep(backoff.pause()) => (),
            }
        }
    }

    async fn submit_and_wait(&self, run: &Run, text: &str) -> Result<RunEnd, Refusal> {
        let (statements, permit) = self.lower(&run.job, text).await?;
        let services = statements.services();
        // A try after a crash finds the batch of the try before.
        let id = BatchId(run.idempotency_key());
        let batch = match services.store.batch(id, Freshness::Serial).await? {
            Some(batch) => batch,
            None => submit::create(services, &permit, id).await?,
        };
        if batch.spec.asynchronous {
            return Ok(succeeded(id));
        }
        loop {
            let woken = services.wake.batch_woken(id);
            let row = services.store.batch(id, Freshness::Committed).await?;
            if let Some(end) = row.as_ref().and_then(end_of) {
                return Ok(end);
            }
            tokio::select! {
                biased;
                () = run.stop.cancelled() => {
                    let message = format!("it stopped waiting; batch {id} continues, BATCH_CANCEL '{id}' ends it");
                    return Ok(RunEnd::Failed(RunFailure::new(FailureKind::Stopped, message)));
                }
                () = woken => (),
                () = sleep(services.config.poll_interval) => (),
            }
        }
    }
}

/// The statement in the arguments of a job.
fn statement_of(job: &Job) -> Result<String, Refusal> {
    let arguments: Map<String, Value> = serde_json::from_str(&job.arguments)
        .map_err(|error| Refusal::failed(format!("its arguments cannot be read: {error}")))?;
    let text = arguments.get(COMMAND).and_then(Value::as_str);
    text.map(str::to_owned).ok_or_else(|| {
        Refusal::usage("BATCH_SCHEDULE needs ARGS with the statement to submit")
            .hint(r#"ARGS='{"command":"BATCH <LU> FABRIC_COMMAND=\"sync_instance <LU>.?\""}'"#)
    })
}

fn succeeded(id: BatchId) -> RunEnd {
    succeeded_with(id.to_string())
}

/// The output of a batch job is the bid (as in Fabric).
fn succeeded_with(text: String) -> RunEnd {
    RunEnd::Succeeded(RunOutput {
        text: Some(text),
        exit_code: None,
    })
}

/// A DONE batch can have failed entities. The output of the job says so.
fn end_of_done(batch: &Batch) -> RunEnd {
    let total = batch.statistics.as_ref().map(BatchStatistics::total);
    match total.filter(|total| total.failed > 0) {
        None => succeeded(batch.id),
        Some(total) => succeeded_with(format!(
            "{}: {} of {} entities failed",
            batch.id,
            total.failed,
            total.handled()
        )),
    }
}

/// The end of the run, once the batch has ended.
fn end_of(batch: &Batch) -> Option<RunEnd> {
    let failed = |why: String| {
        let mut failure = RunFailure::new("BatchFailed", why);
        failure.output.text = Some(batch.id.to_string());
        Some(RunEnd::Failed(failure.without_retry()))
    };
    match batch.status {
        BatchStatus::Done => Some(end_of_done(batch)),
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

    async fn check(&self, job: &Job) -> Result<(), DefinitionError> {
        let checked = async { self.check_statement(job, &statement_of(job)?).await };
        checked.await.map_err(|refusal| DefinitionError {
            message: refusal.to_string(),
            hint: None,
        })
    }

    async fn run(&self, run: Run) -> RunEnd {
        match statement_of(&run.job) {
            Ok(text) => self.run_statement(&run, &text).await,
            Err(refusal) => RunEnd::Failed(RunFailure::new("Refused", refusal.to_string())),
        }
    }
}
