//! Settings of the cluster.

use std::future::ready;

use weft_model::Setting;
use weft_model::ids::Ids;
use weft_store::{
    Decided, Decision, Freshness, PutSetting, SharedStore, Store, StoreResult, decide_and_settle,
};

use super::claims;
use super::fixture::*;

claims!(
    a_setting_that_was_never_set_is_none,
    a_setting_is_read_back_whole,
    a_setting_with_an_old_seq_is_lost,
    a_setting_that_skips_a_seq_is_lost,
    an_identical_setting_answers_applied,
    of_many_settings_one_wins,
    many_that_decide_on_what_they_found_lose_nothing,
    a_row_that_always_changes_is_given_up,
);

fn put(name: &str, seq: i64) -> PutSetting {
    PutSetting {
        setting: Setting {
            name: name.to_owned(),
            seq,
            value: format!("{{\"ü\":{seq}}} of {}", own_text("value")),
            changed_at: now(),
            changed_by: "admin 'ü'".to_owned(),
        },
        token: token(),
    }
}

async fn read(store: &SharedStore, name: &str) -> Option<Setting> {
    let setting = store.setting(name, Freshness::Serial).await;
    setting.expect("readable")
}

async fn a_setting_that_was_never_set_is_none(store: SharedStore) {
    assert_eq!(read(&store, &own_text("name")).await, None);
}

async fn a_setting_is_read_back_whole(store: SharedStore) {
    let name = own_text("name");
    let first = put(&name, 1);
    apply(store.as_ref(), &first).await;
    assert_eq!(read(&store, &name).await, Some(first.setting));
    // An empty value differs from no value.
    let mut second = put(&name, 2);
    second.setting.value.clear();
    apply(store.as_ref(), &second).await;
    assert_eq!(read(&store, &name).await, Some(second.setting));
}

async fn a_setting_with_an_old_seq_is_lost(store: SharedStore) {
    let name = own_text("name");
    let first = put(&name, 1);
    apply(store.as_ref(), &first).await;
    let found = lose(store.as_ref(), &put(&name, 1)).await;
    assert_eq!(found, Some(first.setting));
}

async fn a_setting_that_skips_a_seq_is_lost(store: SharedStore) {
    let name = own_text("name");
    assert_eq!(lose(store.as_ref(), &put(&name, 2)).await, None);
    assert_eq!(read(&store, &name).await, None);
}

async fn an_identical_setting_answers_applied(store: SharedStore) {
    let put = put(&own_text("name"), 1);
    apply(store.as_ref(), &put).await;
    apply(store.as_ref(), &put).await;
}

async fn of_many_settings_one_wins(store: SharedStore) {
    let name = own_text("name");
    let rivals: Vec<_> = (0..6).map(|_| put(&name, 1)).collect();
    assert_eq!(winners(&store, &rivals).await, 1);
    let found = read(&store, &name).await;
    assert!(
        rivals
            .iter()
            .any(|rival| Some(&rival.setting) == found.as_ref())
    );
}

/// A setting that appends `item` to the value of `found`.
fn with_item(name: &str, found: Option<Setting>, item: &str) -> PutSetting {
    let (seq, value) = found.map_or((0, String::new()), |found| (found.seq, found.value));
    PutSetting {
        setting: Setting {
            value: format!("{value}{item}"),
            ..put(name, seq + 1).setting
        },
        token: token(),
    }
}

/// Appends `item` unless the value already contains it.
async fn append(
    store: &dyn Store,
    name: &str,
    item: &str,
) -> StoreResult<Decided<PutSetting, String>> {
    let decide = |found: Option<Setting>| {
        ready(StoreResult::Ok(match found {
            Some(found) if found.value.contains(item) => Decision::Stop(found.value),
            found => Decision::Settle(with_item(name, found, item)),
        }))
    };
    let read = store.setting(name, Freshness::Serial);
    decide_and_settle(store, &Ids::from_system(), &patience(), read, decide).await
}

async fn many_that_decide_on_what_they_found_lose_nothing(store: SharedStore) {
    let name = own_text("name");
    let items = ["a", "b", "c", "d"];
    let appended = items.map(|item| append(store.as_ref(), &name, item));
    for decided in futures::future::join_all(appended).await {
        // An operation that applied without a definite answer finds its own item and stops.
        let is_done = matches!(decided, Ok(Decided::Applied { .. } | Decided::Stopped(_)));
        assert!(is_done, "{decided:?}");
    }
    let value = read(&store, &name).await.expect("a row").value;
    for item in items {
        assert_eq!(value.matches(item).count(), 1, "{item} in {value}");
        let again = append(store.as_ref(), &name, item).await.expect("a result");
        assert_eq!(again, Decided::Stopped(value.clone()));
    }
}

async fn a_row_that_always_changes_is_given_up(store: SharedStore) {
    let name = own_text("name");
    let decide = async |found: Option<Setting>| {
        // Another writer changes the row before each attempt.
        let other = with_item(&name, found.clone(), "other ");
        apply(store.as_ref(), &other).await;
        StoreResult::Ok(Decision::<_, ()>::Settle(with_item(&name, found, "own ")))
    };
    let read = store.setting(&name, Freshness::Serial);
    let ids = Ids::from_system();
    let decided = decide_and_settle(store.as_ref(), &ids, &patience(), read, decide).await;
    let Ok(Decided::MovedTooFast(Some(found))) = decided else {
        panic!("{decided:?}");
    };
    assert!(!found.value.contains("own"), "{found:?}");
}
