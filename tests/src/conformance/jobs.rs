//! Jobs: claims, ends of runs, and whole rows that commands write.

use std::time::Duration;

use weft_model::clock::Timestamp;
use weft_model::schedule::{JobPolicy, Trigger};
use weft_model::{DueHint, Job, JobDesired, JobKey, JobRun, JobStatus};
use weft_store::{ClaimJob, EndJob, Freshness, JobSeen, ListJobs, SharedStore, Store, WriteJob};

use super::claims;
use super::fixture::*;
use super::job_hints::own_time;

claims!(
    a_submitted_job_is_read_back_whole,
    a_missing_job_is_none,
    of_many_claimants_one_wins,
    a_claim_raises_the_fence_and_names_the_holder,
    a_claim_with_an_old_fence_is_lost,
    a_claim_that_saw_another_status_is_lost,
    a_claim_of_a_missing_job_finds_nothing,
    a_running_job_of_a_dead_node_is_taken_over,
    a_takeover_records_the_run_that_was_cut_short,
    a_run_that_has_its_row_is_not_recorded_as_cut_short,
    a_claim_writes_its_hint,
    an_ended_job_is_archived_with_its_output,
    an_end_without_output_leaves_the_output,
    an_end_without_error_clears_the_error,
    an_end_by_another_incarnation_of_the_node_is_lost,
    an_end_by_another_node_is_lost,
    an_end_that_saw_an_old_request_is_lost,
    an_end_of_a_job_that_does_not_run_is_lost,
    a_zombie_end_after_a_takeover_is_lost,
    a_released_job_is_claimed_again,
    a_recurring_job_goes_to_its_next_run,
    a_missing_job_is_opened,
    an_ended_job_is_opened_again_under_its_new_fence,
    an_opening_that_saw_another_fence_is_lost,
    an_opening_sent_twice_is_one,
    a_row_is_written_as_a_whole,
    a_row_written_after_another_request_is_lost,
    followers_are_found_by_the_name_they_wait_for,
    a_follower_is_forgotten_unless_it_was_noted_again,
    a_restart_forgets_the_worker,
    an_end_says_what_remains_planned,
    job_runs_come_newest_first,
    job_runs_are_limited,
    job_runs_are_found_in_all_fences,
    a_run_sent_twice_is_one_run,
    jobs_that_have_ended_can_be_left_out_of_a_list,
);

async fn a_submitted_job_is_read_back_whole(store: SharedStore) {
    let submit = submitted(store.as_ref()).await;
    let expected = Job {
        op_token: Some(submit.token),
        ..submit.job.clone()
    };
    for freshness in [Freshness::Committed, Freshness::Serial] {
        let found = store.job(&submit.job.key, freshness).await;
        assert_eq!(found.expect("readable"), Some(expected.clone()));
    }
}

async fn a_missing_job_is_none(store: SharedStore) {
    let found = store.job(&job_key(batch_id()), Freshness::Committed).await;
    assert_eq!(found.expect("readable"), None);
}

async fn of_many_claimants_one_wins(store: SharedStore) {
    let submit = submitted(store.as_ref()).await;
    let claims: Vec<ClaimJob> = (0..8)
        .map(|_| claim_job(&submit.job.key, 0, &holder("claimant")))
        .collect();
    assert_eq!(winners(&store, &claims).await, 1);
    let job = the_job(store.as_ref(), &submit.job.key).await;
    assert_eq!(job.fence, 1);
    assert!(claims.iter().any(
        |claim| Some(claim.token) == job.op_token && Some(claim.holder.clone()) == job.holder()
    ));
}

async fn a_claim_raises_the_fence_and_names_the_holder(store: SharedStore) {
    let submit = submitted(store.as_ref()).await;
    let me = holder("me");
    let claim = claim_job(&submit.job.key, 0, &me);
    apply(store.as_ref(), &claim).await;
    let job = the_job(store.as_ref(), &submit.job.key).await;
    assert_eq!(job.status, JobStatus::InProcess);
    assert_eq!(job.fence, 1);
    assert_eq!(job.holder(), Some(me));
    assert_eq!(job.start_time, Some(claim.now));
    assert_eq!(job.op_token, Some(claim.token));
    assert_eq!(job.arguments, submit.job.arguments);
}

