//! Health, metrics, limits of time, and the end of a server.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weft_statement::Frame;

use crate::client::{PATIENCE, call};
use crate::fake::Server;

#[tokio::test]
async fn health_says_alive_ready_and_which_program() {
    let server = Server::start().await;
    assert_eq!(
        call(server.address, "GET", "/livez")
            .send()
            .await
            .text()
            .await,
        "ok\n"
    );
    let ready = call(server.address, "GET", "/readyz").send().await;
    assert_eq!(ready.status, 200);
    let version = call(server.address, "GET", "/version")
        .send()
        .await
        .value()
        .await;
    assert_eq!(version["name"], "weft");
    *server.api.not_ready.lock().unwrap() = vec!["the store is away".to_owned()];
    let away = call(server.address, "GET", "/readyz").send().await;
    assert_eq!(away.status, 503);
    assert_eq!(
        away.value().await,
        json!({ "ready": false, "reasons": ["the store is away"] })
    );
    assert_eq!(
        call(server.address, "GET", "/livez").send().await.status,
        200
    );
}

#[tokio::test]
async fn requests_are_counted_by_declared_route() {
    let server = Server::start().await;
    call(server.address, "GET", "/api/v1/jobs?name=secret&type=x")
        .token()
        .send()
        .await;
    call(server.address, "GET", "/api/v1/not-declared-path")
        .token()
        .send()
        .await;
    call(server.address, "BREW", "/api/v1/nodes")
        .token()
        .send()
        .await;
    let answer = call(server.address, "GET", "/metrics").token().send().await;
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    let text = answer.text().await;
    assert!(
        text.contains(r#"http_requests_total{route="/api/v1/jobs",method="GET",status="200"}"#),
        "{text}"
    );
    assert!(
        text.contains(r#"http_requests_total{route="unmatched",method="GET",status="404"}"#),
        "{text}"
    );
    assert!(
        text.contains(r#"http_requests_total{route="/api/v1/nodes",method="OTHER",status="405"}"#),
        "{text}"
    );
    assert!(text.contains("http_request_seconds_bucket"), "{text}");
    assert!(
        !text.contains("secret") && !text.contains("not-declared-path") && !text.contains("BREW")
    );
}

#[tokio::test]
async fn a_shutdown_ends_streams_with_a_notice() {
    let mut server = Server::start().await;
    let mut statements = server.statements();
    let body = json!({ "statement": "BATCH …;", "session": { "scope": { "a": "b" } } });
    let mut answer = call(server.address, "POST", "/api/v1/statements")
        .token()
        .json(&body)
        .send()
        .await;
    let run = statements.recv().await.unwrap();
    server.shutdown.cancel();
    let notice = answer.line().await.unwrap();
    assert_eq!(notice["frame"], "notice");
    let end = answer.line().await.unwrap();
    assert_eq!(
        (&end["frame"], &end["status"]),
        (&json!("end"), &json!("unreachable"))
    );
    assert_eq!(end["session"]["scope"], json!({ "a": "b" }));
    assert_eq!(answer.line().await, None);
    tokio::time::timeout(PATIENCE, run.stop.cancelled())
        .await
        .expect("the stop in time");
    tokio::time::timeout(PATIENCE, &mut server.ended)
        .await
        .expect("the end in time")
        .unwrap()
        .unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_idle_connections() {
    let mut server = Server::start().await;
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    let request = format!("GET /livez HTTP/1.1\r\nhost: {}\r\n\r\n", server.address);
    idle.write_all(request.as_bytes()).await.unwrap();
    let mut head = [0_u8; 12];
    idle.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    server.shutdown.cancel();
    tokio::time::timeout(PATIENCE, &mut server.ended)
        .await
        .expect("the end in time")
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_head_that_never_ends_is_cut_off() {
    let server =
        Server::start_with(|options| options.header_timeout = Duration::from_millis(50)).await;
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    slow.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n")
        .await
        .unwrap();
    let mut rest = Vec::new();
    let read = tokio::time::timeout(PATIENCE, slow.read_to_end(&mut rest)).await;
    assert!(read.is_ok(), "the server closes");
}

#[tokio::test]
async fn a_body_that_never_ends_is_cut_off() {
    let server =
        Server::start_with(|options| options.request_timeout = Duration::from_millis(50)).await;
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "POST /api/v1/statements HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: 100\r\n\r\n{{",
        server.address,
        crate::fake::TOKEN
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut head = [0_u8; 12];
    tokio::time::timeout(PATIENCE, slow.read_exact(&mut head))
        .await
        .expect("an answer in time")
        .unwrap();
    assert_eq!(&head, b"HTTP/1.1 503");
}

#[tokio::test]
async fn heads_beyond_the_limit_are_refused() {
    let server = Server::start().await;
    let answer = call(server.address, "GET", "/livez")
        .header("x-long", &"x".repeat(40_000))
        .send()
        .await;
    assert_eq!(answer.status, 431);
}

#[tokio::test]
async fn a_client_that_never_reads_does_not_hold_up_the_end() {
    let mut server =
        Server::start_with(|options| options.shutdown_timeout = Duration::from_millis(100)).await;
    let mut statements = server.statements();
    let answer = call(server.address, "POST", "/api/v1/statements")
        .token()
        .json(&json!({ "statement": "x;" }))
        .send()
        .await;
    let run = statements.recv().await.unwrap();
    let row = Frame::Row {
        row: vec![json!("x".repeat(64 * 1024))],
    };
    // Until the buffers between engine and client are full.
    while tokio::time::timeout(Duration::from_millis(200), run.frames.send(row.clone()))
        .await
        .is_ok()
    {}
    server.shutdown.cancel();
    tokio::time::timeout(PATIENCE, &mut server.ended)
        .await
        .expect("the end in time")
        .unwrap()
        .unwrap();
    tokio::time::timeout(PATIENCE, run.stop.cancelled())
        .await
        .expect("the stop in time");
    drop(answer);
}

#[tokio::test]
async fn idle_connections_make_room_for_others() {
    let server = Server::start_with(|options| {
        options.max_connections = 2;
        options.header_timeout = Duration::from_millis(50);
    })
    .await;
    let _idle = [
        TcpStream::connect(server.address).await.unwrap(),
        TcpStream::connect(server.address).await.unwrap(),
    ];
    assert_eq!(
        call(server.address, "GET", "/livez").send().await.status,
        200
    );
}
