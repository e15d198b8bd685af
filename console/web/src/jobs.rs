//! Jobs: the list, and one job.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use weft_model::JobStatus;
use weft_statement::inspect::NextRun;

use crate::extract::{Caller, JobPath, Parameters, check_length, page_limit};
use crate::mirror::mirror;
use crate::moment::Moment;
use crate::problem::Problem;
use crate::server::App;

mirror! {
    /// Where a job stands.
    JobStatusName of JobStatus, "SCREAMING_SNAKE_CASE" {
        /// Waits for its time.
        Scheduled,
        /// Its time has come, no node has taken it.
        Waiting,
        /// A node runs it.
        InProcess,
        /// It ended well and will not run again.
        Processed,
        /// It was told to stop and has not yet.
        Stopping,
        /// It was stopped.
        Terminated,
        /// It ended badly and will not run again.
        Failed,
        /// It was told to start over and has not yet.
        Restart,
    }
}

/// What `GET /api/v1/jobs` may ask.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct JobsQuery {
    /// Only jobs of this type, e.g. `BATCH PROCESS`.
    #[param(rename = "type", max_length = 1024, nullable = false)]
    #[serde(rename = "type")]
    pub job_type: Option<String>,
    /// Only jobs of this name (needs `type`).
    #[param(max_length = 1024, nullable = false)]
    pub name: Option<String>,
    /// Only the job of this uid (needs `type` and `name`).
    #[param(max_length = 1024, nullable = false)]
    pub uid: Option<String>,
    /// Only jobs that stand here.
    #[param(inline, nullable = false)]
    pub status: Option<JobStatusName>,
    /// Only jobs that are archived, or only those that are not.
    #[param(nullable = false)]
    pub archived: Option<bool>,
    /// `next` of the page before.
    #[param(max_length = 1024, nullable = false)]
    pub cursor: Option<String>,
    /// At most so many; 100 by default.
    #[param(minimum = 1, maximum = 1000, nullable = false)]
    pub limit: Option<u32>,
}

/// When a job runs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NextRunName {
    /// At `next_run_at`.
    At,
    /// As soon as a node has room.
    Ready,
    /// It runs.
    Running,
    /// When another job ends.
    Awaiting,
    /// When its schedule, or a trigger, is switched on.
    Off,
    /// Never.
    Never,
}

impl From<NextRun> for NextRunName {
    fn from(next: NextRun) -> Self {
        match next {
            NextRun::At(_) => Self::At,
            NextRun::Ready => Self::Ready,
            NextRun::Running => Self::Running,
            NextRun::Never => Self::Never,
            NextRun::Awaiting => Self::Awaiting,
            NextRun::Off => Self::Off,
        }
    }
}

/// How a job's schedule is kept and its failures are met. All of it may be sent back as `policy`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobPolicyItem {
    /// No run before this.
    pub start_at: Option<Moment>,
    /// No run after this.
    pub end_at: Option<Moment>,
    /// The zone of a schedule that names none itself; null = UTC.
    pub time_zone: Option<String>,
    /// What becomes of missed times: `ONCE`, `SKIP`, `ALL` or e.g. `ALL:20`.
    pub misfire: String,
    /// What becomes of a time that passes during a run: `SKIP`, `QUEUE` or `ALLOW`.
    pub overlap: String,
    /// After so many runs it is over.
    pub max_runs: Option<i64>,
    /// Each time is put off by at most this, by chance.
    pub jitter_ms: i64,
    /// How often a run is tried; -1 = always again.
    pub max_attempts: i32,
    /// The pause before the second try.
    pub retry_delay_ms: i64,
    /// What each further pause is multiplied by.
    pub retry_factor: f64,
    /// No pause is longer.
    pub retry_max_delay_ms: i64,
    /// A run that takes longer is ended.
    pub timeout_ms: Option<i64>,
    /// Other nodes may run it while none of the affinity lives.
    pub relocate: bool,
    /// The schedule stands still.
    pub paused: bool,
    /// What starts it besides the schedule, as the option AFTER has it; null = nothing.
    pub after: Option<String>,
}

