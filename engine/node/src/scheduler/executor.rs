//! How the scheduler runs the jobs of a type: which slots they take, where they may run, and how one is run.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use weft_model::Job;
use weft_model::clock::Timestamp;
use weft_store::StoreResult;

use super::kind_executor::KindExecutor;
use crate::NodeSession;
use crate::job::Slot;
use crate::kind::RunFailure;

/// Which slots the jobs of an executor take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slots {
    /// Slots of the pool of this node. A job waits in memory until one is free.
    Pool,
    /// No slots.
    Unlimited,
    /// This many slots of their own. A job waits in memory until one is free.
    Limit(usize),
}

/// A job that this node has claimed.
#[derive(Debug)]
pub struct Claimed {
    /// The row after the claim.
    pub job: Job,
    /// The slot that the run takes.
    pub slot: Slot,
    /// When to hand the job over to other nodes, if its slot is above the recommended size.
    pub give_up_after: Option<Duration>,
    /// Scheduled times up to this one are covered by this run.
    pub covered: Timestamp,
    /// Why the job ends without a run, if it does.
    pub failure: Option<RunFailure>,
    /// The death of a process cut the run before this one short.
    pub follows_death: bool,
}

/// Runs the jobs of one type.
#[async_trait]
pub trait Executor: Debug + Send + Sync {
    /// Which slots its jobs take.
    fn slots(&self) -> Slots;

    /// Whether the node that ran a job last is preferred (Fabric R73).
    fn prefers_last_node(&self) -> bool {
        true
    }

    /// Whether any node may run this job now, whatever its affinity.
    ///
    /// # Errors
    /// The error of the store.
    async fn ignores_affinity(&self, _job: &Job) -> StoreResult<bool> {
        Ok(false)
    }

    /// Whether a job ends after several tries in a row that the death of their process cut short. Only then a job that is
    /// claimed can have a failure.
    fn ends_after_crashes(&self) -> bool {
        true
    }

    /// Writes what must be in the store before the claim. False: do not claim the job now.
    async fn prepare(&self, _job: &Job) -> bool {
        true
    }

    /// Undoes [`prepare`](Self::prepare) after the claim was lost or failed.
    fn withdraw(&self, _job: &Job) {}

    /// Runs the job and writes its end. Returns whether other jobs wait for that end.
    async fn run(&self, claimed: Claimed) -> bool;
}

/// The executors of a node session, by job type.
#[derive(Clone, Debug)]
pub struct Executors(BTreeMap<&'static str, Arc<dyn Executor>>);

impl Executors {
    /// Executors of the job kinds that the node knows.
    pub fn of_kinds(session: &NodeSession) -> Self {
        let kinds = &session.context.kinds;
        let executor = |job_type| {
            let kind = Arc::clone(kinds.get(job_type)?);
            let executor: Arc<dyn Executor> = Arc::new(KindExecutor::new(session.clone(), kind));
            Some((job_type, executor))
        };
        Self(kinds.names().filter_map(executor).collect())
    }

    /// Adds the executor of one more type.
    #[must_use]
    pub fn with(mut self, job_type: &'static str, executor: Arc<dyn Executor>) -> Self {
        self.0.insert(job_type, executor);
        self
    }

    /// The types that have slots of their own, with the number of slots.
    pub fn limits(&self) -> impl Iterator<Item = (&'static str, usize)> {
        let executors = self.0.iter();
        executors.filter_map(|(job_type, executor)| match executor.slots() {
            Slots::Limit(most) => Some((*job_type, most)),
            Slots::Pool | Slots::Unlimited => None,
        })
    }

    /// Which slots jobs of this type take, if the node knows the type.
    pub fn slots(&self, job_type: &str) -> Option<Slots> {
        self.0.get(job_type).map(|executor| executor.slots())
    }

    /// The executor of this type, if the node knows the type.
    pub fn get(&self, job_type: &str) -> Option<Arc<dyn Executor>> {
        self.0.get(job_type).cloned()
    }
}
