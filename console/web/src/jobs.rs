//! Jobs: the list, and one job.

use std::collections::BTreeMap;

use axum::Json;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use weft_model::JobStatus;
use weft_model::{canonical_job_name, canonical_job_type};
use weft_statement::inspect::{self, NextRun};

use crate::cursor;
use crate::extract::{JobPath, Node, Parameters, check_length, page_limit};
use crate::json_column::json_or_text;
use crate::mirror::mirror;
use crate::moment::Moment;
use crate::output::head_of;
use crate::policy::JobPolicyItem;
use crate::problem::Problem;

const MAX_NAME_CHARS: usize = 1_024;

mirror! {
    /// The status of a job.
    JobStatusName of JobStatus, "SCREAMING_SNAKE_CASE" {
        /// The job waits for its time.
        Scheduled,
        /// The job is due and no node has claimed it.
        Waiting,
        /// A node runs the job.
        InProcess,
        /// The job succeeded and will not run again.
        Processed,
        /// A stop was requested; the run has not ended yet.
        Stopping,
        /// The job was stopped.
        Terminated,
        /// The job failed and will not run again.
        Failed,
        /// A restart was requested; the run has not ended yet.
        Restart,
    }
}

/// The parameters of `GET /api/v1/jobs`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct JobsQuery {
    /// Only jobs of this type, e.g. `BATCH PROCESS`.
    #[param(rename = "type", max_length = 1024, nullable = false)]
    #[serde(rename = "type")]
    pub job_type: Option<String>,
    /// Only jobs of this name; requires `type`.
    #[param(max_length = 1024, nullable = false)]
    pub name: Option<String>,
    /// Only the job of this uid; requires `type` and `name`.
    #[param(max_length = 1024, nullable = false)]
    pub uid: Option<String>,
    /// Only jobs with this status.
    #[param(inline, nullable = false)]
    pub status: Option<JobStatusName>,
    /// `true` lists only archived jobs, `false` only the others.
    #[param(nullable = false)]
    pub archived: Option<bool>,
    /// The `next` of the previous page; the first page by default.
    #[param(max_length = 1024, nullable = false)]
    pub cursor: Option<String>,
    /// The maximum number of items on the page; 100 by default.
    #[param(minimum = 1, maximum = 1000, nullable = false)]
    pub limit: Option<u32>,
}

impl JobsQuery {
    fn request(&self) -> Result<inspect::JobQuery, Problem> {
        let texts = [
            ("type", &self.job_type),
            ("name", &self.name),
            ("uid", &self.uid),
        ];
        for (parameter, text) in texts {
            check_length(parameter, text.as_deref(), MAX_NAME_CHARS)?;
        }
        if self.name.is_some() && self.job_type.is_none() {
            return Err(Problem::parameter("name", "needs `type` as well"));
        }
        if self.uid.is_some() && self.name.is_none() {
            return Err(Problem::parameter("uid", "needs `type` and `name` as well"));
        }
        Ok(inspect::JobQuery {
            selection: self.selection(),
            status: self.status.map(Into::into),
            archived: self.archived,
            after: cursor::read(self.cursor.as_deref())?,
            limit: page_limit(self.limit, 100, 1_000)?,
        })
    }

    fn selection(&self) -> inspect::JobSelection {
        let Some(job_type) = self.job_type.as_deref().map(canonical_job_type) else {
            return inspect::JobSelection::All;
        };
        let name = self.name.as_deref();
        inspect::JobSelection::Of {
            name: name.map(|name| canonical_job_name(&job_type, name).to_owned()),
            uid: self.uid.clone(),
            job_type,
        }
    }
}

/// When a job runs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NextRunName {
    /// At `next_run_at`.
    At,
    /// As soon as a node has a free slot.
    Ready,
    /// The job is running.
    Running,
    /// When another job ends.
    Awaiting,
    /// After its schedule or one of its triggers is switched on.
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

