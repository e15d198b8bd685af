use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;
use weft_model::clock::Timestamp;
use weft_model::{Job, JobDesired, JobKey, JobStatus};
use weft_store::{Freshness, JobSeen, Settled, WriteJob};

use super::kind_executor::KindExecutor;
use super::{Claimed, Executor, Executors, Scheduler, Slots};
use crate::job::{DefinitionError, JobKind, Run, RunEnd, RunOutput};
use crate::testing::{Bench, Fault, soon};

const JOB_TYPE: &str = "PROBE";

/// Reports the jobs that it runs.
#[derive(Debug)]
struct Probe(mpsc::UnboundedSender<String>);

#[async_trait]
impl Executor for Probe {
    fn slots(&self) -> Slots {
        Slots::Unlimited
    }

    async fn run(&self, claimed: Claimed) -> bool {
        // The test may be over.
        let _ = self.0.send(claimed.job.key.uid);
        false
    }
}

fn start(bench: &Bench) -> mpsc::UnboundedReceiver<String> {
    let (sender, ran) = mpsc::unbounded_channel();
    let executors = Executors::of_kinds(&bench.session).with(JOB_TYPE, Arc::new(Probe(sender)));
    Scheduler::start(&bench.session, executors);
    ran
}

fn job(bench: &Bench, uid: &str) -> Job {
    let key = JobKey {
        job_type: JOB_TYPE.to_owned(),
        name: "a".to_owned(),
        uid: uid.to_owned(),
    };
    Job::waiting(key, bench.session.context.clock.now())
}

/// A kind whose runs have an output, which the store refuses.
#[derive(Debug)]
struct Wordy(mpsc::UnboundedSender<String>);

const OUTPUT: &str = "output: Some(\"wordy\")";

#[async_trait]
impl JobKind for Wordy {
    fn job_type(&self) -> &'static str {
        JOB_TYPE
    }

    async fn check(&self, _: &Job) -> Result<(), DefinitionError> {
        Ok(())
    }

    async fn run(&self, run: Run) -> RunEnd {
        // The test may be over.
        let _ = self.0.send(run.job.key.uid);
        RunEnd::Succeeded(RunOutput::from_text("wordy".to_owned()))
    }
}

