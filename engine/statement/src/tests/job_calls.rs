//! Jobs by calls without text: the same rows and the same refusals as by statements.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;
use weft_lang::OptionValue;
use weft_model::Principal;
use weft_model::schedule::PolicyDraft;
use weft_model::{Holder, Incarnation, Job, JobKey, JobRun, JobStatus, NodeId};
use weft_node::job::{DefinitionError, JobKind, JobKinds, Run, RunEnd, RunOutput};
use weft_store::{Attempt, ClaimJob, EndJob, Freshness};

use super::fixture::Fixture;
use crate::inspect::{JobItem, JobQuery, JobSelection, NextRun};
use crate::{EndStatus, Fault, JobChange, JobDraft, Patch, Refusal, Services, Statements};

/// A kind that runs whatever is not called `bad`.
#[derive(Debug)]
struct Process;

#[async_trait]
impl JobKind for Process {
    fn job_type(&self) -> &'static str {
        "PROCESS"
    }

    async fn check(&self, job: &Job) -> Result<(), DefinitionError> {
        match job.key.name.as_str() {
            "bad" => Err(DefinitionError {
                message: "there is no script `bad`".to_owned(),
                hint: None,
            }),
            _ => Ok(()),
        }
    }

    async fn run(&self, _: Run) -> RunEnd {
        RunEnd::Succeeded(RunOutput::default())
    }
}

async fn fixture() -> Fixture {
    let mut fixture = Fixture::new().await;
    fixture.statements = Statements::new(Services {
        kinds: JobKinds::new([Arc::new(Process) as Arc<dyn JobKind>]),
        ..fixture.statements.services().clone()
    });
    fixture
}

fn admin() -> Principal {
    Principal {
        name: "admin".to_owned(),
    }
}

fn draft(name: &str) -> JobDraft {
    JobDraft {
        job_type: "process".to_owned(),
        name: name.to_owned(),
        ..JobDraft::default()
    }
}

fn nightly(name: &str) -> JobDraft {
    JobDraft {
        exec_interval: Patch::Set("0 3 * * *".to_owned()),
        ..draft(name)
    }
}

fn key(name: &str, uid: &str) -> JobKey {
    JobKey {
        job_type: "PROCESS".to_owned(),
        name: name.to_owned(),
        uid: uid.to_owned(),
    }
}

impl Fixture {
    async fn start(&self, draft: &JobDraft, key: Option<&str>) -> Result<(JobItem, bool), Refusal> {
        let started = self.statements.start_job(&admin(), draft, key).await?;
        Ok((started.item, started.was_there))
    }

    async fn job(&self, key: &JobKey) -> Job {
        let job = self.store.job(key, Freshness::Serial).await.unwrap();
        job.expect("there is such a job")
    }

    /// Plays the node that runs it: takes it, and with an `output` ends it.
    async fn run_job(&self, key: &JobKey, output: Option<&str>) -> JobRun {
        let job = self.job(key).await;
        let services = self.statements.services();
        let now = self.clock.now();
        let holder = Holder {
            node: NodeId("n1".to_owned()),
            incarnation: Incarnation(uuid::Uuid::from_u128(1)),
        };
        let claim = ClaimJob {
            cut_short: None,
            key: key.clone(),
            seen_status: job.status,
            seen_fence: job.fence,
            holder: holder.clone(),
            now,
            due: weft_model::DueHint {
                due_at: now,
                key: key.clone(),
            },
            token: services.ids.token(),
        };
        let claimed = self.store.claim_job(&claim).await.unwrap();
        assert!(matches!(claimed, Attempt::Applied));
        let job = self.job(key).await;
        let run = JobRun {
            key: key.clone(),
            started: now,
            ended: now,
            fence: job.fence,
            node: holder.node.clone(),
            status: JobStatus::Processed,
            attempt: 1,
            planned: None,
            exit_code: Some(0),
            error: None,
            output: output.map(str::to_owned),
        };
        if output.is_some() {
            let end = EndJob {
                run: Some(run.clone()),
                ..EndJob::of(
                    &job,
                    holder,
                    JobStatus::Processed,
                    now,
                    services.ids.token(),
                )
            };
            let ended = self.store.end_job(&end).await.unwrap();
            assert!(matches!(ended, Attempt::Applied));
        }
        run
    }
}