/// One job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobItem {
    /// The type of the job, in upper case.
    #[serde(rename = "type")]
    pub job_type: String,
    /// The name of the job within its type.
    pub name: String,
    /// Distinguishes jobs of the same type and name.
    pub uid: String,
    /// The status of the job.
    pub status: JobStatusName,
    /// The nodes, data centres or logical ids that may run the job; empty = any node.
    pub affinity: Vec<String>,
    /// The number of live nodes that match the affinity.
    pub candidates: usize,
    /// Whether the job has ended and is kept only for its history.
    pub archived: bool,
    /// The arguments of the job, without secrets.
    pub arguments: Value,
    /// The user who started the job.
    pub created_by: String,
    /// When a user last started the job.
    pub created_at: Moment,
    /// When the last run started.
    pub started_at: Option<Moment>,
    /// When the last run ended.
    pub ended_at: Option<Moment>,
    /// When the job runs next.
    pub next_run: NextRunName,
    /// The time of the next run; null unless `next_run` is `at`.
    pub next_run_at: Option<Moment>,
    /// The schedule as typed; null = a single run.
    pub exec_interval: Option<String>,
    /// The schedule and the triggers in words.
    pub schedule: Option<String>,
    /// How the schedule and the failures of the job are handled.
    pub policy: JobPolicyItem,
    /// Why the last run failed.
    pub error: Option<String>,
    /// The beginning of the output of the last run; for a batch job, the id of the batch.
    pub output: Option<String>,
    /// The number of failed attempts since the last success.
    pub tries: i32,
    /// The number of runs that ended; all attempts at a run count as one.
    pub runs: i64,
    /// The node that runs the job, or ran it last.
    pub node: Option<String>,
    /// Why the job does not run yet.
    pub why_waiting: Option<String>,
    /// A note about the last run or the last change, or the reason why the job waits.
    pub note: Option<String>,
}

/// The number of jobs by status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobCounts {
    /// The number of jobs by status over all pages. Every filter except `status` applies.
    pub by_status: BTreeMap<String, usize>,
    /// Whether there may be more jobs than were counted.
    pub is_lower_bound: bool,
}

/// A page of jobs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobPage {
    /// The jobs of the page.
    pub items: Vec<JobItem>,
    /// The cursor of the next page; null on the last page. A page may be short although more follow.
    pub next: Option<String>,
    /// The number of jobs over all pages.
    pub counts: JobCounts,
}

impl From<inspect::JobItem> for JobItem {
    fn from(item: inspect::JobItem) -> Self {
        let why_waiting = item.why_waiting().map(str::to_owned);
        let job = item.job;
        Self {
            job_type: job.key.job_type,
            name: job.key.name,
            uid: job.key.uid,
            status: job.status.into(),
            affinity: job.affinity,
            candidates: item.candidates,
            archived: job.archived,
            arguments: json_or_text(&job.arguments),
            created_by: job.created_by,
            created_at: job.creation_time.into(),
            started_at: job.start_time.map(Into::into),
            ended_at: job.end_time.map(Into::into),
            next_run: item.next_run.into(),
            next_run_at: match item.next_run {
                NextRun::At(time) => Some(time.into()),
                NextRun::Ready
                | NextRun::Running
                | NextRun::Awaiting
                | NextRun::Off
                | NextRun::Never => None,
            },
            exec_interval: job.execution_interval,
            schedule: item.schedule,
            policy: (&job.policy).into(),
            error: item.error,
            output: job.output.map(|output| head_of(output).0),
            tries: job.tries,
            runs: job.runs,
            node: job.worker.map(|node| node.0),
            why_waiting,
            note: item.note,
        }
    }
}

impl From<inspect::JobCounts> for JobCounts {
    fn from(counts: inspect::JobCounts) -> Self {
        let by_status = counts.of.into_iter();
        Self {
            by_status: by_status
                .map(|count| (count.status.as_str().to_owned(), count.jobs))
                .collect(),
            is_lower_bound: counts.is_lower_bound,
        }
    }
}

/// List jobs
#[utoipa::path(get, path = "/api/v1/jobs", tag = "jobs", params(JobsQuery),
    responses((status = 200, body = JobPage), (status = 422, body = Problem)))]
pub(crate) async fn list_jobs(
    Parameters(query): Parameters<JobsQuery>,
    node: Node,
) -> Result<Json<JobPage>, Problem> {
    let permit = node.permit(query.request()?)?;
    let page = node.inspector().jobs(&permit).await?;
    Ok(Json(JobPage {
        items: page.items.into_iter().map(Into::into).collect(),
        next: page.next.as_ref().map(cursor::write),
        counts: page.counts.into(),
    }))
}

/// Show one job
#[utoipa::path(get, path = "/api/v1/jobs/{type}/{name}/{uid}", tag = "jobs", params(JobPath),
    responses((status = 200, body = JobItem), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn get_job(path: JobPath, node: Node) -> Result<Json<JobItem>, Problem> {
    let item = node.statements.job(&node.principal, path.into()).await?;
    Ok(Json(item.into()))
}
