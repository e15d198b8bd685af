//! Jobs: the list.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use weft_engine::model::JobStatus;

use crate::extract::{Caller, Parameters, check_length, page_limit};
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
    /// Only jobs that stand here.
    #[param(inline, nullable = false)]
    pub status: Option<JobStatusName>,
    /// `next` of the page before.
    #[param(max_length = 1024, nullable = false)]
    pub cursor: Option<String>,
    /// At most so many; 100 by default.
    #[param(minimum = 1, maximum = 1000, nullable = false)]
    pub limit: Option<u32>,
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
    /// Ended for good.
    pub archived: bool,
    /// Arguments, without secrets.
    pub arguments: Value,
    /// The last STARTJOB.
    pub created_at: Moment,
    /// Start of the last run.
    pub started_at: Option<Moment>,
    /// End of the last run.
    pub ended_at: Option<Moment>,
    /// When it shall run next.
    pub next_run_at: Option<Moment>,
    /// EXEC_INTERVAL as typed.
    pub execution_interval: Option<String>,
    /// Why the last run failed.
    pub error: Option<String>,
    /// What the last run returned; a batch job: the batch's id.
    pub output: Option<String>,
    /// Failed runs since the last success.
    pub tries: i32,
    /// The node that runs it or ran it last.
    pub node: Option<String>,
    /// Why it waits.
    pub note: Option<String>,
}

/// A page of jobs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobPage {
    /// The jobs.
    pub items: Vec<JobItem>,
    /// The cursor of the next page, if there is one.
    pub next: Option<String>,
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
        ("cursor", &query.cursor),
    ];
    for (name, text) in texts {
        check_length(name, text.as_deref(), 1_024)?;
    }
    if query.name.is_some() && query.job_type.is_none() {
        return Err(Problem::parameter("name", "needs `type` as well"));
    }
    query.limit = Some(page_limit(query.limit, 100, 1_000)?);
    Ok(Json(app.api.jobs(&principal, query).await?))
}
