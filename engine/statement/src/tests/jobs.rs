//! STARTJOB: when jobs run, and what happens at the end of a run.

mod changes;
mod kinds;
mod slots;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use weft_model::Session;
use weft_model::{JobKey, JobStatus};

use super::job_fixture::{Jobs, command};
use crate::EndStatus;

#[tokio::test]
async fn a_job_runs_once_at_once_and_is_archived_with_its_output() {
    let jobs = Jobs::new().await;
    let key = jobs.start("ok", r#"ARGS='{"0":"a"}'"#).await;
    let job = jobs.until_status(&key, JobStatus::Processed).await;
    assert!(job.archived);
    assert_eq!(job.output.as_deref(), Some(r#"{"0":"a"}"#));
    assert_eq!((job.runs, job.tries, job.error), (1, 0, None));
    assert_eq!(
        (job.affinity, job.created_by),
        (vec!["ANY".to_owned()], "admin".to_owned())
    );
    let shown = jobs.run("JOBSTATUS PROCESS 'ok'").await.ok();
    assert_eq!(
        *shown.cell("Next Run"),
        json!("no more execution scheduled")
    );
    assert_eq!(*shown.cell("Is Archived"), json!(true));
    let history = jobs.run("JOBHISTORY PROCESS 'ok'").await.ok();
    assert_eq!(history.rows.len(), 1);
    assert_eq!(*history.cell("Status"), json!("PROCESSED"));
    assert_eq!(*history.cell("Exit Code"), json!(0));
    assert_eq!(*history.cell("Node"), json!("n1"));
    jobs.leave().await;
}

#[tokio::test]
async fn without_a_uid_each_start_is_a_job_of_its_own() {
    let jobs = Jobs::new().await;
    let (one, other) = (jobs.start("ok", "").await, jobs.start("ok", "").await);
    assert_ne!(one, other);
    for key in [one, other] {
        jobs.until_status(&key, JobStatus::Processed).await;
    }
    let shown = jobs.run("JOBSTATUS PROCESS").await.ok();
    assert_eq!(shown.rows.len(), 2);
    jobs.leave().await;
}

#[tokio::test]
async fn a_uid_runs_once_at_a_time_and_its_row_is_used_again() {
    let jobs = Jobs::new().await;
    let key = jobs.start("hang", "UID='u1'").await;
    jobs.until_status(&key, JobStatus::InProcess).await;
    let again = jobs.run("STARTJOB PROCESS NAME='hang' UID='u1'").await;
    assert!(
        again.error().contains("Job is running"),
        "{}",
        again.error()
    );
    jobs.run(&command("STOPJOB", &key)).await.ok();
    let stopped = jobs.until_status(&key, JobStatus::Terminated).await;
    jobs.run("STARTJOB PROCESS NAME='hang' UID='u1' ARGS='{\"a\":1}'")
        .await
        .ok();
    let running = jobs.until_status(&key, JobStatus::InProcess).await;
    assert!(running.fence > stopped.fence && !running.archived);
    assert_eq!(running.arguments, r#"{"a":1}"#);
    let shown = jobs.run("JOBSTATUS PROCESS").await.ok();
    assert_eq!(shown.rows.len(), 1);
    jobs.run(&command("STOPJOB", &key)).await.ok();
    jobs.until_status(&key, JobStatus::Terminated).await;
    jobs.leave().await;
}

#[tokio::test]
async fn an_interval_counts_from_the_end_of_the_run_before() {
    let jobs = Jobs::new().await;
    let key = jobs.start("ok", "UID='u' EXEC_INTERVAL='00:00:01'").await;
    let job = jobs.until(&key, |job| job.runs >= 3).await;
    jobs.run(&command("STOPJOB", &key)).await.ok();
    assert!(!job.archived);
    let runs = jobs.fixture.store.job_runs(&key, 10).await.unwrap();
    assert!(runs.len() >= 3);
    for pair in runs.windows(2) {
        let (later, earlier) = (&pair[0], &pair[1]);
        let pause = later.started.millis_since(earlier.ended);
        assert!(pause >= 1_000, "started {pause} ms after the end before");
        assert_eq!(
            later.planned,
            Some(earlier.ended.plus(Duration::from_secs(1)))
        );
    }
    let ended = jobs.job(&key).await;
    assert_eq!(
        (ended.status, ended.next_run),
        (JobStatus::Terminated, None)
    );
    jobs.leave().await;
}

#[tokio::test]
async fn a_moment_a_cron_and_what_has_passed() {
    let jobs = Jobs::new().await;
    let cases = [
        ("2199-08-20 10:32:12", true),
        ("30 0/2 8-18 5 3 ? 2198", true),
        ("23 0-20/2 03 12 2", true),
        ("109.00:00:00", false),
    ];
    for (number, (interval, is_scheduled)) in cases.iter().enumerate() {
        let options = format!("UID='{number}' EXEC_INTERVAL='{interval}'");
        let key = jobs.start("ok", &options).await;
        let text = format!("JOBSTATUS PROCESS 'ok' WITH UID='{number}'");
        let shown = jobs.run(&text).await.ok();
        let said = shown.cell("Schedule").as_str().unwrap().to_owned();
        if *is_scheduled {
            assert_eq!(*shown.cell("Status"), json!("SCHEDULED"), "{interval}");
            let job = jobs.job(&key).await;
            assert!(job.next_run > Some(job.creation_time), "{interval}");
            let next = job.next_run.unwrap().to_seconds_text();
            assert_eq!(*shown.cell("Next Run"), json!(next));
        }
        assert!(!said.is_empty(), "{interval}");
    }
    for interval in ["2020-01-01 00:00:00", "30 0/2 8-18 5 3 ? 2021"] {
        let text = format!("STARTJOB PROCESS NAME='late' EXEC_INTERVAL='{interval}'");
        let refused = jobs.run(&text).await;
        assert!(
            refused.error().contains("no more execution scheduled"),
            "{}",
            refused.error()
        );
    }
    for interval in ["5 11 05 04-16/3 30", "0 0 30 2 *", "soon"] {
        let text = format!("STARTJOB PROCESS NAME='late' EXEC_INTERVAL='{interval}'");
        let refused = jobs.run(&text).await;
        assert_eq!(refused.end.status, EndStatus::Usage, "{interval}");
        assert!(refused.error().contains('^'), "{}", refused.error());
    }
    let none = jobs.run("JOBSTATUS PROCESS 'late'").await.ok();
    assert!(none.rows.is_empty());
    jobs.leave().await;
}

#[tokio::test]
async fn a_failed_run_is_tried_again_until_its_tries_are_used_up() {
    let jobs = Jobs::new().await;
    let key = jobs
        .start("fail", "MAX_ATTEMPTS=3 RETRY_DELAY_MS=20 RETRY_FACTOR=2")
        .await;
    let job = jobs.until_status(&key, JobStatus::Failed).await;
    assert_eq!((job.tries, job.archived), (3, true));
    let error: Value = serde_json::from_str(job.error.as_deref().unwrap()).unwrap();
    assert_eq!(error["exception_type"], "Oops");
    assert_eq!(error["worker_id"], "n1");
    let shown = jobs.run("JOBSTATUS PROCESS 'fail'").await.ok();
    assert_eq!(*shown.cell("Notes"), json!("it went wrong"));
    assert_eq!(*shown.cell("Tries"), json!(3));
    let mut runs = jobs.fixture.store.job_runs(&key, 10).await.unwrap();
    runs.reverse();
    let attempts: Vec<i32> = runs.iter().map(|run| run.attempt).collect();
    assert_eq!(attempts, [1, 2, 3]);
    assert!(runs[1].started.millis_since(runs[0].ended) >= 20);
    assert!(runs[2].started.millis_since(runs[1].ended) >= 40);
    jobs.leave().await;
}

#[tokio::test]
async fn a_success_clears_the_error_and_the_tries() {
    let jobs = Jobs::new().await;
    let key = jobs.start("fail-once", "RETRY_DELAY_MS=0").await;
    let job = jobs.until_status(&key, JobStatus::Processed).await;
    assert_eq!((job.tries, job.error, job.runs), (0, None, 1));
    jobs.leave().await;
}

#[tokio::test]
async fn a_failure_may_say_whether_it_is_tried_again() {
    let jobs = Jobs::new().await;
    let never = jobs.start("fail-for-good", "").await;
    let job = jobs.until_status(&never, JobStatus::Failed).await;
    assert_eq!(job.tries, 1);
    let always = jobs
        .start("fail-for-ever", "MAX_ATTEMPTS=1 RETRY_DELAY_MS=1")
        .await;
    jobs.until(&always, |job| job.tries > 3).await;
    jobs.run(&command("STOPJOB", &always)).await.ok();
    jobs.until_status(&always, JobStatus::Terminated).await;
    jobs.leave().await;
}

#[tokio::test]
async fn a_recurring_job_continues_after_a_run_that_failed_for_good() {
    let jobs = Jobs::new().await;
    let key = jobs
        .start("fail", "MAX_ATTEMPTS=1 EXEC_INTERVAL='00:00:01'")
        .await;
    let job = jobs.until(&key, |job| job.runs >= 2).await;
    assert_eq!((job.status.is_ended(), job.tries), (false, 0));
    assert!(job.error.is_some());
    jobs.run(&command("STOPJOB", &key)).await.ok();
    jobs.leave().await;
}

#[tokio::test]
async fn a_run_that_panics_has_failed() {
    let jobs = Jobs::new().await;
    let key = jobs.start("panic", "MAX_ATTEMPTS=1").await;
    let job = jobs.until_status(&key, JobStatus::Failed).await;
    assert!(job.error.unwrap().contains("Panic"));
    jobs.leave().await;
}

#[tokio::test]
async fn what_cannot_be_started_leaves_no_row() {
    let jobs = Jobs::new().await;
    let cases = [
        ("STARTJOB PROCES NAME='x'", "did you mean `PROCESS`?"),
        (
            "STARTJOB GENERATE_BI NAME='x'",
            "not available in this version",
        ),
        (
            "STARTJOB USER_JOB NAME='A.b'",
            "not available in this version",
        ),
        ("STARTJOB BATCH_PROCESS NAME='x'", "started by BATCH"),
        ("STARTJOB PROCESS NAME='missing'", "did you mean `mission`?"),
        ("STARTJOB PROCESS NAME=''", "NAME is empty"),
        (
            "STARTJOB PROCESS NAME='x' ARGS='{\"a\":}'",
            "ARGS is not a JSON object",
        ),
        (
            "STARTJOB PROCESS NAME='x' ARGS='{\"password\":\"p\"}'",
            "env:NAME",
        ),
        (
            "STARTJOB PROCESS NAME='x' TIME_ZONE='Europe/Berlim'",
            "Europe/Berlin",
        ),
        (
            "STARTJOB PROCESS NAME='x' AFTER='PROCESS y SUCEEDED'",
            "needs SUCCEEDED, FAILED or ENDED",
        ),
        (
            "STARTJOB PROCESS NAME='x' START_AT='2199-01-02 00:00:00' END_AT='2199-01-01 00:00:00'",
            "END_AT is not after START_AT",
        ),
        ("STARTJOB BATCH_SCHEDULE NAME='x'", "needs ARGS"),
        (
            "STARTJOB BATCH_SCHEDULE NAME='x' ARGS='{\"command\":\"BATCH Nope FABRIC_COMMAND=''echo ?''\"}'",
            "Nope",
        ),
        ("STARTJOB MIGRATE NAME='Nope'", "Nope"),
        (
            "STARTJOB MIGRATE NAME='Other' ARGS='{\"max_workes_per_node\":2}'",
            "MAX_WORKES_PER_NODE",
        ),
    ];
    for (text, expected) in cases {
        let answer = jobs.run(text).await;
        assert_ne!(answer.end.status, EndStatus::Ok, "{text}");
        assert!(answer.error().contains(expected), "{}", answer.error());
    }
    let all = jobs.run("JOBSTATUS 100 days ago").await.ok();
    assert!(all.rows.is_empty(), "{:?}", all.rows);
    jobs.leave().await;
}

#[tokio::test]
async fn arguments_may_be_written_loosely() {
    let jobs = Jobs::new().await;
    for (args, expected) in [
        ("{a:10,b:x}", r#"{"a":10,"b":"x"}"#),
        ("'A=10, B=20'", r#"{"A":10,"B":20}"#),
        (r#"{"a":"b"}"#, r#"{"a":"b"}"#),
        (
            r#"'{"token":"env:MY_TOKEN"}'"#,
            r#"{"token":"env:MY_TOKEN"}"#,
        ),
    ] {
        let key = jobs.start("ok", &format!("ARGS={args}")).await;
        assert_eq!(jobs.job(&key).await.arguments, expected);
    }
    jobs.leave().await;
}

#[tokio::test]
async fn what_the_session_had_set_goes_with_the_job_without_its_secrets() {
    let jobs = Jobs::new().await;
    let session = Session {
        scope: BTreeMap::from([
            ("SYNC".to_owned(), "OFF".to_owned()),
            ("AUTH_TOKEN".to_owned(), "canary-9".to_owned()),
        ]),
        ..Session::default()
    };
    let text = "STARTJOB PROCESS NAME='ok' UID='s' ARGS='{\"0\":\"x\"}'";
    jobs.fixture.run_in(session, text).await.ok();
    let key = JobKey {
        job_type: "PROCESS".to_owned(),
        name: "ok".to_owned(),
        uid: "s".to_owned(),
    };
    let job = jobs.job(&key).await;
    let arguments: Value = serde_json::from_str(&job.arguments).unwrap();
    assert_eq!(arguments["0"], "x");
    let scope: Value = serde_json::from_str(arguments["session_scope"].as_str().unwrap()).unwrap();
    assert_eq!(
        scope,
        json!({"scope": {"SYNC": "OFF", "AUTH_TOKEN": "***"}})
    );
    jobs.leave().await;
}

#[tokio::test]
async fn a_script_has_one_name_with_and_without_its_folder() {
    let jobs = Jobs::new().await;
    let key = jobs.start("scripts/fine", "UID='s'").await;
    assert_eq!(key.name, "scripts/fine");
    let key = JobKey {
        name: "fine".to_owned(),
        ..key
    };
    let job = jobs.until(&key, |job| job.archived).await;
    assert_eq!(job.status, JobStatus::Processed);
    for name in ["fine", "scripts/fine"] {
        for text in [
            format!("JOBSTATUS PROCESS '{name}' WITH UID='s'"),
            format!("JOBHISTORY PROCESS '{name}' WITH UID='s'"),
            format!("STOPJOB PROCESS NAME='{name}' UID='s'"),
        ] {
            assert_eq!(jobs.run(&text).await.ok().rows.len(), 1, "{text}");
        }
    }
    jobs.leave().await;
}

#[tokio::test]
async fn a_start_by_hand_runs_what_was_defined_and_leaves_the_schedule() {
    let jobs = Jobs::new().await;
    let text = "STARTJOB BATCH_SCHEDULE NAME='nightly' UID='n' EXEC_INTERVAL='0 2 * * *' \
                ARGS='{\"command\":\"BATCH Other.(''1'') FABRIC_COMMAND=''sync_instance Other.?''\"}'";
    let started = jobs.run(text).await.ok();
    assert_eq!(*started.cell("Status"), json!("SCHEDULED"));
    let key = JobKey {
        job_type: "BATCH_SCHEDULE".to_owned(),
        name: "nightly".to_owned(),
        uid: "n".to_owned(),
    };
    let planned = jobs.job(&key).await.next_run;
    let by_hand = "STARTJOB BATCH_SCHEDULE NAME='nightly' UID='n'";
    jobs.run(by_hand).await.ok();
    let job = jobs.until(&key, |job| job.runs == 1).await;
    assert_eq!((job.status, job.next_run), (JobStatus::Scheduled, planned));
    jobs.leave().await;
}

#[tokio::test]
async fn a_run_by_hand_counts_among_those_that_a_job_may_have() {
    let jobs = Jobs::new().await;
    let key = jobs
        .start("ok", "UID='n' EXEC_INTERVAL='0 2 * * *' MAX_RUNS=1")
        .await;
    jobs.run("STARTJOB PROCESS NAME='ok' UID='n'").await.ok();
    let job = jobs.until_status(&key, JobStatus::Processed).await;
    assert_eq!((job.runs, job.archived), (1, true));
    jobs.leave().await;
}
