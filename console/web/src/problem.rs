//! Errors as problem documents (RFC 9457), with a stable code and the id of the request.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use weft_model::schedule::policy_draft::policy_options;
use weft_statement::inspect::InspectError;
use weft_statement::{EndStatus, Fault, Refusal};

use crate::policy;

pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// Stable codes of problems, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The request cannot be read, e.g. it has no Host.
    BadRequest,
    /// The body is not JSON.
    MalformedJson,
    /// A field has an invalid value; `errors` names it.
    Usage,
    /// No valid token.
    Unauthorized,
    /// The principal may not do this.
    NotAllowed,
    /// The call comes from a page of another origin.
    ForeignOrigin,
    /// It does not exist.
    NotFound,
    /// No such path.
    NoSuchRoute,
    /// The path has no such method.
    MethodNotAllowed,
    /// The current state does not allow it, e.g. the job is running.
    Conflict,
    /// The body is too large.
    TooLarge,
    /// The statement is too long.
    StatementTooLong,
    /// The body's content type is not JSON.
    UnsupportedMediaType,
    /// The Host is not a name of this server.
    WrongHost,
    /// The JSON of the body has the wrong shape.
    InvalidBody,
    /// A parameter is invalid.
    InvalidParameter,
    /// The request is valid and was refused.
    Refused,
    /// An internal error.
    Internal,
    /// The store or the node is not available.
    Unavailable,
    /// Too many statements run at once.
    Busy,
    /// The answer took too long.
    Timeout,
}

impl Code {
    /// The HTTP status of the code.
    pub fn status(self) -> StatusCode {
        match self {
            Self::BadRequest | Self::MalformedJson | Self::Usage => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::NotAllowed | Self::ForeignOrigin => StatusCode::FORBIDDEN,
            Self::NotFound | Self::NoSuchRoute => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict => StatusCode::CONFLICT,
            Self::TooLarge | Self::StatementTooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::WrongHost => StatusCode::MISDIRECTED_REQUEST,
            Self::InvalidBody | Self::InvalidParameter | Self::Refused => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable | Self::Busy | Self::Timeout => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::BadRequest => "The request cannot be read",
            Self::MalformedJson => "The body is not JSON",
            Self::Usage => "A field has an invalid value",
            Self::Unauthorized => "A valid token is needed",
            Self::NotAllowed => "Not allowed",
            Self::ForeignOrigin => "Calls from other origins are refused",
            Self::NotFound => "Not found",
            Self::NoSuchRoute => "No such path",
            Self::MethodNotAllowed => "The path has no such method",
            Self::Conflict => "The current state does not allow it",
            Self::TooLarge => "The body is too large",
            Self::StatementTooLong => "The statement is too long",
            Self::UnsupportedMediaType => "The body must be application/json",
            Self::WrongHost => "This server does not answer for that host",
            Self::InvalidBody => "The body has the wrong shape",
            Self::InvalidParameter => "A parameter is invalid",
            Self::Refused => "The request was refused",
            Self::Internal => "Internal error",
            Self::Unavailable => "Not available",
            Self::Busy => "Too many statements at once",
            Self::Timeout => "The answer took too long",
        }
    }

    /// The code for a status without a problem, which a lower layer answered.
    fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::UNAUTHORIZED => Self::Unauthorized,
            StatusCode::FORBIDDEN => Self::NotAllowed,
            StatusCode::NOT_FOUND => Self::NoSuchRoute,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            StatusCode::CONFLICT => Self::Conflict,
            StatusCode::PAYLOAD_TOO_LARGE => Self::TooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::UnsupportedMediaType,
            StatusCode::UNPROCESSABLE_ENTITY => Self::InvalidBody,
            StatusCode::SERVICE_UNAVAILABLE => Self::Unavailable,
            status if status.is_server_error() => Self::Internal,
            _ => Self::BadRequest,
        }
    }
}

/// An invalid part of the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// A JSON pointer into the body, e.g. `/session/scope`; empty for the whole body.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pointer: Option<String>,
    /// The name of a query or path parameter.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub parameter: Option<String>,
    /// The line in the body, from 1.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub line: Option<usize>,
    /// The column in the line, from 1.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub column: Option<usize>,
    /// What is wrong with this part.
    pub detail: String,
}

/// A problem document (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// Always `about:blank`; programs decide by `code`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The kind of problem, for people.
    pub title: &'static str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    pub status: u16,
    /// The kind of problem, for programs.
    pub code: Code,
    /// The details of this problem, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    pub detail: Option<Box<str>>,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    pub hint: Option<Box<str>>,
    /// The invalid parts of the request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub errors: Vec<FieldError>,
    /// The id of the request, which is also in the header `x-request-id` and in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub request_id: Option<String>,
}

impl Problem {
    /// A problem without details.
    pub fn new(code: Code) -> Self {
        Self {
            kind: "about:blank",
            title: code.title(),
            status: code.status().as_u16(),
            code,
            detail: None,
            hint: None,
            errors: Vec::new(),
            request_id: None,
        }
    }

    /// The same problem with details.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<Box<str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The same problem with a next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Box<str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same problem with an invalid place.
    #[must_use]
    pub fn at(mut self, error: FieldError) -> Self {
        self.errors.push(error);
        self
    }

    /// The same problem with the place where the JSON of the body is invalid.
    #[must_use]
    pub(crate) fn at_json(self, error: &serde_json::Error, pointer: Option<String>) -> Self {
        self.detail(error.to_string()).at(FieldError {
            pointer,
            parameter: None,
            line: Some(error.line()),
            column: Some(error.column()),
            detail: error.to_string(),
        })
    }

