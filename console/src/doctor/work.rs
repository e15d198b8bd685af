//! What is stuck among jobs and batches, and the repair of what leads nodes to them.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use weft_model::clock::{SharedClock, SystemClock};
use weft_model::ids::Ids;
use weft_model::{Job, JobKey, batch_job_key};
use weft_node::active_batches;
use weft_node::reconcile::{
    Reconciler, Search, Surroundings, why_batch_is_stuck, why_job_is_stuck,
};
use weft_store::{ListJobs, SelfFence, Store, each_job};

use super::{Check, Verdict};

/// The most rows of jobs that are examined.
const JOBS: usize = 100_000;
/// The most jobs and batches that are named.
const NAMED: usize = 20;
/// `T_dead` of the nodes is not known here; theirs is hardly longer.
const LONGEST_T_DEAD: Duration = Duration::from_secs(600);
/// How long the repair may take.
const PATIENCE: Duration = Duration::from_secs(12 * 3_600);

/// What repairs. `clock` shows the time of the store.
fn reconciler<'a>(
    store: &'a dyn Store,
    clock: &'a SharedClock,
    ids: &'a Ids,
    self_fence: &'a SelfFence,
) -> Reconciler<'a> {
    Reconciler {
        store,
        clock,
        ids,
        self_fence,
        dead_after: LONGEST_T_DEAD,
    }
}

/// Repairs at once what a daily round would, and says what it was.
pub(super) async fn reconcile(store: &dyn Store) -> anyhow::Result<Vec<Check>> {
    let node_clock = weft_node::NodeClock::new(Arc::new(SystemClock));
    node_clock.measure(store).await?;
    let clock: SharedClock = node_clock;
    let ids = Ids::from_system();
    let self_fence = SelfFence::for_duration(Arc::clone(&clock), PATIENCE);
    let reconciler = reconciler(store, &clock, &ids, &self_fence);
    let batches = reconciler.batches(Search::Everything).await?;
    let round = reconciler.jobs(Duration::ZERO).await?.unwrap_or_default();
    let mut checks = vec![
        Check::ok("reconcile jobs", {
            let (examined, repaired) = (round.examined, round.job_count);
            format!("{examined} examined, {repaired} had no due hint and have one now")
        }),
        Check::ok(
            "reconcile batches",
            format!("{batches} had no job and have one now"),
        ),
    ];
    let repaired = round.jobs.iter().take(NAMED);
    checks.extend(repaired.map(|key| Check::ok(name_of(key), "has a due hint now")));
    Ok(checks)
}

/// Jobs and batches that make no progress, each with the reason.
pub(super) async fn stuck(store: &dyn Store) -> anyhow::Result<Vec<Check>> {
    let node_clock = weft_node::NodeClock::new(Arc::new(SystemClock));
    node_clock.measure(store).await?;
    let clock: SharedClock = node_clock;
    let ids = Ids::from_system();
    let self_fence = SelfFence::for_duration(Arc::clone(&clock), PATIENCE);
    let hinted = reconciler(store, &clock, &ids, &self_fence)
        .hinted_soon()
        .await?;
    let nodes = store.nodes().await?;
    let around = |key: &JobKey| Surroundings {
        nodes: &nodes,
        has_hint: hinted.contains(key),
        now: clock.now(),
    };
    let mut found = Vec::new();
    let mut jobs = BTreeMap::new();
    let list = ListJobs {
        limit: JOBS,
        ..ListJobs::default()
    };
    each_job(store, &list, |job: Job| {
        if job.key.job_type == weft_model::job_type::BATCH_PROCESS {
            jobs.insert(job.key.clone(), job);
        } else if let Some(why) = why_job_is_stuck(&job, around(&job.key)) {
            found.push((name_of(&job.key), why));
        }
        ControlFlow::Continue(())
    })
    .await?;
    for batch in active_batches(store, clock.now(), []).await? {
        let key = batch_job_key(&batch);
        if let Some(why) = why_batch_is_stuck(&batch, jobs.get(&key), around(&key)) {
            found.push((format!("batch {}", batch.id), why));
        }
    }
    let count = found.len();
    let mut checks = vec![Check::ok("stuck jobs and batches", count.to_string())];
    for (what, why) in found.into_iter().take(NAMED) {
        let next = match why.contains("--reconcile") {
            true => "run `weft doctor --reconcile`",
            false => "see \"Work that does not start\" in docs/operations.md",
        };
        checks.push(Check::ok(what, why).but(Verdict::Warn, next));
    }
    Ok(checks)
}

fn name_of(key: &JobKey) -> String {
    format!("job {} {} {}", key.job_type, key.name, key.uid)
}
