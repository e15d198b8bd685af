//! BatchWait, JobWait and JobStop: wait for the end of a batch or of jobs, with the job slot lent.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep, sleep_until};
use weft_lang::names::{JOB_TYPE, nearest};
use weft_model::canonical_job_type;
use weft_model::{BatchId, BatchStatus, JobStatus};
use weft_node::flow::FlowFailure;
use weft_node::job::{FailureKind, Lent};
use weft_statement::inspect::{BatchInfoQuery, JobItem, JobQuery, JobSelection};
use weft_statement::{JobChange, Refusal, Statements};

use crate::flow::actor::{Actor, ActorResult, ActorRun, ActorSpec, CheckContext, WrittenInputs};
use crate::flow::input::{InputKind, Inputs, optional, required};

/// The shortest and the longest pause between two queries.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// The pause after a wake-up, so that frequent ones do not cause a query each.
const WAKE_PAUSE: Duration = Duration::from_millis(20);
const MONTH_MS: u64 = 31 * 24 * 3_600_000;
/// The most jobs of one name.
const JOBS: usize = 1_000;

fn refused(refusal: &Refusal) -> FlowFailure {
    let message = match refusal.advice() {
        Some(advice) => format!("{refusal}; {advice}"),
        None => refusal.to_string(),
    };
    FlowFailure::new("Refused", message)
}

/// Pauses between two queries. The job slot is lent until this is dropped.
struct Wait<'a> {
    run: ActorRun<'a>,
    statements: &'a Statements,
    /// The end of the wait, and `timeout_ms`.
    deadline: Option<(Instant, u64)>,
    pause: Duration,
    /// Names the awaited work in messages.
    label: String,
    _lent: Lent,
}

impl<'a> Wait<'a> {
    fn new(run: ActorRun<'a>, statements: &'a Statements, inputs: &Inputs, label: String) -> Self {
        let deadline = inputs
            .whole("timeout_ms")
            .map(|millis| (Instant::now() + Duration::from_millis(millis), millis));
        let pause = statements.services().config.poll_interval;
        Self {
            run,
            statements,
            deadline,
            pause: pause.clamp(PAUSE.0, PAUSE.1),
            label,
            _lent: run.slot.lend(),
        }
    }

    /// Resolves after the next wake-up since this call, so call it before the query.
    fn next_wake_up(&self) -> impl Future<Output = ()> + Send + '_ {
        self.statements.services().wake.any_batch_woken()
    }

    /// Waits until the next query is due.
    async fn pause(&self, woken: impl Future<Output = ()> + Send) -> Result<(), FlowFailure> {
        tokio::select! {
            biased;
            () = self.run.stop.cancelled() => {
                let message = format!("it was stopped while it waited for {}", self.label);
                Err(FlowFailure::new(FailureKind::Stopped, message))
            }
            () = sleep_until_some(self.deadline.map(|(moment, _)| moment)) => {
                let millis = self.deadline.map_or(0, |(_, millis)| millis);
                let message = format!("{} has not ended after timeout_ms={millis}", self.label);
                Err(FlowFailure::new("Timeout", message))
            }
            () = woken => {
                sleep(WAKE_PAUSE).await;
                Ok(())
            }
            () = sleep(self.pause) => Ok(()),
        }
    }
}

