//! Statements: frames arrive as they are made, and a client that goes is noticed.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;
use weft_model::BatchId;
use weft_model::Session;
use weft_statement::{EndStatus, Frame};

use crate::client::{Answer, PATIENCE, call};
use crate::fake::{BATCH, Server, end};

async fn post(server: &Server, statement: &str) -> Answer {
    let body = json!({ "statement": statement });
    call(server.address, "POST", "/api/v1/statements")
        .token()
        .json(&body)
        .send()
        .await
}

fn notice(message: &str) -> Frame {
    Frame::Notice {
        message: message.to_owned(),
    }
}

#[tokio::test]
async fn frames_arrive_before_the_end() {
    let server = Server::start().await;
    let mut statements = server.statements();
    let mut answer = post(&server, "BATCH_LIST;").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let run = statements.recv().await.unwrap();
    assert_eq!(run.text, "BATCH_LIST;");
    // Each frame is sent only after the one before was read, so nothing can have waited for the end.
    for number in 0..3 {
        let message = format!("frame {number}");
        run.frames.send(notice(&message)).await.unwrap();
        assert_eq!(
            answer.line().await.unwrap(),
            json!({ "frame": "notice", "message": message })
        );
    }
    run.frames.send(end(EndStatus::Ok)).await.unwrap();
    let line = answer.line().await.unwrap();
    assert_eq!(
        (&line["frame"], &line["status"]),
        (&json!("end"), &json!("ok"))
    );
    assert_eq!(answer.line().await, None);
}

#[tokio::test]
async fn a_client_that_goes_stops_the_waiting() {
    let server = Server::start().await;
    let mut statements = server.statements();
    let mut answer = post(&server, "BATCH …;").await;
    let run = statements.recv().await.unwrap();
    run.frames.send(notice("begun")).await.unwrap();
    answer.line().await.unwrap();
    assert!(!run.stop.is_cancelled());
    drop(answer);
    tokio::time::timeout(PATIENCE, run.stop.cancelled())
        .await
        .expect("the stop in time");
    tokio::time::timeout(PATIENCE, run.frames.closed())
        .await
        .expect("the channel closed in time");
    // The engine's own work was not cut off: it came to its end behind the stop.
    tokio::time::timeout(PATIENCE, async {
        while server.api.finished.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the end of the work in time");
}

#[tokio::test]
async fn a_client_that_goes_before_the_first_frame_is_noticed_too() {
    let server = Server::start().await;
    let mut statements = server.statements();
    let answer = post(&server, "BATCH …;").await;
    let run = statements.recv().await.unwrap();
    drop(answer);
    tokio::time::timeout(PATIENCE, run.stop.cancelled())
        .await
        .expect("the stop in time");
}

#[tokio::test]
async fn the_session_goes_to_the_engine_and_comes_back() {
    let server = Server::start().await;
    let mut statements = server.statements();
    let session = json!({ "scope": { "environment": "test" }, "attached": { "Customer": "7" }, "last_batch": BATCH });
    let body = json!({ "statement": "SET;", "session": session });
    let mut answer = call(server.address, "POST", "/api/v1/statements")
        .token()
        .json(&body)
        .send()
        .await;
    let run = statements.recv().await.unwrap();
    let expected = Session {
        scope: [("environment".to_owned(), "test".to_owned())].into(),
        attached: [("Customer".to_owned(), "7".to_owned())].into(),
        last_batch: Some(BatchId(BATCH)),
        trace_session: None,
    };
    assert_eq!(run.session, expected);
    let Frame::End(mut last) = end(EndStatus::Ok) else {
        unreachable!()
    };
    last.session = run.session.clone();
    run.frames.send(Frame::End(last)).await.unwrap();
    assert_eq!(answer.line().await.unwrap()["session"], session);
}

#[tokio::test]
async fn a_statement_without_an_end_gets_one() {
    let server = Server::start().await;
    let mut statements = server.statements();
    let answer = post(&server, "x;").await;
    drop(statements.recv().await.unwrap());
    let lines = answer.lines().await;
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["status"], "failed");
    assert!(lines[0]["error"].is_string());
}

#[tokio::test]
async fn nothing_follows_the_end() {
    let server = Server::start().await;
    let mut statements = server.statements();
    let answer = post(&server, "x;").await;
    let run = statements.recv().await.unwrap();
    for frame in [
        notice("one"),
        end(EndStatus::Failed),
        notice("two"),
        end(EndStatus::Ok),
    ] {
        let _ = run.frames.send(frame).await;
    }
    let lines = answer.lines().await;
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(lines[1]["status"], "failed");
}

#[tokio::test]
async fn many_rows_arrive_whole_and_in_order() {
    let server = Server::start().await;
    let mut statements = server.statements();
    let answer = post(&server, "BATCH_DETAILS;").await;
    let run = statements.recv().await.unwrap();
    let sending = tokio::spawn(async move {
        for number in 0..10_000 {
            run.frames
                .send(Frame::Row {
                    row: vec![json!(number), json!("ü\n")],
                })
                .await
                .unwrap();
        }
        run.frames.send(end(EndStatus::Ok)).await.unwrap();
    });
    let lines = answer.lines().await;
    sending.await.unwrap();
    assert_eq!(lines.len(), 10_001);
    for (number, line) in lines[..10_000].iter().enumerate() {
        assert_eq!(line["row"], json!([number, "ü\n"]));
    }
}

#[tokio::test]
async fn too_many_statements_at_once_are_refused_and_slots_come_back() {
    let server = Server::start_with(|options| options.max_statements = 1).await;
    let mut statements = server.statements();
    let first = post(&server, "one;").await;
    let run = statements.recv().await.unwrap();
    let second = post(&server, "two;").await;
    assert_eq!(second.header("retry-after"), Some("1"));
    second.problem(503, "busy").await;
    drop((first, run));
    tokio::time::timeout(PATIENCE, async {
        while post(&server, "three;").await.status != 200 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("a slot in time");
}

#[tokio::test]
async fn silence_is_broken_by_empty_lines() {
    let server =
        Server::start_with(|options| options.heartbeat_interval = Duration::from_millis(10)).await;
    let mut statements = server.statements();
    let mut answer = post(&server, "BATCH …;").await;
    let run = statements.recv().await.unwrap();
    assert_eq!(answer.piece().await, b"\n");
    assert_eq!(answer.piece().await, b"\n");
    run.frames.send(end(EndStatus::Ok)).await.unwrap();
    assert_eq!(answer.line().await.unwrap()["frame"], "end");
}
