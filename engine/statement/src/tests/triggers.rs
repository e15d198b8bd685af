//! AFTER: jobs that run when others end, in front of a running node.

use serde_json::json;
use weft_model::schedule::RunOutcome;
use weft_model::{DueHint, Job, JobKey, JobStatus};
use weft_model::{EndMark, JobEnd};
use weft_store::{JobSeen, WriteJob};

use super::job_fixture::{Jobs, command};

/// Runs that a job has had.
fn had(runs: i64) -> impl Fn(&Job) -> bool {
    move |job| job.runs == runs && job.holder().is_none()
}

#[tokio::test]
async fn a_job_runs_whenever_the_one_it_waits_for_has_succeeded() {
    let jobs = Jobs::new().await;
    let follower = jobs
        .start("report", "UID='r' AFTER='process load succeeded'")
        .await;
    let waiting = jobs.job(&follower).await;
    assert_eq!(
        (waiting.status, waiting.next_run),
        (JobStatus::Scheduled, None)
    );
    let shown = jobs.run("JOBSTATUS PROCESS 'report'").await.ok();
    assert_eq!(*shown.cell("Next Run"), json!("waits for other jobs"));
    assert_eq!(
        *shown.cell("Why Waiting"),
        json!("waits until PROCESS load has succeeded")
    );
    assert_eq!(
        *shown.cell("Schedule"),
        json!("when PROCESS load has succeeded")
    );
    for runs in 1..=3 {
        let load = jobs.start("load", "").await;
        jobs.until_status(&load, JobStatus::Processed).await;
        let ended = jobs.until(&follower, had(runs)).await;
        assert_eq!(ended.status, JobStatus::Scheduled, "it waits for the next");
    }
    jobs.leave().await;
}

#[tokio::test]
async fn a_failure_counts_once_all_its_tries_are_used_up_and_a_stop_never() {
    let jobs = Jobs::new().await;
    let failed = jobs
        .start("on-failure", "UID='f' AFTER='PROCESS fail FAILED'")
        .await;
    let ended = jobs
        .start(
            "on-end",
            "UID='e' MAX_RUNS=1 AFTER='PROCESS fail ENDED; PROCESS hang ENDED'",
        )
        .await;
    let hang = jobs.start("hang", "UID='h'").await;
    jobs.until_status(&hang, JobStatus::InProcess).await;
    jobs.run(&command("STOPJOB", &hang)).await.ok();
    jobs.until_status(&hang, JobStatus::Terminated).await;
    let fail = jobs.start("fail", "MAX_ATTEMPTS=3 RETRY_DELAY_MS=10").await;
    jobs.until_status(&fail, JobStatus::Failed).await;
    jobs.until(&failed, had(1)).await;
    let over = jobs.until_status(&ended, JobStatus::Processed).await;
    assert_eq!((over.runs, over.archived), (1, true));
    assert_eq!(jobs.job(&failed).await.runs, 1);
    jobs.leave().await;
}

#[tokio::test]
async fn several_prerequisites_are_awaited_also_before_they_exist() {
    let jobs = Jobs::new().await;
    let follower = jobs
        .start(
            "both",
            "UID='b' AFTER='PROCESS one 1 SUCCEEDED AND PROCESS two SUCCEEDED'",
        )
        .await;
    let one = jobs.start("one", "UID='1'").await;
    jobs.until_status(&one, JobStatus::Processed).await;
    let half = jobs
        .until(&follower, |job| !job.triggers.met.is_empty())
        .await;
    assert_eq!((half.status, half.runs), (JobStatus::Scheduled, 0));
    let shown = jobs.run("JOBSTATUS PROCESS 'both'").await.ok();
    assert_eq!(
        *shown.cell("Why Waiting"),
        json!("waits until PROCESS two has succeeded")
    );
    jobs.start("two", "").await;
    jobs.until(&follower, had(1)).await;
    jobs.leave().await;
}

#[tokio::test]
async fn an_end_during_a_run_makes_one_more_run() {
    let jobs = Jobs::new().await;
    let follower = jobs
        .start("wait-for-met", "UID='w' AFTER='PROCESS ok ENDED'")
        .await;
    jobs.start("ok", "").await;
    jobs.until_status(&follower, JobStatus::InProcess).await;
    for _ in 0..3 {
        let seen = jobs.job(&follower).await.triggers.known_ends;
        let ok = jobs.start("ok", "").await;
        jobs.until_status(&ok, JobStatus::Processed).await;
        jobs.until(&follower, |job| job.triggers.known_ends != seen)
            .await;
    }
    assert!(jobs.job(&follower).await.triggers.fired_for.is_some());
    jobs.start("met", "").await;
    let second = jobs
        .until(&follower, |job| job.runs == 1 && job.holder().is_some())
        .await;
    assert_eq!(second.triggers.fired_for, None);
    jobs.start("met", "").await;
    jobs.until(&follower, had(2)).await;
    jobs.leave().await;
}

