//! STOPJOB, RESTARTJOB, RESUMEJOB, UPDATEJOB and KILL.

use std::time::Duration;

use serde_json::json;
use weft_model::JobStatus;

use crate::EndStatus;
use crate::tests::job_fixture::{Jobs, command};

#[tokio::test]
async fn a_stop_of_a_scheduled_job_ends_it_at_once() {
    let jobs = Jobs::new().await;
    let key = jobs.start("ok", "EXEC_INTERVAL='0 12 * * *'").await;
    let answer = jobs.run(&command("STOPJOB", &key)).await.ok();
    assert_eq!(answer.columns, ["Type", "Name", "UID", "Status", "Notes"]);
    assert_eq!(*answer.cell("Status"), json!("TERMINATED"));
    let job = jobs.job(&key).await;
    assert_eq!((job.status, job.archived), (JobStatus::Terminated, true));
    let again = jobs.run(&command("STOPJOB", &key)).await.ok();
    assert_eq!(*again.cell("Notes"), json!("it is TERMINATED already"));
    jobs.leave().await;
}

#[tokio::test]
async fn a_stop_of_a_running_job_goes_through_stopping() {
    let jobs = Jobs::new().await;
    let key = jobs.start("hang", "").await;
    jobs.until_status(&key, JobStatus::InProcess).await;
    let answer = jobs.run(&command("STOPJOB", &key)).await.ok();
    assert_eq!(*answer.cell("Status"), json!("STOPPING"));
    let job = jobs.until_status(&key, JobStatus::Terminated).await;
    assert!(job.archived);
    let history = jobs.run("JOBHISTORY PROCESS hang").await.ok();
    assert_eq!(*history.cell("Status"), json!("TERMINATED"));
    jobs.leave().await;
}

#[tokio::test]
async fn a_stop_without_a_uid_reaches_every_one_of_many_jobs() {
    const MANY: usize = 10_001;
    let jobs = Jobs::new().await;
    let first = jobs.start("ok", "EXEC_INTERVAL='0 12 * * *'").await;
    let row = jobs.job(&first).await;
    let write = |number: usize| {
        let store = jobs.fixture.store.clone();
        let mut job = row.clone();
        job.key.uid = format!("many-{number}");
        let write = weft_store::WriteJob {
            due: None,
            job,
            seen: None,
            token: weft_model::Token(uuid::Uuid::from_u128(number as u128 + 1)),
        };
        async move { store.write_job(&write).await.unwrap() }
    };
    futures::future::join_all((1..MANY).map(write)).await;
    let answer = jobs.run("STOPJOB PROCESS NAME='ok'").await.ok();
    assert_eq!(answer.rows.len(), MANY);
    let none = jobs.run("STOPJOB PROCESS NAME='ok'").await;
    assert!(none.error().contains("is active"), "{}", none.error());
    jobs.leave().await;
}

#[tokio::test]
async fn without_a_uid_a_stop_ends_all_of_the_name() {
    let jobs = Jobs::new().await;
    let keys = [jobs.start("hang", "").await, jobs.start("hang", "").await];
    let other = jobs.start("hang2", "EXEC_INTERVAL='0 12 * * *'").await;
    for key in &keys {
        jobs.until_status(key, JobStatus::InProcess).await;
    }
    let answer = jobs.run("STOPJOB process NAME='hang'").await.ok();
    assert_eq!(answer.rows.len(), 2);
    for key in &keys {
        jobs.until_status(key, JobStatus::Terminated).await;
    }
    assert_eq!(jobs.job(&other).await.status, JobStatus::Scheduled);
    let none = jobs.run("STOPJOB PROCESS NAME='hang'").await;
    assert!(none.error().contains("is active"), "{}", none.error());
    let none = jobs.run("STOPJOB PROCESS NAME='nothing'").await;
    assert_eq!(none.end.status, EndStatus::NotFound);
    jobs.leave().await;
}

#[tokio::test]
async fn a_restart_runs_the_job_again_under_a_higher_fence() {
    let jobs = Jobs::new().await;
    let key = jobs.start("hang", "").await;
    let first = jobs.until_status(&key, JobStatus::InProcess).await;
    let answer = jobs.run(&command("RESTARTJOB", &key)).await.ok();
    assert_eq!(*answer.cell("Status"), json!("RESTART"));
    let second = jobs
        .until(&key, |job| {
            job.status == JobStatus::InProcess && job.fence > first.fence
        })
        .await;
    assert_eq!(second.tries, 0);
    jobs.run(&command("STOPJOB", &key)).await.ok();
    jobs.until_status(&key, JobStatus::Terminated).await;
    let refused = jobs.run(&command("RESTARTJOB", &key)).await;
    assert!(refused.error().contains("RESUMEJOB"), "{}", refused.error());
    jobs.leave().await;
}

