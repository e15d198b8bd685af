//! Due hints.

use rand::RngExt;
use weft_model::DueHint;
use weft_model::clock::Timestamp;
use weft_store::SharedStore;

use super::claims;
use super::fixture::*;

claims!(
    due_hints_come_in_order,
    the_same_hint_twice_is_one_hint,
    a_span_of_hints_has_both_its_ends,
    due_hints_are_limited_to_the_earliest,
    due_hints_of_one_time_come_page_by_page,
    a_hint_of_another_century_is_taken,
);

/// A random time in the next five days, which other cases rarely use.
pub(super) fn own_time() -> Timestamp {
    Timestamp(now().0 + rand::rng().random_range(60_000..5 * 86_400_000))
}

fn hint_at(at: i64) -> DueHint {
    DueHint {
        due_at: Timestamp(at),
        key: job_key(batch_id()),
    }
}

async fn due_hints_come_in_order(store: SharedStore) {
    let base = own_time().0;
    // The hints span two hours, because a store may keep them in hourly buckets.
    let hints: Vec<_> = [7_000_000, 3, 3_600_001, 0, 1_800_000]
        .iter()
        .map(|offset| hint_at(base + offset))
        .collect();
    for hint in &hints {
        store.put_due(hint).await.expect("writable");
    }
    let found: Vec<_> = store
        .due(
            &DueHint::first_at(Timestamp(base)),
            Timestamp(base + 7_200_000),
            100_000,
        )
        .await
        .expect("readable");
    assert!(found.is_sorted_by_key(|hint| hint.due_at));
    let own: Vec<_> = found.iter().filter(|hint| hints.contains(hint)).collect();
    let mut expected: Vec<_> = hints.iter().collect();
    expected.sort();
    assert_eq!(own, expected);
}

async fn the_same_hint_twice_is_one_hint(store: SharedStore) {
    let hint = hint_at(own_time().0);
    store.put_due(&hint).await.expect("writable");
    store.put_due(&hint).await.expect("writable");
    let found = store
        .due(&DueHint::first_at(hint.due_at), hint.due_at, 1_000)
        .await;
    let own = found.expect("readable");
    assert_eq!(own.iter().filter(|found| **found == hint).count(), 1);
}

async fn a_span_of_hints_has_both_its_ends(store: SharedStore) {
    let base = own_time().0;
    let hints = [0, 1, 2, 3].map(|offset| hint_at(base + offset));
    for hint in &hints {
        store.put_due(hint).await.expect("writable");
    }
    let found = store
        .due(
            &DueHint::first_at(Timestamp(base + 1)),
            Timestamp(base + 2),
            1_000,
        )
        .await
        .expect("readable");
    let own: Vec<_> = found.iter().filter(|hint| hints.contains(hint)).collect();
    assert_eq!(own, [&hints[1], &hints[2]]);
}

/// A store may keep such a hint at an earlier time. A node that reads it too early writes the next one.
async fn a_hint_of_another_century_is_taken(store: SharedStore) {
    let hint = hint_at(now().0 + 172 * 365 * 86_400_000);
    store.put_due(&hint).await.expect("writable");
}

async fn due_hints_of_one_time_come_page_by_page(store: SharedStore) {
    let at = own_time();
    let mut hints: Vec<DueHint> = (0..7).map(|_| hint_at(at.0)).collect();
    for hint in &hints {
        store.put_due(hint).await.expect("writable");
    }
    hints.sort();
    let mut found = Vec::new();
    let mut after = DueHint::first_at(at);
    loop {
        let page = store.due(&after, at, 2).await.expect("readable");
        let Some(last) = page.last() else { break };
        after = last.clone();
        assert!(page.len() <= 2);
        found.extend(page.into_iter().filter(|hint| hints.contains(hint)));
    }
    assert_eq!(found, hints);
}

async fn due_hints_are_limited_to_the_earliest(store: SharedStore) {
    let base = own_time().0;
    let hints = [0, 1, 2].map(|offset| hint_at(base + offset));
    for hint in &hints {
        store.put_due(hint).await.expect("writable");
    }
    let found = store
        .due(&DueHint::first_at(Timestamp(base)), Timestamp(base + 2), 2)
        .await
        .expect("readable");
    assert_eq!(found.len(), 2);
    assert_eq!(found[0], hints[0]);
}