#[tokio::test]
async fn a_schedule_and_triggers_go_together() {
    let jobs = Jobs::new().await;
    let follower = jobs
        .start(
            "both-ways",
            "UID='s' EXEC_INTERVAL='0 0 1 1 *' AFTER='PROCESS ok SUCCEEDED'",
        )
        .await;
    let planned = jobs.job(&follower).await.next_run;
    assert!(planned.is_some());
    jobs.start("ok", "").await;
    let rested = jobs.until(&follower, had(1)).await;
    assert_eq!(
        (rested.status, rested.next_run),
        (JobStatus::Scheduled, planned)
    );
    let off = "UPDATEJOB PROCESS NAME='both-ways' UID='s' AFTER='PROCESS ok SUCCEEDED OFF'";
    jobs.run(off).await.ok();
    let ok = jobs.start("ok", "").await;
    jobs.until_status(&ok, JobStatus::Processed).await;
    jobs.until(&follower, |job| {
        job.triggers
            .known_ends
            .values()
            .flatten()
            .any(|mark| mark.uid == ok.uid)
    })
    .await;
    let still = jobs.job(&follower).await;
    assert_eq!((still.status, still.runs), (JobStatus::Scheduled, 1));
    jobs.leave().await;
}

#[tokio::test]
async fn circles_and_what_cannot_be_read_leave_no_row() {
    let jobs = Jobs::new().await;
    let refused = async |text: &str, expected: &str| {
        let answer = jobs.run(text).await;
        assert!(answer.error().contains(expected), "{}", answer.error());
    };
    refused(
        "STARTJOB PROCESS NAME='a' AFTER='PROCESS a ENDED'",
        "a job cannot wait for itself",
    )
    .await;
    jobs.start("a", "UID='1' AFTER='PROCESS b ENDED'").await;
    jobs.start("b", "UID='1' AFTER='PROCESS c 7 ENDED OFF'")
        .await;
    refused(
        "STARTJOB PROCESS NAME='c' UID='7' AFTER='PROCESS a SUCCEEDED'",
        "it would wait for itself: PROCESS a, which waits for PROCESS b, which waits for PROCESS c 7",
    )
    .await;
    refused(
        "UPDATEJOB PROCESS NAME='b' AFTER='PROCESS a FAILED'",
        "PROCESS a, which waits for PROCESS b",
    )
    .await;
    jobs.start("c", "UID='8' AFTER='PROCESS a SUCCEEDED'").await;
    refused(
        "STARTJOB PROCESS NAME='d' AFTER='PROCES a ENDED'",
        "`PROCES` is not a job type",
    )
    .await;
    refused(
        "UPDATEJOB PROCESS NAME='a' AFTER=''",
        "nothing would start it",
    )
    .await;
    let shown = jobs.run("JOBSTATUS PROCESS").await.ok();
    assert_eq!(shown.rows.len(), 3);
    jobs.leave().await;
}

#[tokio::test]
async fn notifications_that_a_dead_node_owed_are_sent_by_another() {
    let jobs = Jobs::new().await;
    let follower = jobs
        .start("report", "UID='r' AFTER='PROCESS ok ENDED'")
        .await;
    let archived = jobs
        .start("ok", "UID='o' AFTER='PROCESS never ENDED'")
        .await;
    jobs.run(&command("STOPJOB", &archived)).await.ok();
    // As a node leaves it that ends the job and dies before it has notified the followers.
    let row = jobs.job(&archived).await;
    let services = jobs.fixture.statements.services();
    let mark = EndMark {
        uid: "o".to_owned(),
        created: row.creation_time,
        run: 1,
    };
    let mut owing = Job {
        fence: row.fence + 1,
        ..row.clone()
    };
    owing.triggers.add_pending(JobEnd {
        mark,
        outcome: RunOutcome::Succeeded,
    });
    let due = DueHint {
        due_at: services.clock.now(),
        key: JobKey::clone(&archived),
    };
    let write = WriteJob {
        job: owing,
        seen: Some(JobSeen::of(&row)),
        due: Some(due),
        token: services.ids.token(),
    };
    services.store.write_job(&write).await.unwrap();
    jobs.until(&follower, had(1)).await;
    let notified = jobs
        .until(&archived, |job| {
            job.triggers.pending_notifications.is_empty()
        })
        .await;
    assert_eq!(
        (notified.status, notified.archived),
        (JobStatus::Terminated, true)
    );
    jobs.leave().await;
}