#[tokio::test]
async fn a_call_leaves_the_row_that_the_statement_leaves() {
    let fixture = fixture().await;
    let text = "STARTJOB PROCESS NAME='a.sh' UID='typed' AFFINITY='DC1, n1' ARGS='{\"a\":1}' EXEC_INTERVAL='0 3 * * *' \
        START_AT='2027-08-12 12:20:07' TIME_ZONE='Europe/Berlin' MISFIRE=all:20 MAX_RUNS=3 RETRY_FACTOR=1.5 PAUSED=true";
    fixture.run(text).await.ok();
    let text = |text: &str| Some(OptionValue::Text(text.to_owned()));
    let draft = JobDraft {
        uid: Some("called".to_owned()),
        affinity: Patch::Set(vec!["DC1".to_owned(), "n1".to_owned()]),
        arguments: Patch::Set(json!({ "a": 1 }).as_object().unwrap().clone()),
        policy: PolicyDraft::default()
            .with("START_AT", text("2027-08-12T10:20:07Z"))
            .with("TIME_ZONE", text("Europe/Berlin"))
            .with("MISFIRE", text("ALL:20"))
            .with("MAX_RUNS", Some(OptionValue::Integer(3)))
            .with("RETRY_FACTOR", text("1.5"))
            .with("PAUSED", Some(OptionValue::Boolean(true))),
        ..nightly("a.sh")
    };
    let (item, was_there) = fixture.start(&draft, None).await.unwrap();
    assert!(!was_there);
    assert!(matches!(item.next_run, NextRun::At(_)));
    let typed = fixture.job(&key("a.sh", "typed")).await;
    let called = fixture.job(&key("a.sh", "called")).await;
    let expected = Job {
        key: typed.key.clone(),
        creation_time: typed.creation_time,
        op_token: typed.op_token,
        ..called
    };
    assert_eq!(typed, expected);
}

#[tokio::test]
async fn the_same_call_again_finds_its_own_job() {
    let fixture = fixture().await;
    let (first, was_there) = fixture.start(&nightly("a"), Some("k")).await.unwrap();
    assert!(!was_there);
    let (again, was_there) = fixture.start(&nightly("a"), Some("k")).await.unwrap();
    assert!(was_there);
    assert_eq!(again.job.creation_time, first.job.creation_time);
    let key = first.job.key.clone();
    // Running or ended, it is the same job.
    fixture.run_job(&key, Some("done")).await;
    let (ended, was_there) = fixture.start(&nightly("a"), Some("k")).await.unwrap();
    assert_eq!((was_there, ended.job.status), (true, JobStatus::Processed));

    let refusal = fixture.start(&draft("a"), Some("k")).await.unwrap_err();
    assert_eq!(
        (refusal.status(), refusal.fault()),
        (EndStatus::Failed, Fault::State)
    );
    let (other, _) = fixture.start(&nightly("a"), Some("other")).await.unwrap();
    assert_ne!(other.job.key, key);
    let with_uid = JobDraft {
        uid: Some("1".to_owned()),
        ..nightly("a")
    };
    let refusal = fixture.start(&with_uid, Some("k")).await.unwrap_err();
    assert_eq!(
        (refusal.status(), refusal.option()),
        (EndStatus::Usage, Some("UID"))
    );
}

#[tokio::test]
async fn of_many_calls_of_one_key_one_starts_the_job() {
    let fixture = fixture().await;
    let asked = nightly("a");
    let calls = (0..8).map(|_| fixture.start(&asked, Some("k")));
    let answers = futures::future::join_all(calls).await;
    let started = answers.iter().filter(|answer| {
        let (_, was_there) = answer.as_ref().expect("each is answered");
        !was_there
    });
    assert_eq!(started.count(), 1);
}

#[tokio::test]
async fn a_repeated_call_is_answered_even_when_its_time_has_passed() {
    let fixture = fixture().await;
    let soon = fixture.clock.now().plus(std::time::Duration::from_secs(3));
    let once = JobDraft {
        exec_interval: Patch::Set(soon.to_seconds_text()),
        ..draft("a")
    };
    let (first, _) = fixture.start(&once, Some("k")).await.unwrap();
    fixture
        .outage
        .begun
        .store(true, std::sync::atomic::Ordering::Relaxed);
    // Nothing can be written now, and nothing need be.
    let (again, was_there) = fixture.start(&once, Some("k")).await.unwrap();
    assert!(was_there);
    assert_eq!(again.job.key, first.job.key);
}

