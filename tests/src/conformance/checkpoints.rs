//! Checkpoints: only the last run that took a scope may write, and no delayed write undoes a later one.

use weft_model::CheckpointHead;
use weft_store::{
    CHECKPOINT_BYTES, CHECKPOINT_ITEMS, ForgetCheckpoints, Freshness, SaveCheckpoints, SharedStore,
    StoreError, TakeCheckpoints,
};

use super::claims;
use super::fixture::*;

claims!(
    a_scope_is_taken_with_a_growing_fence,
    an_untaken_scope_has_no_head_and_no_items,
    of_many_takers_one_wins,
    an_identical_take_save_and_forget_answer_applied,
    what_is_saved_is_read_back_in_order_and_in_pages,
    a_save_replaces_and_removes_at_once,
    a_save_under_an_old_fence_is_lost,
    a_save_behind_a_later_save_is_lost,
    a_take_leaves_what_was_saved,
    what_is_forgotten_is_gone_and_the_fence_stays,
    nothing_of_the_past_undoes_what_was_forgotten,
    a_save_over_the_limits_says_which_limit,
    a_save_at_the_limits_is_taken,
    scopes_do_not_meet,
);

fn take(scope: &str, seen: Option<i64>) -> TakeCheckpoints {
    TakeCheckpoints {
        scope: scope.to_owned(),
        holder: own_text("run"),
        seen,
        token: token(),
    }
}

fn save(scope: &str, fence: i64, seq: i64, puts: &[(&str, &str)]) -> SaveCheckpoints {
    SaveCheckpoints {
        scope: scope.to_owned(),
        fence,
        seq,
        puts: puts
            .iter()
            .map(|(item, value)| ((*item).to_owned(), (*value).to_owned()))
            .collect(),
        removes: Vec::new(),
        now: now(),
        token: token(),
    }
}

fn forget(scope: &str, fence: i64, seq: i64) -> ForgetCheckpoints {
    ForgetCheckpoints {
        scope: scope.to_owned(),
        fence,
        seq,
        token: token(),
    }
}

async fn head(store: &SharedStore, scope: &str) -> Option<CheckpointHead> {
    let head = store.checkpoint_head(scope, Freshness::Serial).await;
    let head = head.expect("readable");
    let committed = store.checkpoint_head(scope, Freshness::Committed).await;
    assert_eq!(committed.expect("readable"), head);
    head
}

async fn items(store: &SharedStore, scope: &str) -> Vec<(String, String)> {
    let found = store.checkpoints(scope, None, 10_000).await;
    let found = found.expect("readable");
    found
        .into_iter()
        .map(|found| (found.item, found.value))
        .collect()
}

fn texts(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(item, value)| ((*item).to_owned(), (*value).to_owned()))
        .collect()
}

/// A scope that was taken once, so its fence is 1.
async fn taken(store: &SharedStore) -> String {
    let scope = own_text("scope 'ü'");
    apply(store.as_ref(), &take(&scope, None)).await;
    scope
}

async fn a_scope_is_taken_with_a_growing_fence(store: SharedStore) {
    let scope = own_text("scope");
    let first = take(&scope, None);
    apply(store.as_ref(), &first).await;
    let found = head(&store, &scope).await.expect("taken");
    assert_eq!((found.fence, found.seq), (1, 0));
    assert_eq!(found.holder, first.holder);
    assert_eq!(found.token, Some(first.token));
    let found = lose(store.as_ref(), &take(&scope, None)).await;
    assert_eq!(found.map(|head| head.holder), Some(first.holder));
    let second = take(&scope, Some(1));
    apply(store.as_ref(), &second).await;
    let found = head(&store, &scope).await.expect("taken");
    assert_eq!((found.fence, found.holder), (2, second.holder));
}

async fn an_untaken_scope_has_no_head_and_no_items(store: SharedStore) {
    let scope = own_text("scope");
    assert_eq!(head(&store, &scope).await, None);
    assert!(items(&store, &scope).await.is_empty());
    assert_eq!(
        lose(store.as_ref(), &save(&scope, 1, 0, &[("a", "1")])).await,
        None
    );
    assert_eq!(lose(store.as_ref(), &take(&scope, Some(1))).await, None);
    assert_eq!(lose(store.as_ref(), &forget(&scope, 1, 0)).await, None);
    assert!(items(&store, &scope).await.is_empty());
}

