//! Looks at the other nodes every poll interval.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::mpsc;
use tracing::{debug, warn};
use weft_model::{BatchId, NodeRow};

use super::Life;

/// Observes until trust ends, and reports nodes that died.
pub async fn run(life: Life, deaths: mpsc::Sender<NodeRow>) {
    let membership = Arc::clone(&life.membership);
    let mut coordinated = BTreeSet::new();
    loop {
        if !life.trust.wait(life.context.config.poll_interval).await {
            return;
        }
        match life.context.store.nodes().await {
            Ok(rows) => {
                let now: BTreeSet<BatchId> = rows
                    .iter()
                    .flat_map(|row| row.coordinates.iter().copied())
                    .collect();
                if !now.is_subset(&coordinated) {
                    // A batch has an owner: the dispatcher need not wait for its own next look.
                    life.context.wake.chunks();
                }
                coordinated = now;
                for dead in membership.observe(rows, life.context.clock.monotonic()) {
                    warn!(node.id = %dead.guid, "Node {} is dead or has left", dead.guid);
                    // The receiver ends with this session.
                    let _ = deaths.send(dead).await;
                }
            }
            Err(error) => {
                membership.freeze();
                debug!(error = %error, "Cannot see the other nodes: {error}");
            }
        }
    }
}
