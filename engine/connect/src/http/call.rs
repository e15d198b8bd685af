//! A call as the arguments of a job or an actor define it.

use std::error::Error as _;
use std::str::FromStr;
use std::time::Duration;

use reqwest::header::{self, HeaderName, HeaderValue};
use reqwest::{Client, Method, Response, StatusCode, Url, redirect};
use serde_json::{Map, Value};
use weft_node::job::{DefinitionError, RunFailure};
use weft_statement::is_secret;

use super::IDEMPOTENCY_KEY;
use crate::arguments::{check_names, refused, wrong};

const ARGUMENTS: [&str; 6] = [
    "url",
    "method",
    "headers",
    "body",
    "expected_status",
    "timeout_ms",
];
const DEFAULT_TIMEOUT_MS: u64 = 30_000;
const MAX_TIMEOUT_MS: u64 = 86_400_000;
/// Headers that arguments must not set, and why.
const RESERVED: [(HeaderName, &str); 5] = [
    (
        IDEMPOTENCY_KEY,
        "is sent by Weft, the same for all tries of a run",
    ),
    (header::HOST, "follows from the url"),
    (header::CONTENT_LENGTH, "follows from the body"),
    (header::TRANSFER_ENCODING, "follows from the body"),
    (header::CONNECTION, "has no effect on a single call"),
];
/// Variables with this prefix are secrets of the node itself.
pub(crate) const OWN_VARIABLES: &str = "WEFT_";

/// A call to send.
#[derive(Debug)]
pub(crate) struct Call {
    pub(super) url: Url,
    pub(super) method: Method,
    pub(super) headers: Vec<(HeaderName, HeaderSource)>,
    pub(super) body: Option<Body>,
    pub(super) expected: ExpectedStatuses,
    timeout: Duration,
}

#[derive(Debug)]
pub(super) enum HeaderSource {
    Literal(HeaderValue),
    /// `env:NAME`.
    Variable(String),
}

#[derive(Debug)]
pub(super) enum Body {
    Text(String),
    Json(String),
    /// NDJSON: one JSON value on each line.
    Lines(String),
}

#[derive(Debug)]
pub(super) struct ExpectedStatuses(Vec<Statuses>);

#[derive(Debug)]
enum Statuses {
    One(u16),
    /// The first digit of a class such as `2xx`.
    Class(u16),
}

impl Call {
    /// Reads the arguments of a call.
    ///
    /// # Errors
    /// An argument is unknown or wrong.
    pub(super) fn read(arguments: &Map<String, Value>) -> Result<Self, DefinitionError> {
        check_names("HTTP has no argument", arguments, &ARGUMENTS)?;
        let headers = match arguments.get("headers") {
            None => Vec::new(),
            Some(Value::Object(headers)) => headers
                .iter()
                .map(|(name, value)| read_header(name, value))
                .collect::<Result<_, _>>()?,
            Some(_) => {
                return Err(wrong(
                    "headers",
                    r#"an object such as {"Accept":"text/plain"}"#,
                ));
            }
        };
        Ok(Self {
            url: read_url(arguments.get("url"))?,
            method: read_method(arguments.get("method"))?,
            headers,
            body: arguments.get("body").and_then(read_body),
            expected: read_expected(arguments.get("expected_status"))?,
            timeout: read_timeout(arguments.get("timeout_ms"))?,
        })
    }

    /// Makes a new client, so that runs share nothing, not even a connection.
    ///
    /// # Errors
    /// The client cannot be made.
    pub(crate) fn client(&self) -> Result<Client, RunFailure> {
        let client = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .timeout(self.timeout);
        client.build().map_err(|error| self.failed(&error))
    }

    /// Replaces the body by lines of JSON.
    pub(crate) fn set_lines(&mut self, lines: String) {
        self.body = Some(Body::Lines(lines));
    }

