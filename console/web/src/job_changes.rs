//! Starting and changing jobs: bodies become drafts. Whether a draft can be a job is decided by the statement layer.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use weft_engine::statement::{Ask, JobChange, JobDraft, Refusal};

use crate::app::App;
use crate::extract::{JobPath, JsonBody, Node};
use crate::jobs::JobItem;
use crate::policy::PolicyChange;
use crate::problem::{Code, Problem};

const IDEMPOTENCY_KEY: &str = "idempotency-key";
const MAX_KEY_CHARS: usize = 200;
/// What is encoded in a segment of a path: all but the unreserved characters of RFC 3986.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

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
    pub affinity: Ask<Vec<String>>,
    /// What it is run with. A secret stands in the environment of the nodes: `env:NAME`.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub arguments: Ask<Map<String, Value>>,
    /// A moment, an interval or a cron expression; once and at once if there is none.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub exec_interval: Ask<String>,
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
    pub affinity: Ask<Vec<String>>,
    /// What it is run with, all of it.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub arguments: Ask<Map<String, Value>>,
    /// A moment, an interval or a cron expression; null = once.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub exec_interval: Ask<String>,
    /// True runs a recurring job now.
    #[serde(default)]
    pub reset_end_time: Option<bool>,
    /// How the schedule is kept and failures are met.
    #[serde(default)]
    #[schema(required = false)]
    pub policy: PolicyChange,
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
    headers: HeaderMap,
    Node {
        statements,
        principal,
    }: Node,
    JsonBody(start): JsonBody<JobStart>,
) -> Result<Response, Problem> {
    let key = idempotency_key(&headers)?;
    let draft = JobDraft::from(start);
    let started = to_its_end(&app, async move {
        let started = statements.start_job(&principal, &draft, key.as_deref());
        started.await
    });
    let started = started.await?;
    let item = JobItem::from(started.item);
    if started.was_there {
        return Ok(Json(item).into_response());
    }
    let location = [(header::LOCATION, location_of(&item))];
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
    path: JobPath,
    node: Node,
) -> Result<Json<JobItem>, Problem> {
    change(&app, node, path, JobChange::Stop).await
}

/// Begin a job anew
#[utoipa::path(post, path = "/api/v1/jobs/{type}/{name}/{uid}/restart", tag = "jobs", params(JobPath),
    responses((status = 200, body = JobItem), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 422, body = Problem)))]
pub(crate) async fn restart_job(
    State(app): State<App>,
    path: JobPath,
    node: Node,
) -> Result<Json<JobItem>, Problem> {
    change(&app, node, path, JobChange::Restart).await
}

/// Take up a job that has ended
#[utoipa::path(post, path = "/api/v1/jobs/{type}/{name}/{uid}/resume", tag = "jobs", params(JobPath),
    responses((status = 200, body = JobItem), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 422, body = Problem)))]
pub(crate) async fn resume_job(
    State(app): State<App>,
    path: JobPath,
    node: Node,
) -> Result<Json<JobItem>, Problem> {
    change(&app, node, path, JobChange::Resume).await
}

/// Define a job anew
///
/// What is left out stays as it is, null is the default. A job that a node runs is another from its next run on.
#[utoipa::path(patch, path = "/api/v1/jobs/{type}/{name}/{uid}", tag = "jobs", params(JobPath), request_body = JobUpdate,
    responses((status = 200, body = JobItem), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 413, body = Problem), (status = 415, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn update_job(
    State(app): State<App>,
    path: JobPath,
    Node {
        statements,
        principal,
    }: Node,
    JsonBody(update): JsonBody<JobUpdate>,
) -> Result<Json<JobItem>, Problem> {
    let draft = JobDraft::from(update);
    let updated = to_its_end(&app, async move {
        let updated = statements.update_job(&principal, path.into(), &draft);
        updated.await
    });
    Ok(Json(updated.await?.into()))
}

/// Remove an archived job
///
/// With its history. Its type, name and uid may be used again at once.
#[utoipa::path(delete, path = "/api/v1/jobs/{type}/{name}/{uid}", tag = "jobs", params(JobPath),
    responses((status = 204), (status = 404, body = Problem),
        (status = 409, body = Problem, description = "It is not archived"), (status = 422, body = Problem)))]
pub(crate) async fn remove_job(
    State(app): State<App>,
    path: JobPath,
    Node {
        statements,
        principal,
    }: Node,
) -> Result<StatusCode, Problem> {
    let removed = to_its_end(&app, async move {
        let removed = statements.remove_job(&principal, path.into());
        removed.await
    });
    removed.await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn change(
    app: &App,
    Node {
        statements,
        principal,
    }: Node,
    path: JobPath,
    change: JobChange,
) -> Result<Json<JobItem>, Problem> {
    let changed = to_its_end(app, async move {
        let changed = statements.change_job(&principal, path.into(), change);
        changed.await
    });
    Ok(Json(changed.await?.into()))
}

/// Runs `work` in a task that takes the slot of a statement. A write is not cut off half way when the client goes or
/// the time is up.
async fn to_its_end<T: Send + 'static>(
    app: &App,
    work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
) -> Result<T, Problem> {
    let slot = app.statement_slot()?;
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

/// The path of a job, with each part of its key as one segment.
fn location_of(job: &JobItem) -> String {
    let [job_type, name, uid] =
        [&job.job_type, &job.name, &job.uid].map(|part| utf8_percent_encode(part, SEGMENT));
    format!("/api/v1/jobs/{job_type}/{name}/{uid}")
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_part_of_a_path_is_one_segment() {
        let encoded = |part| utf8_percent_encode(part, SEGMENT).to_string();
        assert_eq!(encoded("nightly/a b.sh"), "nightly%2Fa%20b.sh");
        assert_eq!(encoded("50%?#ü"), "50%25%3F%23%C3%BC");
        assert_eq!(encoded("a-b.c_d~e"), "a-b.c_d~e");
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
