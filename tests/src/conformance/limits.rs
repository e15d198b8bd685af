//! Texts with any content and of the largest supported sizes, and extreme times.

use weft_model::{ChunkState, DueHint, EntitySource};
use weft_store::{FlushChunk, OpenChunk, SharedStore, StoreError};

use super::claims;
use super::fixture::*;
use super::instances::instance;

claims!(
    an_entity_id_may_be_any_text,
    an_entity_id_may_have_8_kib,
    an_id_that_does_not_fit_is_refused_for_good_and_erases_nothing,
    a_result_of_64_kib_and_an_error_of_4_kib_come_back_whole,
    a_job_may_have_any_text_as_its_name,
    a_uid_of_1024_bytes_is_a_uid,
    a_list_of_2000_ids_is_part_of_the_spec,
    long_arguments_come_back_whole,
    results_of_256_kib_fit_into_one_flush,
    times_before_1970_and_far_away_round_trip,
);

const ODD: &[&str] = &[
    "it's",
    "\"quoted\"",
    "a\nb\r\tc",
    "ü — 漢字 🧵",
    "%_;--",
    "'; DROP TABLE jobs; --",
    "[1,2]",
    "{\"a\":1}",
    "null",
    " leading and trailing ",
    "\\",
    "\u{1}\u{7f}",
    "1",
    "01",
    "1.0",
    "A",
    "a",
];

async fn handled_whole(store: &SharedStore, ids: Vec<String>) {
    let held = Held::with_ids(store.as_ref(), ids.clone()).await;
    assert_eq!(held.content(store.as_ref()).await.ids, ids);
    let flush = held.flush(1, 0..ids.len());
    apply(store.as_ref(), &flush).await;
    let rows = held.entities(store.as_ref()).await;
    assert_eq!(rows.len(), ids.len());
    for row in &flush.rows {
        assert_eq!(&rows[&row.id], row);
    }
    let mut handled = held.content(store.as_ref()).await.handled;
    let mut expected = ids;
    handled.sort();
    expected.sort();
    assert_eq!(handled, expected);
}

async fn an_entity_id_may_be_any_text(store: SharedStore) {
    handled_whole(&store, ODD.iter().map(|id| (*id).to_owned()).collect()).await;
}

async fn an_entity_id_may_have_8_kib(store: SharedStore) {
    let ids = (10..30).map(|number| format!("{number}{}", "ü".repeat(4_095)));
    handled_whole(&store, ids.collect()).await;
}

/// Cassandra takes keys of at most 65,535 bytes. One that is longer destroyed rows of other batches in the same file.
async fn an_id_that_does_not_fit_is_refused_for_good_and_erases_nothing(store: SharedStore) {
    let held = Held::new(store.as_ref(), 4).await;
    apply(store.as_ref(), &held.flush(1, 0..2)).await;
    let units = ["LU".to_owned()];
    store.ensure_logical_units(&units).await.expect("ensured");
    let is_refused = |error: StoreError| {
        assert!(matches!(error, StoreError::Refused(_)), "{error:?}");
    };
    for bytes in [0, 8_193, 65_535, 65_536, 70_000] {
        let unfit = "x".repeat(bytes);
        let mut flush = held.flush(2, 2..4);
        flush.rows[1].id = unfit.clone();
        is_refused(store.flush_chunk(&flush).await.expect_err("a row"));
        let mut flush = held.flush(2, 2..4);
        flush.logical_unit = "LU".to_owned();
        flush.instances = vec![instance(&unfit, 1, 10)];
        is_refused(store.flush_chunk(&flush).await.expect_err("an instance"));
        let open = OpenChunk {
            batch: batch_id(),
            number: 9,
            state: ChunkState::New,
            holder: None,
            ids: vec!["1".to_owned(), unfit.clone()],
            source_position: None,
            source_read: None,
            token: token(),
        };
        is_refused(store.open_chunk(&open).await.expect_err("a list"));
        let instances = [instance(&unfit, 1, 10)];
        is_refused(
            store
                .save_instances("LU", &instances)
                .await
                .expect_err("a save"),
        );
        if bytes == 0 || bytes > 65_535 {
            is_refused(store.instance("LU", &unfit).await.expect_err("a read"));
            let ids = ["1".to_owned(), unfit];
            is_refused(store.instance_heads("LU", &ids).await.expect_err("heads"));
        }
    }
    // Whatever was refused had no effect.
    apply(store.as_ref(), &held.flush(2, 2..4)).await;
    assert_eq!(held.entities(store.as_ref()).await.len(), 4);
    let ids = store.instance_ids("LU", None, 10).await.expect("readable");
    assert_eq!(ids, [""; 0]);
}

