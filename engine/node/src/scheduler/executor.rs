//! What the scheduler knows of the jobs that it claims: how many fit, where they may run, and how one is run.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use weft_model::Job;
use weft_model::clock::Timestamp;
use weft_store::StoreResult;

use super::kind_executor::KindExecutor;
use crate::Life;
use crate::job::Slot;

/// Which slots the jobs of an executor take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slots {
    /// Slots of the pool of this node; a job waits in memory until one is free.
    Pool,
    /// None.
    Unlimited,
    /// Slots of their own, so many; a job waits in its due hints until one is free.
    Limit(usize),
}

/// A job that this node has claimed.
#[derive(Debug)]
pub struct Claimed {
    /// The row after the claim.
    pub job: Job,
    /// The slot that the run takes.
    pub slot: Slot,
    /// When to give the job up to others, where it took a slot above the recommended size.
    pub give_up_after: Option<Duration>,
    /// Up to when the times of the job are covered by this run.
    pub covered: Timestamp,
}

/// Runs the jobs of one type.
#[async_trait]
pub trait Executor: Debug + Send + Sync {
    /// Which slots its jobs take.
    fn slots(&self) -> Slots;

    /// Whether the node that ran a job last goes first (Fabric R73).
    fn prefers_last_node(&self) -> bool {
        true
    }

    /// Whether any node may run this job now, whatever its affinity.
    ///
    /// # Errors
    /// What the store said.
    async fn ignores_affinity(&self, _job: &Job) -> StoreResult<bool> {
        Ok(false)
    }

    /// Whatever must stand in the store before the claim; false = do not claim it now.
    async fn prepare(&self, _job: &Job) -> bool {
        true
    }

    /// Takes back what was prepared: the claim was lost or failed.
    fn withdraw(&self, _job: &Job) {}

    /// Runs it and writes its end. Answers whether other jobs wait for that end.
    async fn run(&self, claimed: Claimed) -> bool;
}

/// What a node session can run, by type of job.
#[derive(Clone, Debug)]
pub struct Executors {
    life: Life,
    own: BTreeMap<&'static str, Arc<dyn Executor>>,
}

impl Executors {
    /// The kinds of job that the node knows.
    pub fn of_kinds(life: &Life) -> Self {
        Self {
            life: life.clone(),
            own: BTreeMap::new(),
        }
    }

    /// The same with an executor for one more type.
    #[must_use]
    pub fn with(mut self, job_type: &'static str, executor: Arc<dyn Executor>) -> Self {
        self.own.insert(job_type, executor);
        self
    }

    /// Whether jobs of this type take a slot of the pool.
    pub fn takes_pool_slot(&self, job_type: &str) -> bool {
        let executor = self.get(job_type);
        executor.is_some_and(|executor| executor.slots() == Slots::Pool)
    }

    /// What runs jobs of this type; none where the node does not know it.
    pub fn get(&self, job_type: &str) -> Option<Arc<dyn Executor>> {
        if let Some(executor) = self.own.get(job_type) {
            return Some(Arc::clone(executor));
        }
        let kind = self.life.context.kinds.get(job_type)?;
        Some(Arc::new(KindExecutor::new(
            self.life.clone(),
            Arc::clone(kind),
        )))
    }
}
