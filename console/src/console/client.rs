//! The client of a node: statements and their frames, values for completion.

use std::error::Error;
use std::io;
use std::time::Duration;

use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde_json::json;
use tokio_util::bytes::Bytes;
use tokio_util::codec::{FramedRead, LinesCodec, LinesCodecError};
use tokio_util::io::StreamReader;
use weft_model::Session;
use weft_statement::Frame;

use crate::exit::{FAILED, Failure, NOT_ALLOWED, NOT_FOUND, UNREACHABLE, USAGE};
use crate::server::Target;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A frame holds one row, which nodes cut far below this.
const MAX_FRAME_BYTES: usize = 16 * 1024 * 1024;

/// A connection to one node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    target: Target,
}

/// The frames of one answer, one JSON object per line.
pub struct Frames {
    lines: FramedRead<BodyReader, LinesCodec>,
    url: String,
}

type BodyReader = StreamReader<BoxStream<'static, io::Result<Bytes>>, Bytes>;

/// A problem document (RFC 9457).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ProblemJson {
    title: Option<String>,
    detail: Option<String>,
    hint: Option<String>,
}

impl Client {
    /// A client of this node. Without proxies and redirects, so that the token reaches no other server.
    pub fn new(target: Target) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("weft/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { http, target })
    }

    /// The address of the node.
    pub fn url(&self) -> &str {
        &self.target.url
    }

    /// Sends a statement and answers with its frames.
    pub async fn statement(&self, statement: &str, session: &Session) -> Result<Frames, Failure> {
        let body = json!({ "statement": statement, "session": session });
        let request = self
            .http
            .post(format!("{}/api/v1/statements", self.target.url))
            .header("accept", "application/x-ndjson")
            .json(&body);
        let response = self.send(request).await?;
        let body = response.bytes_stream().map_err(io::Error::other).boxed();
        let codec = LinesCodec::new_with_max_length(MAX_FRAME_BYTES);
        Ok(Frames {
            lines: FramedRead::new(StreamReader::new(body), codec),
            url: self.target.url.clone(),
        })
    }

    /// Sends a GET to a path of the node.
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
            .map_err(|error| not_sent(&self.target.url, &error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(refused(response, self.target.token.is_some()).await)
    }
}

impl Frames {
    /// Whether the next frame has arrived already.
    pub fn is_ready(&self) -> bool {
        self.lines.read_buffer().contains(&b'\n')
    }

    /// The next frame; `None` at the end of the answer.
    pub async fn next(&mut self) -> Result<Option<Frame>, Failure> {
        loop {
            match self.lines.next().await {
                None => return Ok(None),
                // A sign of life.
                Some(Ok(line)) if line.trim().is_empty() => (),
                Some(Ok(line)) => return self.read(&line).map(Some),
                Some(Err(LinesCodecError::MaxLineLengthExceeded)) => {
                    let message = "the node sent a frame that is too long";
                    return Err(Failure::new(FAILED, message));
                }
                Some(Err(LinesCodecError::Io(error))) => {
                    let what = format!("the connection to {} was lost", self.url);
                    return Err(unreachable(&what, &error));
                }
            }
        }
    }

    fn read(&self, line: &str) -> Result<Frame, Failure> {
        Frame::parse(line).map_err(|error| {
            Failure::new(FAILED, format!("the node's answer cannot be read: {error}"))
                .hint(format!("is {} a weft node of this version?", self.url))
        })
    }
}

fn not_sent(url: &str, error: &reqwest::Error) -> Failure {
    let what = if error.is_connect() {
        format!("no node answers at {url}")
    } else {
        format!("the connection to {url} was lost")
    };
    unreachable(&what, error)
}

/// Names the innermost cause: the outer ones only say that a request failed.
fn unreachable(what: &str, error: &(dyn Error + 'static)) -> Failure {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    Failure::new(UNREACHABLE, format!("{what}: {cause}"))
        .hint("start `weft dev`, or name a node with --server")
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
