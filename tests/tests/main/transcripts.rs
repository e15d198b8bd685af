//! What people type and see, word for word, on every store.

use weft_tests::transcript::{CassandraPlace, SqlitePlace, run_all};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transcripts_hold_on_sqlite() {
    if let Err(report) = run_all(&SqlitePlace).await {
        panic!("{report}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transcripts_hold_on_cassandra() {
    let place = CassandraPlace::of_environment().await;
    let Some(place) = place.expect("Cassandra answers") else {
        eprintln!("WEFT_TEST_CASSANDRA is not set: the transcripts are not run on Cassandra");
        return;
    };
    let outcome = run_all(&place).await;
    let dropped = place.drop_keyspaces().await;
    if let Err(report) = outcome {
        panic!("{report}");
    }
    dropped.expect("own keyspaces can be dropped");
}
