use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;
use weft_model::clock::Timestamp;
use weft_model::{Job, JobDesired, JobKey, JobStatus};
use weft_store::WriteJob;

use super::{Claimed, Executor, Executors, Scheduler, Slots};
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