async fn of_many_takers_one_wins(store: SharedStore) {
    let scope = taken(&store).await;
    let rivals: Vec<_> = (0..6).map(|_| take(&scope, Some(1))).collect();
    assert_eq!(winners(&store, &rivals).await, 1);
    let found = head(&store, &scope).await.expect("taken");
    assert_eq!(found.fence, 2);
    assert!(rivals.iter().any(|rival| rival.holder == found.holder));
}

async fn an_identical_take_save_and_forget_answer_applied(store: SharedStore) {
    let scope = own_text("scope");
    let take = take(&scope, None);
    apply(store.as_ref(), &take).await;
    apply(store.as_ref(), &take).await;
    let save = save(&scope, 1, 0, &[("a", "1")]);
    apply(store.as_ref(), &save).await;
    apply(store.as_ref(), &save).await;
    assert_eq!(head(&store, &scope).await.map(|head| head.seq), Some(1));
    let forget = forget(&scope, 1, 1);
    apply(store.as_ref(), &forget).await;
    apply(store.as_ref(), &forget).await;
    assert_eq!(head(&store, &scope).await.map(|head| head.seq), Some(2));
    // They applied once, but later writes replaced their tokens.
    lose(store.as_ref(), &save).await;
    lose(store.as_ref(), &take).await;
}

async fn what_is_saved_is_read_back_in_order_and_in_pages(store: SharedStore) {
    let scope = taken(&store).await;
    let puts = [("b", "2"), ("ä/ü.csv", "{\"at\":1}"), ("a", ""), ("B", "x")];
    let save = save(&scope, 1, 0, &puts);
    apply(store.as_ref(), &save).await;
    // Items are in byte order.
    let expected = [("B", "x"), ("a", ""), ("b", "2"), ("ä/ü.csv", "{\"at\":1}")];
    assert_eq!(items(&store, &scope).await, texts(&expected));
    let page = store.checkpoints(&scope, Some("B"), 2).await;
    let page = page.expect("readable");
    let names: Vec<&str> = page.iter().map(|found| found.item.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert!(page.iter().all(|found| found.updated_at == save.now));
    let end = store.checkpoints(&scope, Some("ä/ü.csv"), 2).await;
    assert!(end.expect("readable").is_empty());
}

async fn a_save_replaces_and_removes_at_once(store: SharedStore) {
    let scope = taken(&store).await;
    apply(
        store.as_ref(),
        &save(&scope, 1, 0, &[("a", "1"), ("b", "1"), ("c", "1")]),
    )
    .await;
    let mut second = save(&scope, 1, 1, &[("a", "2"), ("d", "2")]);
    second.removes = vec!["b".to_owned(), "never there".to_owned()];
    apply(store.as_ref(), &second).await;
    let expected = [("a", "2"), ("c", "1"), ("d", "2")];
    assert_eq!(items(&store, &scope).await, texts(&expected));
    // A removed item may be saved again.
    apply(store.as_ref(), &save(&scope, 1, 2, &[("b", "3")])).await;
    assert_eq!(items(&store, &scope).await.len(), 4);
}

async fn a_save_under_an_old_fence_is_lost(store: SharedStore) {
    let scope = taken(&store).await;
    let late = save(&scope, 1, 0, &[("a", "late")]);
    apply(store.as_ref(), &take(&scope, Some(1))).await;
    let found = lose(store.as_ref(), &late).await;
    assert_eq!(found.map(|head| (head.fence, head.seq)), Some((2, 0)));
    lose(store.as_ref(), &forget(&scope, 1, 0)).await;
    assert!(items(&store, &scope).await.is_empty());
}

async fn a_save_behind_a_later_save_is_lost(store: SharedStore) {
    let scope = taken(&store).await;
    let first = save(&scope, 1, 0, &[("a", "1")]);
    apply(store.as_ref(), &first).await;
    apply(store.as_ref(), &save(&scope, 1, 1, &[("a", "2")])).await;
    let found = lose(store.as_ref(), &first).await;
    assert_eq!(found.map(|head| (head.fence, head.seq)), Some((1, 2)));
    assert_eq!(items(&store, &scope).await, texts(&[("a", "2")]));
}

async fn a_take_leaves_what_was_saved(store: SharedStore) {
    let scope = taken(&store).await;
    apply(store.as_ref(), &save(&scope, 1, 0, &[("a", "1")])).await;
    apply(store.as_ref(), &take(&scope, Some(1))).await;
    assert_eq!(items(&store, &scope).await, texts(&[("a", "1")]));
    apply(store.as_ref(), &save(&scope, 2, 0, &[("b", "2")])).await;
    assert_eq!(items(&store, &scope).await.len(), 2);
}

async fn what_is_forgotten_is_gone_and_the_fence_stays(store: SharedStore) {
    let scope = taken(&store).await;
    let names: Vec<String> = (0..300).map(|number| format!("item {number}")).collect();
    let puts: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "v")).collect();
    apply(store.as_ref(), &save(&scope, 1, 0, &puts)).await;
    assert_eq!(items(&store, &scope).await.len(), 300);
    apply(store.as_ref(), &forget(&scope, 1, 1)).await;
    assert!(items(&store, &scope).await.is_empty());
    let found = head(&store, &scope).await.expect("the head stays");
    assert_eq!((found.fence, found.seq), (1, 2));
    apply(store.as_ref(), &save(&scope, 1, 2, &[("item 1", "again")])).await;
    assert_eq!(items(&store, &scope).await, texts(&[("item 1", "again")]));
}

