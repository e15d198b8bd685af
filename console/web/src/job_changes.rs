//! Starting and changing jobs: bodies in, drafts out. Which draft can be a job is decided behind [`Api`].

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use weft_model::JobKey;
use weft_statement::{JobDraft, Patch, PolicyDraft};

use crate::api::{Api, ApiResult, Principal};
use crate::extract::{Caller, JobPath, JsonBody};
use crate::jobs::JobItem;
use crate::problem::{Code, Problem};
use crate::server::App;

const IDEMPOTENCY_KEY: &str = "idempotency-key";
const MAX_KEY_CHARS: usize = 200;

/// A job to start.
#[derive(Clone, Debug, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JobStart {
    /// The kind, e.g. `BATCH_SCHEDULE`.
    #[serde(rename = "type")]
    pub job_type: String,
    /// The name within the kind.
    pub name: String,
    /// Tells jobs of one name apart; a new one if there is none.
    #[serde(default)]
    pub uid: Option<String>,
    /// Nodes, data centres or logical ids that may run it; any if there is none.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    pub affinity: Patch<Vec<String>>,
    /// What it is run with. A secret stands in the environment of the nodes: `env:NAME`.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub arguments: Patch<Map<String, Value>>,
    /// A moment, an interval or a cron expression; once and at once if there is none.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub exec_interval: Patch<String>,
    /// How the schedule is kept and failures are met.
    #[serde(default)]
    #[schema(required = false)]
    pub policy: PolicyChange,
}

/// What of a job shall be another: what is left out stays, null is the default.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JobUpdate {
    /// Nodes, data centres or logical ids that may run it.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    pub affinity: Patch<Vec<String>>,
    /// What it is run with, all of it.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub arguments: Patch<Map<String, Value>>,
    /// A moment, an interval or a cron expression; null = once.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub exec_interval: Patch<String>,
    /// True runs a recurring job now.
    #[serde(default)]
    pub reset_end_time: Option<bool>,
    /// How the schedule is kept and failures are met.
    #[serde(default)]
    #[schema(required = false)]
    pub policy: PolicyChange,
}

/// What of a policy shall be another: what is left out stays, null is the default.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyChange {
    /// No run before this: RFC 3339, or `yyyy-MM-dd HH:mm:ss` in the job's time zone.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub start_at: Patch<String>,
    /// No run after this.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub end_at: Patch<String>,
    /// The zone of moments and of the schedule, e.g. `Europe/Berlin`; UTC by default.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub time_zone: Patch<String>,
    /// `ONCE` (the default), `SKIP`, `ALL` or e.g. `ALL:20`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub misfire: Patch<String>,
    /// `SKIP` (the default), `QUEUE`, or `ALLOW`: a run beside the other.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub overlap: Patch<String>,
    /// From 1 up; no limit by default.
    #[serde(default)]
    #[schema(value_type = Option<i64>, minimum = 1)]
    pub max_runs: Patch<i64>,
    /// From 0 up; 0 by default.
    #[serde(default)]
    #[schema(value_type = Option<i64>, minimum = 0)]
    pub jitter_ms: Patch<i64>,
    /// From 1 to 1000, or -1 for always again; 10 by default.
    #[serde(default)]
    #[schema(value_type = Option<i64>, minimum = -1, maximum = 1000)]
    pub max_attempts: Patch<i64>,
    /// From 0 up; 60000 by default.
    #[serde(default)]
    #[schema(value_type = Option<i64>, minimum = 0)]
    pub retry_delay_ms: Patch<i64>,
    /// From 1 up; 1 by default.
    #[serde(default)]
    #[schema(value_type = Option<f64>, minimum = 1)]
    pub retry_factor: Patch<f64>,
    /// From 0 up; 3600000 by default.
    #[serde(default)]
    #[schema(value_type = Option<i64>, minimum = 0)]
    pub retry_max_delay_ms: Patch<i64>,
    /// From 1 up; no limit by default.
    #[serde(default)]
    #[schema(value_type = Option<i64>, minimum = 1)]
    pub timeout_ms: Patch<i64>,
    /// Other nodes may run it while none of the affinity lives; false by default.
    #[serde(default)]
    #[schema(value_type = Option<bool>)]
    pub relocate: Patch<bool>,
    /// The schedule stands still; false by default.
    #[serde(default)]
    #[schema(value_type = Option<bool>)]
    pub paused: Patch<bool>,
    /// Runs when other jobs end, e.g. `PROCESS load.sh SUCCEEDED +00:05:00`; more than one separated by `;`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub after: Patch<String>,
}

