//! What holds for the whole cluster, by name.

use weft_model::Setting;
use weft_store::{Freshness, PutSetting, SharedStore};

use super::claims;
use super::fixture::*;

claims!(
    a_setting_that_was_never_set_is_none,
    a_setting_is_read_back_whole,
    a_setting_with_an_old_seq_is_lost,
    a_setting_that_skips_a_seq_is_lost,
    an_identical_setting_answers_applied,
    of_many_settings_one_wins,
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
    // An empty value is a value.
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
