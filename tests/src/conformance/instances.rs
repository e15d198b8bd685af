//! Stored instances of logical units.

use std::collections::BTreeSet;

use weft_model::{Instance, InstanceHead};
use weft_store::SharedStore;

use super::claims;
use super::fixture::*;

claims!(
    an_instance_comes_back_whole,
    a_missing_instance_is_none,
    heads_leave_out_absent_instances,
    heads_of_no_ids_are_empty,
    older_sync_version_never_replaces_newer,
    a_newer_sync_version_replaces_an_older,
    the_same_instance_twice_is_one,
    a_large_image_comes_back_whole,
    a_large_image_gives_way_to_a_small_one,
    a_small_image_gives_way_to_a_large_one,
    an_older_large_image_never_replaces_a_newer_small_one,
    instances_of_logical_units_are_apart,
    pages_of_instance_ids_visit_each_once,
    an_instance_id_may_be_any_text,
    tables_are_made_twice_without_harm,
);

const UNIT: &str = "Conformance";
const OTHER_UNIT: &str = "Conformance2";
const PAGED_UNIT: &str = "ConformancePages";

/// An instance whose image has this many incompressible bytes.
pub(super) fn instance(id: &str, sync_version: i64, image_bytes: usize) -> Instance {
    let mut state = u64::try_from(sync_version).unwrap_or(1) | 1;
    let image = (0..image_bytes)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[0]
        })
        .collect();
    Instance {
        head: InstanceHead {
            id: id.to_owned(),
            content_hash: sync_version.to_le_bytes().repeat(4),
            schema_hash: vec![0, 255, 7],
            sync_version,
        },
        batch: Some(batch_id()),
        image,
    }
}

async fn with_tables(store: &SharedStore) {
    let units = [UNIT, OTHER_UNIT, PAGED_UNIT].map(str::to_owned);
    store
        .ensure_logical_units(&units)
        .await
        .expect("tables can be made");
}

async fn save(store: &SharedStore, instance: &Instance) {
    store
        .save_instances(UNIT, std::slice::from_ref(instance))
        .await
        .expect("writable");
}

/// Reads an instance in both ways: whole, and its head.
async fn stored(store: &SharedStore, id: &str) -> Option<Instance> {
    let whole = store.instance(UNIT, id).await.expect("readable");
    let heads = store
        .instance_heads(UNIT, &[id.to_owned()])
        .await
        .expect("readable");
    assert_eq!(heads.get(id), whole.as_ref().map(|whole| &whole.head));
    whole
}

async fn an_instance_comes_back_whole(store: SharedStore) {
    with_tables(&store).await;
    let saved = instance(&own_text("instance"), 1_700_000_000_000_001, 5_600);
    save(&store, &saved).await;
    assert_eq!(stored(&store, &saved.head.id).await, Some(saved));
    let alone = Instance {
        batch: None,
        image: Vec::new(),
        ..instance(&own_text("instance"), 1, 0)
    };
    save(&store, &alone).await;
    assert_eq!(stored(&store, &alone.head.id).await, Some(alone));
}

async fn a_missing_instance_is_none(store: SharedStore) {
    with_tables(&store).await;
    assert_eq!(stored(&store, &own_text("nobody")).await, None);
}

async fn heads_leave_out_absent_instances(store: SharedStore) {
    with_tables(&store).await;
    let saved: Vec<_> = (1..=3)
        .map(|version| instance(&own_text("instance"), version, 100))
        .collect();
    store.save_instances(UNIT, &saved).await.expect("writable");
    let mut ids: Vec<_> = saved.iter().map(|saved| saved.head.id.clone()).collect();
    ids.insert(1, own_text("nobody"));
    let heads = store.instance_heads(UNIT, &ids).await.expect("readable");
    assert_eq!(heads.len(), 3);
    for saved in &saved {
        assert_eq!(heads[&saved.head.id], saved.head);
    }
}

async fn heads_of_no_ids_are_empty(store: SharedStore) {
    with_tables(&store).await;
    let heads = store.instance_heads(UNIT, &[]).await.expect("readable");
    assert!(heads.is_empty());
    store.save_instances(UNIT, &[]).await.expect("writable");
}

