//! BatchWait, JobWait and JobStop: what waits for the end of other work, and lends its slot meanwhile.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep, sleep_until};
use weft_lang::names::{JOB_TYPE, nearest};
use weft_model::canonical_job_type;
use weft_model::{BatchId, BatchStatus, JobStatus};
use weft_node::job::Lent;
use weft_statement::inspect::{BatchInfoQuery, JobItem, JobQuery, JobSelection};
use weft_statement::{JobChange, Refusal, Statements};

use crate::flow::actor::{
    Actor, ActorError, ActorRun, ActorSpec, Checking, InputKind, Inputs, WrittenInputs, optional,
    required,
};

/// Between two looks, at least and at most.
const PACE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// However often batches move.
const REST: Duration = Duration::from_millis(20);
const MONTH_MS: u64 = 31 * 24 * 3_600_000;
/// Jobs of one name that are waited for.
const JOBS: usize = 1_000;

fn refused(refusal: &Refusal) -> ActorError {
    let message = match refusal.advice() {
        Some(advice) => format!("{refusal}; {advice}"),
        None => refusal.to_string(),
    };
    ActorError::new("Refused", message)
}

/// Waits from look to look, with the slot lent.
struct Wait<'a> {
    run: ActorRun<'a>,
    statements: &'a Statements,
    until: Option<(Instant, u64)>,
    pace: Duration,
    what: String,
    _lent: Lent,
}

impl<'a> Wait<'a> {
    fn new(run: ActorRun<'a>, statements: &'a Statements, inputs: &Inputs, what: String) -> Self {
        let until = inputs
            .whole("timeout_ms")
            .map(|millis| (Instant::now() + Duration::from_millis(millis), millis));
        let pace = statements.services().config.poll_interval;
        Self {
            run,
            statements,
            until,
            pace: pace.clamp(PACE.0, PACE.1),
            what,
            _lent: run.slot.lend(),
        }
    }

    /// Resolves when something moves. It counts from the call, so take it before you look.
    fn woken(&self) -> impl Future<Output = ()> + Send + '_ {
        self.statements.services().wake.batches_woken()
    }

    /// Until the next look.
    async fn pause(&self, woken: impl Future<Output = ()> + Send) -> Result<(), ActorError> {
        tokio::select! {
            biased;
            () = self.run.stop.cancelled() => {
                let message = format!("it was told to stop while it waited for {}", self.what);
                Err(ActorError::stopped(message))
            }
            () = at(self.until.map(|(until, _)| until)) => {
                let millis = self.until.map_or(0, |(_, millis)| millis);
                let message = format!("{} has not ended after timeout_ms={millis}", self.what);
                Err(ActorError::new("Timeout", message))
            }
            () = woken => {
                sleep(REST).await;
                Ok(())
            }
            () = sleep(self.pace) => Ok(()),
        }
    }
}

async fn at(moment: Option<Instant>) {
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
    summary: "waits for the end of a batch: fails where the batch failed, goes on waiting while it is paused, and ends where it was cancelled",
    inputs: &[
        required("batch", InputKind::Text, "the batch id"),
        optional(
            "timeout_ms",
            InputKind::Whole(1, MONTH_MS),
            "how long it waits; for ever where it is left out",
        ),
    ],
    outputs: &[
        ("status", "DONE or CANCELLED"),
        ("total", "how many entities the batch had"),
        ("succeeded", "how many were completed"),
        ("failed", "how many failed"),
    ],
};

#[async_trait]
impl Actor for BatchWait {
    fn spec(&self) -> &'static ActorSpec {
        &BATCH_WAIT
    }

    async fn act(
        &self,
        inputs: Inputs,
        run: ActorRun<'_>,
    ) -> Result<Map<String, Value>, ActorError> {
        let text = inputs.text("batch");
        let id: BatchId = text.trim().parse().map_err(|_| {
            ActorError::new(
                "Input",
                format!("the input `batch`: `{text}` is no batch id"),
            )
        })?;
        let statements = run.runner.tools.serving()?;
        let permit = statements.authorize(run.principal, BatchInfoQuery(id));
        let permit = permit.map_err(|refusal| refused(&refusal))?;
        let inspector = statements.inspector();
        let wait = Wait::new(run, &statements, &inputs, format!("batch {id}"));
        let item = loop {
            let woken = wait.woken();
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
            return Err(ActorError::new("BatchFailed", message));
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
        "PROCESSED, FAILED or TERMINATED; of several jobs the worst",
    ),
    (
        "jobs",
        "a list of maps: uid, status, output and error of each",
    ),
];

const JOB_WAIT: ActorSpec = ActorSpec {
    name: "JobWait",
    aliases: &[],
    summary: "waits for the end of a job, however it ends; of a recurring one for the end of the run that is next or under way",
    inputs: &[
        required("type", InputKind::Fixed, "the type of the job"),
        required("name", InputKind::Text, "its NAME"),
        optional(
            "uid",
            InputKind::Text,
            "its UID; all jobs of the name where it is left out",
        ),
        optional(
            "timeout_ms",
            InputKind::Whole(1, MONTH_MS),
            "how long it waits, and fails then; for ever where it is left out",
        ),
    ],
    outputs: JOB_OUTPUTS,
};

