//! What DEPLOY means for jobs, in front of a running node.

use std::fs;

use serde_json::json;
use weft_model::JobStatus;

use super::job_fixture::{Jobs, command};

/// Adds to the logical unit of the project.
fn add(jobs: &Jobs, text: &str) {
    let path = jobs
        .fixture
        .folder
        .path()
        .join("project/logical_units/AUTODATA_DELTA/lu.yaml");
    let before = fs::read_to_string(&path).unwrap();
    fs::write(&path, before + text).unwrap();
}

fn lines() -> &'static str {
    "jobs:
  nightly:
    type: process
    name: AUTODATA_DELTA.ok
    args: {a: 5, b: '5', c: [true]}
    exec_interval: 0 2 * * *
    time_zone: Europe/Berlin
    max_attempts: 3
  follows:
    type: PROCESS
    name: report
    after: PROCESS AUTODATA_DELTA.ok nightly SUCCEEDED
  resting: {type: PROCESS, name: ok, active: false}
  wrong: {type: PROCESS, name: missing}
"
}

#[tokio::test]
async fn jobs_of_the_project_are_started_once_and_a_deployment_changes_none_that_is_there() {
    let jobs = Jobs::new().await;
    add(&jobs, lines());
    let deploy = jobs.fixture.deploy_line();
    let soft = deploy.replace(';', " SOFT_DEPLOY=true;");
    let answer = jobs.run(&soft).await.ok();
    assert!(answer.notices.is_empty(), "{:?}", answer.notices);
    assert!(jobs.run("JOBSTATUS PROCESS").await.ok().rows.is_empty());
    let answer = jobs.run(&deploy).await.ok();
    assert_eq!(
        answer.notices,
        [
            "'PROCESS.AUTODATA_DELTA.ok.nightly' is SCHEDULED",
            "'PROCESS.report.follows' is SCHEDULED",
            "'PROCESS.missing.wrong' was not started: there is no script `missing`",
        ]
    );
    let shown = jobs
        .run("JOBSTATUS PROCESS 'AUTODATA_DELTA.ok' WITH UID='nightly'")
        .await
        .ok();
    assert_eq!(
        *shown.cell("Schedule"),
        json!("at 02:00 every day (Europe/Berlin)")
    );
    let update =
        "UPDATEJOB PROCESS NAME='AUTODATA_DELTA.ok' UID='nightly' EXEC_INTERVAL='0 3 * * *'";
    jobs.run(update).await.ok();
    jobs.run("STOPJOB PROCESS NAME='report' UID='follows'")
        .await
        .ok();
    add(&jobs, "  # another project\n");
    let answer = jobs.run(&deploy).await.ok();
    assert_eq!(
        answer.notices,
        ["'PROCESS.missing.wrong' was not started: there is no script `missing`"]
    );
    let shown = jobs.run("JOBSTATUS PROCESS").await.ok();
    assert_eq!(*shown.row_cell(1, "Status"), json!("TERMINATED"));
    assert_eq!(
        *shown.cell("Schedule"),
        json!("at 03:00 every day (Europe/Berlin)")
    );
    jobs.leave().await;
}

#[tokio::test]
async fn running_jobs_of_a_logical_unit_begin_anew_and_others_do_not() {
    let jobs = Jobs::new().await;
    let own = jobs.start("AUTODATA_DELTA.hang", "UID='own'").await;
    let other = jobs.start("hang", "UID='other'").await;
    let idle = jobs
        .start("AUTODATA_DELTA.ok", "UID='idle' EXEC_INTERVAL='0 2 * * *'")
        .await;
    let first = jobs.until_status(&own, JobStatus::InProcess).await;
    let left = jobs.until_status(&other, JobStatus::InProcess).await;
    let resting = jobs.job(&idle).await;
    let deploy = jobs.fixture.deploy_line();
    let same = jobs.run(&deploy).await.ok();
    assert!(
        same.notices.is_empty(),
        "the same project: {:?}",
        same.notices
    );
    add(&jobs, "# another project\n");
    let soft = jobs
        .run(&deploy.replace(';', " SOFT_DEPLOY=true;"))
        .await
        .ok();
    assert!(soft.notices.is_empty(), "{:?}", soft.notices);
    add(&jobs, "# and another\n");
    let answer = jobs.run(&deploy).await.ok();
    assert_eq!(
        answer.notices,
        ["'PROCESS.AUTODATA_DELTA.hang.own' restarts with the new deployment"]
    );
    let again = jobs
        .until(&own, |job| {
            job.fence > first.fence && job.status == JobStatus::InProcess
        })
        .await;
    assert_eq!(again.runs, first.runs + 1);
    assert_eq!(jobs.job(&other).await.fence, left.fence);
    assert_eq!(jobs.job(&idle).await, resting);
    for key in [own, other] {
        jobs.run(&command("STOPJOB", &key)).await.ok();
        jobs.until_status(&key, JobStatus::Terminated).await;
    }
    jobs.leave().await;
}
