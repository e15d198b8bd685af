//! TRACE in front of a running node.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use weft_model::JobStatus;
use weft_model::Session;
use weft_node::trace::TracedOperation;

use super::fixture::{Answer, Fixture};
use super::job_fixture::{Jobs, command};
use crate::EndStatus;

/// The lines of a trace, once they have this event.
async fn until_event(jobs: &Jobs, number: u64, event: &str) -> Answer {
    let waiting = async {
        loop {
            let lines = jobs.run(&format!("TRACE STATUS {number}")).await.ok();
            if lines.rows.iter().any(|row| row[1] == event) {
                return lines;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(30), waiting).await;
    ended.unwrap_or_else(|_| panic!("no {event} in trace {number}"))
}

/// Event, job and details of each line.
fn texts_of(lines: &Answer) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let joined = |row: &Vec<Value>| row[1..].iter().map(text).collect::<Vec<_>>().join("|");
    lines.rows.iter().map(joined).collect()
}

#[tokio::test]
async fn a_trace_reports_what_happened_to_its_jobs() {
    let jobs = Jobs::new().await;
    let begun = jobs
        .run("TRACE global_scope jobExecutor 'type=process uid=u'")
        .await
        .ok();
    assert_eq!(
        begun.columns,
        [
            "No",
            "Operation",
            "Scope",
            "Filter",
            "State",
            "Since",
            "Lines",
            "Dropped",
            "File"
        ]
    );
    assert_eq!(*begun.cell("No"), json!(1));
    assert_eq!(*begun.cell("Filter"), json!("type='PROCESS' uid='u'"));
    assert_eq!(begun.end.session, Session::default());
    let other = jobs.start("ok", "UID='other'").await;
    jobs.until_status(&other, JobStatus::Processed).await;
    jobs.start("fail", "UID='u' MAX_ATTEMPTS=1").await;
    let lines = until_event(&jobs, 1, "ended").await;
    assert_eq!(lines.columns, ["Time", "Event", "Job", "Details"]);
    let lines = texts_of(&lines);
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!(
        lines[0],
        "begun||scope=global_scope, filter=type='PROCESS' uid='u', by=admin"
    );
    assert!(
        lines[1].starts_with("begun|PROCESS fail u|try=1, fence="),
        "{lines:?}"
    );
    let ended = "ended|PROCESS fail u|end=failed, error=Oops, status=FAILED, try=1, ms=";
    assert!(lines[2].starts_with(ended), "{lines:?}");
    let off = jobs.run("TRACE OFF").await.ok();
    assert_eq!(off.notices, ["Trace 1 is off"]);
    let listed = jobs.run("TRACE STATUS").await.ok();
    assert_eq!(
        (listed.cell("State"), listed.cell("Lines")),
        (&json!("OFF"), &json!(3))
    );
    let file = listed.cell("File").as_str().unwrap().to_owned();
    assert!(std::fs::metadata(&file).is_ok());
    let removed = jobs.run("TRACE REMOVE 1").await.ok();
    assert_eq!(removed.notices, ["Removed trace 1"]);
    assert!(std::fs::metadata(&file).is_err());
    assert!(jobs.run("TRACE STATUS").await.ok().rows.is_empty());
    jobs.leave().await;
}

#[tokio::test]
async fn every_operation_of_the_scheduler_writes_its_events() {
    let jobs = Jobs::new().await;
    for operation in &TracedOperation::ALL[..5] {
        jobs.run(&format!("TRACE {operation} 'uid=u'")).await.ok();
    }
    let key = jobs
        .start(
            "hang",
            r#"UID='u' EXEC_INTERVAL='00:00:01' ARGS='{"0":"canary-1"}'"#,
        )
        .await;
    jobs.until_status(&key, JobStatus::InProcess).await;
    jobs.run(&command("STOPJOB", &key)).await.ok();
    until_event(&jobs, 4, "free again").await;
    let events = async |number: u64| -> BTreeSet<String> {
        let lines = jobs.run(&format!("TRACE STATUS {number}")).await.ok();
        let event = |row: &Vec<Value>| row[1].as_str().unwrap_or_default().to_owned();
        lines.rows.iter().map(event).collect()
    };
    let check = async |number: u64, expected: &[&str]| {
        let events = events(number).await;
        for event in expected {
            assert!(events.contains(*event), "no {event} in {events:?}");
        }
    };
    check(1, &["begun", "told to stop", "ended"]).await;
    check(2, &["decided"]).await;
    check(3, &["noted", "due", "claim", "computed"]).await;
    check(4, &["taken", "free again"]).await;
    check(5, &["handed over"]).await;
    let decided = texts_of(&jobs.run("TRACE STATUS 2").await.ok());
    assert!(
        decided.iter().any(
            |line| line.contains("plan=claim, why=it is due and there is room, status=WAITING")
        ),
        "{decided:?}"
    );
    let folder = jobs.fixture.folder.path().join("data/traces");
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(!text.contains("canary"), "{text}");
        files += 1;
    }
    assert_eq!(files, 5);
    jobs.leave().await;
}