    /// The address without its query, which may be confidential.
    pub(crate) fn address(&self) -> String {
        let (scheme, path) = (self.url.scheme(), self.url.path());
        format!("{scheme}://{}{path}", host_of(&self.url))
    }

    /// Method and address, without the query.
    pub(crate) fn label(&self) -> String {
        format!("{} {}", self.method, self.address())
    }

    /// A message about an unexpected status.
    pub(super) fn describe_status(&self, answer: &Response) -> String {
        let mut message = format!("{} answered {}", self.label(), answer.status());
        if answer.status().is_redirection() && answer.headers().contains_key(header::LOCATION) {
            message.push_str("; redirects are not followed");
        }
        message
    }

    pub(super) fn failed(&self, error: &reqwest::Error) -> RunFailure {
        let label = self.label();
        if error.is_timeout() {
            let limit = self.timeout.as_millis();
            return RunFailure::new(
                "HttpTimeout",
                format!("{label} took longer than {limit} ms"),
            );
        }
        // The outer errors repeat the address; the innermost one has the reason.
        let mut reason = error.source();
        while let Some(inner) = reason.and_then(|reason| reason.source()) {
            reason = Some(inner);
        }
        let reason = reason.map_or_else(
            || "the call is not possible".to_owned(),
            ToString::to_string,
        );
        RunFailure::new("Http", format!("{label} failed: {reason}"))
    }
}

impl Body {
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Text(text) | Self::Json(text) | Self::Lines(text) => text,
        }
    }

    pub(super) fn content_type(&self) -> &'static str {
        match self {
            Self::Text(_) => "text/plain; charset=utf-8",
            Self::Json(_) => "application/json",
            Self::Lines(_) => "application/x-ndjson",
        }
    }
}

impl ExpectedStatuses {
    pub(super) fn contains(&self, status: StatusCode) -> bool {
        let status = status.as_u16();
        self.0.iter().any(|statuses| match statuses {
            Statuses::One(one) => *one == status,
            Statuses::Class(class) => status / 100 == *class,
        })
    }
}

fn read_url(value: Option<&Value>) -> Result<Url, DefinitionError> {
    let example = "an address such as http://api.example.com/cars";
    let Some(text) = value.and_then(Value::as_str) else {
        return Err(wrong("url", example));
    };
    let url = Url::parse(text).map_err(|error| {
        refused(
            format!("the url `{text}` cannot be read: {error}"),
            format!("write {example}"),
        )
    })?;
    match url.scheme() {
        "http" => (),
        "https" => {
            let hint = "call a proxy on this machine that adds TLS";
            return Err(refused("https is not supported, only http", hint));
        }
        scheme => {
            return Err(refused(
                format!("`{scheme}` is not supported, only http"),
                format!("write {example}"),
            ));
        }
    }
    if !url.username().is_empty() || url.password().is_some() {
        let hint = r#"name a variable of the node: "headers":{"Authorization":"env:NAME"}"#;
        return Err(refused("the url contains a user or a password", hint));
    }
    Ok(url)
}

fn read_method(value: Option<&Value>) -> Result<Method, DefinitionError> {
    const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
    let Some(value) = value else {
        return Ok(Method::GET);
    };
    let written = value.as_str().unwrap_or_default().to_ascii_uppercase();
    let known = METHODS.into_iter().find(|method| *method == written);
    let method = known.and_then(|method| Method::from_str(method).ok());
    method.ok_or_else(|| wrong("method", &format!("one of {}", METHODS.join(", "))))
}