/// One job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobItem {
    /// The kind, in upper case.
    #[serde(rename = "type")]
    pub job_type: String,
    /// The name within the kind.
    pub name: String,
    /// Tells jobs of one name apart.
    pub uid: String,
    /// Where it stands.
    pub status: JobStatusName,
    /// Which nodes may run it; empty = any.
    pub affinity: Vec<String>,
    /// How many live nodes the affinity names.
    pub candidates: usize,
    /// Ended for good.
    pub archived: bool,
    /// Arguments, without secrets.
    pub arguments: Value,
    /// Who started it.
    pub created_by: String,
    /// The last start by a person.
    pub created_at: Moment,
    /// Start of the last run.
    pub started_at: Option<Moment>,
    /// End of the last run.
    pub ended_at: Option<Moment>,
    /// When it runs next.
    pub next_run: NextRunName,
    /// The time of that, if there is one.
    pub next_run_at: Option<Moment>,
    /// When it runs, as typed; null = once.
    pub exec_interval: Option<String>,
    /// The same in words.
    pub schedule: Option<String>,
    /// How the schedule is kept and failures are met.
    pub policy: JobPolicyItem,
    /// Why the last run failed.
    pub error: Option<String>,
    /// What the last run returned, the head of it; a batch job: the batch's id.
    pub output: Option<String>,
    /// Failed tries since the last success.
    pub tries: i32,
    /// Runs that ended, each with all its tries.
    pub runs: i64,
    /// The node that runs it or ran it last.
    pub node: Option<String>,
    /// Why it does not run yet.
    pub why_waiting: Option<String>,
    /// What else there is to say: what came of the last run or of this change; why it waits.
    pub note: Option<String>,
}

/// How many jobs stand where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobCounts {
    /// How many by status, on all pages; the filters but `status` apply.
    pub by_status: BTreeMap<String, usize>,
    /// There may be more: not all jobs were looked at.
    pub is_lower_bound: bool,
}

/// A page of jobs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobPage {
    /// The jobs.
    pub items: Vec<JobItem>,
    /// The cursor of the next page, if there is one.
    pub next: Option<String>,
    /// How many there are.
    pub counts: JobCounts,
}

/// List jobs
#[utoipa::path(get, path = "/api/v1/jobs", tag = "jobs", params(JobsQuery),
    responses((status = 200, body = JobPage), (status = 422, body = Problem)))]
pub(crate) async fn list_jobs(
    State(app): State<App>,
    Caller(principal): Caller,
    Parameters(mut query): Parameters<JobsQuery>,
) -> Result<Json<JobPage>, Problem> {
    let texts = [
        ("type", &query.job_type),
        ("name", &query.name),
        ("uid", &query.uid),
        ("cursor", &query.cursor),
    ];
    for (name, text) in texts {
        check_length(name, text.as_deref(), 1_024)?;
    }
    if query.name.is_some() && query.job_type.is_none() {
        return Err(Problem::parameter("name", "needs `type` as well"));
    }
    if query.uid.is_some() && query.name.is_none() {
        return Err(Problem::parameter("uid", "needs `type` and `name` as well"));
    }
    query.limit = Some(page_limit(query.limit, 100, 1_000)?);
    Ok(Json(app.api.jobs(&principal, query).await?))
}

/// Show one job
#[utoipa::path(get, path = "/api/v1/jobs/{type}/{name}/{uid}", tag = "jobs", params(JobPath),
    responses((status = 200, body = JobItem), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn get_job(
    State(app): State<App>,
    Caller(principal): Caller,
    path: JobPath,
) -> Result<Json<JobItem>, Problem> {
    Ok(Json(app.api.job(&principal, path.into()).await?))
}