#[tokio::test]
async fn the_job_of_a_batch_is_traced_like_others() {
    let jobs = Jobs::new().await;
    jobs.run("TRACE global_scope jobExecutor 'type=BATCH_PROCESS'")
        .await
        .ok();
    jobs.run("BATCH AUTODATA_DELTA.('1','2') FABRIC_COMMAND=\"sync_instance AUTODATA_DELTA.?\"")
        .await
        .ok();
    let lines = texts_of(&until_event(&jobs, 1, "ended").await);
    assert!(
        lines[1].starts_with("begun|BATCH PROCESS BATCH_AUTODATA_DELTA "),
        "{lines:?}"
    );
    assert!(lines[2].ends_with("|end=left"), "{lines:?}");
    jobs.leave().await;
}

#[tokio::test]
async fn a_session_names_itself_where_its_traces_end_with_it() {
    let fixture = Fixture::new().await;
    let first = fixture.run("trace jobExecutor").await.ok();
    assert_eq!(*first.cell("Scope"), json!("session_scope"));
    let session = first.end.session;
    assert!(session.trace_session.is_some());
    let second = fixture
        .run_in(session.clone(), "TRACE SESSION_SCOPE folderPoller ''")
        .await
        .ok();
    assert_eq!(second.end.session, session);
    let sent = serde_json::to_value(&session).unwrap();
    assert_eq!(serde_json::from_value::<Session>(sent).unwrap(), session);
    let none = serde_json::to_value(Session::default()).unwrap();
    assert!(none.get("trace_session").is_none(), "{none}");
    let off = fixture.run("TRACE OFF").await.ok();
    assert_eq!(off.notices, ["Traces 1 and 2 are off"]);
    let off = fixture.run("TRACE OFF 2").await.ok();
    assert_eq!(off.notices, ["Trace 2 was off already"]);
    let off = fixture.run("TRACE OFF").await.ok();
    assert_eq!(off.notices, ["No trace was on"]);
}

#[tokio::test]
async fn what_cannot_be_traced_is_refused_with_what_can() {
    let fixture = Fixture::new().await;
    let check = async |text: &str, status: EndStatus, expected: &str| {
        let answer = fixture.run(text).await;
        assert_eq!(answer.error(), expected, "{text}");
        assert_eq!(answer.end.status, status, "{text}");
    };
    check(
        "TRACE jobExecuter",
        EndStatus::NotFound,
        "error: there is no operation `jobExecuter`\n  TRACE jobExecuter\n        ^^^^^^^^^^^\nhint: did you mean `jobExecutor`?",
    )
    .await;
    check(
        "TRACE STATSU",
        EndStatus::NotFound,
        "error: there is no operation `STATSU`\n  TRACE STATSU\n        ^^^^^^\nhint: did you mean `STATUS`?",
    )
    .await;
    check(
        "TRACE sftpreader",
        EndStatus::Failed,
        "error: the operation sftpReader is known but not available in this version: nothing reads SFTP here\n  TRACE sftpreader\n        ^^^^^^^^^^\nhint: TRACE OPS shows the operations",
    )
    .await;
    check(
        "TRACE jobExecutor 'nmae=x'",
        EndStatus::Usage,
        "error: `nmae` is not a parameter of a trace\n  TRACE jobExecutor 'nmae=x'\n                    ^^^^^^^^\nhint: did you mean `name`?",
    )
    .await;
    check(
        "TRACE REMOVE 3",
        EndStatus::NotFound,
        "error: there is no trace 3\nhint: there is none; TRACE OPS shows what can be traced",
    )
    .await;
    for _ in 0..3 {
        fixture.run("TRACE jobExecutor").await.ok();
    }
    for text in ["TRACE OFF 7", "TRACE STATUS 7", "TRACE REMOVE 7"] {
        check(
            text,
            EndStatus::NotFound,
            "error: there is no trace 7\nhint: there are traces 1, 2 and 3",
        )
        .await;
    }
    for text in [
        "TRACE OPS",
        "TRACE STATUS",
        "TRACE jobExecutor",
        "TRACE OFF",
    ] {
        let answer = fixture.run_as("eve", Session::default(), text).await;
        assert_eq!(answer.end.status, EndStatus::NotAllowed, "{text}");
    }
}

#[tokio::test]
async fn ops_names_every_operation() {
    let fixture = Fixture::new().await;
    let answer = fixture.run("trace ops;").await.ok();
    assert_eq!(
        answer.columns,
        ["Operation", "Category", "Level", "Meaning"]
    );
    let names: Vec<_> = answer.rows.iter().map(|row| row[0].clone()).collect();
    assert_eq!(
        names,
        TracedOperation::ALL.map(|operation| json!(operation.name()))
    );
    assert!(!fixture.folder.path().join("data/traces").exists());
}
