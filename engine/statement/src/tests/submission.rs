//! What BATCH leaves in the store.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use weft_model::Session;
use weft_model::batch_job_key;
use weft_model::{BatchStatus, EntitySource, JobStatus};
use weft_store::Freshness;

use super::fixture::{Fixture, THE_LINE};
use crate::EndStatus;

#[tokio::test]
async fn the_line_leaves_a_waiting_batch_and_a_waiting_job() {
    let fixture = Fixture::deployed().await;
    let answer = fixture.run(THE_LINE).await.ok();
    assert_eq!(answer.columns, ["Batch id", "Notes", "Execution id"]);
    assert_eq!(
        answer.cell("Notes"),
        "no live node matches JOB_AFFINITY '10.21.2.102'"
    );
    let batch = fixture.only_batch().await.unwrap();
    assert_eq!(*answer.cell("Batch id"), json!(batch.id));
    assert_eq!(*answer.cell("Execution id"), json!(batch.execution_id));
    assert_eq!(answer.end.session.last_batch, Some(batch.id));
    assert_eq!(batch.status, BatchStatus::WaitingForJob);
    assert_eq!(batch.command, THE_LINE, "character for character");
    assert_eq!(batch.owner, "admin");
    assert_eq!(batch.spec.logical_unit, "AUTODATA_DELTA");
    assert_eq!(batch.spec.fabric_command, "sync_instance AUTODATA_DELTA.?");
    assert_eq!(batch.spec.job_affinity, ["10.21.2.102"]);
    assert!(batch.spec.asynchronous);
    assert_eq!(
        batch.spec.source,
        EntitySource::Query {
            interface: "idsFile".to_owned(),
            sql: "select id from ids  limit 100".to_owned(),
            parameters: Vec::new(),
            instance_group: None,
        }
    );
    let key = batch_job_key(&batch);
    let job = fixture.store.job(&key, Freshness::Serial).await.unwrap();
    let job = job.expect("its job is there as soon as the batch is");
    assert_eq!(job.key.job_type, "BATCH PROCESS");
    assert_eq!(job.key.name, "BATCH_AUTODATA_DELTA");
    assert_eq!(job.key.uid, batch.id.to_string());
    assert_eq!(job.status, JobStatus::Waiting);
    assert_eq!((job.fence, job.archived), (0, false));
    let first = weft_model::DueHint::first_at(batch.creation_time);
    let due = fixture.store.due(&first, batch.creation_time, 10);
    assert_eq!(due.await.unwrap()[0].key, key, "a node will read the row");
}

#[tokio::test]
async fn a_node_of_that_address_takes_the_note_away() {
    let fixture = Fixture::deployed().await;
    fixture.put_node("n2", "10.21.2.102").await;
    let answer = fixture.run(THE_LINE).await.ok();
    assert_eq!(*answer.cell("Notes"), Value::Null);
}

#[tokio::test]
async fn submission_takes_three_compare_and_sets() {
    let fixture = Fixture::deployed().await;
    let before = fixture.store.statistics().compare_and_set_total();
    fixture.run(THE_LINE).await.ok();
    let after = fixture.store.statistics().compare_and_set_total();
    assert_eq!(after - before, 3, "the gate, the batch, its job");
}