async fn a_claim_with_an_old_fence_is_lost(store: SharedStore) {
    let submit = submitted(store.as_ref()).await;
    let me = holder("me");
    apply(store.as_ref(), &claim_job(&submit.job.key, 0, &me)).await;
    apply(store.as_ref(), &release_job(&submit.job.key, 1, &me)).await;
    let found = lose(
        store.as_ref(),
        &claim_job(&submit.job.key, 1, &holder("late")),
    )
    .await
    .expect("the row is shown");
    assert_eq!((found.status, found.fence), (JobStatus::Waiting, 2));
}

async fn a_claim_that_saw_another_status_is_lost(store: SharedStore) {
    let submit = submitted(store.as_ref()).await;
    let claim = ClaimJob {
        seen_status: JobStatus::Scheduled,
        ..claim_job(&submit.job.key, 0, &holder("me"))
    };
    let found = lose(store.as_ref(), &claim)
        .await
        .expect("the row is shown");
    assert_eq!(found.status, JobStatus::Waiting);
}

async fn a_claim_of_a_missing_job_finds_nothing(store: SharedStore) {
    let claim = claim_job(&job_key(batch_id()), 0, &holder("me"));
    assert_eq!(lose(store.as_ref(), &claim).await, None);
}

async fn a_running_job_of_a_dead_node_is_taken_over(store: SharedStore) {
    let owned = Owned::new(store.as_ref()).await;
    let heir = holder("heir");
    let takeover = ClaimJob {
        seen_status: JobStatus::InProcess,
        ..claim_job(&owned.key, 1, &heir)
    };
    apply(store.as_ref(), &takeover).await;
    let job = owned.job(store.as_ref()).await;
    assert_eq!((job.fence, job.holder()), (2, Some(heir)));
}

async fn a_takeover_records_the_run_that_was_cut_short(store: SharedStore) {
    let owned = Owned::new(store.as_ref()).await;
    let cut_short = JobRun {
        status: JobStatus::Failed,
        output: None,
        ..run_of(&owned.key, 1, &owned.holder, now())
    };
    let takeover = |seen_fence| ClaimJob {
        seen_status: JobStatus::InProcess,
        cut_short: Some(cut_short.clone()),
        ..claim_job(&owned.key, seen_fence, &holder("heir"))
    };
    let runs = || store.job_runs(&owned.key, 10);
    lose(store.as_ref(), &takeover(7)).await;
    assert_eq!(
        runs().await.expect("an answer"),
        [],
        "nothing was taken over"
    );
    let claim = takeover(1);
    apply(store.as_ref(), &claim).await;
    apply(store.as_ref(), &claim).await;
    let recorded = runs().await.expect("an answer");
    assert_eq!(recorded.as_slice(), std::slice::from_ref(&cut_short));
}

async fn a_run_that_has_its_row_is_not_recorded_as_cut_short(store: SharedStore) {
    let owned = Owned::new(store.as_ref()).await;
    let stale = EndJob {
        desired_seq: 9,
        ..end_job(&owned.key, 1, &owned.holder)
    };
    // The end is refused after its history row was written, at the latest by a store that writes the row first.
    lose(store.as_ref(), &stale).await;
    let before = store.job_runs(&owned.key, 10).await.expect("an answer");
    let cut_short = JobRun {
        status: JobStatus::Failed,
        ..stale.run.expect("the end has a run")
    };
    let takeover = ClaimJob {
        seen_status: JobStatus::InProcess,
        cut_short: Some(cut_short.clone()),
        ..claim_job(&owned.key, 1, &holder("heir"))
    };
    apply(store.as_ref(), &takeover).await;
    let expected = match before.is_empty() {
        true => vec![cut_short],
        false => before,
    };
    let runs = store.job_runs(&owned.key, 10).await.expect("an answer");
    assert_eq!(runs, expected);
}

