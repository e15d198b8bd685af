//! HTTP: one call of another server.

use std::error::Error as _;
use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Response, StatusCode, Url, redirect};
use serde_json::{Map, Value};
use uuid::Uuid;
use weft_model::Job;
use weft_node::job::{Check, JobKind, Run, RunEnd, RunFailure, RunOutput};
use weft_project::interface::{Environment, Secret};
use weft_statement::is_secret;

use crate::arguments;
use crate::capture::{WHOLE_BYTES, text_of};
use crate::hosts::AllowedHosts;

pub(crate) const ARGUMENTS: [&str; 6] = [
    "url",
    "method",
    "headers",
    "body",
    "expected_status",
    "timeout_ms",
];
const DEFAULT_TIMEOUT_MS: u64 = 30_000;
const MAX_TIMEOUT_MS: u64 = 86_400_000;
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Headers that are decided here, and why.
const OURS: [(HeaderName, &str); 5] = [
    (
        IDEMPOTENCY_KEY,
        "is the same for all tries of one run and sent by Weft",
    ),
    (header::HOST, "follows from the url"),
    (header::CONTENT_LENGTH, "follows from the body"),
    (header::TRANSFER_ENCODING, "follows from the body"),
    (header::CONNECTION, "is of no meaning for one call"),
];
/// Variables of this prefix are secrets of the node itself.
pub(crate) const OWN_VARIABLES: &str = "WEFT_";

/// Calls addresses on hosts that the configuration allows.
#[derive(Debug)]
pub struct Http {
    allowed: AllowedHosts,
    environment: Environment,
}

impl Http {
    /// May call these hosts, `host` or `host:port` each; takes values of headers from `environment`.
    pub fn new(allowed_hosts: &[String], environment: Environment) -> Self {
        Self {
            allowed: AllowedHosts::new(allowed_hosts),
            environment,
        }
    }

    fn call(&self, job: &Job) -> Result<Call, Check> {
        self.read(&arguments::of(job)?)
    }

    /// The call that these arguments mean, to a host that may be called.
    pub(crate) fn read(&self, arguments: &Map<String, Value>) -> Result<Call, Check> {
        let call = Call::read(arguments)?;
        self.check_host(&call.url)?;
        Ok(call)
    }

    fn check_host(&self, url: &Url) -> Result<(), Check> {
        if self.allowed.allow(url) {
            return Ok(());
        }
        let host = host_of(url);
        let message = match self.allowed.is_empty() {
            true => format!("{host} may not be called: this node allows no host"),
            false => {
                format!("{host} may not be called: it is not among the hosts that this node allows")
            }
        };
        let hint = "config.ini names them: HTTP_ALLOWED_HOSTS in section [jobs], `host` or `host:port`, separated by commas";
        Err(refused(message, hint))
    }