async fn older_sync_version_never_replaces_newer(store: SharedStore) {
    with_tables(&store).await;
    let newer = instance(&own_text("instance"), 2_000, 500);
    save(&store, &newer).await;
    save(&store, &instance(&newer.head.id, 1_999, 700)).await;
    assert_eq!(stored(&store, &newer.head.id).await, Some(newer));
}

async fn a_newer_sync_version_replaces_an_older(store: SharedStore) {
    with_tables(&store).await;
    let older = instance(&own_text("instance"), 2_000, 500);
    save(&store, &older).await;
    let newer = instance(&older.head.id, 2_001, 300);
    save(&store, &newer).await;
    assert_eq!(stored(&store, &older.head.id).await, Some(newer));
}

async fn the_same_instance_twice_is_one(store: SharedStore) {
    with_tables(&store).await;
    let saved = instance(&own_text("instance"), 2_000, 500);
    save(&store, &saved).await;
    save(&store, &saved).await;
    assert_eq!(stored(&store, &saved.head.id).await, Some(saved));
}

async fn a_large_image_comes_back_whole(store: SharedStore) {
    with_tables(&store).await;
    let saved = instance(&own_text("large"), 1_000, 3 * 1024 * 1024);
    save(&store, &saved).await;
    assert!(stored(&store, &saved.head.id).await == Some(saved));
}

async fn a_large_image_gives_way_to_a_small_one(store: SharedStore) {
    with_tables(&store).await;
    let large = instance(&own_text("large"), 1_000, 3 * 1024 * 1024);
    save(&store, &large).await;
    let small = instance(&large.head.id, 1_001, 10);
    save(&store, &small).await;
    assert!(stored(&store, &large.head.id).await == Some(small));
}

async fn a_small_image_gives_way_to_a_large_one(store: SharedStore) {
    with_tables(&store).await;
    let small = instance(&own_text("large"), 1_000, 10);
    save(&store, &small).await;
    let large = instance(&small.head.id, 1_001, 3 * 1024 * 1024);
    save(&store, &large).await;
    assert!(stored(&store, &small.head.id).await == Some(large));
}

async fn an_older_large_image_never_replaces_a_newer_small_one(store: SharedStore) {
    with_tables(&store).await;
    let newer = instance(&own_text("large"), 1_000, 10);
    save(&store, &newer).await;
    save(&store, &instance(&newer.head.id, 999, 3 * 1024 * 1024)).await;
    assert!(stored(&store, &newer.head.id).await == Some(newer));
}

async fn instances_of_logical_units_are_apart(store: SharedStore) {
    with_tables(&store).await;
    let saved = instance(&own_text("instance"), 1_000, 10);
    save(&store, &saved).await;
    let found = store.instance(OTHER_UNIT, &saved.head.id).await;
    assert_eq!(found.expect("readable"), None);
}

async fn pages_of_instance_ids_visit_each_once(store: SharedStore) {
    with_tables(&store).await;
    let prefix = own_text("page");
    let own: BTreeSet<_> = (0..23)
        .map(|number| format!("{prefix}'ü{number}"))
        .collect();
    let saved: Vec<_> = own.iter().map(|id| instance(id, 1, 10)).collect();
    store
        .save_instances(PAGED_UNIT, &saved)
        .await
        .expect("writable");
    let mut visited = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = store
            .instance_ids(PAGED_UNIT, after.as_deref(), 5)
            .await
            .expect("readable");
        assert!(page.len() <= 5);
        let Some(last) = page.last() else { break };
        after = Some(last.clone());
        visited.extend(page);
    }
    visited.retain(|id| id.starts_with(&prefix));
    assert_eq!(visited.len(), own.len());
    assert_eq!(visited.into_iter().collect::<BTreeSet<_>>(), own);
}

async fn an_instance_id_may_be_any_text(store: SharedStore) {
    with_tables(&store).await;
    for odd in ["it's", "\"x\"", "a\nb", "ü — 漢字 🧵", "%_;--", "' OR 1=1"] {
        let saved = instance(&format!("{odd}{}", own_text("")), 1, 10);
        save(&store, &saved).await;
        assert_eq!(stored(&store, &saved.head.id).await, Some(saved));
    }
}

async fn tables_are_made_twice_without_harm(store: SharedStore) {
    with_tables(&store).await;
    let saved = instance(&own_text("instance"), 1, 10);
    save(&store, &saved).await;
    with_tables(&store).await;
    assert_eq!(stored(&store, &saved.head.id).await, Some(saved));
}
