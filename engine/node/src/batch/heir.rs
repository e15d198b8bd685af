//! Inherits batches whose owner is gone: a dead node, or an earlier session of this one. Their jobs become due here at
//! once, without waiting for the hints that their owners wrote.

use std::collections::BTreeSet;

use tokio::sync::mpsc;
use tracing::debug;
use weft_model::{Batch, BatchId, NodeRow, batch_job_key};
use weft_store::Freshness;

use crate::NodeSession;

/// Makes the jobs of batches due until the node fences itself: of `inherited`, which an earlier session of this node
/// coordinated, and of the batches of nodes that die.
pub async fn run(session: NodeSession, inherited: Vec<BatchId>, mut died: mpsc::Receiver<NodeRow>) {
    let mut inherited: BTreeSet<BatchId> = inherited.into_iter().collect();
    let mut unread = inherited.clone();
    loop {
        for id in std::mem::take(&mut unread) {
            match session.context.store.batch(id, Freshness::Committed).await {
                Ok(batch) => {
                    if inherited.contains(&id) && has_new_owner(&session, batch.as_ref()) {
                        inherited.remove(&id);
                        session.heartbeat.release(id);
                    }
                    if let Some(batch) = batch {
                        session.context.wake.check(batch_job_key(&batch));
                    }
                }
                Err(error) => {
                    debug!(error = %error, "Could not read batch {id}: {error}");
                    unread.insert(id);
                }
            }
        }
        tokio::select! {
            biased;
            () = session.self_fence.fenced() => return,
            Some(dead) = died.recv() => unread.extend(dead.coordinates),
            () = tokio::time::sleep(session.context.config.poll_interval),
                if !unread.is_empty() || !inherited.is_empty() => unread.extend(&inherited),
        }
    }
}

/// Whether an earlier session of this node no longer owns an inherited batch. Until then the row of this node names the
/// batch, in case this session dies too.
fn has_new_owner(session: &NodeSession, batch: Option<&Batch>) -> bool {
    let open = batch.filter(|batch| !batch.status.is_final());
    match open.and_then(Batch::holder) {
        Some(holder) => holder == session.me || holder.node != session.me.node,
        None => true,
    }
}
