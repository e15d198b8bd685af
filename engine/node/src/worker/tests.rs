//! The dispatcher reads what it needs, and nothing again and again.

use std::time::Duration;

use uuid::Uuid;
use weft_model::{BatchId, Incarnation, NodeId, NodeRow};

use super::Dispatcher;
use crate::testing::Bench;

/// Names a batch in the row of a node that is seen to be dead, or alive.
fn name(bench: &Bench, node: u128, batch: BatchId, is_dead: bool) {
    let session = &bench.session;
    let own = session.membership.members().remove(0).row;
    let row = NodeRow {
        guid: NodeId(format!("other{node}")),
        incarnation: Incarnation(Uuid::from_u128(node)),
        coordinates: vec![batch],
        ..own
    };
    let now = session.context.clock.monotonic();
    let dead_after = session.context.config.dead_after();
    let seen_at = if is_dead { Duration::ZERO } else { now };
    session.membership.observe(vec![row], seen_at);
    session.membership.observe(Vec::new(), now.max(dead_after));
}

#[tokio::test]
async fn an_ended_batch_of_a_dead_node_is_read_once() {
    let bench = Bench::new();
    let of_dead = BatchId(Uuid::from_u128(71));
    let of_live = BatchId(Uuid::from_u128(72));
    name(&bench, 8, of_dead, true);
    name(&bench, 9, of_live, false);
    bench.store.set("", of_dead.to_string(), None);
    bench.store.set("batch", of_live.to_string(), None);
    Dispatcher::start(&bench.session);
    // The batch of the live node may appear at any time, so it is read at every poll.
    bench.store.called("batch", 4).await;
    assert_eq!(bench.store.count(""), 1);
    bench.end().await;
}
