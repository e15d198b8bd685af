//! How many jobs run at once and where, and what is shown of them.

use std::time::Duration;

use serde_json::json;
use weft_model::clock::Timestamp;
use weft_model::{Job, JobKey, JobStatus, NodeId};
use weft_store::ListJobs;

use crate::EndStatus;
use crate::tests::job_fixture::{Jobs, command};

#[tokio::test]
async fn a_run_that_takes_too_long_is_ended() {
    let jobs = Jobs::new().await;
    let key = jobs.start("hang", "MAX_ATTEMPTS=1 TIMEOUT_MS=50").await;
    let job = jobs.until_status(&key, JobStatus::Failed).await;
    assert!(job.error.unwrap().contains("TIMEOUT_MS=50"));
    jobs.leave().await;
}

#[tokio::test]
async fn the_pool_bounds_what_runs_at_once() {
    let jobs = Jobs::with(|config| config.job_pool_size = 2).await;
    let mut keys = Vec::new();
    for _ in 0..4 {
        keys.push(jobs.start("hang", "").await);
    }
    let running = |jobs: &[Job]| {
        let at_work = jobs.iter().filter(|job| job.status == JobStatus::InProcess);
        at_work.count()
    };
    let mut stopped = 0;
    while stopped < 4 {
        let mut rows = Vec::new();
        for key in &keys {
            rows.push(jobs.job(key).await);
        }
        let wanted = 2.min(4 - stopped);
        if running(&rows) < wanted {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        }
        let one = rows.iter().find(|job| job.status == JobStatus::InProcess);
        jobs.run(&command("STOPJOB", &one.unwrap().key)).await.ok();
        jobs.until_status(&one.unwrap().key, JobStatus::Terminated)
            .await;
        stopped += 1;
    }
    assert_eq!(jobs.most_at_once(), 2);
    jobs.leave().await;
}