#[async_trait]
impl Actor for JobWait {
    fn spec(&self) -> &'static ActorSpec {
        &JOB_WAIT
    }

    async fn check(&self, inputs: WrittenInputs<'_>, at: Checking<'_>) {
        check_type(inputs, at);
    }

    async fn act(
        &self,
        inputs: Inputs,
        run: ActorRun<'_>,
    ) -> Result<Map<String, Value>, ActorError> {
        let statements = run.runner.tools.serving()?;
        let looking = Looking::new(&statements, run, &inputs);
        let begun = looking.look().await?;
        let runs_of = |job: &JobItem| {
            let before = begun.iter().find(|begun| begun.job.key == job.job.key);
            before.map_or(0, |begun| begun.job.runs)
        };
        let has_run = |job: &JobItem| has_ended(job) || job.job.runs > runs_of(job);
        let ended = looking.until_all(&inputs, has_run).await?;
        Ok(outputs(&ended))
    }
}

#[derive(Debug)]
pub(super) struct JobStop;

const JOB_STOP: ActorSpec = ActorSpec {
    name: "JobStop",
    aliases: &[],
    summary: "stops a job as STOPJOB does and waits until it has ended",
    inputs: JOB_WAIT.inputs,
    outputs: JOB_OUTPUTS,
};

#[async_trait]
impl Actor for JobStop {
    fn spec(&self) -> &'static ActorSpec {
        &JOB_STOP
    }

    async fn check(&self, inputs: WrittenInputs<'_>, at: Checking<'_>) {
        check_type(inputs, at);
    }

    async fn act(
        &self,
        inputs: Inputs,
        run: ActorRun<'_>,
    ) -> Result<Map<String, Value>, ActorError> {
        let statements = run.runner.tools.serving()?;
        let looking = Looking::new(&statements, run, &inputs);
        for item in looking.look().await? {
            if has_ended(&item) {
                continue;
            }
            let key = item.job.key.clone();
            let stopped = statements
                .change_job(run.principal, key.clone(), JobChange::Stop)
                .await;
            if let Err(refusal) = stopped {
                // It may have ended by itself meanwhile.
                let now = statements.job(run.principal, key).await;
                if !now.is_ok_and(|now| has_ended(&now)) {
                    return Err(refused(&refusal));
                }
            }
        }
        let ended = looking.until_all(&inputs, has_ended).await?;
        Ok(outputs(&ended))
    }
}

fn check_type(inputs: WrittenInputs<'_>, at: Checking<'_>) {
    let Some((written, spot)) = inputs.text("type") else {
        return;
    };
    let known = canonical_job_type(written);
    if !JOB_TYPE.names.contains(&known.as_str()) {
        let near = nearest(written, JOB_TYPE.names.iter().copied()).map(str::to_owned);
        let message = format!("there is no type of job `{written}`");
        at.findings.add_near(spot, message, near);
    }
}

/// Looks at the jobs that are meant.
struct Looking<'a> {
    statements: &'a Statements,
    run: ActorRun<'a>,
    job_type: String,
    name: String,
    uid: Option<String>,
}

impl<'a> Looking<'a> {
    fn new(statements: &'a Statements, run: ActorRun<'a>, inputs: &Inputs) -> Self {
        Self {
            statements,
            run,
            job_type: canonical_job_type(inputs.text("type")),
            name: inputs.text("name").to_owned(),
            uid: inputs.optional_text("uid").map(str::to_owned),
        }
    }

    fn what(&self) -> String {
        let uid = self.uid.as_ref();
        let uid = uid.map_or_else(String::new, |uid| format!(" with UID '{uid}'"));
        format!("job {} '{}'{uid}", self.job_type, self.name)
    }

    /// Waits until all jobs are as they shall be.
    async fn until_all(
        &self,
        inputs: &Inputs,
        is_so: impl Fn(&JobItem) -> bool + Send,
    ) -> Result<Vec<JobItem>, ActorError> {
        let wait = Wait::new(self.run, self.statements, inputs, self.what());
        loop {
            let woken = wait.woken();
            let jobs = self.look().await?;
            if jobs.iter().all(&is_so) {
                return Ok(jobs);
            }
            wait.pause(woken).await?;
        }
    }

    /// Those that there are, at least one.
    async fn look(&self) -> Result<Vec<JobItem>, ActorError> {
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
                let message = format!("there is no {}", self.what());
                Err(ActorError::new("NoSuchJob", message))
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

fn outputs(items: &[JobItem]) -> Map<String, Value> {
    let badness = |item: &&JobItem| match item.job.status {
        JobStatus::Failed => 2,
        JobStatus::Terminated => 1,
        _ => 0,
    };
    let worst = items.iter().max_by_key(badness);
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