#[tokio::test]
async fn without_a_key_a_job_that_runs_is_not_started_again() {
    let fixture = fixture().await;
    let asked = JobDraft {
        uid: Some("1".to_owned()),
        ..draft("a")
    };
    fixture.start(&asked, None).await.unwrap();
    fixture.run_job(&key("a", "1"), None).await;
    let refusal = fixture.start(&asked, None).await.unwrap_err();
    assert_eq!(
        refusal.message(),
        "Job is running: 'PROCESS.a.1' is IN_PROCESS"
    );
    assert_eq!(refusal.fault(), Fault::State);
}

#[tokio::test]
async fn refusals_say_whose_fault_it_is_and_which_option() {
    let fixture = fixture().await;
    let check = async |draft: JobDraft, status: EndStatus, option: Option<&'static str>| {
        let refusal = fixture.start(&draft, None).await.unwrap_err();
        assert_eq!(
            (refusal.status(), refusal.option(), refusal.fault()),
            (status, option, Fault::Request),
            "{refusal}"
        );
    };
    let unknown = JobDraft {
        job_type: "PROCES".to_owned(),
        ..draft("a")
    };
    check(unknown, EndStatus::Usage, Some("TYPE")).await;
    let unavailable = JobDraft {
        job_type: "USER_JOB".to_owned(),
        ..draft("a")
    };
    check(unavailable, EndStatus::Failed, Some("TYPE")).await;
    check(draft(" "), EndStatus::Usage, Some("NAME")).await;
    check(draft("bad"), EndStatus::Failed, None).await;
    let never = JobDraft {
        exec_interval: Patch::Set("0 25 * * *".to_owned()),
        ..draft("a")
    };
    check(never, EndStatus::Usage, Some("EXEC_INTERVAL")).await;
    let eve = Principal {
        name: "eve".to_owned(),
    };
    let refused = fixture.statements.start_job(&eve, &draft("a"), None).await;
    assert_eq!(refused.unwrap_err().status(), EndStatus::NotAllowed);
    let refused = fixture.statements.job_runs(&eve, key("a", "1"), 1).await;
    assert_eq!(refused.unwrap_err().status(), EndStatus::NotAllowed);
}

#[tokio::test]
async fn a_job_is_read_changed_and_ended() {
    let fixture = fixture().await;
    let asked = JobDraft {
        uid: Some("1".to_owned()),
        ..nightly("a")
    };
    fixture.start(&asked, None).await.unwrap();
    let key = key("a", "1");
    let (statements, admin) = (&fixture.statements, admin());
    let update = JobDraft {
        exec_interval: Patch::Set("00:10:00".to_owned()),
        policy: PolicyDraft::default().with("MAX_RUNS", Some(OptionValue::Integer(4))),
        ..JobDraft::default()
    };
    let updated = statements.update_job(&admin, key.clone(), &update);
    let updated = updated.await.unwrap().job;
    assert_eq!(updated.execution_interval.as_deref(), Some("00:10:00"));
    assert_eq!(updated.policy.max_runs, Some(4));

    let change = async |change: JobChange| {
        let changed = statements.change_job(&admin, key.clone(), change).await;
        changed.map(|item| (item.job.status, item.note))
    };
    let refusal = change(JobChange::Resume).await.unwrap_err();
    assert_eq!(refusal.fault(), Fault::State);
    let (status, _) = change(JobChange::Stop).await.unwrap();
    assert_eq!(status, JobStatus::Terminated);
    let (_, note) = change(JobChange::Stop).await.unwrap();
    assert_eq!(note.as_deref(), Some("it is TERMINATED already"));
    let refusal = change(JobChange::Restart).await.unwrap_err();
    assert_eq!(refusal.fault(), Fault::State);
    let (status, _) = change(JobChange::Resume).await.unwrap();
    assert_eq!(status, JobStatus::Waiting);

    let item = statements.job(&admin, key.clone()).await.unwrap();
    assert_eq!(item.job.status, JobStatus::Waiting);
    let unknown = JobKey {
        name: "unknown".to_owned(),
        ..key.clone()
    };
    for refusal in [
        statements.job(&admin, unknown.clone()).await.unwrap_err(),
        statements
            .update_job(&admin, unknown.clone(), &update)
            .await
            .unwrap_err(),
        statements.job_runs(&admin, unknown, 1).await.unwrap_err(),
    ] {
        assert_eq!(refusal.status(), EndStatus::NotFound);
        assert_eq!(
            refusal.message(),
            "there is no job PROCESS 'unknown' with UID '1'"
        );
        assert_eq!(
            refusal.advice(),
            Some("JOBSTATUS PROCESS shows those of the type")
        );
    }
}

