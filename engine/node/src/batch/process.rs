//! BATCH PROCESS: the type of job that coordinates a batch. It takes no slot of the pool, has a limit of its own, and
//! ends its own row together with the batch.

use async_trait::async_trait;
use serde_json::json;
use tracing::warn;
use weft_model::{Batch, BatchDesired, BatchStatus, Job, coordinated_batch};
use weft_store::{Freshness, StoreResult};

use super::Runner;
use crate::NodeSession;
use crate::scheduler::{Claimed, Executor, Slots};
use crate::trace::TracedOperation;
use crate::worker::Offers;

/// Runs the jobs of batches.
#[derive(Debug)]
pub struct BatchProcess {
    session: NodeSession,
    offers: Offers,
}

impl BatchProcess {
    /// The executor of this node session, which offers new chunks to its own workers.
    pub fn new(session: NodeSession, offers: Offers) -> Self {
        Self { session, offers }
    }
}

#[async_trait]
impl Executor for BatchProcess {
    fn slots(&self) -> Slots {
        Slots::Limit(self.session.context.config.max_running_batches)
    }

    /// Batches spread over the nodes by hash alone.
    fn prefers_last_node(&self) -> bool {
        false
    }

    /// The entities that end a process are found one by one, and a source by trials; the batch itself continues.
    fn ends_after_crashes(&self) -> bool {
        false
    }

    async fn ignores_affinity(&self, job: &Job) -> StoreResult<bool> {
        let batch = match coordinated_batch(job) {
            Some(id) => {
                self.session
                    .context
                    .store
                    .batch(id, Freshness::Committed)
                    .await?
            }
            None => None,
        };
        Ok(any_node_may_end(batch.as_ref()))
    }

    /// The row of this node names the batch before the claim, so that other nodes find the batch if this node dies.
    async fn prepare(&self, job: &Job) -> bool {
        match coordinated_batch(job) {
            Some(batch) => {
                self.session
                    .heartbeat
                    .coordinate(batch, &self.session.self_fence)
                    .await
            }
            None => true,
        }
    }

    fn withdraw(&self, job: &Job) {
        if let Some(batch) = coordinated_batch(job) {
            self.session.heartbeat.release(batch);
        }
    }

    async fn run(&self, claimed: Claimed) -> bool {
        let job = claimed.job;
        let (key, batch) = (job.key.clone(), coordinated_batch(&job));
        let traces = &self.session.context.traces;
        traces.event(TracedOperation::JobExecutor, "begun", &key, || json!({}));
        let ran = Runner::new(self.session.clone(), job, self.offers.clone())
            .following_death(claimed.follows_death)
            .run()
            .await;
        // BATCH_INFO shows the outcome of the batch.
        let fields = || json!({"end": if ran.is_ok() { "left" } else { "broken off" }});
        traces.event(TracedOperation::JobExecutor, "ended", &key, fields);
        if let Err(error) = ran {
            warn!(error = %error, "A batch could not be completed here: {error}");
        }
        if let Some(batch) = batch {
            self.session.heartbeat.release(batch);
        }
        false
    }
}

/// Whether any node may run the job, whatever its affinity: to carry out a cancel or a pause, or to end the job of a batch
/// that has ended.
fn any_node_may_end(batch: Option<&Batch>) -> bool {
    batch.is_none_or(|batch| match batch.desired {
        BatchDesired::Cancel | BatchDesired::Remove => true,
        BatchDesired::Pause => batch.status != BatchStatus::Paused,
        BatchDesired::Run => batch.status.is_final(),
    })
}
