//! A plain HTTP client that sends exactly what a test asks for, hostile heads included.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use futures::StreamExt;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::server::TOKEN;

/// The longest wait of a test.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A request that is being built.
pub struct Call {
    address: SocketAddr,
    request: axum::http::request::Builder,
    host: Option<String>,
    body: Bytes,
}

/// An answer whose body is read piece by piece. Dropping it closes the connection.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    body: axum::body::BodyDataStream,
    buffer: Vec<u8>,
    connection: JoinHandle<()>,
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

pub fn call(address: SocketAddr, method: &str, path: &str) -> Call {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    Call {
        address,
        request: Request::builder().method(method).uri(path),
        host: Some(address.to_string()),
        body: Bytes::new(),
    }
}

impl Call {
    pub fn token(self) -> Self {
        self.header("authorization", &format!("Bearer {TOKEN}"))
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    pub fn host(mut self, host: Option<&str>) -> Self {
        self.host = host.map(str::to_owned);
        self
    }

    pub fn json(self, body: &Value) -> Self {
        self.text_json(&body.to_string())
    }

    pub fn text_json(self, body: &str) -> Self {
        self.header("content-type", "application/json").body(body)
    }

    pub fn body(mut self, body: &str) -> Self {
        self.body = Bytes::copy_from_slice(body.as_bytes());
        self
    }

    pub async fn send(self) -> Answer {
        tokio::time::timeout(PATIENCE, self.start())
            .await
            .expect("the head of an answer in time")
    }

    async fn start(self) -> Answer {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake::<_, Body>(TokioIo::new(stream))
                .await
                .unwrap();
        let connection = tokio::spawn(async move {
            let _ = connection.await;
        });
        let mut request = self.request;
        if let Some(host) = self.host {
            request = request.header("host", host);
        }
        let request = request.body(Body::from(self.body)).unwrap();
        let (head, body) = sender.send_request(request).await.unwrap().into_parts();
        Answer {
            status: head.status,
            headers: head.headers,
            body: Body::new(body).into_data_stream(),
            buffer: Vec::new(),
            connection,
        }
    }
}

impl Answer {
    /// The next line that is not empty, as JSON; `None` at the end.
    pub async fn line(&mut self) -> Option<Value> {
        tokio::time::timeout(PATIENCE, async {
            loop {
                if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = self.buffer.drain(..=end).collect();
                    if line.len() > 1 {
                        return Some(serde_json::from_slice(&line).unwrap());
                    }
                    continue;
                }
                match self.body.next().await {
                    Some(piece) => self.buffer.extend_from_slice(&piece.unwrap()),
                    None => return None,
                }
            }
        })
        .await
        .expect("a line in time")
    }

    /// The next bytes as they come.
    pub async fn piece(&mut self) -> Vec<u8> {
        let piece = tokio::time::timeout(PATIENCE, self.body.next()).await;
        piece.expect("a piece in time").unwrap().unwrap().to_vec()
    }

    /// All lines to the end.
    pub async fn lines(mut self) -> Vec<Value> {
        let mut lines = Vec::new();
        while let Some(line) = self.line().await {
            lines.push(line);
        }
        lines
    }

    pub async fn text(mut self) -> String {
        let mut text = std::mem::take(&mut self.buffer);
        while let Some(piece) = tokio::time::timeout(PATIENCE, self.body.next())
            .await
            .expect("a body in time")
        {
            text.extend_from_slice(&piece.unwrap());
        }
        String::from_utf8(text).unwrap()
    }

    pub async fn value(self) -> Value {
        serde_json::from_str(&self.text().await).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Checks that this is a complete problem document, and answers it.
    pub async fn problem(self, status: u16, code: &str) -> Value {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json")
        );
        let given = self.status.as_u16();
        let request_id = self
            .header("x-request-id")
            .expect("a request id")
            .to_owned();
        let problem = self.value().await;
        assert_eq!(
            (given, &problem["code"]),
            (status, &Value::from(code)),
            "{problem}"
        );
        assert_eq!(problem["status"], status);
        assert_eq!(problem["request_id"], request_id);
        assert_eq!(problem["type"], "about:blank");
        assert!(problem["title"].is_string());
        problem
    }
}
