//! BATCH_CANCEL.

use serde_json::json;
use weft_model::{BatchDesired, BatchStatus, NodeShare};

use super::fixture::{Fixture, THE_LINE};
use crate::EndStatus;

#[tokio::test]
async fn a_cancel_is_a_request_in_the_row_and_is_written_once() {
    let fixture = Fixture::deployed().await;
    let answer = fixture.run(THE_LINE).await.ok();
    let session = answer.end.session;
    let id = session.last_batch.unwrap();
    let answer = fixture.run_in(session.clone(), "BATCH_CANCEL;").await.ok();
    assert_eq!(answer.columns, ["Batch id", "Status", "Notes"]);
    assert_eq!(
        answer.rows,
        [[
            json!(id),
            json!("WAITING_FOR_JOB"),
            json!("nothing has run; the next node that reads it ends it")
        ]]
    );
    let batch = fixture.batch(id).await;
    assert_eq!(
        (batch.desired, batch.desired_seq),
        (BatchDesired::Cancel, 1)
    );
    let again = fixture.run(&format!("KILL '{id}';")).await.ok();
    assert_eq!(*again.cell("Notes"), json!("it is being cancelled already"));
    assert_eq!(fixture.batch(id).await.desired_seq, 1);
}

#[tokio::test]
async fn what_has_ended_cannot_be_cancelled() {
    let fixture = Fixture::deployed().await;
    let id = fixture.submit(THE_LINE).await;
    let mut owner = fixture.owner(id).await;
    owner.generate(&["1"]).await;
    owner
        .finish(
            BatchStatus::Failed,
            Some("the source is gone"),
            NodeShare::default(),
        )
        .await;
    let answer = fixture.run(&format!("BATCH_CANCEL '{id}'")).await;
    assert_eq!(answer.end.status, EndStatus::Failed);
    assert_eq!(
        answer.error(),
        format!("error: batch {id} is FAILED and cannot be cancelled")
    );
    let list = fixture.run("BATCH_LIST STATUS='FAILED'").await.ok();
    assert_eq!(*list.cell("Error"), json!("the source is gone"));
    assert_eq!(*list.cell("Completion %"), json!(0));
}

#[tokio::test]
async fn the_last_batch_of_this_node_is_what_it_coordinates() {
    let fixture = Fixture::deployed().await;
    let answer = fixture.run("CANCEL BATCH;").await;
    assert_eq!(answer.end.status, EndStatus::NotFound);
    assert!(
        answer
            .error()
            .starts_with("error: node n1 coordinates no batch")
    );
    let id = fixture.submit(THE_LINE).await;
    let mut rows = fixture.store.nodes().await.unwrap();
    rows[0].coordinates = vec![id];
    fixture.store.put_node(&rows[0]).await.unwrap();
    let answer = fixture.run("CANCEL BATCH;").await.ok();
    assert_eq!(*answer.cell("Batch id"), json!(id));
}