/// Runs a job until it has ended; returns its row and how often it ran.
async fn ended(bench: &Bench) -> (Job, usize) {
    let (sender, mut ran) = mpsc::unbounded_channel();
    let kind = KindExecutor::new(bench.session.clone(), Arc::new(Wordy(sender)));
    let executors = Executors::of_kinds(&bench.session).with(JOB_TYPE, Arc::new(kind));
    Scheduler::start(&bench.session, executors);
    let job = job(bench, "wordy");
    write(bench, job.clone()).await;
    let store = &bench.session.context.store;
    let ended = async {
        loop {
            let row = store.job(&job.key, Freshness::Serial).await.unwrap();
            match row.unwrap() {
                row if row.archived => return row,
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    let row = soon("the end of the job", ended).await;
    let mut runs = 0;
    while ran.try_recv().is_ok() {
        runs += 1;
    }
    (row, runs)
}

#[tokio::test]
async fn an_end_that_the_store_refuses_for_good_fails_the_job_once() {
    let bench = Bench::new();
    bench.store.set("end_job", OUTPUT, Fault::Refused);
    let (job, runs) = ended(&bench).await;
    assert_eq!((job.status, job.output, runs), (JobStatus::Failed, None, 1));
    let error = job.error.unwrap();
    assert!(
        error.contains("the store refused the end of the run: "),
        "{error}"
    );
    bench.end().await;
}

#[tokio::test]
async fn an_end_of_unknown_outcome_that_is_then_refused_for_good_ends_the_job_once() {
    for (fault, status) in [
        (Fault::Unknown, JobStatus::Failed),
        (Fault::UnknownApplied, JobStatus::Processed),
    ] {
        let bench = Bench::new();
        bench.store.set_times("end_job", "", fault, 1);
        bench.store.set_all_about(OUTPUT, Fault::Refused);
        let (job, runs) = ended(&bench).await;
        assert_eq!((job.status, runs), (status, 1));
        bench.end().await;
    }
}

/// An outage that outlasts the node session is no refusal: the run is the next owner's, and its end is not made up.
#[tokio::test]
async fn an_end_without_an_answer_is_no_failure_of_the_job() {
    let bench = Bench::new();
    bench.store.set("end_job", OUTPUT, Fault::Unavailable);
    let (sender, _ran) = mpsc::unbounded_channel();
    let kind = KindExecutor::new(bench.session.clone(), Arc::new(Wordy(sender)));
    let executors = Executors::of_kinds(&bench.session).with(JOB_TYPE, Arc::new(kind));
    Scheduler::start(&bench.session, executors);
    let job = job(&bench, "wordy");
    write(&bench, job.clone()).await;
    bench.store.called("end_job", 1).await;
    bench.session.self_fence.fence();
    bench.session.tasks.end(Duration::from_secs(60)).await;
    let store = &bench.session.context.store;
    let row = store.job(&job.key, Freshness::Serial).await.unwrap();
    let row = row.unwrap();
    assert_eq!((row.status, row.error), (JobStatus::InProcess, None));
    bench.end().await;
}

/// Writes a job with a due hint, so that the scheduler checks it.
async fn write(bench: &Bench, job: Job) {
    write_due(bench, job, bench.session.context.clock.now()).await;
}

async fn write_due(bench: &Bench, job: Job, due_at: Timestamp) {
    let context = &bench.session.context;
    let write = WriteJob {
        due: Some(weft_model::DueHint {
            due_at,
            key: job.key.clone(),
        }),
        job,
        seen: None,
        token: context.ids.token(),
    };
    bench.session.settle(&write).await.unwrap();
}

/// Writes a job over its row that has ended, after the scheduler has read the hint of `due_at` and passed it.
async fn write_after_hint(bench: &Bench, job: Job, faults: usize) {
    let context = &bench.session.context;
    let ended = Job {
        status: JobStatus::Terminated,
        archived: true,
        ..job.clone()
    };
    let due_at = context.clock.now();
    write_due(bench, ended.clone(), due_at).await;
    bench.store.called("job", 1).await;
    let found = context.store.job(&job.key, Freshness::Serial).await;
    let write = WriteJob {
        due: Some(weft_model::DueHint {
            due_at,
            key: job.key.clone(),
        }),
        seen: Some(JobSeen::of(&found.unwrap().unwrap())),
        job,
        token: context.ids.token(),
    };
    bench
        .store
        .set_times("write_job", "", Fault::UnknownApplied, faults);
    let settled = bench.session.settle(&write).await.unwrap();
    assert!(matches!(settled, Settled::Applied), "{settled:?}");
}

#[tokio::test]
async fn a_job_written_after_its_hint_was_passed_runs() {
    for faults in [0, 1] {
        let bench = Bench::new();
        bench.store.set("job", "late", None);
        let mut ran = start(&bench);
        write_after_hint(&bench, job(&bench, "late"), faults).await;
        assert_eq!(soon("the run", ran.recv()).await.as_deref(), Some("late"));
        bench.end().await;
    }
}

/// While the claim of one job does not come back with `fault`, another one runs.
async fn check_claim(fault: Fault) {
    let bench = Bench::new();
    bench.store.set("claim_job", "stuck", fault);
    let mut ran = start(&bench);
    write(&bench, job(&bench, "stuck")).await;
    bench.store.called("claim_job", 1).await;
    write(&bench, job(&bench, "other")).await;
    assert_eq!(soon("a run", ran.recv()).await.as_deref(), Some("other"));
    bench.end().await;
}

#[tokio::test]
async fn a_claim_whose_outcome_stays_unknown_holds_up_no_other_job() {
    check_claim(Fault::Unknown).await;
}

#[tokio::test]
async fn a_claim_that_hangs_holds_up_no_other_job() {
    check_claim(Fault::Hang).await;
}

#[tokio::test]
async fn a_move_of_a_row_that_hangs_holds_up_no_other_job() {
    let bench = Bench::new();
    let me = bench.session.me.clone();
    // A stop that this node session is to carry out without a run.
    write(
        &bench,
        Job {
            status: JobStatus::Stopping,
            desired: JobDesired::Stop,
            worker: Some(me.node),
            owner_incarnation: Some(me.incarnation),
            ..job(&bench, "stuck")
        },
    )
    .await;
    bench.store.set("write_job", "stuck", Fault::Hang);
    let mut ran = start(&bench);
    bench.store.called("write_job", 1).await;
    write(&bench, job(&bench, "other")).await;
    assert_eq!(soon("a run", ran.recv()).await.as_deref(), Some("other"));
    bench.end().await;
}

/// If this node dies now, the next one must still find the hint of a job that this one is claiming.
#[tokio::test]
async fn a_hint_counts_as_read_when_its_job_is_claimed() {
    let bench = Bench::new();
    let age = |minutes: u64| {
        let now = bench.session.context.clock.now();
        now.minus(Duration::from_secs(60 * minutes))
    };
    write_due(&bench, job(&bench, "stuck"), age(14)).await;
    bench.store.set("claim_job", "stuck", Fault::Hang);
    let mut ran = start(&bench);
    bench.store.called("claim_job", 1).await;
    // When the second one runs, the poll that found the first is complete.
    for uid in ["one", "two"] {
        write(&bench, job(&bench, uid)).await;
        assert_eq!(soon("a run", ran.recv()).await.as_deref(), Some(uid));
    }
    let read_until = || bench.session.heartbeat.hints_read_until();
    assert!(read_until() < age(1), "{}", read_until());
    bench.store.set("claim_job", "stuck", None);
    assert_eq!(soon("a run", ran.recv()).await.as_deref(), Some("stuck"));
    for uid in ["three", "four"] {
        write(&bench, job(&bench, uid)).await;
        assert_eq!(soon("a run", ran.recv()).await.as_deref(), Some(uid));
    }
    assert!(read_until() > age(1), "{}", read_until());
    bench.end().await;
}

/// Runs the first job until the test lets it end.
#[derive(Debug)]
struct OneAtATime {
    began: mpsc::UnboundedSender<String>,
    may_end: Arc<tokio::sync::Semaphore>,
}

#[async_trait]
impl Executor for OneAtATime {
    fn slots(&self) -> Slots {
        Slots::Limit(1)
    }

    async fn run(&self, claimed: Claimed) -> bool {
        // The test may be over.
        let _ = self.began.send(claimed.job.key.uid);
        if let Ok(permit) = self.may_end.acquire().await {
            permit.forget();
        }
        false
    }
}

#[tokio::test]
async fn queued_jobs_cost_no_call_of_the_store_until_a_slot_is_free() {
    const QUEUED: usize = 400;
    let bench = Bench::new();
    let (sender, mut began) = mpsc::unbounded_channel();
    let may_end = Arc::new(tokio::sync::Semaphore::new(0));
    let executor = OneAtATime {
        began: sender,
        may_end: Arc::clone(&may_end),
    };
    for number in 0..QUEUED {
        write(&bench, job(&bench, &format!("{number:03}"))).await;
    }
    let executors = Executors::of_kinds(&bench.session).with(JOB_TYPE, Arc::new(executor));
    Scheduler::start(&bench.session, executors);
    let first = soon("the first run", began.recv()).await;
    assert!(first.is_some());
    bench.store.set("due", "", None);
    bench.store.called("due", 3).await;
    for verb in ["job", "put_due"] {
        bench.store.set(verb, JOB_TYPE, None);
    }
    bench.store.set("due", "", None);
    bench.store.called("due", 20).await;
    assert_eq!(bench.store.calls("job"), 0, "waiting rows were read");
    assert_eq!(bench.store.calls("put_due"), 0, "waiting jobs got hints");
    // They run one after the other as the slot becomes free, and each costs a read.
    may_end.add_permits(1);
    let second = soon("the second run", began.recv()).await;
    assert!(second.is_some() && second != first);
    assert_eq!(bench.store.calls("job"), 1);
    may_end.add_permits(QUEUED);
    for _ in 2..QUEUED {
        assert!(soon("another run", began.recv()).await.is_some());
    }
    bench.end().await;
}