fn read_header(name: &str, value: &Value) -> Result<(HeaderName, HeaderSource), DefinitionError> {
    let value = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(value) => value.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            return Err(refused(
                format!("the header `{name}` is not a text"),
                "write a text or env:NAME",
            ));
        }
    };
    let parsed = HeaderName::from_str(name).map_err(|_| {
        refused(
            format!("`{name}` is not the name of a header"),
            "write a name such as Accept",
        )
    })?;
    if let Some((_, why)) = RESERVED.iter().find(|(reserved, _)| *reserved == parsed) {
        return Err(refused(
            format!("the header `{name}` {why}"),
            "leave it out",
        ));
    }
    if let Some(variable) = value.strip_prefix("env:") {
        check_variable(name, variable)?;
        return Ok((parsed, HeaderSource::Variable(value)));
    }
    if is_secret(name) || parsed == header::COOKIE {
        let hint = "write env:NAME: the node takes the value from its environment";
        return Err(refused(
            format!("the header `{name}` is a secret, and arguments are public"),
            hint,
        ));
    }
    let literal = HeaderValue::from_str(&value).map_err(|_| {
        refused(
            format!("the value of the header `{name}` is not a valid header value"),
            "write it in ASCII, on one line",
        )
    })?;
    Ok((parsed, HeaderSource::Literal(literal)))
}

fn check_variable(header: &str, variable: &str) -> Result<(), DefinitionError> {
    let is_name = !variable.is_empty()
        && variable
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_name {
        return Err(refused(
            format!("the header `{header}` names no variable"),
            "write env:NAME",
        ));
    }
    if variable.to_ascii_uppercase().starts_with(OWN_VARIABLES) {
        let message = format!("the header `{header}` names {variable}, which belongs to the node");
        return Err(refused(message, "copy the value to another variable"));
    }
    Ok(())
}

fn read_body(value: &Value) -> Option<Body> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(Body::Text(text.clone())),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Some(Body::Json(value.to_string()))
        }
    }
}

fn read_expected(value: Option<&Value>) -> Result<ExpectedStatuses, DefinitionError> {
    let members = match value {
        None => return Ok(ExpectedStatuses(vec![Statuses::Class(2)])),
        Some(Value::Array(members)) => members.iter().collect(),
        Some(one) => vec![one],
    };
    let statuses: Option<Vec<_>> = members.into_iter().map(read_statuses).collect();
    match statuses {
        Some(statuses) if !statuses.is_empty() => Ok(ExpectedStatuses(statuses)),
        Some(_) | None => Err(wrong(
            "expected_status",
            r#"a status such as 200 or "2xx", or a list of them"#,
        )),
    }
}

fn read_statuses(value: &Value) -> Option<Statuses> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.to_ascii_lowercase(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    match text.strip_suffix("xx") {
        Some(class) => class
            .parse()
            .ok()
            .filter(|class| (1..=5).contains(class))
            .map(Statuses::Class),
        None => text
            .parse()
            .ok()
            .filter(|status| (100..=599).contains(status))
            .map(Statuses::One),
    }
}

fn read_timeout(value: Option<&Value>) -> Result<Duration, DefinitionError> {
    let millis = match value {
        None => Some(DEFAULT_TIMEOUT_MS),
        Some(Value::String(text)) => text.parse().ok(),
        Some(value) => value.as_u64(),
    };
    let allowed = millis.filter(|millis| (1..=MAX_TIMEOUT_MS).contains(millis));
    let allowed = allowed.map(Duration::from_millis);
    allowed.ok_or_else(|| {
        wrong(
            "timeout_ms",
            &format!("whole milliseconds from 1 to {MAX_TIMEOUT_MS}"),
        )
    })
}