async fn a_claim_writes_its_hint(store: SharedStore) {
    let submit = submitted(store.as_ref()).await;
    let mut claim = claim_job(&submit.job.key, 0, &holder("me"));
    claim.due.due_at = own_time();
    apply(store.as_ref(), &claim).await;
    let at = claim.due.due_at;
    let hints = store
        .due(&DueHint::first_at(at), at, 1_000)
        .await
        .expect("readable");
    assert!(hints.contains(&claim.due));
}

async fn an_ended_job_is_archived_with_its_output(store: SharedStore) {
    let owned = Owned::new(store.as_ref()).await;
    let end = end_job(&owned.key, 1, &owned.holder);
    apply(store.as_ref(), &end).await;
    let job = owned.job(store.as_ref()).await;
    assert_eq!(job.status, JobStatus::Processed);
    assert!(job.archived);
    assert_eq!(job.output, end.output);
    assert_eq!(job.end_time, Some(end.now));
    assert_eq!(job.fence, 1);
    assert_eq!(job.holder(), None);
    assert_eq!(job.worker, Some(owned.holder.node.clone()));
}

async fn an_end_without_output_leaves_the_output(store: SharedStore) {
    let owned = Owned::new(store.as_ref()).await;
    let back = EndJob {
        output: Some("first".to_owned()),
        ..release_job(&owned.key, 1, &owned.holder)
    };
    apply(store.as_ref(), &back).await;
    apply(store.as_ref(), &claim_job(&owned.key, 2, &owned.holder)).await;
    let again = EndJob {
        output: None,
        ..end_job(&owned.key, 3, &owned.holder)
    };
    apply(store.as_ref(), &again).await;
    let job = owned.job(store.as_ref()).await;
    assert_eq!(job.output.as_deref(), Some("first"));
}

