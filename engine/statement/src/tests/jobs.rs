//! STARTJOB and its family in front of a running node, with a kind of job whose runs do what their name says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::sync::Notify;
use weft_model::Session;
use weft_model::clock::Timestamp;
use weft_model::{Job, JobKey, JobStatus, NodeId};
use weft_node::job::{Check, JobKind, JobKinds, Retry, Run, RunEnd, RunFailure, RunOutput};
use weft_node::{Context, Node, NodeConfig, NodeHandle};
use weft_store::{Freshness, ListJobs};

use super::fixture::Fixture;
use crate::Coordinator;
use crate::{BatchSchedule, EndStatus, LateStatements, Migrate, Services, Statements};

/// What stands in for PROCESS here: the name of a job says what its runs do.
#[derive(Debug, Default)]
struct Named {
    running: AtomicUsize,
    most: AtomicUsize,
    met: Notify,
}

#[async_trait]
impl JobKind for Named {
    fn job_type(&self) -> &'static str {
        "PROCESS"
    }

    fn uses_project(&self) -> bool {
        true
    }

    async fn check(&self, job: &Job) -> Result<(), Check> {
        match job.key.name.as_str() {
            "missing" => Err(Check {
                message: "there is no script `missing`".to_owned(),
                hint: Some("did you mean `mission`?".to_owned()),
            }),
            _ => Ok(()),
        }
    }

    async fn run(&self, run: Run) -> RunEnd {
        let now = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        let left = Left(&self.running);
        let failed = |retry| {
            let failure = RunFailure::new("Oops", "it went wrong");
            RunEnd::Failed(RunFailure { retry, ..failure })
        };
        let name = run.job.key.name.rsplit('.').next();
        let end = match name.unwrap_or_default() {
            "fail" => failed(Retry::AsPolicy),
            "fail-once" if run.attempt() == 1 => failed(Retry::AsPolicy),
            "fail-for-good" => failed(Retry::Never),
            "fail-for-ever" => failed(Retry::Always),
            "panic" => panic!("on purpose"),
            "hang" => {
                run.stop.cancelled().await;
                failed(Retry::AsPolicy)
            }
            "deaf" => std::future::pending().await,
            // Waits for a run of another job, and lends its slot meanwhile.
            "wait-for-met" => {
                let _lent = run.slot.lend();
                let _also = run.slot.lend();
                self.met.notified().await;
                RunEnd::Succeeded(RunOutput::default())
            }
            "met" => {
                self.met.notify_one();
                RunEnd::Succeeded(RunOutput::default())
            }
            _ => RunEnd::Succeeded(RunOutput {
                text: Some(run.job.arguments.clone()),
                exit_code: Some(0),
            }),
        };
        drop(left);
        end
    }
}

struct Left<'a>(&'a AtomicUsize);

impl Drop for Left<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(super) struct Jobs {
    pub(super) fixture: Fixture,
    pub(super) node: NodeHandle,
    kind: Arc<Named>,
}

impl Jobs {
    pub(super) async fn new() -> Self {
        Self::with(|_| ()).await
    }

    pub(super) async fn with(configure: impl FnOnce(&mut NodeConfig)) -> Self {
        let mut fixture = Fixture::deployed().await;
        let services = fixture.statements.services().clone();
        let data = services.config.data.clone();
        let mut config = NodeConfig::with_defaults(NodeId("n1".to_owned()), data);
        configure(&mut config);
        let kind = Arc::new(Named::default());
        let late = LateStatements::default();
        let schedule = Arc::new(BatchSchedule::new(late.clone()));
        let kinds = JobKinds::new([
            kind.clone() as Arc<dyn JobKind>,
            schedule.clone() as Arc<dyn JobKind>,
            Arc::new(Migrate::new(schedule.clone())) as Arc<dyn JobKind>,
            Arc::new(Coordinator::new(
                services.store.clone(),
                services.clock.clone(),
                services.ids.clone(),
                &config,
                late.clone(),
            )) as Arc<dyn JobKind>,
        ]);
        let context = Context::new(
            services.store.clone(),
            services.clock.clone(),
            services.ids.clone(),
            config.clone(),
            services.catalogue.clone(),
            kinds.clone(),
            services.wake.clone(),
        );
        let context = context.with_traces(services.traces.clone());
        let node = Node::start(Arc::new(context));
        node.serving().await;
        let services = Services {
            config: Arc::new(config),
            nodes: Arc::new(node.clone()),
            kinds,
            ..services
        };
        late.serve(Statements::new(services.clone()));
        fixture.statements = Statements::new(services);
        Self {
            fixture,
            node,
            kind,
        }
    }

    pub(super) async fn run(&self, text: &str) -> super::fixture::Answer {
        self.fixture.run(text).await
    }

    /// Starts a job; answers its key.
    pub(super) async fn start(&self, name: &str, options: &str) -> JobKey {
        let text = format!("STARTJOB PROCESS NAME='{name}' {options}");
        let answer = self.run(&text).await.ok();
        JobKey {
            job_type: "PROCESS".to_owned(),
            name: name.to_owned(),
            uid: answer.cell("UID").as_str().unwrap().to_owned(),
        }
    }

    pub(super) async fn job(&self, key: &JobKey) -> Job {
        let job = self.fixture.store.job(key, Freshness::Serial).await;
        job.unwrap().expect("it was started")
    }

    /// Waits until the row is as it shall be.
    pub(super) async fn until(&self, key: &JobKey, what: impl Fn(&Job) -> bool) -> Job {
        let waiting = async {
            loop {
                let job = self.job(key).await;
                if what(&job) {
                    return job;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        match tokio::time::timeout(Duration::from_secs(30), waiting).await {
            Ok(job) => job,
            Err(_) => panic!("still {:?}", self.job(key).await),
        }
    }

    pub(super) async fn until_status(&self, key: &JobKey, status: JobStatus) -> Job {
        self.until(key, |job| job.status == status).await
    }

    pub(super) async fn leave(self) {
        self.node.drain();
        self.node.ended().await.unwrap();
    }
}

pub(super) fn command(verb: &str, key: &JobKey) -> String {
    format!("{verb} PROCESS NAME='{}' UID='{}'", key.name, key.uid)
}

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
async fn a_recurring_job_goes_on_after_a_run_that_failed_for_good() {
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
async fn a_schedule_that_is_switched_off_stands_still_until_it_is_switched_on() {
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
async fn a_job_whose_moments_have_passed_and_that_waits_for_others_is_paused_and_goes_on() {
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
    assert_eq!(jobs.kind.most.load(Ordering::SeqCst), 2);
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
async fn behind_its_last_time_a_run_that_goes_on_writes_nothing_more() {
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
    assert!(jobs.kind.most.load(Ordering::SeqCst) <= 25);
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
        let woken = jobs.fixture.statements.services().wake.batches_woken();
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
