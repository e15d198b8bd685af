//! Statements in front of a running node: what people do first.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use weft_model::{BatchStatus, NodeId};
use weft_node::{Context, Node, NodeConfig, NodeHandle};

use super::fixture::{Fixture, THE_LINE};
use crate::{EndStatus, Services, Statements};

/// The fixture with a node of this address in its process.
async fn with_node(address: &str) -> (Fixture, NodeHandle) {
    let mut fixture = Fixture::deployed().await;
    let services = fixture.statements.services().clone();
    let mut config =
        NodeConfig::with_defaults(NodeId("n1".to_owned()), services.config.data.clone());
    config.effective_ip = address.to_owned();
    config.cancel_grace = Duration::from_millis(100);
    let context = Context::new(
        services.store.clone(),
        services.clock.clone(),
        services.ids.clone(),
        config.clone(),
        services.catalogue.clone(),
        weft_node::job::JobKinds::default(),
        services.wake.clone(),
    );
    let node = Node::start(Arc::new(context));
    node.serving().await;
    fixture.statements = Statements::new(Services {
        config: Arc::new(config),
        nodes: Arc::new(node.clone()),
        ..services
    });
    (fixture, node)
}

async fn leave(node: &NodeHandle) {
    node.drain();
    node.ended().await.unwrap();
}

#[tokio::test]
async fn the_line_adds_a_hundred_instances() {
    let (fixture, node) = with_node("10.21.2.102").await;
    let waiting = THE_LINE.replace(" ASYNC='true'", "");
    let answer = fixture.run(&waiting).await.ok();
    assert_eq!(answer.rows[0][..5], [100, 0, 0, 0, 100].map(Value::from));
    let answer = fixture.run(&waiting).await.ok();
    assert_eq!(answer.rows[0][..5], [0, 0, 100, 0, 100].map(Value::from));

    let answer = fixture.run(THE_LINE).await.ok();
    assert_eq!(*answer.cell("Notes"), Value::Null);
    let id = answer.end.session.last_batch.unwrap();
    let ended = loop {
        let batch = fixture.batch(id).await;
        if batch.status.is_final() {
            break batch;
        }
        fixture.statements.services().wake.any_batch_woken().await;
    };
    assert_eq!(ended.status, BatchStatus::Done);
    let summary = fixture.run(&format!("BATCH_SUMMARY '{id}'")).await.ok();
    assert_eq!(*summary.row_cell(2, "Succeeded"), json!("100"));
    assert_eq!(*summary.row_cell(2, "Unchanged"), json!(100));
    assert_eq!(*summary.row_cell(2, "% Completed"), json!("100"));
    let details = fixture
        .run(&format!("BATCH_DETAILS '{id}' STATUS='COMPLETED'"))
        .await
        .ok();
    assert_eq!(details.rows.len(), 100);
    let jobs = fixture.run("JOBSTATUS BATCH_JOB").await.ok();
    assert_eq!(jobs.rows.len(), 3);
    assert_eq!(*jobs.cell("Status"), json!("PROCESSED"));
    leave(&node).await;
}

#[tokio::test]
async fn a_batch_in_part_failed_says_so() {
    let (fixture, node) = with_node("127.0.0.1").await;
    let text = "BATCH Other.('1','4711') FABRIC_COMMAND=\"sync_instance Other.?\"";
    let answer = fixture.run(text).await;
    assert_eq!(answer.rows[0][..5], [1, 0, 0, 1, 2].map(Value::from));
    assert_eq!(answer.end.status, EndStatus::BatchFailed);
    let list = fixture.run("BATCH_LIST STATUS='DONE'").await.ok();
    let id = list.cell("Id").as_str().unwrap();
    let details = fixture
        .run(&format!("BATCH_DETAILS '{id}' STATUS='FAILED'"))
        .await
        .ok();
    assert_eq!(
        details.lines(),
        ["4711|n1|FAILED|instance Other.4711 was not found in source|null"]
    );
    leave(&node).await;
}

#[tokio::test]
async fn a_running_batch_is_cancelled() {
    let (fixture, node) = with_node("127.0.0.1").await;
    let id = fixture
        .submit("BATCH Other FABRIC_COMMAND=\"echo ? DELAY_MS=1000\" with ASYNC=true")
        .await;
    let working = async {
        loop {
            let answer = fixture.run("BATCH_IN_PROCESS").await.ok();
            if !answer.rows.is_empty() {
                break answer;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let working = working.await;
    assert_eq!(*working.cell("LU type"), json!("Other"));
    fixture.run(&format!("BATCH_CANCEL '{id}'")).await.ok();
    loop {
        let batch = fixture.batch(id).await;
        if batch.status.is_final() {
            assert_eq!(batch.status, BatchStatus::Cancelled);
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    leave(&node).await;
}