/// `host`, or `host:port` if the port is not the default one.
pub(super) fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(arguments: Value) -> Result<Call, DefinitionError> {
        Call::read(arguments.as_object().unwrap())
    }

    #[test]
    fn omitted_arguments_have_defaults() {
        let call = read(json!({"url": "http://a/b?secret=1"})).unwrap();
        assert_eq!(call.label(), "GET http://a/b");
        assert_eq!(call.timeout, Duration::from_secs(30));
        assert!(call.headers.is_empty() && call.body.is_none());
        assert!(call.expected.contains(StatusCode::NO_CONTENT));
        assert!(!call.expected.contains(StatusCode::FOUND));
    }

    #[test]
    fn expected_statuses_are_numbers_classes_and_lists() {
        let check = |expected: Value, hits: &[u16], misses: &[u16]| {
            let call = read(json!({"url": "http://a", "expected_status": expected})).unwrap();
            let contains = |status: &u16| {
                call.expected
                    .contains(StatusCode::from_u16(*status).unwrap())
            };
            assert!(
                hits.iter().all(contains) && !misses.iter().any(contains),
                "{expected}"
            );
        };
        check(json!(204), &[204], &[200]);
        check(json!("201"), &[201], &[200]);
        check(json!("3XX"), &[302, 304], &[200]);
        check(json!([404, "2xx"]), &[404, 200, 299], &[403]);
        for wrong in [
            json!([]),
            json!("abc"),
            json!("6xx"),
            json!(99),
            json!(true),
            json!(200.5),
            json!(null),
        ] {
            assert!(
                read(json!({"url": "http://a", "expected_status": wrong})).is_err(),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_body_is_text_or_json() {
        let body = |body: Value| read(json!({"url": "http://a", "body": body})).unwrap().body;
        let check = |value: Value, text: &str, content_type: &str| {
            let body = body(value).unwrap();
            assert_eq!((body.text(), body.content_type()), (text, content_type));
        };
        check(json!("a=b"), "a=b", "text/plain; charset=utf-8");
        check(
            json!({"b": 1, "a": [true]}),
            r#"{"b":1,"a":[true]}"#,
            "application/json",
        );
        assert!(body(json!(null)).is_none());
    }

    #[test]
    fn wrong_arguments_are_refused_with_a_hint() {
        let check = |arguments: Value, expected: &str| {
            let check = read(arguments).unwrap_err();
            let hint = check
                .hint
                .map(|hint| format!(" | {hint}"))
                .unwrap_or_default();
            assert_eq!(format!("{}{hint}", check.message), expected);
        };
        check(
            json!({}),
            "the argument `url` must be an address such as http://api.example.com/cars",
        );
        check(
            json!({"url": "http://a", "metod": "GET"}),
            "HTTP has no argument `metod` | did you mean `method`?",
        );
        check(
            json!({"url": "http://a", "method": "FETCH"}),
            "the argument `method` must be one of GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS",
        );
        check(
            json!({"url": "https://a"}),
            "https is not supported, only http | call a proxy on this machine that adds TLS",
        );
        check(
            json!({"url": "file:///etc/passwd"}),
            "`file` is not supported, only http | write an address such as http://api.example.com/cars",
        );
        check(
            json!({"url": "http://u:p@a"}),
            r#"the url contains a user or a password | name a variable of the node: "headers":{"Authorization":"env:NAME"}"#,
        );
        check(
            json!({"url": "http://a", "timeout_ms": 0}),
            "the argument `timeout_ms` must be whole milliseconds from 1 to 86400000",
        );
        let header = |name: &str, value: &str| json!({"url": "http://a", "headers": {name: value}});
        check(
            header("Authorization", "Bearer x"),
            "the header `Authorization` is a secret, and arguments are public | write env:NAME: the node takes the value from its environment",
        );
        check(
            header("X", "env:WEFT_TOKEN"),
            "the header `X` names WEFT_TOKEN, which belongs to the node | copy the value to another variable",
        );
        check(
            header("X", "env:"),
            "the header `X` names no variable | write env:NAME",
        );
        check(
            header("Host", "b"),
            "the header `Host` follows from the url | leave it out",
        );
        check(
            header("Idempotency-Key", "1"),
            "the header `Idempotency-Key` is sent by Weft, the same for all tries of a run | leave it out",
        );
        check(
            header("a b", "1"),
            "`a b` is not the name of a header | write a name such as Accept",
        );
        check(
            header("X", "a\r\nY: b"),
            "the value of the header `X` is not a valid header value | write it in ASCII, on one line",
        );
    }
}
