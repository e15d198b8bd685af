use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use weft_model::{
    Batch, BatchDesired, BatchId, BatchSpec, BatchStatus, ColumnType, EntityRow, EntitySource,
    Instance, InstanceHead, ParsedColumn, ParsedRow, ParsedTable, RetryPolicy, Value,
    batch_job_key,
};
use weft_project::ProjectCatalogue;
use weft_project::interface::Environment;
use weft_store::faulty::HIDDEN;
use weft_store::{ClaimJob, Freshness, RequestBatch, Settled, Store};

use super::{Runner, heir};
use crate::scheduler::submission_of;
use crate::testing::{Bench, Fault, soon};
use crate::worker::Dispatcher;

fn spec(source: EntitySource, command: &str) -> BatchSpec {
    BatchSpec {
        asynchronous: true,
        allow_multiple: true,
        ..BatchSpec::new("LU", source, command)
    }
}

async fn submit(bench: &Bench, spec: BatchSpec) -> Batch {
    let context = &bench.session.context;
    let batch = Batch::waiting(BatchId(context.ids.uuid()), spec, context.clock.now());
    let submit = submission_of(batch.clone(), context.ids.token());
    let settled = bench.session.settle(&submit).await.unwrap();
    assert!(matches!(settled, Settled::Applied));
    batch
}

/// Claims the job of the batch and runs it in the background.
async fn run(bench: &Bench, batch: &Batch) {
    let session = bench.session.clone();
    let context = &session.context;
    let key = batch_job_key(batch);
    let job = context.store.job(&key, Freshness::Serial).await;
    let job = job.unwrap().unwrap();
    let now = context.clock.now();
    let claim = ClaimJob {
        cut_short: None,
        key: key.clone(),
        seen_status: job.status,
        seen_fence: job.fence,
        holder: session.me.clone(),
        now,
        due: weft_model::DueHint { due_at: now, key },
        token: context.ids.token(),
    };
    session.settle(&claim).await.unwrap();
    let offers = Dispatcher::start(&session).offers();
    let runner = Runner::new(session.clone(), claim.apply(job), offers);
    session.tasks.spawn(async move { runner.run().await });
}

/// The row once it has ended.
async fn ended(bench: &Bench, batch: &Batch) -> Batch {
    let context = &bench.session.context;
    let ended = async {
        loop {
            let woken = context.wake.batch_woken(batch.id);
            let row = context.store.batch(batch.id, Freshness::Serial).await;
            let row = row.unwrap().unwrap();
            if row.status.is_final() {
                return row;
            }
            tokio::select! {
                () = woken => (),
                () = tokio::time::sleep(Duration::from_millis(50)) => (),
            }
        }
    };
    soon("the end of the batch", ended).await
}

#[tokio::test]
async fn a_batch_waits_while_the_store_cannot_give_its_project() {
    let bench = Bench::new();
    let ids = vec!["a".to_owned()];
    let batch = submit(
        &bench,
        BatchSpec {
            project: Some("0123".to_owned()),
            ..spec(EntitySource::List { ids }, "sync_instance LU.?")
        },
    )
    .await;
    bench.store.set("bundle", "", Fault::Unavailable);
    run(&bench, &batch).await;
    bench.store.called("bundle", 2).await;
    bench.store.set("bundle", "", None);
    let ended = ended(&bench, &batch).await;
    // What the store says once it is back.
    let error = "the store has no project 0123";
    assert_eq!(ended.error.as_deref(), Some(error));
    bench.end().await;
}

#[tokio::test]
async fn a_batch_fails_at_once_if_the_store_refuses_its_chunks_for_good() {
    let bench = Bench::new();
    let batch = bench.batch(&["a"], "echo ?");
    bench.submit(batch.clone()).await;
    bench.store.set("open_chunk", "InProgress", Fault::Refused);
    run(&bench, &batch).await;
    let ended = ended(&bench, &batch).await;
    assert_eq!(ended.status, BatchStatus::Failed);
    let error = format!("the store refused what the batch needs: {HIDDEN}");
    assert_eq!(ended.error, Some(error));
    bench.end().await;
}

#[tokio::test]
async fn a_chunk_whose_flush_fails_for_good_is_tried_again_after_growing_pauses() {
    let bench = Bench::new();
    let batch = bench.batch(&["a"], "echo ?");
    bench.submit(batch.clone()).await;
    bench.store.set("flush_chunk", "", Fault::Refused);
    bench.store.set("claim_chunk", "", None);
    let clock = Arc::clone(&bench.session.context.clock);
    let started = clock.monotonic();
    run(&bench, &batch).await;
    // It is born claimed, and claimed again after 100, 200, 400 and 800 ms.
    bench.store.called("claim_chunk", 4).await;
    let took = clock.monotonic() - started;
    assert!(took >= Duration::from_millis(1_500), "after {took:?}");
    bench.store.set("flush_chunk", "", None);
    let ended = ended(&bench, &batch).await;
    assert_eq!((ended.status, ended.error), (BatchStatus::Done, None));
    bench.end().await;
}