async fn sleep_until_some(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

#[derive(Debug)]
pub(super) struct BatchWait;

const BATCH_WAIT: ActorSpec = ActorSpec {
    name: "BatchWait",
    aliases: &[],
    summary: "waits for the end of a batch: fails if the batch failed, keeps waiting while it is paused, and ends if it was cancelled",
    inputs: &[
        required("batch", InputKind::Text, "the batch id"),
        optional(
            "timeout_ms",
            InputKind::Whole(1, MONTH_MS),
            "how long it waits; no limit by default",
        ),
    ],
    outputs: &[
        ("status", "DONE or CANCELLED"),
        ("total", "how many entities the batch has"),
        ("succeeded", "how many were completed"),
        ("failed", "how many failed"),
    ],
};

#[async_trait]
impl Actor for BatchWait {
    fn spec(&self) -> &'static ActorSpec {
        &BATCH_WAIT
    }

    async fn act(&self, inputs: Inputs, run: ActorRun<'_>) -> ActorResult {
        let text = inputs.text("batch");
        let id: BatchId = text.trim().parse().map_err(|_| {
            FlowFailure::new(
                "Input",
                format!("the input `batch`: `{text}` is not a batch id"),
            )
        })?;
        let statements = run.tools.statements()?;
        let permit = statements.authorize(run.principal, BatchInfoQuery(id));
        let permit = permit.map_err(|refusal| refused(&refusal))?;
        let inspector = statements.inspector();
        let wait = Wait::new(run, &statements, &inputs, format!("batch {id}"));
        let item = loop {
            let woken = wait.next_wake_up();
            let info = inspector.batch(&permit).await;
            let item = info.map_err(|error| refused(&error.into()))?.item;
            if item.batch.status.is_final() {
                break item;
            }
            wait.pause(woken).await?;
        };
        if item.batch.status == BatchStatus::Failed {
            let why = item
                .batch
                .error
                .as_deref()
                .unwrap_or("for an unknown reason");
            let message = format!("batch {id} failed: {why}");
            return Err(FlowFailure::new("BatchFailed", message));
        }
        Ok(Map::from_iter([
            ("status".to_owned(), json!(item.batch.status.as_str())),
            ("total".to_owned(), json!(item.batch.total_entities)),
            ("succeeded".to_owned(), json!(item.succeeded)),
            ("failed".to_owned(), json!(item.failed)),
        ]))
    }
}

#[derive(Debug)]
pub(super) struct JobWait;

const JOB_OUTPUTS: &[(&str, &str)] = &[
    (
        "status",
        "PROCESSED, FAILED or TERMINATED; the worst of several jobs",
    ),
    (
        "jobs",
        "a list of maps: uid, status, output and error of each",
    ),
];

const JOB_WAIT: ActorSpec = ActorSpec {
    name: "JobWait",
    aliases: &[],
    summary: "waits for the end of a job, however it ends; for a recurring job, until its current or next run ends",
    inputs: &[
        required("type", InputKind::Fixed, "the type of the job"),
        required("name", InputKind::Text, "its NAME"),
        optional(
            "uid",
            InputKind::Text,
            "its UID; all jobs of the name by default",
        ),
        optional(
            "timeout_ms",
            InputKind::Whole(1, MONTH_MS),
            "how long it waits before it fails; no limit by default",
        ),
    ],
    outputs: JOB_OUTPUTS,
};

#[async_trait]
impl Actor for JobWait {
    fn spec(&self) -> &'static ActorSpec {
        &JOB_WAIT
    }

    async fn check(&self, inputs: WrittenInputs<'_>, context: CheckContext<'_>) {
        check_type(inputs, context);
    }

    async fn act(&self, inputs: Inputs, run: ActorRun<'_>) -> ActorResult {
        let statements = run.tools.statements()?;
        let jobs = Jobs::new(&statements, run, &inputs);
        let at_start = jobs.list().await?;
        let runs_at_start = |item: &JobItem| {
            let before = at_start
                .iter()
                .find(|before| before.job.key == item.job.key);
            before.map_or(0, |before| before.job.runs)
        };
        let has_run = |item: &JobItem| has_ended(item) || item.job.runs > runs_at_start(item);
        let ended = jobs.wait_until_all(&inputs, has_run).await?;
        Ok(outputs_of(&ended))
    }
}

#[derive(Debug)]
pub(super) struct JobStop;

const JOB_STOP: ActorSpec = ActorSpec {
    name: "JobStop",
    aliases: &[],
    summary: "stops a job as STOPJOB does and waits until it ends",
    inputs: JOB_WAIT.inputs,
    outputs: JOB_OUTPUTS,
};

#[async_trait]
impl Actor for JobStop {
    fn spec(&self) -> &'static ActorSpec {
        &JOB_STOP
    }

    async fn check(&self, inputs: WrittenInputs<'_>, context: CheckContext<'_>) {
        check_type(inputs, context);
    }

    async fn act(&self, inputs: Inputs, run: ActorRun<'_>) -> ActorResult {
        let statements = run.tools.statements()?;
        let jobs = Jobs::new(&statements, run, &inputs);
        for item in jobs.list().await? {
            if has_ended(&item) {
                continue;
            }
            let key = item.job.key.clone();
            let stopped = statements
                .change_job(run.principal, key.clone(), JobChange::Stop)
                .await;
            if let Err(refusal) = stopped {
                // The job may have ended meanwhile.
                let now = statements.job(run.principal, key).await;
                if !now.is_ok_and(|now| has_ended(&now)) {
                    return Err(refused(&refusal));
                }
            }
        }
        let ended = jobs.wait_until_all(&inputs, has_ended).await?;
        Ok(outputs_of(&ended))
    }
}