#[tokio::test]
async fn a_run_is_found_by_its_start_and_its_fence() {
    let fixture = fixture().await;
    let asked = JobDraft {
        uid: Some("1".to_owned()),
        ..draft("a")
    };
    fixture.start(&asked, None).await.unwrap();
    let key = key("a", "1");
    let run = fixture.run_job(&key, Some("hello")).await;
    let (statements, admin) = (&fixture.statements, admin());
    let runs = statements.job_runs(&admin, key.clone(), 5).await.unwrap();
    assert_eq!(runs, std::slice::from_ref(&run));
    let found = statements.job_run(&admin, key.clone(), run.started, run.fence);
    assert_eq!(found.await.unwrap(), run);
    let missed = statements.job_run(&admin, key, run.started, run.fence + 1);
    assert_eq!(missed.await.unwrap_err().status(), EndStatus::NotFound);
}

#[tokio::test]
async fn only_an_archived_job_is_removed_and_its_uid_is_free_again() {
    let (fixture, admin) = (fixture().await, admin());
    let asked = JobDraft {
        uid: Some("1".to_owned()),
        ..draft("a")
    };
    let key = key("a", "1");
    let remove = async |key: &JobKey| fixture.statements.remove_job(&admin, key.clone()).await;
    let refusal = remove(&key).await.unwrap_err();
    assert_eq!(refusal.status(), EndStatus::NotFound);
    fixture.start(&asked, None).await.unwrap();
    let refusal = remove(&key).await.unwrap_err();
    assert_eq!(refusal.fault(), Fault::State);
    assert_eq!(
        refusal.message(),
        "'PROCESS.a.1' is WAITING and only an archived job is removed"
    );
    fixture.run_job(&key, Some("hello")).await;
    remove(&key).await.unwrap();
    let gone = fixture.statements.job(&admin, key.clone()).await;
    assert_eq!(gone.unwrap_err().status(), EndStatus::NotFound);
    let refusal = remove(&key).await.unwrap_err();
    assert_eq!(refusal.status(), EndStatus::NotFound);
    fixture.start(&asked, None).await.unwrap();
    let runs = fixture.statements.job_runs(&admin, key, 5).await.unwrap();
    assert_eq!(runs, []);
}

#[tokio::test]
async fn pages_continue_after_the_cursor_and_count_everything() {
    let (fixture, admin) = (fixture().await, admin());
    for name in ["a", "b", "c", "d", "e"] {
        fixture.start(&nightly(name), None).await.unwrap();
    }
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let query = JobQuery {
            selection: JobSelection::All,
            status: Some(JobStatus::Scheduled),
            archived: None,
            after,
            limit: 2,
        };
        let permit = fixture.statements.authorize(&admin, query).unwrap();
        let page = fixture.statements.inspector().jobs(&permit).await.unwrap();
        let total: usize = page.counts.of.iter().map(|count| count.jobs).sum();
        assert_eq!(total, 5);
        seen.extend(page.items.into_iter().map(|item| item.job.key.name));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["a", "b", "c", "d", "e"]);
}

#[tokio::test]
async fn counts_are_of_all_pages_and_of_every_status() {
    let (fixture, admin) = (fixture().await, admin());
    for name in ["a", "b", "c"] {
        fixture.start(&nightly(name), None).await.unwrap();
    }
    let (stopped, _) = fixture.start(&draft("d"), None).await.unwrap();
    let stop = fixture
        .statements
        .change_job(&admin, stopped.job.key, JobChange::Stop);
    stop.await.unwrap();
    let ask = async |archived: Option<bool>, status: Option<JobStatus>| {
        let query = JobQuery {
            selection: JobSelection::All,
            status,
            archived,
            after: None,
            limit: 2,
        };
        let permit = fixture.statements.authorize(&admin, query).unwrap();
        fixture.statements.inspector().jobs(&permit).await.unwrap()
    };
    let page = ask(None, Some(JobStatus::Scheduled)).await;
    assert_eq!(page.items.len(), 2);
    assert!(page.next.is_some());
    assert!(!page.counts.is_lower_bound);
    let of = |page: &crate::inspect::JobPage, status: JobStatus| {
        let mut counts = page.counts.of.iter();
        counts.find(|count| count.status == status).unwrap().jobs
    };
    assert_eq!(of(&page, JobStatus::Scheduled), 3);
    assert_eq!(of(&page, JobStatus::Terminated), 1);
    let archived = ask(Some(true), None).await;
    assert_eq!(archived.items.len(), 1);
    assert_eq!(of(&archived, JobStatus::Scheduled), 0);
}
