//! Nodes and their figures.

use uuid::Uuid;
use weft_model::clock::Timestamp;
use weft_model::{
    BatchId, InProcess, Incarnation, NodeId, NodeRow, NodeState, NodeStats, SlowEntity,
};
use weft_store::SharedStore;

use super::claims;
use super::fixture::*;

claims!(
    a_node_is_read_back_whole,
    a_node_replaces_its_own_row,
    nodes_come_by_guid,
    figures_of_a_node_are_read_back_whole,
    figures_replace_each_other,
    figures_of_nodes_and_batches_are_apart,
    the_clock_of_the_store_advances,
    the_schema_has_a_version,
    compare_and_sets_are_counted,
);

fn node(guid: &NodeId) -> NodeRow {
    NodeRow {
        guid: guid.clone(),
        dc: "DC1".to_owned(),
        effective_ip: "10.21.2.102".to_owned(),
        ips: vec!["10.21.2.102".to_owned(), "fe80::1".to_owned()],
        logical_ids: vec!["Name:2-4".to_owned(), "Ü'\"".to_owned()],
        incarnation: Incarnation(Uuid::new_v4()),
        hb_seq: 1,
        heartbeat_at: Timestamp(1_700_000_000_123),
        state: NodeState::Alive,
        version: "0.1.0".to_owned(),
        http_address: Some("http://127.0.0.1:3213".to_owned()),
        coordinates: vec![batch_id(), batch_id()],
    }
}

async fn the_nodes(store: &SharedStore) -> Vec<NodeRow> {
    store.nodes().await.expect("readable")
}

async fn a_node_is_read_back_whole(store: SharedStore) {
    let row = node(&holder("node").node);
    store.put_node(&row).await.expect("writable");
    assert!(the_nodes(&store).await.contains(&row));
}

async fn a_node_replaces_its_own_row(store: SharedStore) {
    let first = node(&holder("node").node);
    store.put_node(&first).await.expect("writable");
    let second = NodeRow {
        hb_seq: 2,
        heartbeat_at: Timestamp(first.heartbeat_at.0 + 5_000),
        state: NodeState::Draining,
        http_address: None,
        ips: Vec::new(),
        logical_ids: Vec::new(),
        coordinates: Vec::new(),
        ..first.clone()
    };
    store.put_node(&second).await.expect("writable");
    let mut own = the_nodes(&store).await;
    own.retain(|row| row.guid == first.guid);
    assert_eq!(own, [second]);
}

async fn nodes_come_by_guid(store: SharedStore) {
    for name in ["c", "a", "b"] {
        let row = node(&holder(name).node);
        store.put_node(&row).await.expect("writable");
    }
    assert!(
        the_nodes(&store)
            .await
            .is_sorted_by_key(|row| row.guid.clone())
    );
}

fn stats(batch: BatchId, node: &NodeId) -> NodeStats {
    NodeStats {
        batch,
        node: node.clone(),
        dc: "DC1".to_owned(),
        updated_time: Timestamp(1_700_000_000_123),
        share: share(37, 2),
        slowest: vec![SlowEntity {
            entity_id: "4'ü".to_owned(),
            process_time_ms: 572,
            status: "COMPLETED".to_owned(),
            result: Some("{\"Added\":1}".to_owned()),
            node_id: None,
        }],
        histogram: Some("HISTFAAAAB14".to_owned()),
        pace_milli: 12_345,
        in_process: vec![InProcess {
            entity: "47".to_owned(),
            since: Timestamp(1_700_000_000_000),
        }],
    }
}

async fn figures_of_a_node_are_read_back_whole(store: SharedStore) {
    let figures = stats(batch_id(), &holder("node").node);
    store.put_node_stats(&figures).await.expect("writable");
    let found = store.node_stats(figures.batch).await.expect("readable");
    assert_eq!(found, [figures]);
}

async fn figures_replace_each_other(store: SharedStore) {
    let first = stats(batch_id(), &holder("node").node);
    store.put_node_stats(&first).await.expect("writable");
    let second = NodeStats {
        share: share(40, 2),
        slowest: Vec::new(),
        histogram: None,
        in_process: Vec::new(),
        ..first.clone()
    };
    store.put_node_stats(&second).await.expect("writable");
    let found = store.node_stats(first.batch).await.expect("readable");
    assert_eq!(found, [second]);
}

async fn figures_of_nodes_and_batches_are_apart(store: SharedStore) {
    let (one, other) = (batch_id(), batch_id());
    let (a, b) = (holder("a").node, holder("b").node);
    for figures in [stats(one, &b), stats(one, &a), stats(other, &a)] {
        store.put_node_stats(&figures).await.expect("writable");
    }
    let found = store.node_stats(one).await.expect("readable");
    assert_eq!(found, [stats(one, &a), stats(one, &b)]);
    let none = store.node_stats(batch_id()).await.expect("readable");
    assert!(none.is_empty());
}

async fn the_clock_of_the_store_advances(store: SharedStore) {
    let first = store.store_time().await.expect("readable");
    let second = store.store_time().await.expect("readable");
    assert!(second >= first);
}

async fn the_schema_has_a_version(store: SharedStore) {
    let version = store.schema_version().await.expect("readable");
    assert_eq!(version, Some(weft_store::SCHEMA_VERSION));
}

async fn compare_and_sets_are_counted(store: SharedStore) {
    let before = store.statistics();
    let held = Held::new(store.as_ref(), 2).await;
    apply(store.as_ref(), &held.flush(1, 0..2)).await;
    let after = store.statistics();
    for verb in ["open_chunk", "claim_chunk", "flush_chunk"] {
        let count = |statistics: &weft_store::StoreStatistics| {
            statistics.compare_and_sets.get(verb).copied().unwrap_or(0)
        };
        // There may be more than one, because a re-sent statement counts as well.
        assert!(count(&after) > count(&before), "{verb} is not counted");
    }
}