/// A job that was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct StartedJob {
    /// As it is.
    pub item: JobItem,
    /// A call of the same key had started it before.
    pub was_there: bool,
}

/// What becomes of a job.
#[derive(Clone, Debug, PartialEq)]
pub enum ChangeJob {
    /// It ends.
    Stop,
    /// It begins anew.
    Restart,
    /// It is taken up again after its end.
    Resume,
    /// It is defined anew; type, name and uid of the draft do not count.
    Update(Box<JobDraft>),
}

impl From<PolicyChange> for PolicyDraft {
    fn from(policy: PolicyChange) -> Self {
        Self {
            start_at: policy.start_at,
            end_at: policy.end_at,
            time_zone: policy.time_zone,
            misfire: policy.misfire,
            overlap: policy.overlap,
            max_runs: policy.max_runs,
            jitter_ms: policy.jitter_ms,
            max_attempts: policy.max_attempts,
            retry_delay_ms: policy.retry_delay_ms,
            retry_factor: policy.retry_factor,
            retry_max_delay_ms: policy.retry_max_delay_ms,
            timeout_ms: policy.timeout_ms,
            relocate: policy.relocate,
            paused: policy.paused,
            after: policy.after,
        }
    }
}

impl From<JobStart> for JobDraft {
    fn from(start: JobStart) -> Self {
        Self {
            job_type: start.job_type,
            name: start.name,
            uid: start.uid,
            affinity: start.affinity,
            arguments: start.arguments,
            exec_interval: start.exec_interval,
            reset_end_time: None,
            policy: start.policy.into(),
        }
    }
}

impl From<JobUpdate> for JobDraft {
    fn from(update: JobUpdate) -> Self {
        Self {
            affinity: update.affinity,
            arguments: update.arguments,
            exec_interval: update.exec_interval,
            reset_end_time: update.reset_end_time,
            policy: update.policy.into(),
            ..Self::default()
        }
    }
}

/// Start a job
///
/// With the header `Idempotency-Key` and without a `uid` the key makes the uid: the same call again answers 200 with the
/// job of the first one, running or ended, and starts nothing; 409 if that job is defined otherwise. A key counts for one
/// `type` and `name`.
#[utoipa::path(post, path = "/api/v1/jobs", tag = "jobs", request_body = JobStart,
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 200 characters; the same for every repetition of one call")),
    responses(
        (status = 201, body = JobItem, headers(("Location" = String, description = "The path of the job"))),
        (status = 200, body = JobItem, description = "The job that the same call had started before"),
        (status = 409, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem),
        (status = 422, body = Problem),
    ))]
pub(crate) async fn start_job(
    State(app): State<App>,
    Caller(principal): Caller,
    headers: HeaderMap,
    JsonBody(start): JsonBody<JobStart>,
) -> Result<Response, Problem> {
    let key = idempotency_key(&headers)?;
    let started = to_its_end(&app, |api| async move {
        api.start_job(&principal, start.into(), key).await
    });
    let StartedJob { item, was_there } = started.await?;
    if was_there {
        return Ok(Json(item).into_response());
    }
    let location =
        HeaderValue::from_str(&location_of(&item)).map_err(|_| Problem::new(Code::Internal))?;
    let location = [(header::LOCATION, location)];
    Ok((StatusCode::CREATED, location, Json(item)).into_response())
}

/// Stop a job
///
/// A job that a node runs is STOPPING until the node has ended it. A job that has ended stays as it is.
#[utoipa::path(post, path = "/api/v1/jobs/{type}/{name}/{uid}/stop", tag = "jobs", params(JobPath),
    responses((status = 200, body = JobItem), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 422, body = Problem)))]
pub(crate) async fn stop_job(
    State(app): State<App>,
    Caller(principal): Caller,
    path: JobPath,
) -> Result<Json<JobItem>, Problem> {
    change(&app, principal, path, ChangeJob::Stop).await
}

/// Begin a job anew
#[utoipa::path(post, path = "/api/v1/jobs/{type}/{name}/{uid}/restart", tag = "jobs", params(JobPath),
    responses((status = 200, body = JobItem), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 422, body = Problem)))]
pub(crate) async fn restart_job(
    State(app): State<App>,
    Caller(principal): Caller,
    path: JobPath,
) -> Result<Json<JobItem>, Problem> {
    change(&app, principal, path, ChangeJob::Restart).await
}

/// Take up a job that has ended
#[utoipa::path(post, path = "/api/v1/jobs/{type}/{name}/{uid}/resume", tag = "jobs", params(JobPath),
    responses((status = 200, body = JobItem), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 422, body = Problem)))]