    /// The headers with the values that only this node knows.
    fn headers(&self, call: &Call, key: Uuid) -> Result<HeaderMap, RunFailure> {
        let mut headers = HeaderMap::new();
        let unusable = |name: &HeaderName, why: &str| {
            RunFailure::new("Header", format!("header {name}: {why}"))
        };
        if let Some(content_type) = call.body.as_ref().map(Body::content_type) {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        for (name, source) in &call.headers {
            let value = match source {
                HeaderSource::Literal(value) => value.clone(),
                HeaderSource::Variable(reference) => {
                    let secret = Secret::resolve(reference, &self.environment);
                    let secret = secret.map_err(|error| unusable(name, &error))?;
                    let mut value = HeaderValue::from_str(secret.expose()).map_err(|_| {
                        unusable(name, "the value of its variable cannot stand in a header")
                    })?;
                    value.set_sensitive(true);
                    value
                }
            };
            headers.insert(name, value);
        }
        let key = HeaderValue::from_str(&key.to_string());
        headers.insert(
            IDEMPOTENCY_KEY,
            key.map_err(|_| unusable(&IDEMPOTENCY_KEY, "cannot be sent"))?,
        );
        Ok(headers)
    }

    async fn answer(&self, call: &Call, run: &Run) -> Result<RunOutput, RunFailure> {
        let answer = self.send(call, run.idempotency_key(), WHOLE_BYTES).await?;
        let mut text = text_of(&answer.body);
        if answer.is_cut {
            text.push_str("\n[… the rest was not read …]");
        }
        let output = RunOutput {
            text: Some(text).filter(|text| !text.is_empty()),
            exit_code: None,
        };
        let failed = match (answer.not_expected, answer.broke_off) {
            (Some(message), _) => RunFailure::new("HttpStatus", message),
            (None, Some(failure)) => failure,
            (None, None) => return Ok(output),
        };
        Err(RunFailure { output, ..failed })
    }

    /// Makes the call and reads up to `limit` bytes of its answer, whatever its status.
    ///
    /// # Errors
    /// There is no answer.
    pub(crate) async fn send(
        &self,
        call: &Call,
        key: Uuid,
        limit: usize,
    ) -> Result<Answer, RunFailure> {
        self.send_by(&call.client()?, call, key, limit).await
    }

    /// The same, by a client that a call has made.
    ///
    /// # Errors
    /// There is no answer.
    pub(crate) async fn send_by(
        &self,
        client: &Client,
        call: &Call,
        key: Uuid,
        limit: usize,
    ) -> Result<Answer, RunFailure> {
        let headers = self.headers(call, key)?;
        let failed = |error: &reqwest::Error| call.failed(error);
        let mut request = client
            .request(call.method.clone(), call.url.clone())
            .headers(headers);
        if let Some(body) = &call.body {
            request = request.body(body.text().to_owned());
        }
        let mut answer = request.send().await.map_err(|error| failed(&error))?;
        let (body, is_cut, read) = body_of(&mut answer, limit).await;
        let is_expected = call.expected.contains(answer.status());
        Ok(Answer {
            status: answer.status().as_u16(),
            content_type: answer
                .headers()
                .get(header::CONTENT_TYPE)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned),
            body,
            is_cut,
            not_expected: (!is_expected).then(|| call.not_expected(&answer)),
            broke_off: read.err().map(|error| failed(&error)),
        })
    }
}

/// What a host answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its status.
    pub status: u16,
    /// What its body is.
    pub content_type: Option<String>,
    /// The body, or the beginning of it.
    pub body: Vec<u8>,
    /// The body has more bytes than were wanted.
    pub is_cut: bool,
    /// Where the status is none of those that were expected: what to say of it.
    pub not_expected: Option<String>,
    /// Where the body ended early: why.
    pub broke_off: Option<RunFailure>,
}

#[async_trait]
impl JobKind for Http {
    fn job_type(&self) -> &'static str {
        "HTTP"
    }

    async fn check(&self, job: &Job) -> Result<(), Check> {
        self.call(job).map(|_| ())
    }

    async fn run(&self, run: Run) -> RunEnd {
        let call = match self.call(&run.job) {
            Ok(call) => call,
            // Another node may allow the host: whether it is tried again is up to the policy.
            Err(check) => return RunEnd::Failed(RunFailure::new("Arguments", check.message)),
        };
        tokio::select! {
            biased;
            () = run.stop.cancelled() => {
                let message = format!("{} was broken off: it was told to stop", call.label());
                RunEnd::Failed(RunFailure::new("Stopped", message))
            }
            answer = self.answer(&call, &run) => match answer {
                Ok(output) => RunEnd::Succeeded(output),
                Err(failure) => RunEnd::Failed(failure),
            },
        }
    }
}

/// A call as the arguments of a job say it.
#[derive(Debug)]
pub(crate) struct Call {
    url: Url,
    method: Method,
    headers: Vec<(HeaderName, HeaderSource)>,
    body: Option<Body>,
    expected: Expected,
    timeout: Duration,
}

#[derive(Debug)]
enum HeaderSource {
    Literal(HeaderValue),
    /// `env:NAME`.
    Variable(String),
}

#[derive(Debug)]
enum Body {
    Text(String),
    Json(String),
    /// One JSON value on each line.
    Lines(String),
}

#[derive(Debug)]
struct Expected(Vec<Statuses>);

#[derive(Debug)]
enum Statuses {
    One(u16),
    /// `2xx`.
    Hundred(u16),
}

