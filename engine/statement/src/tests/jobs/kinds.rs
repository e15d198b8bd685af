//! BATCH_SCHEDULE and MIGRATE.

use serde_json::json;
use weft_model::{JobKey, JobStatus};
use weft_store::faulty::Fault;

use crate::tests::job_fixture::Jobs;

#[tokio::test]
async fn a_schedule_submits_a_fresh_batch_at_each_run() {
    let jobs = Jobs::new().await;
    let text = "STARTJOB BATCH_SCHEDULE NAME='nightly' UID='n' EXEC_INTERVAL='00:00:01' \
                ARGS='{\"command\":\"BATCH Other.(''1'',''2'') FABRIC_COMMAND=''sync_instance Other.?''\"}'";
    jobs.run(text).await.ok();
    let key = JobKey {
        job_type: "BATCH_SCHEDULE".to_owned(),
        name: "nightly".to_owned(),
        uid: "n".to_owned(),
    };
    let job = jobs.until(&key, |job| job.runs >= 2).await;
    jobs.run("STOPJOB BATCH_SCHEDULE NAME='nightly'").await.ok();
    let done = jobs.run("BATCH_LIST STATUS='DONE'").await.ok();
    assert!(done.rows.len() >= 2);
    assert!(
        done.rows
            .iter()
            .any(|row| Some(row[0].as_str().unwrap()) == job.output.as_deref()),
        "the output of a run is the id of its batch"
    );
    jobs.leave().await;
}

#[tokio::test]
async fn a_schedule_waits_for_the_store_and_no_try_fails() {
    let jobs = Jobs::new().await;
    let faulty = std::sync::Arc::clone(&jobs.fixture.faulty);
    let text = "STARTJOB BATCH_SCHEDULE NAME='nightly' UID='n' MAX_ATTEMPTS=1 \
                ARGS='{\"command\":\"BATCH Other.(''1'',''2'') FABRIC_COMMAND=''sync_instance Other.?''\"}'";
    // The first reads of the job are of its own batch, which is not there yet.
    faulty.set_times("batch", "Serial", Fault::Unavailable, 2);
    faulty.set_times("submit_batch", "", Fault::Refused, 0);
    jobs.run(text).await.ok();
    let key = JobKey {
        job_type: "BATCH_SCHEDULE".to_owned(),
        name: "nightly".to_owned(),
        uid: "n".to_owned(),
    };
    faulty.called("submit_batch", 1).await;
    // From now on the job waits for the batch that it has submitted.
    faulty.set_times("batch", "Committed", Fault::Unavailable, 20);
    let job = jobs.until(&key, |job| job.archived).await;
    assert_eq!((job.status, job.error), (JobStatus::Processed, None));
    let done = jobs.run("BATCH_LIST STATUS='ALL'").await.ok();
    assert_eq!(done.rows.len(), 1, "an outage submits no second batch");
    jobs.leave().await;
}

#[tokio::test]
async fn a_migrate_job_syncs_a_unit_by_a_fresh_batch_at_each_run() {
    let jobs = Jobs::new().await;
    let text = "STARTJOB MIGRATE NAME='Other' UID='m' EXEC_INTERVAL='00:00:01' MAX_RUNS=2 \
                ARGS='{\"instances\":[\"1\",\"2\"],\"max_workers_per_node\":1}'";
    jobs.run(text).await.ok();
    let key = JobKey {
        job_type: "MIGRATE".to_owned(),
        name: "Other".to_owned(),
        uid: "m".to_owned(),
    };
    let job = jobs.until(&key, |job| job.archived).await;
    assert_eq!((job.status, job.runs), (JobStatus::Processed, 2));
    let done = jobs.run("BATCH_LIST STATUS='DONE'").await.ok();
    let statement = "MIGRATE Other.('1','2') WITH MAX_WORKERS_PER_NODE='1';";
    assert_eq!(done.rows.len(), 2);
    for row in &done.rows {
        assert_eq!(row[1], json!(statement));
    }
    // Each of the two batches had a job of its own.
    let batches = jobs.run("JOBSTATUS BATCH_PROCESS").await.ok();
    assert_eq!(batches.rows.len(), 2);
    jobs.leave().await;
}