#[tokio::test]
async fn a_resume_takes_up_what_is_archived() {
    let jobs = Jobs::new().await;
    let key = jobs.start("ok", "UID='a'").await;
    let ended = jobs.until_status(&key, JobStatus::Processed).await;
    let answer = jobs.run("RESUMEJOB PROCESS NAME='ok'").await.ok();
    assert_eq!(*answer.cell("Status"), json!("WAITING"));
    let again = jobs
        .until(&key, |job| {
            job.status == JobStatus::Processed && job.fence > ended.fence
        })
        .await;
    assert!(again.creation_time >= ended.creation_time);
    let daily = jobs.start("daily", "EXEC_INTERVAL='0 12 * * *'").await;
    let refused = jobs.run(&command("RESUMEJOB", &daily)).await;
    assert!(
        refused.error().contains("not archived"),
        "{}",
        refused.error()
    );
    jobs.run(&command("STOPJOB", &daily)).await.ok();
    let answer = jobs.run(&command("RESUMEJOB", &daily)).await.ok();
    assert_eq!(*answer.cell("Status"), json!("SCHEDULED"));
    jobs.leave().await;
}

#[tokio::test]
async fn an_update_changes_what_the_next_run_is() {
    let jobs = Jobs::new().await;
    let key = jobs.start("ok", "EXEC_INTERVAL='0 12 * * *'").await;
    let before = jobs.job(&key).await;
    let update = |options: &str| format!("{} {options}", command("UPDATEJOB", &key));
    jobs.run(&update("ARGS='{\"b\":2}' AFFINITY='127.0.0.1'"))
        .await
        .ok();
    let job = jobs.job(&key).await;
    assert_eq!(job.arguments, r#"{"b":2}"#);
    assert_eq!(job.affinity, ["127.0.0.1"]);
    assert_eq!(job.next_run, before.next_run);
    jobs.run(&update(
        "EXEC_INTERVAL='0 0 1 1 *' TIME_ZONE='Europe/Berlin' MAX_ATTEMPTS=2",
    ))
    .await
    .ok();
    let job = jobs.job(&key).await;
    assert_ne!(job.next_run, before.next_run);
    assert_eq!(job.policy.max_attempts, 2);
    // Midnight in Berlin is 23:00 in UTC in winter.
    assert!(
        job.next_run
            .unwrap()
            .to_seconds_text()
            .ends_with("12-31 23:00:00")
    );
    jobs.run(&update("RESET_END_TIME=true")).await.ok();
    let ran = jobs.until(&key, |job| job.runs == 1).await;
    assert_eq!(ran.status, JobStatus::Scheduled);
    jobs.run(&update("EXEC_INTERVAL=''")).await.ok();
    let job = jobs.job(&key).await;
    assert_eq!((job.execution_interval, job.next_run), (None, ran.next_run));
    jobs.run(&update("PAUSED=true")).await.ok();
    let shown = jobs.run("JOBSTATUS PROCESS 'ok'").await.ok();
    let why = shown.cell("Why Waiting").as_str().unwrap();
    assert!(why.contains("paused"), "{why}");
    jobs.leave().await;
}

#[tokio::test]
async fn a_schedule_that_is_switched_off_starts_nothing_until_it_is_switched_on() {
    let jobs = Jobs::new().await;
    let key = jobs.start("ok", "EXEC_INTERVAL='60; 0 12 * * * OFF'").await;
    let ran = jobs.until(&key, |job| job.runs == 1).await;
    let update = |options: &str| format!("{} {options}", command("UPDATEJOB", &key));
    jobs.run(&update("EXEC_INTERVAL='60 OFF; 0 12 * * * OFF'"))
        .await
        .ok();
    let off = jobs.job(&key).await;
    assert_eq!((off.status, off.next_run), (JobStatus::Scheduled, None));
    let shown = jobs.run("JOBSTATUS PROCESS 'ok'").await.ok();
    assert_eq!(*shown.cell("Next Run"), json!("switched off"));
    let why = shown.cell("Why Waiting").as_str().unwrap();
    assert!(why.contains("without OFF"), "{why}");
    // A run by hand leaves it where it was.
    jobs.run(&update("RESET_END_TIME=true")).await.ok();
    let by_hand = jobs.until(&key, |job| job.runs == 2).await;
    assert_eq!((by_hand.status, by_hand.next_run), (off.status, None));
    jobs.run(&update("EXEC_INTERVAL='60 OFF; 0 12 * * *'"))
        .await
        .ok();
    let on = jobs.job(&key).await;
    assert!(on.next_run.unwrap().to_seconds_text().ends_with("12:00:00"));
    assert!(on.next_run > ran.next_run || on.next_run > ran.end_time);
    jobs.leave().await;
}

#[tokio::test]
async fn a_schedule_that_is_switched_off_during_a_run_does_not_end_the_job() {
    let jobs = Jobs::new().await;
    let key = jobs.start("wait-for-met", "EXEC_INTERVAL='60'").await;
    jobs.until_status(&key, JobStatus::InProcess).await;
    let update = format!("{} EXEC_INTERVAL='60 OFF'", command("UPDATEJOB", &key));
    jobs.run(&update).await.ok();
    jobs.start("met", "").await;
    let off = jobs.until(&key, |job| job.runs == 1).await;
    assert_eq!((off.status, off.next_run), (JobStatus::Scheduled, None));
    assert!(!off.archived);
    jobs.leave().await;
}

#[tokio::test]
async fn a_schedule_that_is_changed_during_a_run_by_hand_is_the_one_that_counts() {
    let jobs = Jobs::new().await;
    let key = jobs
        .start("wait-for-met", "UID='u' EXEC_INTERVAL='0 6 1 1 *'")
        .await;
    for (interval, time) in [
        ("0 7 1 1 *", Some("-01-01 07:00:00")),
        ("0 7 1 1 * OFF", None),
    ] {
        let runs = jobs.job(&key).await.runs;
        jobs.run("STARTJOB PROCESS NAME='wait-for-met' UID='u'")
            .await
            .ok();
        jobs.until_status(&key, JobStatus::InProcess).await;
        let update = format!("{} EXEC_INTERVAL='{interval}'", command("UPDATEJOB", &key));
        jobs.run(&update).await.ok();
        jobs.start("met", "").await;
        let job = jobs.until(&key, |job| job.runs > runs).await;
        assert_eq!(job.status, JobStatus::Scheduled);
        let next_run = job.next_run.map(|next_run| next_run.to_seconds_text());
        assert_eq!(next_run.is_some(), time.is_some(), "{next_run:?}");
        assert!(time.is_none_or(|time| next_run.unwrap().ends_with(time)));
    }
    jobs.leave().await;
}

#[tokio::test]
async fn a_job_whose_moments_have_passed_and_that_waits_for_others_is_paused_and_continues() {
    let jobs = Jobs::new().await;
    let soon = jobs.fixture.clock.now().plus(Duration::from_secs(2));
    let options = format!(
        "EXEC_INTERVAL='{}' AFTER='PROCESS other ENDED'",
        soon.to_seconds_text()
    );
    let key = jobs.start("ok", &options).await;
    let ran = jobs.until(&key, |job| job.runs == 1).await;
    assert_eq!((ran.status, ran.next_run), (JobStatus::Scheduled, None));
    for paused in [true, false] {
        let update = format!("{} PAUSED={paused}", command("UPDATEJOB", &key));
        jobs.run(&update).await.ok();
        let job = jobs.job(&key).await;
        assert_eq!((job.status, job.policy.paused), (ran.status, paused));
    }
    let other = jobs.start("other", "").await;
    jobs.until_status(&other, JobStatus::Processed).await;
    jobs.until(&key, |job| job.runs == 2).await;
    jobs.leave().await;
}

#[tokio::test]
async fn a_run_that_was_put_off_comes_at_its_new_time() {
    let jobs = Jobs::with(|config| config.poll_interval = Duration::from_millis(100)).await;
    let now = jobs.fixture.clock.now();
    let at = |seconds: u64| now.plus(Duration::from_secs(seconds)).to_seconds_text();
    let key = jobs
        .start("ok", &format!("EXEC_INTERVAL='{}'", at(2)))
        .await;
    let later = format!("{} EXEC_INTERVAL='{}'", command("UPDATEJOB", &key), at(4));
    jobs.run(&later).await.ok();
    let planned = jobs.job(&key).await.next_run.unwrap();
    let job = jobs.until_status(&key, JobStatus::Processed).await;
    assert!(job.start_time.unwrap() >= planned);
    jobs.leave().await;
}

#[tokio::test]
async fn an_update_of_a_running_job_holds_from_its_next_run() {
    let jobs = Jobs::new().await;
    let key = jobs.start("hang", "").await;
    jobs.until_status(&key, JobStatus::InProcess).await;
    let update = format!("{} EXEC_INTERVAL='0 12 * * *'", command("UPDATEJOB", &key));
    jobs.run(&update).await.ok();
    let running = jobs.job(&key).await;
    assert_eq!(running.status, JobStatus::InProcess);
    assert_eq!(running.execution_interval.as_deref(), Some("0 12 * * *"));
    jobs.run(&command("STOPJOB", &key)).await.ok();
    jobs.until_status(&key, JobStatus::Terminated).await;
    jobs.leave().await;
}

#[tokio::test]
async fn a_kill_ends_what_does_not_listen_and_the_job_has_failed() {
    let jobs = Jobs::new().await;
    let key = jobs.start("deaf", "MAX_ATTEMPTS=1").await;
    jobs.until_status(&key, JobStatus::InProcess).await;
    let tasks = jobs.run("PS").await.ok();
    assert_eq!(*tasks.cell("Task"), json!(key.uid));
    assert_eq!(*tasks.cell("Command"), json!("PROCESS deaf"));
    jobs.run(&format!("KILL 'n1' '{}'", key.uid)).await.ok();
    let job = jobs.until_status(&key, JobStatus::Failed).await;
    assert!(job.error.unwrap().contains("Killed"));
    let gone = jobs.run(&format!("KILL n1 '{}'", key.uid)).await;
    assert_eq!(gone.end.status, EndStatus::NotFound);
    jobs.leave().await;
}

#[tokio::test]
async fn a_kill_ends_what_was_stopped_and_does_not_listen() {
    let jobs = Jobs::new().await;
    let key = jobs.start("deaf", "").await;
    jobs.until_status(&key, JobStatus::InProcess).await;
    jobs.run(&format!("STOPJOB PROCESS NAME='deaf' UID='{}'", key.uid))
        .await
        .ok();
    jobs.until_status(&key, JobStatus::Stopping).await;
    let killed = jobs.run(&format!("KILL 'n1' '{}'", key.uid)).await.ok();
    assert_eq!(
        *killed.cell("Notes"),
        json!("it ends now, even if it ignores the stop")
    );
    let job = jobs.until_status(&key, JobStatus::Terminated).await;
    assert_eq!(job.error, None);
    jobs.leave().await;
}

#[tokio::test]
async fn an_update_that_says_nothing_is_refused() {
    let jobs = Jobs::new().await;
    jobs.start("x", "UID='u' EXEC_INTERVAL='0 2 * * *'").await;
    let refused = jobs.run("UPDATEJOB PROCESS NAME='x' UID='u'").await;
    assert_eq!(refused.end.status, EndStatus::Usage);
    let error = refused.error();
    assert!(error.contains("no option says what to change"), "{error}");
    assert!(error.contains("EXEC_INTERVAL"), "{error}");
    let update = "UPDATEJOB PROCESS NAME='x' UID='u' RESET_END_TIME=false";
    jobs.run(update).await.ok();
    jobs.leave().await;
}

#[tokio::test]
async fn a_stop_of_a_batchs_job_cancels_the_batch() {
    let jobs = Jobs::new().await;
    let id = jobs
        .fixture
        .submit("BATCH Other FABRIC_COMMAND=\"echo ? DELAY_MS=100\" with ASYNC=true")
        .await;
    let answer = jobs
        .run(&format!(
            "STOPJOB 'BATCH PROCESS' NAME='BATCH_Other' UID='{id}'"
        ))
        .await
        .ok();
    assert_eq!(answer.rows.len(), 1);
    loop {
        let woken = jobs.fixture.statements.services().wake.any_batch_woken();
        if jobs.fixture.batch(id).await.status.is_final() {
            break;
        }
        let _ = tokio::time::timeout(Duration::from_millis(100), woken).await;
    }
    assert_eq!(
        jobs.fixture.batch(id).await.status,
        weft_model::BatchStatus::Cancelled
    );
    jobs.leave().await;
}
