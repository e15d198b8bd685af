//! HTTP: calls a server.

mod call;

use async_trait::async_trait;
use call::{Body, HeaderSource, host_of};
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Response, Url};
use serde_json::{Map, Value};
use uuid::Uuid;
use weft_model::Job;
use weft_node::job::{DefinitionError, FailureKind, JobKind, Run, RunEnd, RunFailure, RunOutput};
use weft_project::interface::{Environment, Secret};

use crate::arguments::{self, refused};
use crate::capture::{WHOLE_BYTES, text_of};
use crate::hosts::AllowedHosts;
pub(crate) use call::{Call, OWN_VARIABLES};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Calls servers on hosts that the configuration allows.
#[derive(Debug)]
pub struct Http {
    allowed: AllowedHosts,
    environment: Environment,
}

impl Http {
    /// Allows these hosts, each `host` or `host:port`. Secret header values come from `environment`.
    pub fn new(allowed_hosts: &[String], environment: Environment) -> Self {
        Self {
            allowed: AllowedHosts::new(allowed_hosts),
            environment,
        }
    }

    fn call(&self, job: &Job) -> Result<Call, DefinitionError> {
        self.read(&arguments::read(job)?)
    }

    /// Reads the arguments of a call and checks that its host is allowed.
    pub(crate) fn read(&self, arguments: &Map<String, Value>) -> Result<Call, DefinitionError> {
        let call = Call::read(arguments)?;
        self.check_host(&call.url)?;
        Ok(call)
    }

    fn check_host(&self, url: &Url) -> Result<(), DefinitionError> {
        if self.allowed.allows(url) {
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

    /// The headers of a call, with secrets resolved.
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
                        unusable(
                            name,
                            "the value of its variable is not a valid header value",
                        )
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
        let output = RunOutput::from_text(Some(text).filter(|text| !text.is_empty()));
        match answer.checked() {
            Ok(_) => Ok(output),
            Err(failure) => Err(failure.with_output(output)),
        }
    }

    /// Sends a call and reads at most `limit` bytes of the answer, whatever its status.
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

    /// The same, with a client made by [`Call::client`].
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
        let (body, is_cut, read) = read_body(&mut answer, limit).await;
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
            unexpected_status: (!is_expected).then(|| call.describe_status(&answer)),
            read_failure: read.err().map(|error| failed(&error)),
        })
    }
}

/// The answer of a server.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: u16,
    pub content_type: Option<String>,
    /// The body, or its beginning.
    pub body: Vec<u8>,
    /// The body is longer than the limit.
    pub is_cut: bool,
    /// A message if the status is not among the expected ones.
    unexpected_status: Option<String>,
    /// Why the rest of the body could not be read.
    read_failure: Option<RunFailure>,
}

impl Answer {
    /// Checks that the status is an expected one.
    pub(crate) fn check_status(&self) -> Result<(), RunFailure> {
        match &self.unexpected_status {
            Some(message) => Err(RunFailure::new("HttpStatus", message.clone())),
            None => Ok(()),
        }
    }

    /// An answer with an expected status and a body that was received as a whole, or cut at the limit.
    ///
    /// # Errors
    /// It is another answer.
    pub(crate) fn checked(mut self) -> Result<Self, RunFailure> {
        self.check_status()?;
        match self.read_failure.take() {
            Some(failure) => Err(failure),
            None => Ok(self),
        }
    }
}

#[async_trait]
impl JobKind for Http {
    fn job_type(&self) -> &'static str {
        "HTTP"
    }

    async fn check(&self, job: &Job) -> Result<(), DefinitionError> {
        self.call(job).map(drop)
    }

    async fn run(&self, run: Run) -> RunEnd {
        let call = match self.call(&run.job) {
            Ok(call) => call,
            // Another node may allow the host, so the policy decides whether to try again.
            Err(check) => return RunEnd::Failed(RunFailure::new("Arguments", check.message)),
        };
        tokio::select! {
            biased;
            () = run.stop.cancelled() => {
                let message = format!("it was stopped during {}", call.label());
                RunEnd::Failed(RunFailure::new(FailureKind::Stopped, message))
            }
            answer = self.answer(&call, &run) => answer.into(),
        }
    }
}

/// Reads at most `limit` bytes of a body; also returns whether it is longer, and the error that ended it early.
async fn read_body(
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

#[cfg(test)]
mod tests {
    use super::*;

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
