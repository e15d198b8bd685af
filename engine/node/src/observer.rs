//! Reads the rows of all nodes every poll interval, that of this node included: another process may use its id.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::{debug, error, warn};
use weft_model::{BatchId, Incarnation, NodeRow};

use super::NodeSession;

/// Observes until the node fences itself, and reports nodes that died.
pub async fn run(session: NodeSession, deaths: mpsc::Sender<NodeRow>) {
    let membership = Arc::clone(&session.membership);
    let mut coordinated = BTreeSet::new();
    let mut rival = RivalWatch::new(session.me.incarnation, session.context.config.dead_after());
    loop {
        let pause = pause(&session);
        if !session.self_fence.wait(pause).await {
            return;
        }
        let asked_at = session.context.clock.monotonic();
        match session.context.store.nodes().await {
            Ok(rows) => {
                let own = rows.iter().find(|row| row.guid == session.me.node);
                if rival.must_end(own, session.context.clock.monotonic()) {
                    error!(node.id = %session.me.node, "Another process uses the id of this node, {}", session.me.node);
                    session.in_use.cancel();
                    return;
                }
                let now: BTreeSet<BatchId> = rows
                    .iter()
                    .flat_map(|row| row.coordinates.iter().copied())
                    .collect();
                // A batch has a new owner: the dispatcher need not wait for its next poll.
                for batch in now.difference(&coordinated) {
                    session.context.wake.chunks(*batch);
                }
                coordinated = now;
                let mut has_died = false;
                for dead in membership.observe(rows, asked_at, session.context.clock.monotonic()) {
                    warn!(node.id = %dead.guid, "Node {} is dead or has left", dead.guid);
                    // The receiver ends with this session.
                    let _ = deaths.send(dead).await;
                    has_died = true;
                }
                // The dead node may have held chunks of any of them.
                for batch in coordinated.iter().filter(|_| has_died) {
                    session.context.wake.chunks(*batch);
                }
            }
            Err(error) => {
                membership.freeze();
                debug!(error = %error, "Cannot read the other nodes: {error}");
            }
        }
    }
}

/// Until the next read: a poll interval, or less if a node that stays silent is dead before.
fn pause(session: &NodeSession) -> Duration {
    const SHORTEST: Duration = Duration::from_millis(20);
    let config = &session.context.config;
    let now = session.context.clock.monotonic();
    let death = session.membership.until_next_death(now);
    death.map_or(config.poll_interval, |death| {
        death
            .max(SHORTEST.min(config.poll_interval))
            .min(config.poll_interval)
    })
}

/// Watches the row of this node for heartbeats of another session.
#[derive(Debug)]
struct RivalWatch {
    me: Incarnation,
    patience: Duration,
    /// Another session that the row has shown, with its first heartbeat seen, and when.
    seen: Option<(Incarnation, i64, Duration)>,
}

impl RivalWatch {
    fn new(me: Incarnation, patience: Duration) -> Self {
        Self {
            me,
            patience,
            seen: None,
        }
    }

    /// Whether this process is to end, as the row of its node shows: the heartbeat of another session advances. An earlier
    /// session of this process leaves at most a stale row, which does not. Of two processes the one with the greater
    /// incarnation ends at once; the other one gives it time to do so, lest both end.
    fn must_end(&mut self, row: Option<&NodeRow>, now: Duration) -> bool {
        let Some(row) = row.filter(|row| row.incarnation != self.me) else {
            return false;
        };
        match self.seen {
            Some((rival, first, since)) if rival == row.incarnation => {
                let ends_first = self.me > rival;
                let patience = if ends_first {
                    Duration::ZERO
                } else {
                    self.patience
                };
                row.hb_seq > first && now.saturating_sub(since) >= patience
            }
            _ => {
                self.seen = Some((row.incarnation, row.hb_seq, now));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::node_row;
    use uuid::Uuid;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn row(session: u128, hb_seq: i64) -> NodeRow {
        node_row("me", session, hb_seq)
    }

    /// Whether session 5 ends when it sees these rows, each a second after the one before.
    fn ends(rows: &[NodeRow], patience: Duration) -> bool {
        let mut watch = RivalWatch::new(Incarnation(Uuid::from_u128(5)), patience);
        let mut seconds = 0..;
        rows.iter().any(|row| {
            let now = Duration::from_secs(seconds.next().unwrap_or(0));
            watch.must_end(Some(row), now)
        })
    }

    #[test]
    fn own_heartbeats_and_a_stale_row_end_nothing() {
        assert!(!ends(&[row(5, 1), row(5, 2)], PATIENCE));
        assert!(!ends(
            &[row(4, 9), row(4, 9), row(5, 10), row(4, 9)],
            PATIENCE
        ));
    }

    #[test]
    fn the_session_with_the_greater_incarnation_ends_at_once() {
        assert!(ends(&[row(4, 9), row(5, 10), row(4, 11)], PATIENCE));
        assert!(!ends(&[row(6, 9), row(5, 10), row(6, 11)], PATIENCE));
    }

    #[test]
    fn the_other_one_ends_if_the_first_does_not() {
        let patience = Duration::from_secs(3);
        assert!(!ends(&[row(6, 9), row(6, 10), row(6, 11)], patience));
        assert!(ends(
            &[row(6, 9), row(6, 10), row(6, 11), row(6, 12)],
            patience
        ));
    }
}
