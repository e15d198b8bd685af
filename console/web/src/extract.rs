//! Extractors whose refusals are problem documents that name the place.

use std::error::Error as _;

use axum::body::Bytes;
use axum::extract::{
    FromRequest, FromRequestParts, OptionalFromRequestParts, Path, Query, Request,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_path_to_error::Segment;
use utoipa::IntoParams;
use uuid::Uuid;
use weft_model::{BatchId, JobKey};

use crate::api::Principal;
use crate::problem::{Code, FieldError, Problem};

/// Who calls. A handler that takes it cannot be reached without a token.
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

/// A JSON body.
pub(crate) struct JsonBody<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::new(Code::UnsupportedMediaType));
        }
        let bytes =
            Bytes::from_request(request, state)
                .await
                .map_err(|rejection| match rejection.into_response().status() {
                    StatusCode::PAYLOAD_TOO_LARGE => Problem::new(Code::TooLarge),
                    _ => Problem::new(Code::BadRequest).detail("the body broke off"),
                })?;
        read_json(&bytes).map(Self)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(Ok(value)) = headers
        .get(header::CONTENT_TYPE)
        .map(|value| value.to_str())
    else {
        return false;
    };
    let essence = value.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

fn read_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let pointer = pointer(error.path());
        refusal(error.inner(), pointer)
    })?;
    reader
        .end()
        .map_err(|error| refusal(&error, String::new()))?;
    Ok(value)
}

fn refusal(error: &serde_json::Error, pointer: String) -> Problem {
    let place = |pointer: Option<String>| FieldError {
        pointer,
        parameter: None,
        line: Some(error.line()),
        column: Some(error.column()),
        detail: error.to_string(),
    };
    match error.classify() {
        Category::Data => Problem::new(Code::InvalidBody)
            .detail(error.to_string())
            .at(place(Some(pointer))),
        Category::Syntax | Category::Eof | Category::Io => Problem::new(Code::MalformedJson)
            .detail(error.to_string())
            .at(place(None)),
    }
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
    /// The kind, e.g. `PROCESS` or `BATCH PROCESS`; percent-encoded like all parts, `/` as `%2F`.
    #[param(rename = "type")]
    #[serde(rename = "type")]
    job_type: String,
    /// The name.
    name: String,
    /// Tells jobs of one name apart.
    uid: String,
}

impl From<JobPath> for JobKey {
    fn from(path: JobPath) -> Self {
        Self {
            job_type: path.job_type,
            name: path.name,
            uid: path.uid,
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
    /// When it started, in milliseconds, and its fence.
    pub(crate) fn read(&self) -> Result<(i64, i64), Problem> {
        let parts = self.run.rsplit_once('-');
        let numbers = parts.and_then(|(started, fence)| {
            let number = |text: &str| text.parse().ok();
            Some((number(started)?, number(fence)?))
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

/// How many items a page has.
pub(crate) fn page_limit(asked: Option<u32>, usual: u32, most: u32) -> Result<u32, Problem> {
    match asked {
        None => Ok(usual),
        Some(limit) if (1..=most).contains(&limit) => Ok(limit),
        Some(limit) => Err(Problem::parameter(
            "limit",
            format!("{limit} is not in 1..={most}"),
        )),
    }
}

/// Refuses texts of parameters that nobody means.
pub(crate) fn check_length(name: &str, text: Option<&str>, most: usize) -> Result<(), Problem> {
    match text {
        Some(text) if text.chars().nth(most).is_some() => Err(Problem::parameter(
            name,
            format!("longer than {most} characters"),
        )),
        _ => Ok(()),
    }
}
