//! Extractors. They refuse with problem documents that name the invalid place.

use std::error::Error;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{
    FromRequest, FromRequestParts, OptionalFromRequestParts, Path, Query, Request,
};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;
use utoipa::IntoParams;
use uuid::Uuid;
use weft_model::clock::Timestamp;
use weft_model::{BatchId, Fence, JobKey};
use weft_model::{Principal, canonical_job_name, canonical_job_type};
use weft_statement::inspect::Inspector;
use weft_statement::{Operation, Permit, Refusal, Statements};

use crate::app::App;
use crate::problem::{Code, Problem};

/// The principal of the call. A handler that takes it cannot be reached without a token.
pub(crate) struct Caller(pub Principal);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let principal = parts.extensions.get::<Principal>().cloned();
        principal
            .map(Self)
            .ok_or_else(|| Problem::new(Code::Unauthorized))
    }
}

/// The node on behalf of the caller.
pub(crate) struct Node {
    pub statements: Statements,
    pub principal: Principal,
}

impl Node {
    /// Permission to make a request.
    ///
    /// # Errors
    /// The principal may not make it.
    pub fn permit<R: Operation>(&self, request: R) -> Result<Permit<R>, Refusal> {
        self.statements.authorize(&self.principal, request)
    }

    /// Answers permitted questions.
    pub fn inspector(&self) -> Inspector {
        self.statements.inspector()
    }
}

impl FromRequestParts<App> for Node {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let Caller(principal) = Caller::from_request_parts(parts, app).await?;
        Ok(Self {
            statements: app.backend.statements()?.clone(),
            principal,
        })
    }
}

/// A JSON body.
pub(crate) struct JsonBody<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(value)) => Ok(Self(value)),
            Err(rejection) => Err(body_problem(&rejection)),
        }
    }
}

fn body_problem(rejection: &JsonRejection) -> Problem {
    match rejection {
        JsonRejection::MissingJsonContentType(_) => Problem::new(Code::UnsupportedMediaType),
        JsonRejection::JsonDataError(error) => json_problem(Code::InvalidBody, error),
        JsonRejection::JsonSyntaxError(error) => json_problem(Code::MalformedJson, error),
        other if other.status() == StatusCode::PAYLOAD_TOO_LARGE => Problem::new(Code::TooLarge),
        _ => Problem::new(Code::BadRequest).detail("the body was not received completely"),
    }
}

/// The problem of a body that cannot be read, with the place of the error.
fn json_problem(code: Code, rejection: &(dyn Error + 'static)) -> Problem {
    let mut cause = Some(rejection);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<serde_path_to_error::Error<_>>() {
            let pointer = (code == Code::InvalidBody).then(|| pointer(error.path()));
            return Problem::new(code).at_json(error.inner(), pointer);
        }
        if let Some(error) = error.downcast_ref::<serde_json::Error>() {
            return Problem::new(code).at_json(error, None);
        }
        cause = error.source();
    }
    Problem::new(code)
}

/// The path as a JSON pointer (RFC 6901).
fn pointer(path: &serde_path_to_error::Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        let name = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => key.replace('~', "~0").replace('/', "~1"),
            Segment::Enum { .. } | Segment::Unknown => continue,
        };
        pointer.push('/');
        pointer.push_str(&name);
    }
    pointer
}

/// Query parameters.
pub(crate) struct Parameters<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Query(parameters) = Query::<T>::try_from_uri(&parts.uri).map_err(|rejection| {
            let text = rejection
                .source()
                .map_or_else(|| rejection.to_string(), ToString::to_string);
            match text.split_once(": ") {
                Some((name, detail)) => Problem::parameter(name, detail),
                None => Problem::new(Code::InvalidParameter).detail(text),
            }
        })?;
        Ok(Self(parameters))
    }
}

/// The batch that the path names.
pub(crate) struct BatchPath(pub BatchId);

impl<S: Send + Sync> FromRequestParts<S> for BatchPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path =
            <Path<String> as OptionalFromRequestParts<S>>::from_request_parts(parts, state).await;
        let Ok(Some(Path(text))) = path else {
            return Err(Problem::new(Code::NoSuchRoute));
        };
        let id =
            Uuid::parse_str(&text).map_err(|error| Problem::parameter("id", error.to_string()))?;
        Ok(Self(BatchId(id)))
    }
}

/// The job that the path names. Each part is percent-encoded, so that it may hold `/`.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct JobPath {
    /// The type, e.g. `PROCESS` or `BATCH PROCESS`. Every part is percent-encoded, with `/` as `%2F`.
    #[param(rename = "type")]
    #[serde(rename = "type")]
    job_type: String,
    /// The name of the job within its type.
    name: String,
    /// Distinguishes jobs of the same type and name.
    uid: String,
}

impl From<JobPath> for JobKey {
    /// The key as the store has it: a path may hold the type in any case.
    fn from(path: JobPath) -> Self {
        let job_type = canonical_job_type(&path.job_type);
        Self {
            name: canonical_job_name(&job_type, &path.name).to_owned(),
            uid: path.uid,
            job_type,
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for JobPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        path_parts(parts, state).await
    }
}

/// The run that the path names.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct RunPath {
    /// The `id` of the run.
    run: String,
}

impl RunPath {
    /// When the run started, and its fence.
    pub(crate) fn read(&self) -> Result<(Timestamp, Fence), Problem> {
        let parts = self.run.rsplit_once('-');
        let numbers = parts.and_then(|(started, fence)| {
            let number = |text: &str| text.parse().ok();
            Some((Timestamp(number(started)?), number(fence)?))
        });
        numbers
            .ok_or_else(|| Problem::parameter("run", "not the `id` of a run, e.g. 1767323045000-3"))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RunPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        path_parts(parts, state).await
    }
}

async fn path_parts<T: DeserializeOwned + Send, S: Send + Sync>(
    parts: &mut Parts,
    state: &S,
) -> Result<T, Problem> {
    let path = <Path<T> as FromRequestParts<S>>::from_request_parts(parts, state).await;
    path.map(|Path(path)| path)
        .map_err(|rejection| Problem::new(Code::BadRequest).detail(rejection.body_text()))
}

/// The number of items on a page: `given`, or `default` without one.
pub(crate) fn page_limit(given: Option<u32>, default: u32, max: u32) -> Result<usize, Problem> {
    let limit = given.unwrap_or(default);
    match usize::try_from(limit) {
        Ok(items) if (1..=max).contains(&limit) => Ok(items),
        _ => Err(Problem::parameter(
            "limit",
            format!("{limit} is not in 1..={max}"),
        )),
    }
}

/// Refuses a parameter that is longer than `max` characters.
pub(crate) fn check_length(name: &str, text: Option<&str>, max: usize) -> Result<(), Problem> {
    match text {
        Some(text) if text.chars().nth(max).is_some() => Err(Problem::parameter(
            name,
            format!("longer than {max} characters"),
        )),
        _ => Ok(()),
    }
}
