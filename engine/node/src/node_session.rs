//! A node session: the time of a node from its first heartbeat to its self-fence or clean end.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use weft_model::{Holder, Job, NodeRow};
use weft_store::SelfFence;
use weft_store::{
    Conditional, Decided, Decision, JobSeen, Settled, Settling, StoreError, StoreResult, WriteJob,
    decide_and_settle, settle,
};

use super::{Context, Heartbeat, Membership};
use crate::tasks::Tasks;

/// What the parts of a node session share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct NodeSession {
    /// What all sessions of the process share.
    pub context: Arc<Context>,
    /// The identity of this session.
    pub me: Holder,
    /// How long it may act.
    pub self_fence: SelfFence,
    /// Its tasks.
    pub tasks: Tasks,
    /// The other nodes.
    pub membership: Arc<Membership>,
    /// Writes the row of this node.
    pub heartbeat: Heartbeat,
    /// Cancelled when another process uses the id of this node: this one is to end.
    pub in_use: CancellationToken,
    /// Cancelled when the node is to leave: it starts nothing and hands back unfinished work.
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

    /// Settles step by step within the self-fence of this node session.
    pub fn settling<'a, C: Conditional>(&'a self, operation: &'a C) -> Settling<'a, C> {
        Settling::new(
            self.context.store.as_ref(),
            &self.context.ids,
            &self.self_fence,
            operation,
        )
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

    /// Writes a row that no node runs, and passes its due hint to the scheduler of this node.
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

    /// The current logical ids of this node.
    pub fn logical_ids(&self) -> Arc<[String]> {
        self.context.affinity.all()
    }

    /// The identity of this node, with these logical ids, for comparison with affinities.
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

    /// Whether the session `holder`, which is over, ended by the death of its process. A session that left, or an earlier one
    /// of this process, did not.
    pub fn has_crashed(&self, holder: &Holder) -> bool {
        *holder != self.me
            && !self.context.has_ended(holder.incarnation)
            && !self.membership.has_left(holder)
    }

    /// Whether work may be started: the node has not fenced itself and does not leave.
    pub fn takes_work(&self) -> bool {
        !self.draining.is_cancelled() && self.self_fence.may_act()
    }
}
