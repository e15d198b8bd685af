//! One life of a node: from its first heartbeat to its self-fence or clean end.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use weft_model::clock::Timestamp;
use weft_model::{Holder, Job, NodeRow};
use weft_store::SelfFence;
use weft_store::{
    Conditional, Decided, Decision, JobSeen, Settled, StoreError, StoreResult, WriteJob,
    decide_and_settle, settle,
};

use super::{Context, Heartbeat, Membership};
use crate::tasks::Tasks;

/// What everything that a node session does shares. Cheap to clone.
#[derive(Clone, Debug)]
pub struct NodeSession {
    /// Process-wide parts.
    pub context: Arc<Context>,
    /// This life.
    pub me: Holder,
    /// How long it may act.
    pub self_fence: SelfFence,
    /// What it started.
    pub tasks: Tasks,
    /// Whom it sees.
    pub membership: Arc<Membership>,
    /// Its own row.
    pub heartbeat: Heartbeat,
    /// The last heartbeat of this node's life before, if there was one.
    pub earlier_heartbeat: Option<Timestamp>,
    /// Cancelled when the node shall leave: start nothing, hand back what is unfinished.
    pub draining: CancellationToken,
}

impl NodeSession {
    /// Settles a compare-and-set within the self-fence of this node session.
    ///
    /// # Errors
    /// See [`settle`].
    pub async fn settle<C: Conditional>(
        &self,
        operation: &C,
    ) -> Result<Settled<C::Found>, StoreError> {
        settle(
            self.context.store.as_ref(),
            &self.context.ids,
            &self.self_fence,
            operation,
        )
        .await
    }

    /// Reads, decides and settles within the self-fence of this node session.
    ///
    /// # Errors
    /// See [`decide_and_settle`].
    pub async fn decide_and_settle<C, T, E, D>(
        &self,
        read: impl Future<Output = StoreResult<C::Found>>,
        decide: impl FnMut(C::Found) -> D,
    ) -> Result<Decided<C, T>, E>
    where
        C: Conditional<Found: Clone>,
        E: From<StoreError>,
        D: Future<Output = Result<Decision<C, T>, E>>,
    {
        let Context { store, ids, .. } = self.context.as_ref();
        decide_and_settle(store.as_ref(), ids, &self.self_fence, read, decide).await
    }

    /// Writes a row that nobody holds, and tells this node's scheduler when it is due.
    ///
    /// # Errors
    /// See [`settle`].
    pub async fn write_job(
        &self,
        job: Job,
        seen: Option<JobSeen>,
    ) -> Result<Settled<Option<Job>>, StoreError> {
        let context = &self.context;
        let write = WriteJob::of(job, seen, context.clock.now(), context.ids.token());
        let settled = self.settle(&write).await?;
        if let (Settled::Applied, Some(due)) = (&settled, write.due) {
            context.wake.due(due);
        }
        Ok(settled)
    }

    /// The nodes that take work, this one included, by guid.
    pub fn live_nodes(&self) -> Vec<NodeRow> {
        self.membership.live()
    }

    /// The logical ids that this node carries now.
    pub fn logical_ids(&self) -> Arc<[String]> {
        self.context.affinity.all()
    }

    /// How this node, with these logical ids of its own, is compared with affinities.
    pub fn identity<'a>(&'a self, logical_ids: &'a [String]) -> super::affinity::Identity<'a> {
        let config = &self.context.config;
        super::affinity::Identity {
            guid: &config.guid.0,
            dc: &config.dc,
            effective_ip: &config.effective_ip,
            ips: &config.ips,
            logical_ids,
        }
    }

    /// Work may be started: trusted and not leaving.
    pub fn takes_work(&self) -> bool {
        !self.draining.is_cancelled() && self.self_fence.may_act()
    }
}