async fn a_result_of_64_kib_and_an_error_of_4_kib_come_back_whole(store: SharedStore) {
    let held = Held::new(store.as_ref(), 2).await;
    let mut flush = held.flush(1, 0..2);
    flush.rows[0].result = Some("r".repeat(64 * 1024));
    flush.rows[1] = failed_entity(&held.ids[1], &held.worker, 2);
    flush.rows[1].error = Some("é".repeat(2 * 1024));
    (flush.ok, flush.failed) = (1, 1);
    apply(store.as_ref(), &flush).await;
    let rows = held.entities(store.as_ref()).await;
    assert!(rows.into_values().collect::<Vec<_>>() == flush.rows);
}

async fn a_job_may_have_any_text_as_its_name(store: SharedStore) {
    for odd in ODD {
        let mut submit = submission();
        submit.job.key.name = format!("{odd}{}", own_text(""));
        submit.due.key = submit.job.key.clone();
        apply(store.as_ref(), &submit).await;
        let job = the_job(store.as_ref(), &submit.job.key).await;
        assert_eq!(job.key, submit.job.key);
        let at = submit.due.due_at;
        let hints = store
            .due(&DueHint::first_at(at), at, 100_000)
            .await
            .expect("readable");
        assert!(hints.contains(&submit.due), "no hint for {odd:?}");
    }
}

async fn a_uid_of_1024_bytes_is_a_uid(store: SharedStore) {
    let mut submit = submission();
    let padding = 1_024 - submit.job.key.uid.len();
    submit.job.key.uid.push_str(&"x".repeat(padding));
    apply(store.as_ref(), &submit).await;
    let job = the_job(store.as_ref(), &submit.job.key).await;
    assert_eq!(job.key.uid.len(), 1_024);
}

async fn a_list_of_2000_ids_is_part_of_the_spec(store: SharedStore) {
    let mut submit = submission();
    submit.batch.spec.source = EntitySource::List {
        ids: entity_ids(2_000),
    };
    apply(store.as_ref(), &submit).await;
    let batch = the_batch(store.as_ref(), submit.batch.id).await;
    assert_eq!(batch.spec, submit.batch.spec);
}

async fn long_arguments_come_back_whole(store: SharedStore) {
    let mut submit = submission();
    submit.batch.arguments = format!("{{\"long\":\"{}\"}}", "a'ü".repeat(16 * 1024));
    submit.job.arguments.clone_from(&submit.batch.arguments);
    apply(store.as_ref(), &submit).await;
    let batch = the_batch(store.as_ref(), submit.batch.id).await;
    assert!(batch.arguments == submit.batch.arguments);
    let job = the_job(store.as_ref(), &submit.job.key).await;
    assert!(job.arguments == submit.job.arguments);
}

async fn results_of_256_kib_fit_into_one_flush(store: SharedStore) {
    let held = Held::new(store.as_ref(), 500).await;
    let mut flush: FlushChunk = held.flush(1, 0..500);
    for row in &mut flush.rows {
        row.result = Some("r".repeat(512));
    }
    apply(store.as_ref(), &flush).await;
    assert_eq!(held.entities(store.as_ref()).await.len(), 500);
}

async fn times_before_1970_and_far_away_round_trip(store: SharedStore) {
    let held = Held::new(store.as_ref(), 2).await;
    let mut flush = held.flush(1, 0..2);
    for (row, time) in flush.rows.iter_mut().zip([-86_400_000, 4_102_444_800_000]) {
        row.start_time.0 = time;
        // The end is before the start, as after a clock was set back.
        row.end_time.0 = time - 5;
    }
    apply(store.as_ref(), &flush).await;
    let rows = held.entities(store.as_ref()).await;
    assert_eq!(rows.into_values().collect::<Vec<_>>(), flush.rows);
}