impl Call {
    fn read(arguments: &Map<String, Value>) -> Result<Self, Check> {
        arguments::check_names("HTTP has no argument", arguments, &ARGUMENTS)?;
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

    /// A client of its own: nothing of one run, not even a connection, is there in another.
    ///
    /// # Errors
    /// None can be made.
    pub(crate) fn client(&self) -> Result<Client, RunFailure> {
        let client = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .timeout(self.timeout);
        client.build().map_err(|error| self.failed(&error))
    }

    /// The call has these lines of JSON for a body from now on.
    pub(crate) fn say_lines(&mut self, lines: String) {
        self.body = Some(Body::Lines(lines));
    }

    /// Where it goes, without what may be confidential in the address.
    pub(crate) fn address(&self) -> String {
        let (scheme, path) = (self.url.scheme(), self.url.path());
        format!("{scheme}://{}{path}", host_of(&self.url))
    }

    /// What it is, without what may be confidential in the address.
    pub(crate) fn label(&self) -> String {
        format!("{} {}", self.method, self.address())
    }

    fn not_expected(&self, answer: &Response) -> String {
        let mut message = format!("{} answered {}", self.label(), answer.status());
        if answer.status().is_redirection() && answer.headers().contains_key(header::LOCATION) {
            message.push_str("; redirects are not followed");
        }
        message
    }

    fn failed(&self, error: &reqwest::Error) -> RunFailure {
        let label = self.label();
        if error.is_timeout() {
            let limit = self.timeout.as_millis();
            return RunFailure::new(
                "HttpTimeout",
                format!("{label} took longer than {limit} ms"),
            );
        }
        // Its own text repeats the address; the reason is the innermost error.
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
    fn text(&self) -> &str {
        match self {
            Self::Text(text) | Self::Json(text) | Self::Lines(text) => text,
        }
    }

    fn content_type(&self) -> &'static str {
        match self {
            Self::Text(_) => "text/plain; charset=utf-8",
            Self::Json(_) => "application/json",
            Self::Lines(_) => "application/x-ndjson",
        }
    }
}

impl Expected {
    fn contains(&self, status: StatusCode) -> bool {
        let status = status.as_u16();
        self.0.iter().any(|statuses| match statuses {
            Statuses::One(one) => *one == status,
            Statuses::Hundred(hundred) => status / 100 == *hundred,
        })
    }
}

fn read_url(value: Option<&Value>) -> Result<Url, Check> {
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
            let hint = "let a proxy on this machine speak TLS, and call that";
            return Err(refused("https is not spoken, only http".to_owned(), hint));
        }
        scheme => {
            return Err(refused(
                format!("`{scheme}` is not spoken, only http"),
                format!("write {example}"),
            ));
        }
    }
    if !url.username().is_empty() || url.password().is_some() {
        let hint = r#"name a variable of the node: "headers":{"Authorization":"env:NAME"}"#;
        return Err(refused(
            "the url has a user or a password in it".to_owned(),
            hint,
        ));
    }
    Ok(url)
}

fn read_method(value: Option<&Value>) -> Result<Method, Check> {
    const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
    let Some(value) = value else {
        return Ok(Method::GET);
    };
    let written = value.as_str().unwrap_or_default().to_ascii_uppercase();
    let known = METHODS.into_iter().find(|method| *method == written);
    let method = known.and_then(|method| Method::from_str(method).ok());
    method.ok_or_else(|| wrong("method", &format!("one of {}", METHODS.join(", "))))
}

fn read_header(name: &str, value: &Value) -> Result<(HeaderName, HeaderSource), Check> {
    let value = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(value) => value.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            return Err(refused(
                format!("the header `{name}` has no text"),
                "write a text or env:NAME",
            ));
        }
    };
    let parsed = HeaderName::from_str(name).map_err(|_| {
        refused(
            format!("`{name}` is not the name of a header"),
            "write such as Accept",
        )
    })?;
    if let Some((_, why)) = OURS.iter().find(|(ours, _)| *ours == parsed) {
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
        let hint = "write env:NAME; the node takes the value from its environment";
        return Err(refused(
            format!("the header `{name}` is a secret, and arguments are not"),
            hint,
        ));
    }
    let literal = HeaderValue::from_str(&value).map_err(|_| {
        refused(
            format!("the value of the header `{name}` cannot stand in a header"),
            "write it in ASCII, on one line",
        )
    })?;
    Ok((parsed, HeaderSource::Literal(literal)))
}