#[tokio::test]
async fn arguments_have_the_documented_keys_as_texts() {
    let fixture = Fixture::deployed().await;
    let session = Session {
        scope: BTreeMap::from([("sync".to_owned(), "force".to_owned())]),
        ..Session::default()
    };
    let answer = fixture.run_in(session, THE_LINE).await.ok();
    let batch = fixture.only_batch().await.unwrap();
    let arguments: BTreeMap<String, String> = serde_json::from_str(&batch.arguments).unwrap();
    let id = batch.id.to_string();
    let expected = [
        ("ALLOW_MULTIPLE", "false"),
        ("AUTH_TOKEN", "***"),
        ("AUTH_USER", "admin"),
        ("COMMAND", THE_LINE),
        ("ESTIMATED_ENTITIES_COUNT", "0"),
        (
            "EXECUTION_ID",
            answer.cell("Execution id").as_str().unwrap(),
        ),
        ("FABRIC_COMMAND", "sync_instance AUTODATA_DELTA.?"),
        ("INSTANCES_LIST", ""),
        ("IS_ASYNC", "true"),
        ("JOB_AFFINITY", "10.21.2.102"),
        ("JOB_UID", &id),
        ("SRC_DB_INTERFACE_NAME", "idsFile"),
        ("SRC_DB_QUERY", "select id from ids  limit 100"),
        ("bid", &id),
        ("environment_name", "_dev"),
        ("lu_name", "AUTODATA_DELTA"),
        ("session_scope", r#"{"scope":{"sync":"force"}}"#),
        ("sync_mode", "FORCE"),
    ];
    let expected: BTreeMap<String, String> = expected
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    assert_eq!(arguments, expected);
}

#[tokio::test]
async fn secrets_of_a_session_are_stored_nowhere() {
    let fixture = Fixture::deployed().await;
    let names = [
        "API_TOKEN",
        "db.password",
        "clientSecret",
        "SSH_KEY",
        "CREDENTIALS",
    ];
    let canary = |name: &str| format!("canary-{}", name.to_lowercase());
    let set: Vec<String> = names
        .iter()
        .map(|name| format!("SET {name} = '{}';", canary(name)))
        .collect();
    let text = format!("{} SET visible = 'yes'; {THE_LINE} SET;", set.join(" "));
    let answer = fixture.run(&text).await.ok();
    let batch = fixture.only_batch().await.unwrap();
    let job = fixture
        .store
        .job(&batch_job_key(&batch), Freshness::Serial)
        .await
        .unwrap();
    let stored = format!("{batch:?} {job:?}");
    let shown = format!("{:?}", answer.rows);
    let file = std::fs::read(fixture.folder.path().join("weft.db-wal")).unwrap_or_default();
    let file = String::from_utf8_lossy(&file).into_owned();
    for name in names {
        let canary = canary(name);
        assert!(!stored.contains(&canary), "{name} is in a row");
        assert!(!shown.contains(&canary), "{name} is shown");
        assert!(!file.contains(&canary), "{name} is in the file");
        assert_eq!(batch.spec.session_scope[name], "***");
    }
    assert_eq!(batch.spec.session_scope["visible"], "yes");
    assert!(answer.lines().contains(&"visible|yes".to_owned()));
}

#[tokio::test]
async fn every_source_of_ids_that_can_run_is_lowered() {
    let fixture = Fixture::deployed().await;
    let query = |sql: &str, group: Option<&str>, parameters: &[&str]| EntitySource::Query {
        interface: "idsFile".to_owned(),
        sql: sql.to_owned(),
        parameters: parameters.iter().map(|text| (*text).to_owned()).collect(),
        instance_group: group.map(str::to_owned),
    };
    let list = |ids: &[&str]| EntitySource::List {
        ids: ids.iter().map(|id| (*id).to_owned()).collect(),
    };
    let cases = [
        ("autodata_delta", query("select id from ids", None, &[])),
        (
            "AUTODATA_DELTA.SMALL",
            query("select id from ids limit 3", Some("small"), &[]),
        ),
        ("AUTODATA_DELTA.('1','it''s')", list(&["1", "it's"])),
        ("AUTODATA_DELTA (1;2;3)", list(&["1", "2", "3"])),
        ("AUTODATA_DELTA FROM fabric", EntitySource::Stored),
        (
            "AUTODATA_DELTA FROM IDSFILE USING (\"select id from ids\")",
            query("select id from ids", None, &[]),
        ),
    ];
    for (entities, expected) in cases {
        let text = format!(
            "BATCH {entities} FABRIC_COMMAND='sync_instance AUTODATA_DELTA.?' with ASYNC=true ALLOW_MULTIPLE=true;"
        );
        let id = fixture.submit(&text).await;
        let batch = fixture.batch(id).await;
        assert_eq!(batch.spec.source, expected, "{entities}");
        assert_eq!(batch.spec.logical_unit, "AUTODATA_DELTA");
    }
    let id = fixture
        .submit("BATCH AUTODATA_DELTA FROM idsFile USING ('select id from ids where id <= ? and id > ?') FABRIC_COMMAND=\"sync_instance AUTODATA_DELTA.?\" with async='true' BIND_PARAMS='1000|10' BIND_PARAMS_SEPARATOR='|';")
        .await;
    let bound = query(
        "select id from ids where id <= ? and id > ?",
        None,
        &["1000", "10"],
    );
    assert_eq!(fixture.batch(id).await.spec.source, bound);
}

#[tokio::test]
async fn options_are_defaulted_capped_and_cleaned() {
    let fixture = Fixture::deployed().await;
    let text = "BATCH AUTODATA_DELTA.('1') FABRIC_COMMAND='echo ?' WITH AFFINITY='’DC1’, n2' ASYNC=true GENERATE_ENTITIES_FIRST=true ALLOW_MULTIPLY=true MAX_NODES=2 MAX_WORKERS_PER_NODE=50 ESTIMATED_ENTITIES_COUNT=1000 MAX_ATTEMPTS=3 RETRY_DELAY_MS=20 ENTITY_TIMEOUT_MS=500;";
    let answer = fixture.run(text).await.ok();
    assert_eq!(
        answer.notices,
        [
            "AFFINITY was read as 'DC1,n2': quotes are not part of names",
            "MAX_WORKERS_PER_NODE=50 was lowered to 8, which is what nodes are configured for",
        ]
    );
    let spec = fixture.only_batch().await.unwrap().spec;
    assert_eq!(spec.affinity, ["DC1", "n2"]);
    assert!(spec.generate_entities_first && spec.allow_multiple);
    assert_eq!(spec.max_nodes, Some(2));
    assert_eq!(spec.max_workers_per_node, Some(8));
    assert_eq!(spec.estimated_entities, Some(1000));
    assert_eq!((spec.retry.max_attempts, spec.retry.delay_ms), (3, 20));
    assert_eq!(spec.entity_timeout_ms, Some(500));
    assert!(
        spec.project.is_some(),
        "it keeps the version it started with"
    );

    let id = fixture.submit("MIGRATE Other@DC1 with ASYNC='true';").await;
    let spec = fixture.batch(id).await.spec;
    assert_eq!(spec.affinity, ["DC1"]);
    assert_eq!(spec.fabric_command, "sync_instance Other.?");
}

#[tokio::test]
async fn the_same_command_runs_once_at_a_time() {
    let fixture = Fixture::deployed().await;
    let first = fixture.submit(THE_LINE).await;
    let again = THE_LINE
        .replace("ASYNC='true'", "ASYNC=true")
        .replace("BATCH", "batch ");
    let answer = fixture.run(&again).await;
    assert_eq!(answer.end.status, EndStatus::Failed);
    assert_eq!(
        answer.error(),
        format!(
            "error: the same command is already running as batch {first} (WAITING_FOR_JOB)\nhint: BATCH_SUMMARY '{first}' shows how far it is; with ALLOW_MULTIPLE=true it may run twice at once"
        )
    );
    let twice = THE_LINE.replace("ASYNC='true'", "ASYNC=true ALLOW_MULTIPLE=true");
    fixture.submit(&twice).await;

    let mut owner = fixture.owner(first).await;
    owner.generate(&["1"]).await;
    let share = owner.record(&[("1", None, 1)], true).await;
    owner.finish(BatchStatus::Done, None, share).await;
    fixture.submit(&again).await;
}

#[tokio::test]
async fn a_waiting_statement_shows_progress_and_the_documented_table() {
    let fixture = Fixture::deployed().await;
    let text = "BATCH AUTODATA_DELTA.('1','2') FABRIC_COMMAND=\"sync_instance AUTODATA_DELTA.?\"";
    let playing = async {
        let batch = loop {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            if let Some(batch) = fixture.only_batch().await {
                break batch;
            }
        };
        let mut owner = fixture.owner(batch.id).await;
        owner.generate(&["1", "2"]).await;
        let rows = [("1", None, 1), ("2", Some("no such car"), 2)];
        let share = owner.record(&rows, true).await;
        owner.finish(BatchStatus::Done, None, share).await;
        batch.id
    };
    let (answer, id) = tokio::join!(fixture.run(text), playing);
    assert_eq!(
        answer.columns,
        [
            "Added",
            "Updated",
            "Unchanged",
            "Failed",
            "Total",
            "Duration"
        ]
    );
    assert_eq!(
        answer.rows[0][..5],
        [json!(1), json!(0), json!(0), json!(1), json!(2)]
    );
    assert!(answer.rows[0][5].is_i64());
    assert!(!answer.progress.is_empty());
    assert_eq!(answer.progress[0].batch, id);
    assert_eq!(answer.end.status, EndStatus::BatchFailed);
    assert_eq!(
        answer.error(),
        format!("error: batch {id} is DONE, and 1 of 2 entities failed")
    );
    let notice = format!("BATCH_DETAILS '{id}' STATUS='FAILED' shows the entities that failed");
    assert_eq!(answer.notices, [notice]);
    assert_eq!(
        answer.end.session.last_batch, None,
        "it was not asynchronous"
    );
}

#[tokio::test]
async fn other_commands_have_the_other_table_and_a_cancel_its_own_end() {
    let fixture = Fixture::deployed().await;
    let text = "BATCH Other.('1') FABRIC_COMMAND=\"echo ?\"";
    let playing = async {
        let batch = loop {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            if let Some(batch) = fixture.only_batch().await {
                break batch;
            }
        };
        let mut owner = fixture.owner(batch.id).await;
        owner.generate(&["1"]).await;
        owner
            .finish(
                BatchStatus::Cancelled,
                None,
                weft_model::NodeShare::default(),
            )
            .await;
        batch
    };
    let (answer, batch) = tokio::join!(fixture.run(text), playing);
    assert_eq!(
        answer.columns,
        [
            "Batch id",
            "Execution id",
            "Execution succeeded",
            "Execution failed",
            "Total",
            "Duration"
        ]
    );
    assert_eq!(
        answer.rows[0][..5],
        [
            json!(batch.id),
            json!(batch.execution_id),
            json!(0),
            json!(0),
            json!(1)
        ]
    );
    assert_eq!(answer.end.status, EndStatus::Cancelled);
}

#[tokio::test]
async fn a_client_that_disconnects_ends_its_wait_and_not_the_batch() {
    let fixture = Fixture::deployed().await;
    let (sender, receiver) = tokio::sync::mpsc::channel(4);
    let principal = weft_model::Principal {
        name: "admin".to_owned(),
    };
    drop(receiver);
    let stop = tokio_util::sync::CancellationToken::new();
    let text = "BATCH Other.('1') FABRIC_COMMAND=\"echo ?\"";
    fixture
        .statements
        .run(&principal, text, Session::default(), sender, stop)
        .await;
    let batch = fixture.only_batch().await.unwrap();
    assert_eq!(batch.status, BatchStatus::WaitingForJob);
}

#[tokio::test]
async fn an_unknown_outcome_is_reported_with_the_batch() {
    let fixture = Fixture::deployed().await;
    fixture
        .outage
        .begun
        .store(true, std::sync::atomic::Ordering::Relaxed);
    let text = "BATCH Other.('1') FABRIC_COMMAND='echo ?' with ASYNC=true";
    let gate = fixture.run(text).await;
    assert_eq!(gate.end.status, EndStatus::Unreachable);
    assert!(
        gate.error().ends_with("was not submitted"),
        "{}",
        gate.error()
    );
    let answer = fixture.run(&format!("{text} ALLOW_MULTIPLE=true")).await;
    assert_eq!(answer.end.status, EndStatus::Unreachable);
    assert!(
        answer
            .error()
            .contains("may or may not have been submitted"),
        "{}",
        answer.error()
    );
    assert!(
        answer.error().contains("\nhint: look with BATCH_INFO '"),
        "{}",
        answer.error()
    );
}
