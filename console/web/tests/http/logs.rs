//! Logs: one line for each request, and no secrets.

use std::io;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tracing_subscriber::filter::LevelFilter;

use crate::client::call;
use crate::server::{Server, TOKEN};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn requests_are_logged_without_what_they_hold() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    // For the whole process: connections are served by tasks of their own.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let server = Server::start().await;
    let canaries = [
        "canary-query",
        "canary-body",
        "canary-header",
        "canary-path",
        "canary-token",
    ];
    call(server.address, "GET", "/api/v1/complete?text=canary-query")
        .token()
        .send()
        .await;
    call(server.address, "GET", "/api/v1/canary-path?x=canary-query")
        .token()
        .send()
        .await;
    call(server.address, "GET", "/api/v1/jobs")
        .header("authorization", "Bearer canary-token")
        .send()
        .await;
    call(server.address, "GET", "/api/v1/jobs")
        .token()
        .header("cookie", "canary-header")
        .send()
        .await;
    let body = json!({ "statement": "SET password=canary-body;" });
    let answer = call(server.address, "POST", "/api/v1/statements")
        .token()
        .json(&body)
        .send()
        .await;
    let id = answer.header("x-request-id").unwrap().to_owned();
    answer.lines().await;
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(
        text.contains(&id) && text.contains("Answered POST /api/v1/statements with 200"),
        "{text}"
    );
    for secret in canaries.into_iter().chain([TOKEN]) {
        assert!(!text.contains(secret), "{secret} is in the log");
    }
}