#[tokio::test]
async fn a_time_that_comes_during_a_run_gets_a_run_beside_it_where_that_is_allowed() {
    let jobs = Jobs::new().await;
    let key = jobs
        .start("hang", "UID='u' EXEC_INTERVAL='* * * * * ?' OVERLAP=ALLOW")
        .await;
    jobs.until_status(&key, JobStatus::InProcess).await;
    let others = async || {
        let list = ListJobs {
            job_type: Some("PROCESS".to_owned()),
            name: Some("hang".to_owned()),
            limit: 100,
            ..ListJobs::default()
        };
        let page = jobs.fixture.store.jobs(&list).await.unwrap();
        page.jobs
    };
    let is_beside = |job: &Job| job.key.uid.starts_with("u@") && job.status == JobStatus::InProcess;
    loop {
        let all = others().await;
        if all.iter().filter(|job| is_beside(job)).count() >= 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(jobs.job(&key).await.status, JobStatus::InProcess);
    jobs.run(&command("STOPJOB", &key)).await.ok();
    jobs.until_status(&key, JobStatus::Terminated).await;
    jobs.run("STOPJOB PROCESS NAME='hang'").await.ok();
    for job in others().await {
        jobs.until_status(&job.key, JobStatus::Terminated).await;
    }
    for (options, why) in [
        ("EXEC_INTERVAL='00:00:05'", "needs a cron expression"),
        ("EXEC_INTERVAL='* * * * *' MAX_RUNS=3", "MAX_RUNS"),
    ] {
        let text = format!("STARTJOB PROCESS NAME='ok' OVERLAP=ALLOW {options}");
        let answer = jobs.run(&text).await;
        assert!(answer.error().contains(why), "{}", answer.error());
    }
    jobs.leave().await;
}

#[tokio::test]
async fn after_its_last_time_an_active_run_writes_nothing_more() {
    let jobs = Jobs::new().await;
    let now = jobs.fixture.statements.services().clock.now();
    let last = Timestamp(now.0 + 2_000);
    let key = jobs
        .start(
            "hang",
            &format!(
                "UID='u' EXEC_INTERVAL='* * * * * ?' OVERLAP=ALLOW END_AT='{}'",
                last.to_rfc3339()
            ),
        )
        .await;
    jobs.until_status(&key, JobStatus::InProcess).await;
    let ticks = jobs.start("ok", "EXEC_INTERVAL='* * * * * ?'").await;
    let runs_of_ticks = async |wanted: usize| {
        loop {
            let runs = jobs.fixture.store.job_runs(&ticks, wanted).await.unwrap();
            if runs.len() == wanted {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let writes = || {
        let counted = jobs.fixture.store.statistics().compare_and_sets;
        counted.get("write_job").copied()
    };
    // The third time of the clock is behind the last one of the job.
    runs_of_ticks(3).await;
    let before = writes();
    runs_of_ticks(5).await;
    assert_eq!(writes(), before);
    jobs.run("STOPJOB PROCESS NAME='hang'").await.ok();
    jobs.until_status(&key, JobStatus::Terminated).await;
    jobs.leave().await;
}

#[tokio::test]
async fn a_job_that_waits_for_another_lends_its_slot() {
    let jobs = Jobs::with(|config| config.job_pool_size = 1).await;
    let waiting = jobs.start("wait-for-met", "").await;
    jobs.until_status(&waiting, JobStatus::InProcess).await;
    let other = jobs.start("met", "").await;
    jobs.until_status(&other, JobStatus::Processed).await;
    jobs.until_status(&waiting, JobStatus::Processed).await;
    jobs.leave().await;
}

#[tokio::test]
async fn many_jobs_that_are_due_at_once_all_run_once() {
    let jobs = Jobs::new().await;
    let mut keys = Vec::new();
    for _ in 0..100 {
        keys.push(jobs.start("ok", "").await);
    }
    for key in &keys {
        jobs.until_status(key, JobStatus::Processed).await;
        let runs = jobs.fixture.store.job_runs(key, 10).await.unwrap();
        assert_eq!(runs.len(), 1);
    }
    assert!(jobs.most_at_once() <= 25);
    jobs.leave().await;
}

#[tokio::test]
async fn an_affinity_without_a_node_waits_and_says_why() {
    let jobs = Jobs::new().await;
    let key = jobs.start("ok", "AFFINITY='10.9.9.9'").await;
    let shown = jobs.run("JOBSTATUS").await.ok();
    let why = "no live node matches AFFINITY '10.9.9.9'";
    assert_eq!(*shown.cell("Why Waiting"), json!(why));
    assert_eq!(*shown.cell("Ownership Candidates Num"), json!(0));
    let moved = format!("{} RELOCATE=true", command("UPDATEJOB", &key));
    jobs.run(&moved).await.ok();
    jobs.until_status(&key, JobStatus::Processed).await;
    jobs.leave().await;
}

#[tokio::test]
async fn logical_ids_and_machines_are_not_mixed() {
    let jobs = Jobs::with(|config| config.logical_ids = vec!["blue:1".to_owned()]).await;
    let refused = jobs
        .run("STARTJOB PROCESS NAME='ok' AFFINITY='blue,10.0.0.1'")
        .await;
    assert!(refused.error().contains("`blue`"), "{}", refused.error());
    let key = jobs.start("ok", "AFFINITY='blue'").await;
    jobs.until_status(&key, JobStatus::Processed).await;
    jobs.leave().await;
}

#[tokio::test]
async fn affinities_are_shown_with_their_sizes_and_what_runs() {
    let jobs = Jobs::with(|config| {
        config.logical_ids = ["blue:2-4", "green", "ANY:0"].map(str::to_owned).to_vec();
    })
    .await;
    let key = jobs.start("hang", "AFFINITY='blue'").await;
    jobs.until_status(&key, JobStatus::InProcess).await;
    let answer = jobs.run("CLUSTERSTATUS NODE_AFFINITY_STATUS").await.ok();
    assert_eq!(
        answer.lines(),
        [
            "ALIVE|n1|LOCAL_DC|blue|2|4|1|null",
            "ALIVE|n1|LOCAL_DC|green|null|null|0|null",
            "ALIVE|n1|LOCAL_DC|ANY|0|0|0|null",
        ]
    );
    jobs.leave().await;
}

#[tokio::test]
async fn a_task_says_what_it_does_now() {
    let jobs = Jobs::new().await;
    let key = jobs.start("hang", "UID='h' TIMEOUT_MS=600000").await;
    jobs.until_status(&key, JobStatus::InProcess).await;
    let shown = jobs.run("PS 'h'").await.ok();
    assert_eq!(shown.rows.len(), 1);
    assert_eq!(*shown.cell("Command"), json!("PROCESS hang"));
    assert_eq!(
        *shown.cell("Doing"),
        json!("runs try 1 of 10; it is ended after 600000 ms")
    );
    let text = "STARTJOB MIGRATE NAME='Other' UID='m' ARGS='{\"instances\":\"1\",\"job_affinity\":\"10.9.9.9\"}'";
    jobs.run(text).await.ok();
    let key = JobKey {
        job_type: "MIGRATE".to_owned(),
        name: "Other".to_owned(),
        uid: "m".to_owned(),
    };
    jobs.until_status(&key, JobStatus::InProcess).await;
    let doing = async || {
        let shown = jobs.run("PS 'm'").await.ok();
        shown.cell("Doing").as_str().unwrap().to_owned()
    };
    while doing().await.ends_with("which is being submitted") {
        tokio::task::yield_now().await;
    }
    let doing = doing().await;
    assert!(doing.starts_with("waits for batch "), "{doing}");
    assert!(doing.ends_with(", which is WAITING_FOR_JOB"), "{doing}");
    let none = jobs.run("PS 'nothing'").await;
    assert_eq!(none.end.status, EndStatus::NotFound);
    assert!(none.error().contains("no task `nothing` runs"));
    jobs.leave().await;
}

#[tokio::test]
async fn a_node_that_leaves_hands_its_jobs_back() {
    let jobs = Jobs::with(|config| config.drain_grace = Duration::from_secs(8)).await;
    let key = jobs.start("hang", "").await;
    let held = jobs.until_status(&key, JobStatus::InProcess).await;
    jobs.node.drain();
    jobs.node.ended().await.unwrap();
    let job = jobs.job(&key).await;
    assert_eq!(
        (job.status, job.fence, job.tries),
        (JobStatus::Waiting, held.fence + 1, 0)
    );
    assert_eq!(job.worker, Some(NodeId("n1".to_owned())));
}
