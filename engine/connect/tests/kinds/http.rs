//! HTTP with a real server.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect};
use axum::routing::any;
use serde_json::json;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use weft_model::Job;
use weft_node::job::{Run, Slot};

use crate::bench::{Bench, failed, job, succeeded};

#[derive(Clone, Default)]
pub struct Seen {
    pub calls: Arc<Mutex<Vec<Call>>>,
    arrived: Arc<Notify>,
}

#[derive(Clone)]
pub struct Call {
    pub line: String,
    pub headers: HeaderMap,
    pub body: String,
}

/// Starts a server and returns its port.
#[allow(
    clippy::disallowed_methods,
    reason = "the server lives as long as the test"
)]
pub async fn server(seen: Seen) -> u16 {
    let echo = {
        let seen = seen.clone();
        move |request: Request| async move {
            let (parts, body) = request.into_parts();
            let body = axum::body::to_bytes(body, 1_000_000).await.unwrap();
            let body = String::from_utf8(body.to_vec()).unwrap();
            seen.calls.lock().unwrap().push(Call {
                line: format!("{} {}", parts.method, parts.uri),
                headers: parts.headers,
                body,
            });
            "hello\n"
        }
    };
    let silent = move || async move {
        seen.arrived.notify_one();
        std::future::pending::<String>().await
    };
    let router = Router::new()
        .route("/echo", any(echo))
        .route("/moved", any(|| async { Redirect::temporary("/echo") }))
        .route(
            "/broken",
            any(|| async { (StatusCode::INTERNAL_SERVER_ERROR, "why") }),
        )
        .route(
            "/long",
            any(|| async { "x".repeat(1_000_000).into_response() }),
        )
        .route(
            "/json",
            any(|| async { axum::Json(json!({"cars": [{"id": 7}]})) }),
        )
        .route("/silent", any(silent));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, router).await });
    port
}

fn http(port: u16, path: &str, more: &serde_json::Value) -> Job {
    let mut arguments =
        json!({"url": format!("http://127.0.0.1:{port}{path}"), "session_scope": "{}"});
    let more = more.as_object().unwrap().clone();
    arguments.as_object_mut().unwrap().extend(more);
    job("HTTP", "a call", &arguments)
}

