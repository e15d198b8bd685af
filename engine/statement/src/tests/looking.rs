//! What users see: the documented columns and their values.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use weft_model::clock::Timestamp;
use weft_model::ids::Ids;
use weft_model::{Batch, BatchId, BatchSpec, EntitySource, Principal, Setting};
use weft_model::{BatchStatus, InProcess, NodeId, NodeShare, NodeStats, SlowEntity};
use weft_node::scheduler::submission_of;
use weft_node::{REMOVED_BATCHES, RemovedBatches};
use weft_store::PutSetting;

use super::fixture::{Fixture, THE_LINE};
use crate::EndStatus;
use crate::inspect::{BatchListQuery, StatusFilter};

const LIST: [&str; 10] = [
    "Id",
    "Command",
    "Start date",
    "End date",
    "Status",
    "Created by",
    "Completion %",
    "Execution id",
    "Error",
    "Notes",
];

#[tokio::test]
async fn a_batch_that_waits_is_listed_and_explained() {
    let fixture = Fixture::deployed().await;
    let id = fixture.submit(THE_LINE).await;
    let answer = fixture.run("BATCH_LIST;").await.ok();
    assert_eq!(answer.columns, LIST);
    let batch = fixture.batch(id).await;
    let why = "no live node matches JOB_AFFINITY '10.21.2.102'";
    assert_eq!(
        answer.rows,
        [vec![
            json!(id),
            json!(THE_LINE),
            Value::Null,
            Value::Null,
            json!("WAITING_FOR_JOB"),
            json!("admin"),
            json!(0),
            json!(batch.execution_id),
            Value::Null,
            json!(why),
        ]]
    );
    let summary = fixture.run(&format!("BATCH_SUMMARY '{id}';")).await.ok();
    assert!(summary.rows.is_empty());
    assert_eq!(summary.columns.len(), 17);
    assert_eq!(
        summary.notices,
        [format!(
            "Batch process is waiting to be taken by a job: {why}"
        )]
    );
    let jobs = fixture.run("JOBSTATUS;").await.ok();
    assert_eq!(*jobs.cell("Notes"), json!(why));
    assert_eq!(*jobs.cell("Ownership Candidates Num"), json!(0));
}

#[tokio::test]
async fn lists_are_cut_by_status_date_and_expression() {
    let fixture = Fixture::deployed().await;
    let done = fixture.submit(THE_LINE).await;
    let mut owner = fixture.owner(done).await;
    owner.generate(&["1"]).await;
    let share = owner.record(&[("1", None, 1)], true).await;
    owner.finish(BatchStatus::Done, None, share).await;
    let waiting = fixture
        .submit("BATCH Other.('1') FABRIC_COMMAND='echo ?' with ASYNC=true")
        .await;
    let day = fixture.clock.now().to_utc().format("%Y-%m-%d").to_string();
    let cases = [
        ("BATCH_LIST".to_owned(), vec![waiting]),
        ("batch_list status='ALL'".to_owned(), vec![waiting, done]),
        ("BATCH_LIST STATUS='DONE'".to_owned(), vec![done]),
        (
            "BATCH_LIST STATUS=WAITING_FOR_JOB".to_owned(),
            vec![waiting],
        ),
        ("BATCH_LIST STATUS='FAILED'".to_owned(), vec![]),
        (
            "batch_list status='ALL' FILTER='sync_instance'".to_owned(),
            vec![done],
        ),
        (
            "batch_list status='ALL' FILTER='(?i)^batch other'".to_owned(),
            vec![waiting],
        ),
        (
            format!("BATCH_LIST STATUS='ALL' FROM_DATE='{day}'"),
            vec![waiting, done],
        ),
        (
            format!("BATCH_LIST STATUS='ALL' FROM_DATE='2020-08-12' TO_DATE='{day}'"),
            vec![waiting, done],
        ),
        (
            "BATCH_LIST STATUS='ALL' FROM_DATE='2020-08-12' TO_DATE='2020-08-13 12:00:00'"
                .to_owned(),
            vec![],
        ),
    ];
    for (text, expected) in cases {
        let answer = fixture.run(&text).await.ok();
        let found: Vec<&Value> = answer.rows.iter().map(|row| &row[0]).collect();
        let expected: Vec<Value> = expected.into_iter().map(|id| json!(id)).collect();
        assert_eq!(found, expected.iter().collect::<Vec<_>>(), "{text}");
    }
    let answer = fixture.run("BATCH_LIST STATUS='DONE'").await.ok();
    assert_eq!(*answer.cell("Completion %"), json!(100));
    assert_eq!(
        answer.cell("End date").as_str().unwrap().len(),
        "2020-08-12 12:20:09".len()
    );
    for text in [
        "BATCH_LIST FILTER='('",
        "BATCH_LIST STATUS=ALL FROM_DATE='soon'",
    ] {
        let answer = fixture.run(text).await;
        assert_eq!(answer.end.status, EndStatus::Usage, "{text}");
        assert!(answer.error().contains('^'), "{}", answer.error());
    }
}

