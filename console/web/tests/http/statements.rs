//! Statements: frames arrive as they are made, and a client that goes is noticed.

use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};

use crate::client::{Answer, PATIENCE};
use crate::server::{BATCH, Server, WAITING_BATCH};
use weft_store::faulty::Fault;

/// The next line that is a frame of this name.
async fn frame(answer: &mut Answer, name: &str) -> Value {
    loop {
        let line = answer.line().await.expect("a frame before the end");
        if line["frame"] == name {
            return line;
        }
    }
}

/// Waits until the only slot for statements is free again.
async fn slot_is_free(server: &Server) {
    tokio::time::timeout(PATIENCE, async {
        while server.run("ECHO 'x';").await.status != 200 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("a slot in time");
}

#[tokio::test]
async fn frames_arrive_before_the_end() {
    let server = Server::start().await;
    server.store.set_all(Fault::Hang);
    let mut answer = server.run("ECHO 'first'; CLUSTERSTATUS;").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    // The second statement hangs, so nothing can have waited for the end.
    assert_eq!(frame(&mut answer, "row").await["row"], json!(["first"]));
    server.store.set_all(None);
    let columns = frame(&mut answer, "columns").await;
    assert!(columns["columns"].as_array().unwrap().len() > 3);
    assert_eq!(frame(&mut answer, "end").await["status"], "ok");
    assert_eq!(answer.line().await, None);
}

#[tokio::test]
async fn a_client_that_goes_stops_the_waiting_and_not_the_work() {
    let server = Server::start_with(|options| {
        options.max_statements = 1;
        options.max_waiting = 0;
    })
    .await;
    server.deploy().await;
    let mut answer = server.run(WAITING_BATCH).await;
    let progress = frame(&mut answer, "progress").await;
    drop(answer);
    slot_is_free(&server).await;
    let id = progress["batch"].as_str().unwrap();
    let batch = server.get(&format!("/api/v1/batches/{id}")).await;
    let batch = batch.value().await;
    assert_eq!(batch["status"], "WAITING_FOR_JOB");
    assert_eq!(batch["desired"], "RUN");
}

#[tokio::test]
async fn statements_that_wait_for_batches_leave_room_for_one_that_cancels_them() {
    let server = Server::start_with(|options| options.max_statements = 1).await;
    server.deploy().await;
    let mut waiting = server.run(WAITING_BATCH).await;
    let progress = frame(&mut waiting, "progress").await;
    let id = progress["batch"].as_str().unwrap();
    let mut cancel = server.run(&format!("BATCH_CANCEL '{id}';")).await;
    assert_eq!(cancel.status, 200, "the statement was refused");
    assert_eq!(frame(&mut cancel, "end").await["status"], "ok");
    let batch = server.get(&format!("/api/v1/batches/{id}")).await;
    assert_eq!(batch.value().await["desired"], "CANCEL");
}

#[tokio::test]
async fn a_client_that_goes_before_the_first_frame_is_noticed_too() {
    let server = Server::start_with(|options| options.max_statements = 1).await;
    server.deploy().await;
    drop(server.run(WAITING_BATCH).await);
    slot_is_free(&server).await;
}

#[tokio::test]
async fn the_session_goes_to_the_engine_and_comes_back() {
    let server = Server::start().await;
    let session =
        json!({ "scope": { "a": "b" }, "attached": { "Customer": "7" }, "last_batch": BATCH });
    let body = json!({ "statement": "SET environment='test';", "session": session });
    let mut answer = server.post("/api/v1/statements", &body).await;
    let end = frame(&mut answer, "end").await;
    assert_eq!(end["status"], "ok");
    let expected = json!({
        "scope": { "a": "b", "environment": "test" }, "attached": { "Customer": "7" }, "last_batch": BATCH
    });
    assert_eq!(end["session"], expected);
}

#[tokio::test]
async fn a_statement_without_an_end_gets_one() {
    let server = Server::start().await;
    server.store.set_all(Fault::Panic);
    let lines = server.run("CLUSTERSTATUS;").await.lines().await;
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["status"], "failed");
    assert!(lines[0]["error"].is_string());
}

#[tokio::test]
async fn a_failure_is_in_the_end_and_not_in_the_status() {
    let server = Server::start().await;
    let check = async |statement: &str, status: &str| {
        let mut answer = server.run(statement).await;
        assert_eq!(answer.status, 200);
        let end = frame(&mut answer, "end").await;
        assert_eq!(end["status"], status, "{end}");
        assert!(end["error"].is_string(), "{end}");
    };
    check("x;", "usage").await;
    check(&format!("BATCH_INFO '{BATCH}';"), "not_found").await;
    server.store.set_all(Fault::Unavailable);
    check("CLUSTERSTATUS;", "unreachable").await;
}

#[tokio::test]
async fn statements_before_the_node_starts_end_as_unreachable() {
    let server = Server::without_node(|_| ()).await;
    server.backend.set_waiting_for("the store is away");
    let lines = server.run("CLUSTERSTATUS;").await.lines().await;
    let session = json!({ "scope": {}, "attached": {}, "last_batch": null });
    let end = json!({
        "frame": "end", "status": "unreachable", "error": "the store is away", "session": session
    });
    assert_eq!(lines, [end]);
}

#[tokio::test]
async fn many_rows_arrive_whole_and_in_order() {
    let server = Server::start().await;
    let names: Vec<_> = (0..10_000)
        .map(|number| format!("ü\n{number:05}"))
        .collect();
    join_all(names.iter().map(|name| server.put_node(name, "1"))).await;
    let lines = server.run("CLUSTERSTATUS;").await.lines().await;
    let columns = lines[0]["columns"].as_array().unwrap();
    let column = columns.iter().position(|name| name == "Node id").unwrap();
    let rows = lines.iter().filter(|line| line["frame"] == "row");
    let shown = rows.map(|line| line["row"][column].as_str().unwrap());
    assert!(shown.eq(&names));
    assert_eq!(lines.last().unwrap()["status"], "ok");
}

#[tokio::test]
async fn too_many_statements_at_once_are_refused_and_slots_come_back() {
    let server = Server::start_with(|options| options.max_statements = 1).await;
    server.store.set_all(Fault::Hang);
    let first = server.run("CLUSTERSTATUS;").await;
    let second = server.run("CLUSTERSTATUS;").await;
    assert_eq!(second.header("retry-after"), Some("1"));
    second.problem(503, "busy").await;
    server.store.set_all(None);
    first.lines().await;
    slot_is_free(&server).await;
}

#[tokio::test]
async fn silence_is_broken_by_empty_lines() {
    let server =
        Server::start_with(|options| options.heartbeat_interval = Duration::from_millis(10)).await;
    server.store.set_all(Fault::Hang);
    let mut answer = server.run("CLUSTERSTATUS;").await;
    assert_eq!(answer.piece().await, b"\n");
    assert_eq!(answer.piece().await, b"\n");
    server.store.set_all(None);
    assert_eq!(frame(&mut answer, "end").await["status"], "ok");
}