#[tokio::test]
async fn a_call_is_sent_as_written() {
    let seen = Seen::default();
    let port = server(seen.clone()).await;
    let bench = Bench::with(&[("API_AUTH", "Bearer hunter2")], &["127.0.0.1"]);
    let more = json!({
        "method": "post",
        "headers": {"Authorization": "env:API_AUTH", "X-Number": 5},
        "body": {"id": 1},
    });
    let job = http(port, "/echo?a=b", &more);
    assert_eq!(bench.check(&job).await, Ok(()));
    let run = Run {
        job: job.clone(),
        stop: CancellationToken::new(),
        slot: Slot::default(),
    };
    let output = succeeded(bench.run(job).await);
    assert_eq!(
        (output.text.as_deref(), output.exit_code),
        (Some("hello\n"), None)
    );
    let call = seen.calls.lock().unwrap()[0].clone();
    assert_eq!(
        (call.line.as_str(), call.body.as_str()),
        ("POST /echo?a=b", r#"{"id":1}"#)
    );
    let header = |name: &str| call.headers[name].to_str().unwrap().to_owned();
    assert_eq!(header("authorization"), "Bearer hunter2");
    assert_eq!(header("x-number"), "5");
    assert_eq!(header("content-type"), "application/json");
    assert_eq!(header("idempotency-key"), run.idempotency_key().to_string());
}

#[tokio::test]
async fn an_unexpected_status_is_a_failure_with_the_body() {
    let seen = Seen::default();
    let port = server(seen.clone()).await;
    let bench = Bench::with(&[], &[&format!("127.0.0.1:{port}")]);
    let failure = failed(bench.run(http(port, "/broken", &json!({}))).await);
    assert_eq!(failure.exception_type(), "HttpStatus");
    let message = format!("GET http://127.0.0.1:{port}/broken answered 500 Internal Server Error");
    assert_eq!(failure.message, message);
    assert_eq!(failure.output.text.as_deref(), Some("why"));
    let output = bench
        .run(http(
            port,
            "/broken",
            &json!({"expected_status": [500, "2xx"]}),
        ))
        .await;
    assert_eq!(succeeded(output).text.as_deref(), Some("why"));

    let failure = failed(bench.run(http(port, "/moved", &json!({}))).await);
    assert!(
        failure
            .message
            .ends_with("answered 307 Temporary Redirect; redirects are not followed")
    );
    assert!(seen.calls.lock().unwrap().is_empty());
}

#[tokio::test]
async fn only_allowed_hosts_are_called() {
    let seen = Seen::default();
    let port = server(seen.clone()).await;
    let other = format!("127.0.0.1:{}", port ^ 1);
    for (hosts, why) in [
        (vec![], "this node allows no host"),
        (
            vec![other.as_str(), "localhost"],
            "it is not among the hosts that this node allows",
        ),
    ] {
        let bench = Bench::with(&[], &hosts);
        let job = http(port, "/echo", &json!({}));
        let check = bench.check(&job).await.unwrap_err();
        assert_eq!(
            check.message,
            format!("127.0.0.1:{port} may not be called: {why}")
        );
        assert!(check.hint.unwrap().contains("HTTP_ALLOWED_HOSTS"));
        assert_eq!(failed(bench.run(job).await).message, check.message);
    }
    assert!(seen.calls.lock().unwrap().is_empty());
}

#[tokio::test]
async fn answers_are_bounded() {
    let port = server(Seen::default()).await;
    let bench = Bench::with(&[], &["127.0.0.1"]);
    let output = succeeded(bench.run(http(port, "/long", &json!({}))).await)
        .text
        .unwrap();
    assert!(
        output.len() <= weft_node::job::OUTPUT_BYTES,
        "{}",
        output.len()
    );
    assert!(output.starts_with("xxx") && output.ends_with("x\n[… the rest was not read …]"));
}

#[tokio::test]
async fn a_call_ends_at_its_timeout_and_when_it_is_stopped() {
    let seen = Seen::default();
    let port = server(seen.clone()).await;
    let bench = Bench::with(&[], &["127.0.0.1"]);
    let failure = failed(
        bench
            .run(http(port, "/silent?secret", &json!({"timeout_ms": 50})))
            .await,
    );
    assert_eq!(failure.exception_type(), "HttpTimeout");
    let label = format!("GET http://127.0.0.1:{port}/silent");
    assert_eq!(failure.message, format!("{label} took longer than 50 ms"));
    seen.arrived.notified().await;

    let stop = CancellationToken::new();
    let run = bench.run_until(http(port, "/silent", &json!({})), stop.clone());
    let (end, ()) = tokio::join!(run, async {
        seen.arrived.notified().await;
        stop.cancel();
    });
    let failure = failed(end);
    assert_eq!(failure.exception_type(), "Stopped");
    assert_eq!(failure.message, format!("it was stopped during {label}"));
}

#[tokio::test]
async fn errors_do_not_contain_secrets() {
    let port = server(Seen::default()).await;
    let bench = Bench::with(&[("BROKEN", "hunter2\nX: y")], &["127.0.0.1"]);
    let message = async |variable: &str| {
        let more = json!({"headers": {"Authorization": format!("env:{variable}")}});
        failed(bench.run(http(port, "/echo", &more)).await).message
    };
    assert_eq!(
        message("NOPE").await,
        "header authorization: environment variable NOPE is not set"
    );
    assert_eq!(
        message("BROKEN").await,
        "header authorization: the value of its variable is not a valid header value"
    );
    // A port without a listener: it was free a moment ago.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let free = listener.local_addr().unwrap().port();
    drop(listener);
    let failure = failed(bench.run(http(free, "/x?secret=1", &json!({}))).await);
    assert_eq!(failure.exception_type(), "Http");
    let expected =
        format!("GET http://127.0.0.1:{free}/x failed: Connection refused (os error 111)");
    assert_eq!(failure.message, expected);
}
