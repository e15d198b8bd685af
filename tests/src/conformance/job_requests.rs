//! Requests about a job that a node holds.

use weft_model::schedule::JobPolicy;
use weft_model::{Job, JobDesired, JobStatus};
use weft_store::{ClaimJob, EndJob, JobDefinition, RequestJob, SharedStore};

use super::claims;
use super::fixture::*;

claims!(
    a_request_is_recorded_and_refuses_the_end_that_did_not_see_it,
    a_request_about_a_job_sent_twice_is_one,
    a_request_that_saw_an_old_fence_is_lost,
    a_request_that_saw_an_old_request_is_lost,
    a_request_about_a_missing_job_finds_nothing,
    a_request_may_change_the_definition,
    a_request_without_a_definition_leaves_it,
);

fn request(job: &Job, desired: JobDesired, status: JobStatus) -> RequestJob {
    RequestJob::of(job, desired, status, token())
}

async fn a_request_is_recorded_and_refuses_the_end_that_did_not_see_it(store: SharedStore) {
    let owned = Owned::new(store.as_ref()).await;
    let running = owned.job(store.as_ref()).await;
    let stop = request(&running, JobDesired::Stop, JobStatus::Stopping);
    apply(store.as_ref(), &stop).await;
    let stopping = owned.job(store.as_ref()).await;
    assert_eq!(
        (stopping.status, stopping.desired, stopping.desired_seq),
        (JobStatus::Stopping, JobDesired::Stop, 1)
    );
    assert_eq!(stopping.desired_token, Some(stop.token));
    assert_eq!(
        (stopping.op_token, stopping.fence, stopping.holder()),
        (running.op_token, running.fence, running.holder())
    );
    let blind = end_job(&owned.key, 1, &owned.holder);
    let found = lose(store.as_ref(), &blind).await;
    assert_eq!(found.map(|found| found.desired_seq), Some(1));
    let seeing = EndJob {
        seen_status: JobStatus::Stopping,
        desired_seq: 1,
        desired: JobDesired::Stop,
        to: JobStatus::Terminated,
        ..end_job(&owned.key, 1, &owned.holder)
    };
    apply(store.as_ref(), &seeing).await;
    let ended = owned.job(store.as_ref()).await;
    assert_eq!(
        (ended.status, ended.archived),
        (JobStatus::Terminated, true)
    );
}

async fn a_request_about_a_job_sent_twice_is_one(store: SharedStore) {
    let owned = Owned::new(store.as_ref()).await;
    let running = owned.job(store.as_ref()).await;
    let stop = request(&running, JobDesired::Stop, JobStatus::Stopping);
    apply(store.as_ref(), &stop).await;
    apply(store.as_ref(), &stop).await;
    assert_eq!(owned.job(store.as_ref()).await.desired_seq, 1);
}

async fn a_request_that_saw_an_old_fence_is_lost(store: SharedStore) {
    let owned = Owned::new(store.as_ref()).await;
    let running = owned.job(store.as_ref()).await;
    let takeover = ClaimJob {
        seen_status: JobStatus::InProcess,
        ..claim_job(&owned.key, 1, &holder("heir"))
    };
    apply(store.as_ref(), &takeover).await;
    let late = request(&running, JobDesired::Stop, JobStatus::Stopping);
    let found = lose(store.as_ref(), &late).await;
    assert_eq!(found.map(|found| found.fence), Some(2));
}

async fn a_request_that_saw_an_old_request_is_lost(store: SharedStore) {
    let owned = Owned::new(store.as_ref()).await;
    let running = owned.job(store.as_ref()).await;
    let stop = request(&running, JobDesired::Stop, JobStatus::Stopping);
    apply(store.as_ref(), &stop).await;
    let late = request(&running, JobDesired::Restart, JobStatus::Restart);
    let found = lose(store.as_ref(), &late).await;
    assert_eq!(found.map(|found| found.desired), Some(JobDesired::Stop));
}

async fn a_request_about_a_missing_job_finds_nothing(store: SharedStore) {
    let job = new_job(job_key(batch_id()));
    let found = lose(
        store.as_ref(),
        &request(&job, JobDesired::Stop, JobStatus::Waiting),
    )
    .await;
    assert_eq!(found, None);
}

async fn a_request_may_change_the_definition(store: SharedStore) {
    let owned = Owned::new(store.as_ref()).await;
    let running = owned.job(store.as_ref()).await;
    let definition = JobDefinition {
        affinity: vec!["DC2".to_owned()],
        arguments: r#"{"b":2}"#.to_owned(),
        execution_interval: None,
        policy: JobPolicy {
            max_attempts: -1,
            ..JobPolicy::default()
        },
        triggers: triggers(),
    };
    let change = RequestJob {
        definition: Some(definition.clone()),
        ..request(&running, JobDesired::Run, JobStatus::InProcess)
    };
    apply(store.as_ref(), &change).await;
    let changed = owned.job(store.as_ref()).await;
    assert_eq!(changed.affinity, definition.affinity);
    assert_eq!(changed.arguments, definition.arguments);
    assert_eq!(changed.execution_interval, None);
    assert_eq!(changed.policy, definition.policy);
    assert_eq!(changed.triggers, definition.triggers);
    assert_eq!(
        (changed.status, changed.desired_seq),
        (JobStatus::InProcess, 1)
    );
}

async fn a_request_without_a_definition_leaves_it(store: SharedStore) {
    let mut submit = submission();
    submit.job.execution_interval = Some("00:01:00".to_owned());
    apply(store.as_ref(), &submit).await;
    apply(
        store.as_ref(),
        &claim_job(&submit.job.key, 0, &holder("me")),
    )
    .await;
    let running = the_job(store.as_ref(), &submit.job.key).await;
    let stop = request(&running, JobDesired::Stop, JobStatus::Stopping);
    apply(store.as_ref(), &stop).await;
    let stopping = the_job(store.as_ref(), &submit.job.key).await;
    assert_eq!(stopping.execution_interval.as_deref(), Some("00:01:00"));
    assert_eq!(stopping.arguments, running.arguments);
    assert_eq!(stopping.affinity, running.affinity);
    assert_eq!(stopping.policy, running.policy);
}