    /// The problem of an invalid query or path parameter.
    pub fn parameter(name: &str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self::new(Code::InvalidParameter)
            .detail(format!("{name}: {detail}"))
            .at(FieldError {
                pointer: None,
                parameter: Some(name.to_owned()),
                line: None,
                column: None,
                detail,
            })
    }

    /// An internal error. Its details go to the log and not to the client.
    fn internal(detail: &str) -> Self {
        tracing::error!("A request failed: {detail}");
        Self::new(Code::Internal)
    }

    fn body(&self) -> Body {
        Body::from(serde_json::to_vec(self).unwrap_or_default())
    }
}

impl From<InspectError> for Problem {
    fn from(error: InspectError) -> Self {
        Refusal::from(error).into()
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let code = match (refusal.status(), refusal.fault()) {
            (EndStatus::Usage, _) => Code::Usage,
            (EndStatus::NotFound, _) => Code::NotFound,
            (EndStatus::NotAllowed, _) => Code::NotAllowed,
            (EndStatus::Unreachable, _) => Code::Unavailable,
            (_, Fault::Request) => Code::Refused,
            (_, Fault::State) => Code::Conflict,
            (_, Fault::Node) => return Self::internal(refusal.message()),
        };
        let mut problem = Self::new(code).detail(refusal.message());
        if let Some(hint) = refusal.advice() {
            problem = problem.hint(hint);
        }
        match refusal.option().and_then(pointer_of) {
            Some(pointer) => problem.at(FieldError {
                pointer: Some(pointer),
                parameter: None,
                line: None,
                column: None,
                detail: refusal.message().to_owned(),
            }),
            None => problem,
        }
    }
}

/// The place in the body for an option of the language.
fn pointer_of(option: &str) -> Option<String> {
    Some(match option {
        "TYPE" | "NAME" | "UID" | "AFFINITY" | "EXEC_INTERVAL" => {
            format!("/{}", option.to_ascii_lowercase())
        }
        "ARGS" => "/arguments".to_owned(),
        other => {
            let spec = policy_options().find(|spec| spec.name == other)?;
            format!("/policy/{}", policy::field(spec))
        }
    })
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(self.body());
        *response.status_mut() = self.code.status();
        set_problem_headers(self.code, response.headers_mut());
        response.extensions_mut().insert(self);
        response
    }
}

fn set_problem_headers(code: Code, headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    match code {
        Code::Unauthorized => {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"weft\""),
            );
        }
        Code::Busy | Code::Unavailable | Code::Timeout => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        _ => {}
    }
}

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Adds the id of the request to a problem. An error of a lower layer without a problem becomes one.
pub(crate) fn with_request_id(mut response: Response, request_id: &HeaderValue) -> Response {
    let status = response.status();
    let problem = response.extensions_mut().remove::<Problem>();
    let is_json = |value: &HeaderValue| value.as_bytes().ends_with(b"json");
    let bare = (status.is_client_error() || status.is_server_error())
        && !response
            .headers()
            .get(header::CONTENT_TYPE)
            .is_some_and(is_json);
    let problem = problem.or_else(|| {
        bare.then(|| Problem {
            status: status.as_u16(),
            ..Problem::new(Code::of_status(status))
        })
    });
    if let Some(mut problem) = problem {
        problem.request_id = request_id.to_str().ok().map(str::to_owned);
        set_problem_headers(problem.code, response.headers_mut());
        response.headers_mut().remove(header::CONTENT_LENGTH);
        *response.body_mut() = problem.body();
    }
    response
        .headers_mut()
        .insert(REQUEST_ID, request_id.clone());
    response
}

#[cfg(test)]
mod tests {
    use weft_store::StoreError;

    use super::*;

    fn check(refusal: Refusal, status: u16, code: Code) -> Problem {
        let problem = Problem::from(refusal);
        assert_eq!((problem.status, problem.code), (status, code));
        problem
    }

    #[test]
    fn a_refusal_is_a_problem_with_a_code_a_place_and_a_hint() {
        let refusal = Refusal::not_found("there is no job").hint("JOBSTATUS shows them");
        let problem = check(refusal, 404, Code::NotFound);
        assert_eq!(problem.detail.as_deref(), Some("there is no job"));
        assert_eq!(problem.hint.as_deref(), Some("JOBSTATUS shows them"));
        let refusal = Refusal::usage("MAX_RUNS takes more").about("MAX_RUNS");
        let problem = check(refusal, 400, Code::Usage);
        let pointer = problem.errors[0].pointer.as_deref();
        assert_eq!(pointer, Some("/policy/max_runs"));
        check(Refusal::conflict("it runs"), 409, Code::Conflict);
        check(Refusal::failed("the kind refuses"), 422, Code::Refused);
        let refusal = Refusal::new(EndStatus::NotAllowed, "eve may not");
        check(refusal, 403, Code::NotAllowed);
        let away = StoreError::Unavailable("no answer".to_owned());
        check(Refusal::from(away), 503, Code::Unavailable);
    }

    #[test]
    fn a_failure_of_the_node_stays_in_the_log() {
        let broken = StoreError::Refused("a text for the log only".to_owned());
        let problem = check(Refusal::from(broken), 500, Code::Internal);
        assert_eq!((problem.detail, problem.hint), (None, None));
    }
}