pub(crate) async fn resume_job(
    State(app): State<App>,
    Caller(principal): Caller,
    path: JobPath,
) -> Result<Json<JobItem>, Problem> {
    change(&app, principal, path, ChangeJob::Resume).await
}

/// Define a job anew
///
/// What is left out stays as it is, null is the default. A job that a node runs is another from its next run on.
#[utoipa::path(patch, path = "/api/v1/jobs/{type}/{name}/{uid}", tag = "jobs", params(JobPath), request_body = JobUpdate,
    responses((status = 200, body = JobItem), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 413, body = Problem), (status = 415, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn update_job(
    State(app): State<App>,
    Caller(principal): Caller,
    path: JobPath,
    JsonBody(update): JsonBody<JobUpdate>,
) -> Result<Json<JobItem>, Problem> {
    let change_to = ChangeJob::Update(Box::new(update.into()));
    change(&app, principal, path, change_to).await
}

/// Remove an archived job
///
/// With its history. Its type, name and uid may be used again at once.
#[utoipa::path(delete, path = "/api/v1/jobs/{type}/{name}/{uid}", tag = "jobs", params(JobPath),
    responses((status = 204), (status = 404, body = Problem),
        (status = 409, body = Problem, description = "It is not archived"), (status = 422, body = Problem)))]
pub(crate) async fn remove_job(
    State(app): State<App>,
    Caller(principal): Caller,
    path: JobPath,
) -> Result<StatusCode, Problem> {
    let key = JobKey::from(path);
    to_its_end(
        &app,
        |api| async move { api.remove_job(&principal, key).await },
    )
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn change(
    app: &App,
    principal: Principal,
    path: JobPath,
    change: ChangeJob,
) -> Result<Json<JobItem>, Problem> {
    let key = JobKey::from(path);
    let changed = to_its_end(app, |api| async move {
        api.change_job(&principal, key, change).await
    });
    Ok(Json(changed.await?))
}

/// In a task of its own, which takes the place of a statement: what writes is not cut off half way when the client goes
/// or the time is up.
async fn to_its_end<T: Send + 'static, F: Future<Output = ApiResult<T>> + Send + 'static>(
    app: &App,
    work: impl FnOnce(Arc<dyn Api>) -> F,
) -> Result<T, Problem> {
    let slot = app
        .statement_slot()
        .ok_or_else(|| Problem::new(Code::Busy))?;
    let work = work(Arc::clone(&app.api));
    let done = app.tasks.spawn(async move {
        let answer = work.await;
        drop(slot);
        answer
    });
    match done.await {
        Ok(answer) => Ok(answer?),
        Err(error) => {
            tracing::error!("A change of a job broke off: {error}");
            Err(Problem::new(Code::Internal))
        }
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut given = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(key) = given.next() else {
        return Ok(None);
    };
    let key = key.to_str().ok().filter(|key| {
        given.next().is_none() && !key.trim().is_empty() && key.len() <= MAX_KEY_CHARS
    });
    key.map(|key| Some(key.to_owned())).ok_or_else(|| {
        let message = format!("one key of 1 to {MAX_KEY_CHARS} ASCII characters");
        Problem::parameter("Idempotency-Key", message)
    })
}

fn location_of(job: &JobItem) -> String {
    let parts = [&job.job_type, &job.name, &job.uid].map(|part| encoded(part));
    format!("/api/v1/jobs/{}", parts.join("/"))
}

/// A text as one segment of a path (RFC 3986): all but unreserved characters are percent-encoded.
fn encoded(text: &str) -> String {
    let mut segment = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                segment.push(char::from(byte));
            }
            byte => segment.push_str(&format!("%{byte:02X}")),
        }
    }
    segment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_path_is_one_segment() {
        assert_eq!(encoded("nightly/a b.sh"), "nightly%2Fa%20b.sh");
        assert_eq!(encoded("50%?#ü"), "50%25%3F%23%C3%BC");
    }

    #[test]
    fn a_key_is_short_and_given_once() {
        let check = |keys: &[&str], is_right: bool| {
            let mut headers = HeaderMap::new();
            for key in keys {
                headers.append(IDEMPOTENCY_KEY, HeaderValue::from_str(key).unwrap());
            }
            let key = idempotency_key(&headers).map(|key| key.is_some());
            assert_eq!(key.is_ok(), is_right, "{keys:?}");
        };
        check(&[], true);
        check(&["k"], true);
        check(&[&"k".repeat(200)], true);
        check(&[&"k".repeat(201)], false);
        check(&[""], false);
        check(&["a", "b"], false);
        check(&["ü"], false);
    }
}