#[tokio::test]
async fn a_batch_waits_while_its_node_cannot_unpack_the_project() {
    let bench = Bench::new();
    let context = Arc::clone(&bench.session.context);
    let project = tempfile::tempdir().unwrap();
    let bundle = weft_project::Bundle::pack(project.path()).unwrap();
    let hash = bundle.hash();
    bench
        .store
        .put_bundle(&hash, &bundle.to_bytes())
        .await
        .unwrap();
    // A file is where the folder of the projects goes.
    std::fs::create_dir_all(&context.config.data).unwrap();
    let in_the_way = context.config.data.join("projects");
    std::fs::write(&in_the_way, "").unwrap();
    let source = EntitySource::List {
        ids: vec!["a".to_owned()],
    };
    let batch = submit(
        &bench,
        BatchSpec {
            project: Some(hash),
            ..spec(source, "sync_instance LU.?")
        },
    )
    .await;
    bench.store.set("bundle", "", None);
    run(&bench, &batch).await;
    bench.store.called("bundle", 2).await;
    std::fs::remove_file(&in_the_way).unwrap();
    let error = ended(&bench, &batch).await.error.unwrap_or_default();
    // The project is empty.
    assert_eq!(error, "the project has 1 error");
    bench.end().await;
}

#[tokio::test]
async fn a_batch_waits_while_the_store_cannot_give_its_stored_ids() {
    let bench = Bench::new();
    let context = Arc::clone(&bench.session.context);
    let (store, units) = (&context.store, ["LU".to_owned()]);
    store.ensure_logical_units(&units).await.unwrap();
    let instance = Instance {
        head: InstanceHead {
            id: "a".to_owned(),
            sync_version: 1,
            content_hash: Vec::new(),
            schema_hash: Vec::new(),
        },
        image: Vec::new(),
        batch: None,
    };
    store.save_instances("LU", &[instance]).await.unwrap();
    let batch = submit(&bench, spec(EntitySource::Stored, "echo ?")).await;
    bench.store.set("instance_ids", "", Fault::Unavailable);
    run(&bench, &batch).await;
    bench.store.called("instance_ids", 2).await;
    bench.store.set("instance_ids", "", None);
    let ended = ended(&bench, &batch).await;
    assert_eq!((ended.status, ended.error), (BatchStatus::Done, None));
    assert_eq!(ended.total_entities, Some(1));
    bench.end().await;
}

const LU: &str = "\
root: car
tables:
  car:
    interface: cars
    query: select id, plate from cars where id in (:ids)
    id_column: id
    key: [id]
    columns: {id: TEXT, plate: TEXT}
";

const PARSER: &str = "\
files: ${PROJECT_DIR}/trips/*.csv
format: csv
table: trip
columns: {id: TEXT}
key: id
";

