//! Talking to a node: statements as frames, values for completion, files.

use std::time::Duration;

use reqwest::{RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde_json::json;
use weft_model::Session;
use weft_statement::Frame;

use crate::exit::{FAILED, Failure, NOT_ALLOWED, NOT_FOUND, UNREACHABLE, USAGE};
use crate::server::Target;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A frame holds one row; rows are cut far below this.
const MAX_FRAME_BYTES: usize = 16 * 1024 * 1024;

/// A connection to one node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    target: Target,
}

/// The frames of one answer.
#[derive(Debug)]
pub struct Frames {
    response: Response,
    buffer: Vec<u8>,
    /// Where the next line begins in the buffer.
    start: usize,
    url: String,
}

/// What RFC 9457 calls a problem.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ProblemJson {
    title: Option<String>,
    detail: Option<String>,
    hint: Option<String>,
}

impl Client {
    /// A client of this node. No proxies, no redirects: a token goes where it was meant to go.
    pub fn new(target: Target) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("weft/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { http, target })
    }

    /// Where the node is.
    pub fn url(&self) -> &str {
        &self.target.url
    }

    /// Sends a statement; its frames follow.
    pub async fn statement(&self, statement: &str, session: &Session) -> Result<Frames, Failure> {
        let body = json!({ "statement": statement, "session": session });
        let request = self
            .http
            .post(format!("{}/api/v1/statements", self.target.url))
            .header("accept", "application/x-ndjson")
            .json(&body);
        Ok(Frames {
            response: self.send(request).await?,
            buffer: Vec::new(),
            start: 0,
            url: self.target.url.clone(),
        })
    }

    /// Reads what is at a path below the node's address.
    pub async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Response, Failure> {
        let request = self
            .http
            .get(format!("{}{path}", self.target.url))
            .query(query);
        self.send(request).await
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let request = match &self.target.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let response = request
            .send()
            .await
            .map_err(|error| unreachable(&self.target.url, &error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(refused(response, self.target.token.is_some()).await)
    }
}

impl Frames {
    /// Whether the next frame is here already.
    pub fn is_ready(&self) -> bool {
        self.buffer[self.start..].contains(&b'\n')
    }

    /// The next frame; none where the answer ends.
    pub async fn next(&mut self) -> Result<Option<Frame>, Failure> {
        loop {
            let rest = &self.buffer[self.start..];
            if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line = self.start..self.start + end;
                self.start += end + 1;
                if self.buffer[line.clone()]
                    .iter()
                    .all(u8::is_ascii_whitespace)
                {
                    continue;
                }
                return self.read(&self.buffer[line]).map(Some);
            }
            if rest.len() > MAX_FRAME_BYTES {
                return Err(Failure::new(
                    FAILED,
                    "the node sent a frame that is too long",
                ));
            }
            self.buffer.drain(..self.start);
            self.start = 0;
            match self.response.chunk().await {
                Ok(Some(bytes)) => self.buffer.extend_from_slice(&bytes),
                Ok(None) if self.buffer.iter().all(u8::is_ascii_whitespace) => return Ok(None),
                Ok(None) => self.buffer.push(b'\n'),
                Err(error) => return Err(unreachable(&self.url, &error)),
            }
        }
    }

    fn read(&self, line: &[u8]) -> Result<Frame, Failure> {
        serde_json::from_slice(line).map_err(|error| {
            Failure::new(FAILED, format!("the node's answer cannot be read: {error}"))
                .hint(format!("is {} a weft node of this version?", self.url))
        })
    }
}

fn unreachable(url: &str, error: &reqwest::Error) -> Failure {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let what = if error.is_connect() {
        format!("no node answers at {url}: {cause}")
    } else {
        format!("the connection to {url} was lost: {cause}")
    };
    Failure::new(UNREACHABLE, what).hint("start `weft dev`, or name a node with --server")
}

async fn refused(response: Response, has_token: bool) -> Failure {
    let status = response.status();
    let text = response.text().await.unwrap_or_default();
    let problem: ProblemJson = serde_json::from_str(&text).unwrap_or_default();
    let message = problem.detail.or(problem.title).unwrap_or_else(|| {
        let head: String = text.chars().take(200).collect();
        format!("the node answered {status} {}", head.trim())
    });
    let code = match status {
        StatusCode::BAD_REQUEST
        | StatusCode::UNPROCESSABLE_ENTITY
        | StatusCode::PAYLOAD_TOO_LARGE => USAGE,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => NOT_ALLOWED,
        StatusCode::NOT_FOUND => NOT_FOUND,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            UNREACHABLE
        }
        _ => FAILED,
    };
    let failure = Failure::new(code, message);
    match problem.hint {
        Some(hint) => failure.hint(hint),
        None if status == StatusCode::UNAUTHORIZED && !has_token => failure
            .hint("give a token: --token-file FILE, WEFT_TOKEN, or --dir of a running `weft dev`"),
        None => failure,
    }
}
