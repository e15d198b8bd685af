//! Reads the rows of all nodes every poll interval.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::mpsc;
use tracing::{debug, warn};
use weft_model::{BatchId, NodeRow};

use super::NodeSession;

/// Observes until the node fences itself, and reports nodes that died.
pub async fn run(session: NodeSession, deaths: mpsc::Sender<NodeRow>) {
    let membership = Arc::clone(&session.membership);
    let mut coordinated = BTreeSet::new();
    loop {
        if !session
            .self_fence
            .wait(session.context.config.poll_interval)
            .await
        {
            return;
        }
        match session.context.store.nodes().await {
            Ok(rows) => {
                let now: BTreeSet<BatchId> = rows
                    .iter()
                    .flat_map(|row| row.coordinates.iter().copied())
                    .collect();
                // A batch has a new owner: the dispatcher need not wait for its next poll.
                for batch in now.difference(&coordinated) {
                    session.context.wake.chunks(*batch);
                }
                coordinated = now;
                for dead in membership.observe(rows, session.context.clock.monotonic()) {
                    warn!(node.id = %dead.guid, "Node {} is dead or has left", dead.guid);
                    // The receiver ends with this session.
                    let _ = deaths.send(dead).await;
                }
            }
            Err(error) => {
                membership.freeze();
                debug!(error = %error, "Cannot read the other nodes: {error}");
            }
        }
    }
}