/// A node's row names what it coordinates as of its last heartbeat.
#[tokio::test]
async fn a_batch_that_ended_since_the_last_heartbeat_is_listed_as_ended() {
    let fixture = Fixture::deployed().await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let id = fixture.submit(THE_LINE).await;
        let mut owner = fixture.owner(id).await;
        owner.generate(&["1"]).await;
        owner
            .finish(BatchStatus::Cancelled, None, NodeShare::default())
            .await;
        ids.push(id);
    }
    fixture
        .put_coordinator("n1", "127.0.0.1", vec![ids[0]])
        .await;
    let answer = fixture.run("BATCH_LIST STATUS='ALL'").await.ok();
    let found: Vec<&Value> = answer.rows.iter().map(|row| &row[0]).collect();
    assert_eq!(found, [&json!(ids[1]), &json!(ids[0])]);
    assert_eq!(
        fixture.run("BATCH_LIST").await.ok().rows,
        [] as [Vec<Value>; 0]
    );
}

#[tokio::test]
async fn active_batches_never_push_ended_ones_out() {
    let fixture = Fixture::deployed().await;
    let mut ids = Vec::new();
    for number in 0..5 {
        let text = format!("BATCH Other.('{number}') FABRIC_COMMAND='echo ?' with ASYNC=true");
        ids.push(fixture.submit(&text).await);
    }
    for id in &ids[..3] {
        let mut owner = fixture.owner(*id).await;
        owner.generate(&["1"]).await;
        owner
            .finish(BatchStatus::Cancelled, None, NodeShare::default())
            .await;
    }
    let admin = Principal {
        name: "admin".to_owned(),
    };
    let inspector = fixture.statements.inspector();
    let mut pages = Vec::new();
    let mut before = None;
    loop {
        let query = BatchListQuery {
            status: StatusFilter::All,
            before,
            limit: 2,
            ..BatchListQuery::default()
        };
        let permit = fixture.statements.authorize(&admin, query).unwrap();
        let page = inspector.batches(&permit).await.unwrap();
        let statuses = page.items.iter().map(|item| item.batch.status);
        pages.push(statuses.collect::<Vec<_>>());
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    use BatchStatus::{Cancelled, WaitingForJob};
    let first = vec![WaitingForJob, WaitingForJob, Cancelled, Cancelled];
    assert_eq!(pages, [first, vec![Cancelled]]);
}

/// What the clean-up has removed is not searched, because Cassandra refuses to read over too many removed lines.
#[tokio::test]
async fn a_list_ends_where_the_clean_up_is() {
    let fixture = Fixture::deployed().await;
    let now = fixture.clock.now();
    let new_ids = Ids::seeded(5);
    let ended = async |days: i64| {
        let created = Timestamp(now.0 - days * 86_400_000);
        let spec = BatchSpec::new("Other", EntitySource::Stored, "echo ?");
        let id = BatchId(new_ids.uuid());
        let batch = Batch {
            status: BatchStatus::Done,
            end_time: Some(created),
            ..Batch::waiting(id, spec, created)
        };
        let submit = submission_of(batch, new_ids.token());
        fixture.store.submit_batch(&submit).await.unwrap();
        (created, id)
    };
    let (_, removed) = (ended(9).await, ended(8).await);
    let (left, young) = (ended(7).await, ended(3).await);
    let value = RemovedBatches {
        before: Timestamp(now.0 - 5 * 86_400_000),
        left: vec![left],
    };
    let setting = Setting {
        name: REMOVED_BATCHES.to_owned(),
        seq: 1,
        value: serde_json::to_string(&value).unwrap(),
        changed_at: now,
        changed_by: "n1".to_owned(),
    };
    let token = new_ids.token();
    let put = PutSetting { setting, token };
    fixture.store.put_setting(&put).await.unwrap();
    for limit in [1, 10] {
        let query = BatchListQuery {
            limit,
            ..BatchListQuery::default()
        };
        let found = listed(&fixture, query).await;
        assert!(!found.contains(&removed.1));
        assert_eq!(found, [young.1, left.1]);
    }
    let query = BatchListQuery {
        to: Some(Timestamp(now.0 - 6 * 86_400_000)),
        limit: 10,
        ..BatchListQuery::default()
    };
    assert_eq!(listed(&fixture, query).await, [left.1]);
}

/// All ended batches, page by page.
async fn listed(fixture: &Fixture, query: BatchListQuery) -> Vec<BatchId> {
    let admin = Principal {
        name: "admin".to_owned(),
    };
    let inspector = fixture.statements.inspector();
    let mut found = Vec::new();
    let mut before = None;
    loop {
        let query = BatchListQuery {
            status: StatusFilter::Is(BatchStatus::Done),
            before,
            ..query.clone()
        };
        let permit = fixture.statements.authorize(&admin, query).unwrap();
        let page = inspector.batches(&permit).await.unwrap();
        found.extend(page.items.iter().map(|item| item.batch.id));
        before = page.next;
        if before.is_none() {
            return found;
        }
    }
}

/// The filters of the chunks say which one to read, so the size of the batch does not count.
#[tokio::test]
async fn one_entity_is_found_without_a_scan_of_its_batch() {
    let fixture = Fixture::deployed().await;
    let id = fixture.submit(THE_LINE).await;
    let mut owner = fixture.owner(id).await;
    let ids_of = |chunk: usize| (0..10).map(|id| format!("c{chunk}-{id}")).collect();
    let chunks: Vec<Vec<String>> = (0..60).map(ids_of).collect();
    owner.generate_chunks(&chunks).await;
    let before = fixture.store.statistics();
    let details = fixture
        .run(&format!("BATCH_DETAILS '{id}' ENTITIES='c17-1';"))
        .await
        .ok();
    assert_eq!(details.rows.len(), 1);
    let after = fixture.store.statistics();
    let calls = |verb: &str| {
        let count = |counts: &weft_store::StoreStatistics| {
            counts.calls.get(verb).copied().unwrap_or_default()
        };
        count(&after) - count(&before)
    };
    assert_eq!(calls("chunk_filters"), 1);
    assert_eq!(calls("entities"), 0);
    // One chunk in a hundred may seem to have the id as well.
    assert!(calls("chunk") <= 2, "{} chunks", calls("chunk"));
    assert!(calls("chunk_heads") <= 2, "{} heads", calls("chunk_heads"));
    let nothing = fixture
        .run(&format!("BATCH_DETAILS '{id}' ENTITIES='c60-1';"))
        .await
        .ok();
    assert_eq!(nothing.rows.len(), 0);
}

#[tokio::test]
async fn an_ended_batch_has_exact_figures() {
    let fixture = Fixture::deployed().await;
    let id = fixture.submit(THE_LINE).await;
    let mut owner = fixture.owner(id).await;
    owner.generate(&["1", "2", "3"]).await;
    let rows = [
        ("1", None, 1),
        ("2", Some("no such car"), 5),
        ("3", None, 2),
    ];
    let share = owner.record(&rows, true).await;
    owner.finish(BatchStatus::Done, None, share).await;

    let info = fixture.run(&format!("BATCH_INFO '{id}';")).await.ok();
    assert_eq!(info.columns, ["Name", "Value"]);
    let facts: BTreeMap<&str, &Value> = info
        .rows
        .iter()
        .map(|row| (row[0].as_str().unwrap(), &row[1]))
        .collect();
    let expected = [
        ("Execution Status", json!("DONE")),
        ("Fabric Command", json!("sync_instance AUTODATA_DELTA.?")),
        ("LU Name", json!("AUTODATA_DELTA")),
        ("Max. No. of Workers", Value::Null),
        ("Entity Inclusion", json!("select id from ids  limit 100")),
        ("Source interface", json!("idsFile")),
        ("Generate Entities First", json!(false)),
        ("Affinity", Value::Null),
        ("Job Affinity", json!("10.21.2.102")),
        ("Command Type", json!("Sync")),
        ("Async", json!(true)),
        ("Max No. of Nodes", json!("All")),
        ("Allow Multiple Batch Executions", json!(false)),
        ("Environment", json!("_dev")),
        ("Command", json!(THE_LINE)),
        ("Duplicates dropped", json!(1)),
        ("Entity time p50 (ms)", json!("1.5")),
        ("Entity time max (ms)", json!("4")),
    ];
    for (name, value) in expected {
        assert_eq!(*facts[name], value, "{name}");
    }

    let summary = fixture.run(&format!("BATCH_SUMMARY '{id}';")).await.ok();
    assert_eq!(
        summary.columns,
        [
            "Level",
            "Name",
            "Status",
            "Start time",
            "End time",
            "Duration",
            "Remaining dur.",
            "Remaining",
            "Total",
            "Succeeded",
            "Failed",
            "Added",
            "Updated",
            "Unchanged",
            "% Completed",
            "Ent./sec (pace)",
            "Ent./sec (avg.)",
        ]
    );
    let without_times: Vec<String> = summary
        .rows
        .iter()
        .map(|row| {
            let kept = [0, 1, 2, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14];
            let texts = kept.map(|at| {
                row[at]
                    .as_str()
                    .map_or_else(|| row[at].to_string(), str::to_owned)
            });
            texts.join("|")
        })
        .collect();
    assert_eq!(
        without_times,
        [
            "Node|n1||00:00:00|00:00:00|0|--|2|1|2|0|0|100",
            "DC|DC1||00:00:00|00:00:00|0|--|2|1|2|0|0|100",
            "Cluster|--|DONE|00:00:00|00:00:00|0|3|2|1|2|0|0|100",
        ]
    );
}

#[tokio::test]
async fn details_stream_what_waits_and_what_ended() {
    let fixture = Fixture::deployed().await;
    let id = fixture.submit(THE_LINE).await;
    let mut owner = fixture.owner(id).await;
    owner.generate(&["1", "2", "3", "4"]).await;
    let rows = [("1", None, 1), ("2", Some("no such car"), 5)];
    owner.record(&rows, false).await;
    let result = r#"{"Added":1,"Updated":0,"Unchanged":0}"#;
    let all = [
        format!("1|n1|COMPLETED|null|{result}"),
        "2|n1|FAILED|no such car|null".to_owned(),
        "3|null|WAITING|null|null".to_owned(),
        "4|null|WAITING|null|null".to_owned(),
    ];
    let cases: [(&str, &[usize]); 11] = [
        ("", &[0, 1, 2, 3]),
        ("STATUS='WAITING'", &[2, 3]),
        ("STATUS = 'FAILED' LIMIT = -1", &[1]),
        ("STATUS=COMPLETED", &[0]),
        ("ENTITIES='4, 1'", &[0, 3]),
        ("AFFINITY='DC1'", &[0, 1]),
        ("AFFINITY='127.0.0.1' STATUS='FAILED'", &[1]),
        ("AFFINITY='DC2'", &[]),
        ("LIMIT=3", &[0, 1, 2]),
        ("LIMIT=4", &[0, 1, 2, 3]),
        ("LIMIT=0", &[]),
    ];
    for (options, expected) in cases {
        let answer = fixture
            .run(&format!("BATCH_DETAILS '{id}' {options};"))
            .await
            .ok();
        assert_eq!(
            answer.columns,
            ["Entity ID", "Node id", "Status", "Error", "Results"]
        );
        let expected: Vec<String> = expected.iter().map(|at| all[*at].clone()).collect();
        assert_eq!(answer.lines(), expected, "{options}");
        let is_cut = options == "LIMIT=3" || options == "LIMIT=0";
        assert_eq!(
            answer.notices.len(),
            usize::from(is_cut),
            "{options}: {:?}",
            answer.notices
        );
    }
    let first = format!("BATCH_DETAILS '{id}' LIMIT=1;");
    let answer = fixture.run(&first);
    let notice = "only the first entity is shown; LIMIT=-1 shows all of them";
    assert_eq!(answer.await.ok().notices, [notice]);
    let list = fixture.run("BATCH_LIST").await.ok();
    assert_eq!(*list.cell("Status"), json!("IN_PROGRESS"));
    let share = NodeShare {
        succeeded: 1,
        failed: 1,
        ..NodeShare::default()
    };
    owner.finish(BatchStatus::Done, None, share).await;
    let slow = fixture
        .run(&format!(
            "BATCH_DETAILS '{id}' SORT_BY_PROCESS_TIME=true STATUS='WAITING';"
        ))
        .await
        .ok();
    assert_eq!(slow.columns[5], "Process time (ms)");
    assert_eq!(
        slow.lines(),
        ["1|n1|COMPLETED|null|{}|2", "2|n1|FAILED|null|null|5"]
    );
}

#[tokio::test]
async fn a_running_batch_shows_what_nodes_last_wrote() {
    let fixture = Fixture::deployed().await;
    let id = fixture.submit(THE_LINE).await;
    let mut owner = fixture.owner(id).await;
    owner.generate(&["1", "2", "3", "4"]).await;
    let now = fixture.clock.now();
    fixture
        .put_stats(NodeStats {
            batch: id,
            node: NodeId("n1".to_owned()),
            dc: "DC1".to_owned(),
            updated_time: now,
            share: NodeShare {
                succeeded: 1,
                failed: 1,
                aggregated: BTreeMap::from([("Added".to_owned(), 1)]),
                first_start: Some(now),
                last_end: Some(now),
            },
            slowest: vec![SlowEntity {
                entity_id: "1".to_owned(),
                process_time_ms: 12,
                status: "COMPLETED".to_owned(),
                result: None,
                node_id: Some("n1".to_owned()),
            }],
            histogram: None,
            pace_milli: 2_500,
            in_process: vec![InProcess {
                entity: "3".to_owned(),
                since: now,
            }],
        })
        .await;
    let list = fixture.run("BATCH_LIST").await.ok();
    assert_eq!(*list.cell("Completion %"), json!(50));
    let summary = fixture.run(&format!("BATCH_SUMMARY '{id}'")).await.ok();
    assert_eq!(*summary.row_cell(0, "Remaining"), json!("--"));
    assert_eq!(*summary.row_cell(0, "% Completed"), json!("100"));
    assert_eq!(*summary.row_cell(2, "Remaining"), json!("2"));
    assert_eq!(*summary.row_cell(2, "Status"), json!("IN_PROGRESS"));
    assert_eq!(*summary.row_cell(2, "% Completed"), json!("50"));
    assert_eq!(*summary.row_cell(2, "Ent./sec (pace)"), json!("2.5"));
    assert_eq!(*summary.row_cell(2, "Remaining dur."), json!("00:00:00"));
    let columns = [
        "Node ID",
        "Batch process ID",
        "Entity ID",
        "LU type",
        "Time at work (ms)",
        "exeid",
        "command",
    ];
    for (text, count) in [
        ("BATCH_IN_PROCESS", 1),
        ("batch_in_process filter='(?i)SYNC_instance'", 1),
        ("BATCH_IN_PROCESS filter='nothing like it'", 0),
    ] {
        let answer = fixture.run(text).await.ok();
        assert_eq!(answer.columns, columns);
        assert_eq!(answer.rows.len(), count, "{text}");
    }
    let answer = fixture.run("BATCH_IN_PROCESS").await.ok();
    assert_eq!(*answer.cell("Entity ID"), json!("3"));
    assert_eq!(
        *answer.cell("command"),
        json!("SYNC_INSTANCE AUTODATA_DELTA.3")
    );
    let slow = fixture
        .run(&format!("BATCH_DETAILS '{id}' SORT_BY_PROCESS_TIME=true"))
        .await
        .ok();
    assert_eq!(slow.lines(), ["1|n1|COMPLETED|null|null|12"]);
}

#[tokio::test]
async fn jobs_are_shown_with_the_documented_columns_and_texts() {
    let fixture = Fixture::deployed().await;
    let id = fixture
        .submit("BATCH Other.('1') FABRIC_COMMAND='echo ?' with ASYNC=true")
        .await;
    let columns = [
        "Type",
        "Name",
        "UID",
        "Status",
        "Creation Time",
        "Start Time",
        "End Time",
        "Affinity",
        "Is Archived",
        "Next Run",
        "Ownership Candidates Num",
        "Notes",
        "Owner",
        "Tries",
        "Why Waiting",
        "Schedule",
    ];
    let answer = fixture.run("jobstatus").await.ok();
    assert_eq!(answer.columns, columns);
    let batch = fixture.batch(id).await;
    let created = batch
        .creation_time
        .to_utc()
        .format("%Y %m %d %H:%M:%S")
        .to_string();
    assert_eq!(
        answer.lines(),
        [format!(
            "BATCH PROCESS|BATCH_Other|{id}|WAITING|{created}|1970 01 01 00:00:00|1970 01 01 00:00:00||false|Ready to be executed|1|||0||"
        )]
    );
    let mut owner = fixture.owner(id).await;
    let answer = fixture.run("JOBSTATUS BATCH_JOB").await.ok();
    assert_eq!(*answer.cell("Next Run"), json!("Already running"));
    assert_eq!(*answer.cell("Owner"), json!("n1"));
    owner.generate(&["1"]).await;
    let share = owner.record(&[("1", None, 1)], true).await;
    owner.finish(BatchStatus::Done, None, share).await;
    for (text, count) in [
        ("JOBSTATUS", 0),
        ("JOBSTATUS 1 days ago", 1),
        ("JOBSTATUS BATCH_PROCESS", 1),
        ("JOBSTATUS 'BATCH PROCESS' 'BATCH_Other'", 1),
        ("JOBSTATUS USER_JOB", 0),
    ] {
        let answer = fixture.run(text).await.ok();
        assert_eq!(answer.rows.len(), count, "{text}");
        assert!(answer.notices.is_empty(), "{text}");
    }
    let answer = fixture
        .run(&format!(
            "JOBSTATUS BATCH_JOB 'BATCH_Other' WITH UID='{id}'"
        ))
        .await
        .ok();
    assert_eq!(
        *answer.cell("Next Run"),
        json!("no more execution scheduled")
    );
    assert_eq!(*answer.cell("Is Archived"), json!(true));
    for (text, expected) in [
        (
            "JOBSTATUS 'BATCH PROCESS' 'BATCH_None'",
            "there is no job BATCH PROCESS 'BATCH_None'; JOBSTATUS BATCH PROCESS shows those of the type",
        ),
        (
            "JOBSTATUS PROCESS 'a.sh' WITH UID='7'",
            "there is no job PROCESS 'a.sh' with UID '7'; JOBSTATUS PROCESS shows those of the type",
        ),
    ] {
        let answer = fixture.run(text).await.ok();
        assert_eq!(answer.rows.len(), 0);
        assert_eq!(answer.notices, [expected]);
    }
    let answer = fixture.run("JOBSTATUS USER_JOBB").await.ok();
    assert_eq!(
        answer.notices,
        ["USER_JOBB is not one of the known job types; did you mean USER_JOB?"]
    );
}

#[tokio::test]
async fn nodes_lists_and_help_are_tables() {
    let fixture = Fixture::deployed().await;
    let answer = fixture.run("CLUSTERSTATUS;").await.ok();
    assert_eq!(
        answer.columns,
        [
            "Status",
            "Node id",
            "Logical ids",
            "DC",
            "Effective IP",
            "IPs",
            "Version",
            "Last heartbeat"
        ]
    );
    assert_eq!(
        answer.lines(),
        ["ALIVE|n1|loaders:2-4|DC1|127.0.0.1|127.0.0.1|0.1.0|2020-09-13 12:26:40"]
    );
    let answer = fixture.run("CLUSTERID").await.ok();
    assert_eq!(answer.lines(), ["c1"]);
    let answer = fixture.run("LIST LU").await.ok();
    assert_eq!(
        answer.lines(),
        [
            "AUTODATA_DELTA|vehicle|vehicle|small",
            "Other|vehicle|vehicle|small"
        ]
    );
    let answer = fixture.run("list IGS").await.ok();
    assert_eq!(
        answer.lines()[0],
        "AUTODATA_DELTA|small|idsFile|select id from ids limit 3"
    );
    let answer = fixture.run("LIST INTERFACES").await.ok();
    assert!(
        answer.lines()[0].starts_with("idsFile|csv|"),
        "{:?}",
        answer.lines()
    );
    let answer = fixture.run("HELP").await.ok();
    assert!(
        answer
            .lines()
            .iter()
            .any(|line| line.starts_with("BATCH_LIST|"))
    );
    let answer = fixture.run("HELP BATCH").await.ok();
    assert!(
        answer.lines()[0].starts_with("BATCH "),
        "{:?}",
        answer.lines()
    );
    let answer = fixture.run("echo 'hello'").await.ok();
    assert_eq!(answer.lines(), ["hello"]);
}
