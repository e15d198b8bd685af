use std::time::Duration;

use weft_model::clock::Timestamp;
use weft_model::{DueHint, Job, JobKey, JobStatus, NodeRow, NodeState};
use weft_store::{Freshness, ListJobs, Store, WriteJob};

use super::{LAST_ROUND, LastRound, Reconciler, Round, check_time};
use crate::testing::{Bench, Fault, node_row};

fn key(uid: &str) -> JobKey {
    JobKey {
        job_type: "PROCESS".to_owned(),
        name: "a.sh".to_owned(),
        uid: uid.to_owned(),
    }
}

/// Writes a job, with a due hint at `hint_at` or without one.
async fn write(bench: &Bench, job: Job, hint_at: Option<Timestamp>) {
    let write = WriteJob {
        due: hint_at.map(|due_at| DueHint {
            due_at,
            key: job.key.clone(),
        }),
        job,
        seen: None,
        token: bench.session.context.ids.token(),
    };
    bench.session.settle(&write).await.unwrap();
}

async fn round(bench: &Bench) -> Round {
    let reconciler = Reconciler::of(&bench.session);
    let round = reconciler.jobs(Duration::ZERO).await.unwrap();
    round.expect("the session is not fenced")
}

#[tokio::test]
async fn a_round_writes_the_missing_hints_and_only_those() {
    let bench = Bench::new();
    let now = bench.session.context.clock.now();
    let later = now.plus(Duration::from_secs(5 * 3_600));
    let waiting = |uid| Job::waiting(key(uid), now);
    let scheduled = |uid| Job {
        status: JobStatus::Scheduled,
        next_run: Some(later),
        ..waiting(uid)
    };
    let long_ago = now.minus(Duration::from_secs(20 * 60));
    write(&bench, waiting("w0"), Some(now)).await;
    write(&bench, waiting("w1"), None).await;
    write(&bench, waiting("w2"), Some(long_ago)).await;
    write(
        &bench,
        waiting("w3"),
        Some(now.plus(Duration::from_secs(600))),
    )
    .await;
    write(&bench, scheduled("s0"), Some(later)).await;
    write(&bench, scheduled("s1"), None).await;
    write(&bench, scheduled("s2"), Some(now)).await;
    let found = round(&bench).await;
    let uids: Vec<&str> = found.jobs.iter().map(|key| key.uid.as_str()).collect();
    let mut sorted = uids.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, ["s1", "s2", "w1", "w2"]);
    assert_eq!((found.examined, found.job_count), (7, 4));
    assert_eq!(
        round(&bench).await.job_count,
        0,
        "nothing is left to repair"
    );
    bench.end().await;
}

/// The setting of the last round, as JSON.
async fn last_round(bench: &Bench) -> serde_json::Value {
    let found = bench.store.setting(LAST_ROUND, Freshness::Serial).await;
    serde_json::from_str(&found.unwrap().expect("a round began").value).unwrap()
}

#[tokio::test]
async fn a_round_that_was_cut_short_is_continued() {
    let bench = Bench::new();
    let now = bench.session.context.clock.now();
    for uid in ["a", "b"] {
        write(&bench, Job::waiting(key(uid), now), None).await;
    }
    let reconciler = Reconciler::of(&bench.session);
    bench.store.set("jobs", "", Fault::Unavailable);
    reconciler.daily_round(&bench.session).await.unwrap_err();
    assert_eq!(last_round(&bench).await["finished"], false);
    bench.store.set("jobs", "", None);
    reconciler.daily_round(&bench.session).await.unwrap();
    assert_eq!(last_round(&bench).await["finished"], true);
    assert_eq!(bench.store.calls("jobs"), 1);
    assert_eq!(
        round(&bench).await.job_count,
        0,
        "nothing is left to repair"
    );
    // Another one begins a day later.
    bench.store.set("jobs", "", None);
    reconciler.daily_round(&bench.session).await.unwrap();
    assert_eq!(bench.store.calls("jobs"), 0);
    bench.end().await;
}

#[tokio::test]
async fn a_round_continues_after_the_last_job_on_record_unless_its_node_is_alive() {
    let bench = Bench::new();
    let now = bench.session.context.clock.now();
    for uid in ["a", "b"] {
        write(&bench, Job::waiting(key(uid), now), None).await;
    }
    let reconciler = Reconciler::of(&bench.session);
    let all = ListJobs {
        limit: 1,
        ..ListJobs::default()
    };
    let first = bench.store.jobs(&all).await.unwrap().next;
    let of_other = LastRound {
        started: now,
        node: "other".to_owned(),
        finished: false,
        after: first,
    };
    assert!(reconciler.record(&mut 0, &of_other).await.unwrap());
    let observe = |row| {
        let at = bench.session.context.clock.monotonic();
        bench.session.membership.observe(vec![row], at, at);
    };
    observe(node_row("other", 9, 1));
    reconciler.daily_round(&bench.session).await.unwrap();
    assert_eq!(last_round(&bench).await["node"], "other");
    observe(NodeRow {
        state: NodeState::Left,
        ..node_row("other", 9, 2)
    });
    reconciler.daily_round(&bench.session).await.unwrap();
    let last = last_round(&bench).await;
    assert_eq!(
        (&last["node"], &last["finished"]),
        (&"n1".into(), &true.into())
    );
    assert_eq!(
        round(&bench).await.job_count,
        1,
        "the first was not examined again"
    );
    bench.end().await;
}

#[test]
fn a_round_of_an_older_version_is_finished() {
    let last: LastRound = serde_json::from_str(r#"{"started":5,"node":"n1"}"#).unwrap();
    assert!(last.finished);
}

#[test]
fn what_rests_needs_no_hint() {
    let now = Timestamp(1_000);
    let job = |status, next_run: Option<i64>| Job {
        status,
        next_run: next_run.map(Timestamp),
        ..Job::waiting(key("a"), now)
    };
    let check = |status, next_run, expected: Option<i64>| {
        let found = check_time(&job(status, next_run), now);
        assert_eq!(found, expected.map(Timestamp), "{status}");
    };
    check(JobStatus::Waiting, None, Some(1_000));
    check(JobStatus::Waiting, Some(5_000), Some(5_000));
    check(JobStatus::Scheduled, Some(5_000), Some(5_000));
    check(JobStatus::Scheduled, None, None);
    check(JobStatus::InProcess, Some(500), Some(1_000));
    check(JobStatus::Stopping, None, Some(1_000));
    check(JobStatus::Restart, None, Some(1_000));
    for ended in [
        JobStatus::Processed,
        JobStatus::Terminated,
        JobStatus::Failed,
    ] {
        check(ended, Some(5_000), None);
    }
    let mut paused = job(JobStatus::Scheduled, Some(5_000));
    paused.policy.paused = true;
    assert_eq!(check_time(&paused, now), None);
}