async fn an_end_without_error_clears_the_error(store: SharedStore) {
    let owned = Owned::new(store.as_ref()).await;
    let failed = EndJob {
        error: Some(r#"{"exception_type":"x"}"#.to_owned()),
        tries: 1,
        notes: Some("tried again soon".to_owned()),
        ..release_job(&owned.key, 1, &owned.holder)
    };
    apply(store.as_ref(), &failed).await;
    let job = owned.job(store.as_ref()).await;
    assert_eq!(job.error, failed.error);
    assert_eq!((job.tries, job.notes), (1, failed.notes));
    apply(store.as_ref(), &claim_job(&owned.key, 2, &owned.holder)).await;
    apply(store.as_ref(), &end_job(&owned.key, 3, &owned.holder)).await;
    let job = owned.job(store.as_ref()).await;
    assert_eq!((job.error, job.tries, job.notes), (None, 0, None));
}

async fn an_end_by_another_incarnation_of_the_node_is_lost(store: SharedStore) {
    let owned = Owned::new(store.as_ref()).await;
    let end = end_job(&owned.key, 1, &next_incarnation(&owned.holder));
    let found = lose(store.as_ref(), &end).await.expect("the row is shown");
    assert_eq!(found.holder(), Some(owned.holder.clone()));
}

async fn an_end_by_another_node_is_lost(store: SharedStore) {
    let owned = Owned::new(store.as_ref()).await;
    let end = end_job(&owned.key, 1, &holder("other"));
    assert!(lose(store.as_ref(), &end).await.is_some());
    let job = owned.job(store.as_ref()).await;
    assert_eq!(job.status, JobStatus::InProcess);
}

async fn an_end_that_saw_an_old_request_is_lost(store: SharedStore) {
    let mut submit = submission();
    submit.job.desired_seq = 3;
    apply(store.as_ref(), &submit).await;
    let me = holder("me");
    apply(store.as_ref(), &claim_job(&submit.job.key, 0, &me)).await;
    let end = EndJob {
        desired_seq: 2,
        ..end_job(&submit.job.key, 1, &me)
    };
    let found = lose(store.as_ref(), &end).await.expect("the row is shown");
    assert_eq!(found.desired_seq, 3);
    let end = EndJob {
        desired_seq: 3,
        ..end_job(&submit.job.key, 1, &me)
    };
    apply(store.as_ref(), &end).await;
}

async fn an_end_of_a_job_that_does_not_run_is_lost(store: SharedStore) {
    let owned = Owned::new(store.as_ref()).await;
    apply(store.as_ref(), &end_job(&owned.key, 1, &owned.holder)).await;
    let again = end_job(&owned.key, 1, &owned.holder);
    let found = lose(store.as_ref(), &again)
        .await
        .expect("the row is shown");
    assert_eq!(found.status, JobStatus::Processed);
}

async fn a_zombie_end_after_a_takeover_is_lost(store: SharedStore) {
    let owned = Owned::new(store.as_ref()).await;
    let takeover = ClaimJob {
        seen_status: JobStatus::InProcess,
        ..claim_job(&owned.key, 1, &holder("heir"))
    };
    apply(store.as_ref(), &takeover).await;
    lose(store.as_ref(), &end_job(&owned.key, 1, &owned.holder)).await;
    assert_eq!(owned.job(store.as_ref()).await.status, JobStatus::InProcess);
}

async fn a_released_job_is_claimed_again(store: SharedStore) {
    let owned = Owned::new(store.as_ref()).await;
    apply(store.as_ref(), &release_job(&owned.key, 1, &owned.holder)).await;
    let job = owned.job(store.as_ref()).await;
    assert_eq!((job.status, job.fence), (JobStatus::Waiting, 2));
    assert!(!job.archived);
    apply(store.as_ref(), &claim_job(&owned.key, 2, &holder("next"))).await;
    assert_eq!(owned.job(store.as_ref()).await.fence, 3);
}

async fn a_recurring_job_goes_to_its_next_run(store: SharedStore) {
    let owned = Owned::new(store.as_ref()).await;
    let next_run = Timestamp(now().0 + 60_000);
    let end = EndJob {
        to: JobStatus::Scheduled,
        next_run: Some(next_run),
        due: Some(DueHint {
            due_at: next_run,
            key: owned.key.clone(),
        }),
        ..end_job(&owned.key, 1, &owned.holder)
    };
    apply(store.as_ref(), &end).await;
    let job = owned.job(store.as_ref()).await;
    assert_eq!(
        (job.status, job.next_run),
        (JobStatus::Scheduled, Some(next_run))
    );
    assert!(!job.archived);
    let hints = store
        .due(&DueHint::first_at(next_run), next_run, 1_000)
        .await
        .expect("readable");
    assert!(hints.iter().any(|hint| hint.key == owned.key));
}

/// Runs a job `count` times, a second apart, and returns the times at which the runs started.
async fn run_often(store: &SharedStore, count: i64) -> (Owned, Vec<Timestamp>) {
    let owned = Owned::new(store.as_ref()).await;
    let first = now().0 - 100_000;
    let mut started = Vec::new();
    for round in 0..count {
        let fence = 1 + 2 * round;
        if round > 0 {
            apply(
                store.as_ref(),
                &claim_job(&owned.key, fence - 1, &owned.holder),
            )
            .await;
        }
        let start = Timestamp(first + 1_000 * round);
        let end = EndJob {
            run: Some(run_of(&owned.key, fence, &owned.holder, start)),
            ..release_job(&owned.key, fence, &owned.holder)
        };
        apply(store.as_ref(), &end).await;
        started.push(start);
    }
    (owned, started)
}

async fn job_runs_come_newest_first(store: SharedStore) {
    let (owned, mut started) = run_often(&store, 3).await;
    let runs = store.job_runs(&owned.key, 10).await.expect("readable");
    started.reverse();
    let expected: Vec<_> = started
        .iter()
        .zip([5, 3, 1])
        .map(|(start, fence)| run_of(&owned.key, fence, &owned.holder, *start))
        .collect();
    assert_eq!(runs, expected);
}

async fn job_runs_are_limited(store: SharedStore) {
    let (owned, started) = run_often(&store, 3).await;
    let runs = store.job_runs(&owned.key, 2).await.expect("readable");
    let found: Vec<_> = runs.iter().map(|run| run.started).collect();
    assert_eq!(found, [started[2], started[1]]);
    let none = store.job_runs(&owned.key, 0).await.expect("readable");
    assert_eq!(none, []);
}

/// A job at a fence that is reached after some hundred runs, run five times from there.
async fn job_runs_are_found_in_all_fences(store: SharedStore) {
    let key = JobKey {
        job_type: "PROCESS".to_owned(),
        name: own_text("many.sh"),
        uid: "u".to_owned(),
    };
    let insert = WriteJob {
        job: Job {
            fence: 508,
            ..new_job(key.clone())
        },
        seen: None,
        due: None,
        token: token(),
    };
    apply(store.as_ref(), &insert).await;
    let base = now().0 - 600_000;
    let mut expected = Vec::new();
    for (fence, minute) in [508, 510, 512, 514, 1_516].into_iter().zip(0..) {
        if fence == 1_516 {
            let job = the_job(store.as_ref(), &key).await;
            let moved = Job {
                fence,
                ..job.clone()
            };
            let write = WriteJob {
                job: moved,
                seen: Some(JobSeen::of(&job)),
                due: None,
                token: token(),
            };
            apply(store.as_ref(), &write).await;
        }
        let holder = holder("runner");
        apply(store.as_ref(), &claim_job(&key, fence, &holder)).await;
        let started = Timestamp(base + minute * 60_000);
        let run = run_of(&key, fence + 1, &holder, started);
        expected.insert(0, run.clone());
        let mut end = release_job(&key, fence + 1, &holder);
        end.run = Some(run);
        apply(store.as_ref(), &end).await;
    }
    let runs = store.job_runs(&key, 10).await.expect("readable");
    assert_eq!(runs, expected);
    let runs = store.job_runs(&key, 2).await.expect("readable");
    assert_eq!(runs, expected[..2]);
    let before = Timestamp(base + 3 * 60_000);
    let forgotten = store.forget_runs(&key, before).await;
    assert_eq!(forgotten.expect("writable"), 3);
    let runs = store.job_runs(&key, 10).await.expect("readable");
    assert_eq!(runs, expected[..2]);
}

async fn a_run_sent_twice_is_one_run(store: SharedStore) {
    let owned = Owned::new(store.as_ref()).await;
    let end = end_job(&owned.key, 1, &owned.holder);
    apply(store.as_ref(), &end).await;
    apply(store.as_ref(), &end).await;
    let runs = store.job_runs(&owned.key, 10).await.expect("readable");
    assert_eq!(runs.len(), 1);
}

async fn jobs_that_have_ended_can_be_left_out_of_a_list(store: SharedStore) {
    let job = ended(store.as_ref()).await;
    let mut list = ListJobs {
        job_type: Some(job.key.job_type.clone()),
        name: Some(job.key.name.clone()),
        uid: Some(job.key.uid.clone()),
        active_only: false,
        after: None,
        limit: 10,
    };
    assert_eq!(store.jobs(&list).await.expect("readable").jobs.len(), 1);
    list.active_only = true;
    assert_eq!(store.jobs(&list).await.expect("readable").jobs.len(), 0);
}

/// Writes `job` as a waiting job over the row `seen`.
fn reopening(job: Job, seen: Option<JobSeen>) -> WriteJob {
    WriteJob {
        due: Some(due_now(&job.key)),
        job,
        seen,
        token: token(),
    }
}

async fn a_missing_job_is_opened(store: SharedStore) {
    let job = Job {
        fence: 7,
        ..new_job(job_key(batch_id()))
    };
    let reopen = reopening(job.clone(), None);
    apply(store.as_ref(), &reopen).await;
    let found = the_job(store.as_ref(), &job.key).await;
    assert_eq!((found.status, found.fence), (JobStatus::Waiting, 7));
    let other = reopening(job, None);
    lose(store.as_ref(), &other).await;
}

/// A job that ran once and ended.
async fn ended(store: &dyn Store) -> Job {
    let submit = submitted(store).await;
    let holder = holder("runner");
    apply(store, &claim_job(&submit.job.key, 0, &holder)).await;
    apply(store, &end_job(&submit.job.key, 1, &holder)).await;
    the_job(store, &submit.job.key).await
}

async fn an_ended_job_is_opened_again_under_its_new_fence(store: SharedStore) {
    let job = ended(store.as_ref()).await;
    let opened = Job {
        status: JobStatus::Waiting,
        archived: false,
        fence: 5,
        ..job.clone()
    };
    let reopen = reopening(opened, Some(JobSeen::of(&job)));
    apply(store.as_ref(), &reopen).await;
    let found = the_job(store.as_ref(), &job.key).await;
    assert_eq!((found.status, found.archived), (JobStatus::Waiting, false));
    assert_eq!((found.fence, found.worker), (5, job.worker.clone()));
    apply(store.as_ref(), &claim_job(&job.key, 5, &holder("next"))).await;
}

async fn an_opening_that_saw_another_fence_is_lost(store: SharedStore) {
    let job = ended(store.as_ref()).await;
    let other = JobSeen {
        fence: job.fence + 1,
        ..JobSeen::of(&job)
    };
    let reopen = reopening(job.clone(), Some(other));
    let found = lose(store.as_ref(), &reopen).await;
    assert_eq!(found.map(|found| found.status), Some(job.status));
}

async fn an_opening_sent_twice_is_one(store: SharedStore) {
    let job = ended(store.as_ref()).await;
    let opened = Job {
        status: JobStatus::Waiting,
        archived: false,
        fence: 9,
        ..job.clone()
    };
    let reopen = reopening(opened, Some(JobSeen::of(&job)));
    apply(store.as_ref(), &reopen).await;
    apply(store.as_ref(), &reopen).await;
    assert_eq!(the_job(store.as_ref(), &job.key).await.fence, 9);
}

async fn a_row_is_written_as_a_whole(store: SharedStore) {
    let job = ended(store.as_ref()).await;
    let at = |offset| Some(Timestamp(now().0 + offset));
    let policy = JobPolicy {
        max_attempts: 3,
        time_zone: Some("Europe/Berlin".to_owned()),
        after: Trigger::parse_all("PROCESS a.sh ENDED +00:00:05; PROCESS 'b c' u FAILED OFF")
            .expect("the store answers"),
        ..JobPolicy::default()
    };
    let written = Job {
        status: JobStatus::Scheduled,
        affinity: vec!["DC1".to_owned(), "10.0.0.1".to_owned()],
        archived: false,
        arguments: r#"{"a":"'\"ü"}"#.to_owned(),
        creation_time: Timestamp(now().0 + 1),
        start_time: at(2),
        end_time: at(3),
        error: Some("{}".to_owned()),
        execution_interval: Some("0 12 * * *".to_owned()),
        output: None,
        tries: 4,
        worker: None,
        owner_incarnation: None,
        next_run: at(5),
        planned_run: at(6),
        runs: 7,
        policy,
        created_by: "somebody".to_owned(),
        fence: job.fence + 1,
        desired: JobDesired::Run,
        desired_seq: job.desired_seq + 1,
        desired_token: None,
        notes: Some("why".to_owned()),
        triggers: triggers(),
        ..job.clone()
    };
    let write = reopening(written.clone(), Some(JobSeen::of(&job)));
    apply(store.as_ref(), &write).await;
    let expected = Job {
        op_token: Some(write.token),
        ..written
    };
    assert_eq!(the_job(store.as_ref(), &job.key).await, expected);
}

async fn a_row_written_after_another_request_is_lost(store: SharedStore) {
    let job = ended(store.as_ref()).await;
    let other = JobSeen {
        desired_seq: job.desired_seq + 1,
        ..JobSeen::of(&job)
    };
    let found = lose(store.as_ref(), &reopening(job.clone(), Some(other))).await;
    assert_eq!(found.map(|found| found.fence), Some(job.fence));
}

async fn followers_are_found_by_the_name_they_wait_for(store: SharedStore) {
    let name = token().0.to_string();
    let follower = |uid: &str| JobKey {
        job_type: "USER_JOB".to_owned(),
        name: "L.f".to_owned(),
        uid: uid.to_owned(),
    };
    let of = async |name: &str, limit| {
        store
            .followers("PROCESS", name, None, limit)
            .await
            .expect("the store answers")
    };
    assert!(of(&name, 10).await.is_empty());
    for uid in ["2", "1", "2"] {
        store
            .put_follower("PROCESS", &name, &follower(uid))
            .await
            .expect("the store answers");
    }
    assert_eq!(of(&name, 10).await, [follower("1"), follower("2")]);
    assert_eq!(of(&name, 1).await, [follower("1")]);
    assert!(of("another", 10).await.is_empty());
    let after = |uid: &str| {
        let (name, after) = (name.clone(), follower(uid));
        let store = store.clone();
        async move {
            let page = store.followers("PROCESS", &name, Some(&after), 10).await;
            page.expect("the store answers")
        }
    };
    assert_eq!(after("1").await, [follower("2")]);
    assert!(after("2").await.is_empty());
}

async fn a_follower_is_forgotten_unless_it_was_noted_again(store: SharedStore) {
    let name = token().0.to_string();
    let follower = new_job(JobKey {
        job_type: "USER_JOB".to_owned(),
        name: "L.f".to_owned(),
        uid: "1".to_owned(),
    })
    .key;
    let noted = async || {
        let found = store.followers("PROCESS", &name, None, 10).await;
        found.expect("the store answers").len()
    };
    let written = store.put_follower("PROCESS", &name, &follower).await;
    written.expect("the store answers");
    let now = store.store_time().await.expect("the store answers");
    let day = Duration::from_secs(86_400);
    for (before, expected) in [(now.minus(day), 1), (now.plus(day), 0)] {
        let forgotten = store.forget_follower("PROCESS", &name, &follower, before);
        forgotten.await.expect("the store answers");
        assert_eq!(noted().await, expected);
    }
}

async fn a_restart_forgets_the_worker(store: SharedStore) {
    let owned = Owned::new(store.as_ref()).await;
    let again = EndJob {
        forget_worker: true,
        ..release_job(&owned.key, 1, &owned.holder)
    };
    apply(store.as_ref(), &again).await;
    let job = owned.job(store.as_ref()).await;
    assert_eq!((job.worker, job.owner_incarnation), (None, None));
}

async fn an_end_says_what_remains_planned(store: SharedStore) {
    let owned = Owned::new(store.as_ref()).await;
    let planned = Timestamp(now().0 + 60_000);
    let end = EndJob {
        to: JobStatus::Scheduled,
        next_run: Some(planned),
        planned_run: Some(planned),
        runs: 3,
        desired: JobDesired::Run,
        triggers: triggers(),
        ..end_job(&owned.key, 1, &owned.holder)
    };
    apply(store.as_ref(), &end).await;
    assert_eq!(owned.job(store.as_ref()).await.triggers, triggers());
    let job = owned.job(store.as_ref()).await;
    assert_eq!((job.planned_run, job.runs), (Some(planned), 3));
    assert_eq!(job.worker, Some(owned.holder.node.clone()));
}
