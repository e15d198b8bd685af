//! Health, metrics, time limits, and the shutdown of a server.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weft_web::Backend;

use crate::client::{PATIENCE, call};
use crate::server::{Server, WAITING_BATCH};

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
}

#[tokio::test]
async fn a_node_is_ready_from_its_start_until_it_leaves() {
    let check = async |server: &Server, reason: Option<&str>| {
        let answer = call(server.address, "GET", "/readyz").send().await;
        assert_eq!(answer.status, if reason.is_none() { 200 } else { 503 });
        let reasons: Vec<_> = reason.into_iter().collect();
        let expected = json!({ "ready": reason.is_none(), "reasons": reasons });
        assert_eq!(answer.value().await, expected);
        let alive = call(server.address, "GET", "/livez").send().await;
        assert_eq!(alive.status, 200);
    };
    let waiting = Server::without_node(|_| ()).await;
    check(&waiting, Some("the node is starting")).await;
    waiting.backend.set_waiting_for("the store is away");
    check(&waiting, Some("the store is away")).await;
    let (server, node) = Server::with_node().await;
    check(&server, None).await;
    node.drain();
    node.ended().await.unwrap();
    check(&server, Some("the node has ended")).await;
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
    server.deploy().await;
    let body = json!({ "statement": WAITING_BATCH, "session": { "scope": { "a": "b" } } });
    let mut answer = server.post("/api/v1/statements", &body).await;
    while answer.line().await.unwrap()["frame"] != "progress" {}
    server.shutdown.cancel();
    let mut lines = answer.lines().await;
    let end = lines.pop().unwrap();
    assert_eq!(
        (&end["frame"], &end["status"]),
        (&json!("end"), &json!("unreachable"))
    );
    assert_eq!(end["session"]["scope"], json!({ "a": "b" }));
    let notice = lines.pop().unwrap();
    assert_eq!(notice["frame"], "notice");
    // The statement was asked to stop waiting, or the server would wait for it.
    ended(&mut server).await;
    assert!(TcpStream::connect(server.address).await.is_err());
}

async fn ended(server: &mut Server) {
    let ended = tokio::time::timeout(PATIENCE, &mut server.ended).await;
    ended.expect("the end in time").unwrap().unwrap();
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
    ended(&mut server).await;
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
        crate::server::TOKEN
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
    // More than the buffers between the statement and the client hold.
    let large = "x".repeat(64 * 1024);
    for number in 0..400 {
        server.put_node(&format!("n{number}"), &large).await;
    }
    let answer = server.run("CLUSTERSTATUS;").await;
    server.shutdown.cancel();
    ended(&mut server).await;
    // The statement, which held the store, has ended as well.
    server.backend = Backend::default();
    tokio::time::timeout(PATIENCE, async {
        while Arc::strong_count(&server.store) > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the end of the statement in time");
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