fn check_type(inputs: WrittenInputs<'_>, context: CheckContext<'_>) {
    let Some((written, spot)) = inputs.text("type") else {
        return;
    };
    let known = canonical_job_type(written);
    if !JOB_TYPE.names.contains(&known.as_str()) {
        let near = nearest(written, JOB_TYPE.names.iter().copied()).map(str::to_owned);
        let message = format!("there is no type of job `{written}`");
        context.findings.add_near(spot, message, near);
    }
}

/// The jobs that the inputs select.
struct Jobs<'a> {
    statements: &'a Statements,
    run: ActorRun<'a>,
    job_type: String,
    name: String,
    uid: Option<String>,
}

impl<'a> Jobs<'a> {
    fn new(statements: &'a Statements, run: ActorRun<'a>, inputs: &Inputs) -> Self {
        Self {
            statements,
            run,
            job_type: canonical_job_type(inputs.text("type")),
            name: inputs.text("name").to_owned(),
            uid: inputs.optional_text("uid").map(str::to_owned),
        }
    }

    fn label(&self) -> String {
        let uid = self.uid.as_ref();
        let uid = uid.map_or_else(String::new, |uid| format!(" with UID '{uid}'"));
        format!("job {} '{}'{uid}", self.job_type, self.name)
    }

    /// Waits until the condition holds for all jobs.
    async fn wait_until_all(
        &self,
        inputs: &Inputs,
        holds: impl Fn(&JobItem) -> bool + Send,
    ) -> Result<Vec<JobItem>, FlowFailure> {
        let wait = Wait::new(self.run, self.statements, inputs, self.label());
        loop {
            let woken = wait.next_wake_up();
            let jobs = self.list().await?;
            if jobs.iter().all(&holds) {
                return Ok(jobs);
            }
            wait.pause(woken).await?;
        }
    }

    /// Queries the jobs.
    ///
    /// # Errors
    /// There is none.
    async fn list(&self) -> Result<Vec<JobItem>, FlowFailure> {
        let query = JobQuery {
            selection: JobSelection::Of {
                job_type: self.job_type.clone(),
                name: Some(self.name.clone()),
                uid: self.uid.clone(),
            },
            status: None,
            archived: None,
            after: None,
            limit: JOBS,
        };
        let permit = self.statements.authorize(self.run.principal, query);
        let permit = permit.map_err(|refusal| refused(&refusal))?;
        let page = self.statements.inspector().jobs(&permit).await;
        let page = page.map_err(|error| refused(&error.into()))?;
        match page.items.is_empty() {
            true => {
                let message = format!("there is no {}", self.label());
                Err(FlowFailure::new("NoSuchJob", message))
            }
            false => Ok(page.items),
        }
    }
}

fn has_ended(item: &JobItem) -> bool {
    match item.job.status {
        JobStatus::Processed | JobStatus::Terminated | JobStatus::Failed => true,
        JobStatus::Scheduled
        | JobStatus::Waiting
        | JobStatus::InProcess
        | JobStatus::Stopping
        | JobStatus::Restart => false,
    }
}

fn outputs_of(items: &[JobItem]) -> Map<String, Value> {
    let severity = |item: &&JobItem| match item.job.status {
        JobStatus::Failed => 2,
        JobStatus::Terminated => 1,
        _ => 0,
    };
    let worst = items.iter().max_by_key(severity);
    let jobs: Vec<Value> = items
        .iter()
        .map(|item| {
            json!({
                "uid": item.job.key.uid,
                "status": item.job.status.as_str(),
                "output": item.job.output,
                "error": item.error,
            })
        })
        .collect();
    Map::from_iter([
        (
            "status".to_owned(),
            json!(worst.map(|item| item.job.status.as_str())),
        ),
        ("jobs".to_owned(), Value::Array(jobs)),
    ])
}