/// Deploys a logical unit whose source has the instances a and b; returns the hash of the project.
async fn deploy(bench: &Bench) -> String {
    let context = &bench.session.context;
    let project = context.config.data.join("source");
    for (path, content) in [
        (
            "interfaces/cars.yaml",
            "type: csv\npath: ${PROJECT_DIR}/cars.csv\n",
        ),
        ("logical_units/LU/lu.yaml", LU),
        ("interfaces/trips.yaml", "type: parsed\nlogical_unit: LU\n"),
        ("logical_units/LU/parsers/trips.yaml", PARSER),
        ("cars.csv", "id,plate\na,A 1\nb,B 2\n"),
    ] {
        let path = project.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let catalogue = ProjectCatalogue::new(
        context.store.clone(),
        context.clock.clone(),
        &context.config.data,
        Environment::from_map(BTreeMap::new()),
    );
    let (ids, self_fence) = (&context.ids, &bench.session.self_fence);
    let deployed = catalogue.deploy(&project, "tester", ids, self_fence).await;
    deployed.unwrap().deployment.hash
}

/// A batch that syncs these ids of a deployed project.
async fn submit_sync(bench: &Bench, ids: &[&str], retry: RetryPolicy) -> Batch {
    let ids = ids.iter().map(|id| (*id).to_owned()).collect();
    let spec = BatchSpec {
        project: Some(deploy(bench).await),
        retry,
        ..spec(EntitySource::List { ids }, "sync_instance LU.?")
    };
    submit(bench, spec).await
}

async fn records(bench: &Bench, batch: &Batch) -> Vec<EntityRow> {
    let store = &bench.session.context.store;
    let mut records = Vec::new();
    for number in 0..batch.chunks {
        records.extend(store.entities(batch.id, number).await.unwrap());
    }
    records
}

#[tokio::test]
async fn an_outage_of_the_store_fails_no_entity() {
    let bench = Bench::new();
    let batch = submit_sync(&bench, &["a", "b"], RetryPolicy::default()).await;
    bench.store.set("instance_heads", "", Fault::Unavailable);
    run(&bench, &batch).await;
    bench.store.called("instance_heads", 2).await;
    bench.store.set("instance_heads", "", None);
    let ended = ended(&bench, &batch).await;
    assert_eq!((ended.status, &ended.error), (BatchStatus::Done, &None));
    let records = records(&bench, &ended).await;
    let failed = records.iter().filter_map(|record| record.error.as_deref());
    assert_eq!(failed.collect::<Vec<_>>(), [""; 0]);
    assert_eq!(records.len(), 2);
    bench.end().await;
}

#[tokio::test]
async fn an_outage_of_the_store_is_no_attempt_at_an_entity() {
    let bench = Bench::new();
    let retry = RetryPolicy {
        max_attempts: 2,
        delay_ms: 1,
    };
    let batch = submit_sync(&bench, &["a", "lost"], retry).await;
    let again = "[\"lost\"]";
    bench.store.set("instance_heads", again, Fault::Unavailable);
    run(&bench, &batch).await;
    bench.store.called("instance_heads", 2).await;
    bench.store.set("instance_heads", again, None);
    let ended = ended(&bench, &batch).await;
    let records = records(&bench, &ended).await;
    let lost = records.iter().find(|record| record.id == "lost").unwrap();
    let error = "instance LU.lost was not found in source";
    assert_eq!((lost.error.as_deref(), lost.attempt), (Some(error), 2));
    bench.end().await;
}

#[tokio::test]
async fn a_batch_waits_while_the_store_cannot_give_the_ids_that_a_parser_stored() {
    let bench = Bench::new();
    let project = Some(deploy(&bench).await);
    let context = Arc::clone(&bench.session.context);
    let table = ParsedTable {
        logical_unit: "LU".to_owned(),
        name: "trip".to_owned(),
        columns: vec![ParsedColumn {
            name: "id".to_owned(),
            kind: ColumnType::Text,
            from: "id".to_owned(),
        }],
        key: vec!["id".to_owned()],
    };
    let row = ParsedRow {
        file: "trips/1.csv".to_owned(),
        line: 1,
        values: vec![Value::Text("a".to_owned())],
    };
    let store = &context.store;
    store.put_parsed_rows(&table, &[row]).await.unwrap();
    let source = EntitySource::Query {
        interface: "trips".to_owned(),
        sql: "select id from trip".to_owned(),
        parameters: Vec::new(),
        instance_group: None,
    };
    let spec = BatchSpec {
        project,
        ..spec(source, "echo ?")
    };
    let batch = submit(&bench, spec).await;
    bench.store.set("parsed_rows", "", Fault::Unavailable);
    run(&bench, &batch).await;
    bench.store.called("parsed_rows", 2).await;
    bench.store.set("parsed_rows", "", None);
    let ended = ended(&bench, &batch).await;
    assert_eq!((ended.status, ended.error), (BatchStatus::Done, None));
    assert_eq!(ended.total_entities, Some(1));
    bench.end().await;
}

#[tokio::test]
async fn a_cancel_reaches_a_chunk_that_waits_for_the_store() {
    let bench = Bench::new();
    let batch = submit_sync(&bench, &["a", "b"], RetryPolicy::default()).await;
    bench.store.set("instance_heads", "", Fault::Unavailable);
    run(&bench, &batch).await;
    bench.store.called("instance_heads", 2).await;
    let store = &bench.session.context.store;
    let row = store.batch(batch.id, Freshness::Serial).await;
    let cancel = RequestBatch {
        id: batch.id,
        seq: row.unwrap().unwrap().desired_seq + 1,
        desired: BatchDesired::Cancel,
        allowed: vec![BatchStatus::GenerateIid, BatchStatus::InProgress],
        due: None,
        token: bench.session.context.ids.token(),
    };
    bench.session.settle(&cancel).await.unwrap();
    let ended = ended(&bench, &batch).await;
    assert_eq!(ended.status, BatchStatus::Cancelled);
    assert_eq!(records(&bench, &ended).await, []);
    bench.end().await;
}

#[tokio::test]
async fn ids_that_do_not_fit_become_failed_records_and_the_others_are_handled() {
    let bench = Bench::new();
    let (long, longer) = ("x".repeat(1_025), "x".repeat(70_000));
    let ids = ["a", "", &long, &longer, "b", &longer].map(str::to_owned);
    let source = EntitySource::List { ids: ids.into() };
    let batch = submit(&bench, spec(source, "echo ?")).await;
    run(&bench, &batch).await;
    let ended = ended(&bench, &batch).await;
    assert_eq!((ended.status, &ended.error), (BatchStatus::Done, &None));
    assert_eq!((ended.total_entities, ended.duplicates), (Some(5), 1));
    let mut records: Vec<_> = records(&bench, &ended).await;
    records.sort_by(|one, other| one.id.cmp(&other.id));
    let shown: Vec<_> = records
        .iter()
        .map(|record| (record.id.as_str(), record.error.as_deref()))
        .collect();
    let begins = format!("{}… (", "x".repeat(64));
    assert_eq!(shown[0], ("(empty id)", Some("an entity id is not empty")));
    assert_eq!(shown[1..3], [("a", None), ("b", None)]);
    let too_long = |bytes| format!("an entity id has at most 1024 bytes, not {bytes}");
    for ((id, error), bytes) in shown[3..].iter().zip([1_025, 70_000]) {
        assert!(
            id.starts_with(&format!("{begins}{bytes} bytes, sha256 ")),
            "{id}"
        );
        assert_eq!(*error, Some(too_long(bytes).as_str()));
    }
    bench.end().await;
}

#[tokio::test]
async fn a_record_that_the_store_refuses_for_good_fails_alone() {
    let bench = Bench::new();
    let ids = ["a", "b", "c", "d", "e"].map(str::to_owned);
    let source = EntitySource::List { ids: ids.into() };
    let batch = submit(&bench, spec(source, "echo ?")).await;
    let refused = "id: \"b\", status: Completed";
    bench.store.set("flush_chunk", refused, Fault::Refused);
    run(&bench, &batch).await;
    let ended = ended(&bench, &batch).await;
    assert_eq!(ended.status, BatchStatus::Done);
    let records = records(&bench, &ended).await;
    assert_eq!(records.len(), 5);
    for record in records {
        let says = format!("the store refused the record of this entity: {HIDDEN}");
        let error = (record.id == "b").then_some(says);
        assert_eq!(record.error, error, "{}", record.id);
    }
    let total = ended.statistics.unwrap().total();
    assert_eq!((total.succeeded, total.failed), (4, 1));
    bench.end().await;
}

#[tokio::test]
async fn an_end_of_a_batch_that_the_store_refuses_for_good_is_written_without_its_details() {
    let bench = Bench::new();
    let ids = vec!["a".to_owned(), "b".to_owned()];
    let batch = submit(&bench, spec(EntitySource::List { ids }, "echo ?")).await;
    // The slowest entities are in the end of the batch only by their ids.
    bench.store.set("finish_batch", "\\\"a\\\"", Fault::Refused);
    run(&bench, &batch).await;
    let ended = ended(&bench, &batch).await;
    assert_eq!((ended.status, ended.error), (BatchStatus::Done, None));
    let total = ended.statistics.unwrap().total();
    assert_eq!((total.succeeded, total.failed), (2, 0));
    let key = batch_job_key(&batch);
    let store = &bench.session.context.store;
    let job = store.job(&key, Freshness::Serial);
    let job = job.await.unwrap().unwrap();
    assert!(job.archived && job.status.is_ended());
    bench.end().await;
}

#[tokio::test]
async fn an_inherited_batch_becomes_due_although_its_row_cannot_be_read_at_first() {
    let bench = Bench::new();
    let ids = vec!["a".to_owned()];
    let batch = submit(&bench, spec(EntitySource::List { ids }, "echo ?")).await;
    let (session, wake) = (bench.session.clone(), &bench.session.context.wake);
    bench.store.set("batch", "", Fault::Unavailable);
    let (_deaths, died) = mpsc::channel(1);
    session
        .tasks
        .spawn(heir::run(session.clone(), vec![batch.id], died));
    bench.store.called("batch", 2).await;
    assert_eq!(wake.take_to_check(), []);
    bench.store.set("batch", "", None);
    let due = async {
        loop {
            if let Some(key) = wake.take_to_check().pop() {
                return key;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let key = soon("the check of the job", due).await;
    assert_eq!(key, batch_job_key(&batch));
    bench.end().await;
}