async fn nothing_of_the_past_undoes_what_was_forgotten(store: SharedStore) {
    let scope = own_text("scope");
    let first = take(&scope, None);
    apply(store.as_ref(), &first).await;
    let (late, later) = (
        save(&scope, 1, 0, &[("a", "1")]),
        save(&scope, 1, 1, &[("a", "2")]),
    );
    apply(store.as_ref(), &late).await;
    apply(store.as_ref(), &forget(&scope, 1, 1)).await;
    lose(store.as_ref(), &late).await;
    lose(store.as_ref(), &later).await;
    lose(store.as_ref(), &first).await;
    lose(store.as_ref(), &take(&scope, None)).await;
    assert!(items(&store, &scope).await.is_empty());
}

async fn a_save_over_the_limits_says_which_limit(store: SharedStore) {
    let scope = taken(&store).await;
    let many: Vec<String> = (0..=CHECKPOINT_ITEMS).map(|n| n.to_string()).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "")).collect();
    let large = "x".repeat(CHECKPOINT_BYTES);
    let long = "x".repeat(9_000);
    let cases: [(&[(&str, &str)], &str); 5] = [
        (&many, "1001 items"),
        (&[("a", &large)], "262145 bytes"),
        (&[(&long, "1")], "9000 bytes"),
        (&[("", "1")], "0 bytes"),
        (&[("a", "1"), ("a", "2")], "\"a\" stands twice"),
    ];
    for (puts, expected) in cases {
        let refused = store.save_checkpoints(&save(&scope, 1, 0, puts)).await;
        match refused {
            Err(StoreError::Refused(reason)) => {
                assert!(
                    reason.contains(expected) && reason.contains(&scope),
                    "{reason}"
                );
            }
            other => panic!("{expected}: {other:?}"),
        }
    }
    let mut both = save(&scope, 1, 0, &[("a", "1")]);
    both.removes = vec!["a".to_owned()];
    assert!(store.save_checkpoints(&both).await.is_err());
    assert_eq!(head(&store, &scope).await.map(|head| head.seq), Some(0));
}

async fn a_save_at_the_limits_is_taken(store: SharedStore) {
    let scope = taken(&store).await;
    let large = "x".repeat(CHECKPOINT_BYTES - 1);
    apply(store.as_ref(), &save(&scope, 1, 0, &[("a", &large)])).await;
    let names: Vec<String> = (0..CHECKPOINT_ITEMS).map(|n| format!("n{n:04}")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "v")).collect();
    apply(store.as_ref(), &save(&scope, 1, 1, &many)).await;
    let found = items(&store, &scope).await;
    assert_eq!(found.len(), CHECKPOINT_ITEMS + 1);
    assert_eq!(found[0].1.len(), CHECKPOINT_BYTES - 1);
}

async fn scopes_do_not_meet(store: SharedStore) {
    let (one, two) = (taken(&store).await, taken(&store).await);
    apply(store.as_ref(), &save(&one, 1, 0, &[("a", "1")])).await;
    apply(store.as_ref(), &save(&two, 1, 0, &[("a", "2")])).await;
    apply(store.as_ref(), &forget(&one, 1, 1)).await;
    assert!(items(&store, &one).await.is_empty());
    assert_eq!(items(&store, &two).await, texts(&[("a", "2")]));
}
