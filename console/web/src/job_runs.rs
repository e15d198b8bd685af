//! The history of a job, and the outputs of its runs.

use axum::Json;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use weft_model::JobRun;
use weft_statement::inspect;

use crate::extract::{JobPath, Node, Parameters, RunPath, page_limit};
use crate::jobs::JobStatusName;
use crate::moment::Moment;
use crate::output::head_of;
use crate::problem::Problem;

/// The most bytes of an output that are answered, which is also the most that is kept.
const MAX_OUTPUT_BYTES: usize = 64 * 1_024;

/// The parameters of `GET …/runs`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RunsQuery {
    /// The maximum number of runs; 20 by default.
    #[param(minimum = 1, maximum = 1000, nullable = false)]
    pub limit: Option<u32>,
}

/// A finished attempt at a run of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunItem {
    /// The id of the attempt in paths: its start in milliseconds and its fence.
    pub id: String,
    /// The node that made the attempt.
    pub node: String,
    /// The outcome of the attempt, as a job status.
    pub status: JobStatusName,
    /// The number of the attempt within its run, from 1.
    pub attempt: i32,
    /// The scheduled time of the run; null if it started immediately or at the request of a user.
    pub planned_at: Option<Moment>,
    /// When the attempt started.
    pub started_at: Moment,
    /// When the attempt ended.
    pub ended_at: Moment,
    /// The duration of the attempt, in milliseconds.
    pub duration_ms: i64,
    /// The exit code, if the job runs a process.
    pub exit_code: Option<i32>,
    /// Why the attempt failed; null if it did not.
    pub error: Option<String>,
    /// The first KiB of the output.
    pub output: Option<String>,
    /// Whether `…/runs/{id}/output` has more of the output.
    pub output_is_cut: bool,
}

/// The last runs of a job, newest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunPage {
    /// The runs.
    pub items: Vec<RunItem>,
}

impl From<JobRun> for RunItem {
    fn from(run: JobRun) -> Self {
        let (output, is_cut) = run.output.map(head_of).unzip();
        Self {
            id: format!("{}-{}", run.started.0, run.fence),
            node: run.node.0,
            status: run.status.into(),
            attempt: run.attempt,
            planned_at: run.planned.map(Into::into),
            started_at: run.started.into(),
            ended_at: run.ended.into(),
            duration_ms: run.ended.millis_since(run.started),
            exit_code: run.exit_code,
            error: run.error.as_deref().map(inspect::message_of),
            output,
            output_is_cut: is_cut.unwrap_or(false),
        }
    }
}

/// List the last runs of a job, newest first
#[utoipa::path(get, path = "/api/v1/jobs/{type}/{name}/{uid}/runs", tag = "jobs", params(JobPath, RunsQuery),
    responses((status = 200, body = RunPage), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn list_runs(
    path: JobPath,
    Parameters(query): Parameters<RunsQuery>,
    Node {
        statements,
        principal,
    }: Node,
) -> Result<Json<RunPage>, Problem> {
    let limit = page_limit(query.limit, 20, 1_000)?;
    let runs = statements.job_runs(&principal, path.into(), limit).await?;
    Ok(Json(RunPage {
        items: runs.into_iter().map(Into::into).collect(),
    }))
}

/// Show the output of a run
///
/// The text that was kept, at most 64 KiB; empty if the run wrote nothing.
#[utoipa::path(get, path = "/api/v1/jobs/{type}/{name}/{uid}/runs/{run}/output", tag = "jobs",
    params(JobPath, RunPath),
    responses(
        (status = 200, body = String, content_type = "text/plain", description = "The output"),
        (status = 404, body = Problem), (status = 422, body = Problem),
    ))]
pub(crate) async fn get_run_output(
    path: JobPath,
    run: RunPath,
    Node {
        statements,
        principal,
    }: Node,
) -> Result<Response, Problem> {
    let (started, fence) = run.read()?;
    let run = statements.job_run(&principal, path.into(), started, fence);
    let mut output = run.await?.output.unwrap_or_default();
    output.truncate(output.floor_char_boundary(MAX_OUTPUT_BYTES));
    let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    Ok((kind, output).into_response())
}
