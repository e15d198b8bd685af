//! Values of the cluster that one node after the other moves on: JSON in a cluster setting, guarded by its `seq`.

use serde::Serialize;
use serde::de::DeserializeOwned;
use weft_model::Setting;
use weft_model::clock::Timestamp;
use weft_store::{Freshness, Store, StoreResult};

/// The value of a setting, and the `seq` of its row. What cannot be read, as from a newer version, is no value.
///
/// # Errors
/// The error of the store.
pub async fn read<T: DeserializeOwned>(
    store: &dyn Store,
    name: &str,
) -> StoreResult<(Option<T>, i64)> {
    let Some(found) = store.setting(name, Freshness::Committed).await? else {
        return Ok((None, 0));
    };
    Ok((serde_json::from_str(&found.value).ok(), found.seq))
}

/// The setting that is to follow the row with `seq`.
pub fn setting<T: Serialize>(
    name: &str,
    seq: i64,
    value: &T,
    changed_at: Timestamp,
    changed_by: &str,
) -> Setting {
    Setting {
        name: name.to_owned(),
        seq: seq + 1,
        value: serde_json::to_string(value).unwrap_or_default(),
        changed_at,
        changed_by: changed_by.to_owned(),
    }
}