fn check_variable(header: &str, variable: &str) -> Result<(), Check> {
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
        return Err(refused(message, "give the value a variable of its own"));
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

fn read_expected(value: Option<&Value>) -> Result<Expected, Check> {
    let members = match value {
        None => return Ok(Expected(vec![Statuses::Hundred(2)])),
        Some(Value::Array(members)) => members.iter().collect(),
        Some(one) => vec![one],
    };
    let statuses: Option<Vec<_>> = members.into_iter().map(read_statuses).collect();
    match statuses {
        Some(statuses) if !statuses.is_empty() => Ok(Expected(statuses)),
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
        Some(hundred) => hundred
            .parse()
            .ok()
            .filter(|hundred| (1..=5).contains(hundred))
            .map(Statuses::Hundred),
        None => text
            .parse()
            .ok()
            .filter(|status| (100..=599).contains(status))
            .map(Statuses::One),
    }
}

fn read_timeout(value: Option<&Value>) -> Result<Duration, Check> {
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

/// The beginning of a body, whether it goes on, and whether it could be read; of a long one the rest is not read.
async fn body_of(
    answer: &mut Response,
    limit: usize,
) -> (Vec<u8>, bool, Result<(), reqwest::Error>) {
    let mut body = Vec::new();
    loop {
        match answer.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > limit => {
                body.extend_from_slice(&chunk[..limit - body.len()]);
                return (body, true, Ok(()));
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return (body, false, Ok(())),
            Err(error) => return (body, false, Err(error)),
        }
    }
}

/// `host`, or `host:port` where the port is not the usual one.
fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

fn wrong(argument: &str, expected: &str) -> Check {
    Check {
        message: format!("the argument `{argument}` must be {expected}"),
        hint: None,
    }
}

fn refused(message: String, hint: impl Into<String>) -> Check {
    Check {
        message,
        hint: Some(hint.into()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(arguments: Value) -> Result<Call, Check> {
        Call::read(arguments.as_object().unwrap())
    }

    #[test]
    fn what_is_left_out_has_a_default() {
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
    fn what_cannot_be_meant_is_refused_with_what_can() {
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
            "https is not spoken, only http | let a proxy on this machine speak TLS, and call that",
        );
        check(
            json!({"url": "file:///etc/passwd"}),
            "`file` is not spoken, only http | write an address such as http://api.example.com/cars",
        );
        check(
            json!({"url": "http://u:p@a"}),
            r#"the url has a user or a password in it | name a variable of the node: "headers":{"Authorization":"env:NAME"}"#,
        );
        check(
            json!({"url": "http://a", "timeout_ms": 0}),
            "the argument `timeout_ms` must be whole milliseconds from 1 to 86400000",
        );
        let header = |name: &str, value: &str| json!({"url": "http://a", "headers": {name: value}});
        check(
            header("Authorization", "Bearer x"),
            "the header `Authorization` is a secret, and arguments are not | write env:NAME; the node takes the value from its environment",
        );
        check(
            header("X", "env:WEFT_TOKEN"),
            "the header `X` names WEFT_TOKEN, which belongs to the node | give the value a variable of its own",
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
            "the header `Idempotency-Key` is the same for all tries of one run and sent by Weft | leave it out",
        );
        check(
            header("a b", "1"),
            "`a b` is not the name of a header | write such as Accept",
        );
        check(
            header("X", "a\r\nY: b"),
            "the value of the header `X` cannot stand in a header | write it in ASCII, on one line",
        );
    }

    #[test]
    fn a_host_is_called_only_where_the_node_allows_it() {
        let http = |hosts: &[&str]| {
            let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
            Http::new(&hosts, Environment::from_map([].into()))
        };
        let url = Url::parse("http://b.example:81/").unwrap();
        let message = |hosts: &[&str]| http(hosts).check_host(&url).map_err(|check| check.message);
        assert_eq!(message(&["b.example"]), Ok(()));
        assert_eq!(
            message(&[]),
            Err("b.example:81 may not be called: this node allows no host".to_owned())
        );
        assert_eq!(
            message(&["a.example"]),
            Err(
                "b.example:81 may not be called: it is not among the hosts that this node allows"
                    .to_owned()
            )
        );
    }
}
