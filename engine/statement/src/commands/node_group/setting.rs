//! Changes one setting of the cluster.

use std::future::ready;
use std::time::Duration;

use tracing::info;
use weft_model::Setting;
use weft_store::{Decided, Decision, Freshness, PutSetting, Trust, decide_and_settle};

use crate::frame::EndStatus;
use crate::refusal::Refusal;
use crate::services::Services;

/// How long a statement waits for the store.
const PATIENCE: Duration = Duration::from_secs(10);

/// Gives a setting its next value, computed from the value that others may change meanwhile. Returns the setting after that.
pub(super) async fn change(
    services: &Services,
    name: &str,
    by: &str,
    next: impl Fn(&str) -> String,
) -> Result<Setting, Refusal> {
    let store = services.store.as_ref();
    let trust = Trust::for_duration(services.clock.clone(), PATIENCE);
    let decide = |found: Option<Setting>| {
        let now = services.clock.now();
        let before = found.unwrap_or_else(|| Setting {
            name: name.to_owned(),
            seq: 0,
            value: String::new(),
            changed_at: now,
            changed_by: String::new(),
        });
        let value = next(&before.value);
        ready(Ok::<_, Refusal>(if value == before.value {
            Decision::Stop(before)
        } else {
            Decision::Settle(PutSetting {
                setting: Setting {
                    seq: before.seq + 1,
                    value,
                    changed_at: now,
                    changed_by: by.to_owned(),
                    ..before
                },
                token: services.ids.token(),
            })
        }))
    };
    let read = store.setting(name, Freshness::Serial);
    match decide_and_settle(store, &services.ids, &trust, read, decide).await? {
        Decided::Applied { operation, .. } => {
            info!("{by} set {name} to {:?}", operation.setting.value);
            Ok(operation.setting)
        }
        Decided::Stopped(setting) => Ok(setting),
        Decided::StillUnknown(_) => Err(Refusal::new(
            EndStatus::Unreachable,
            "the store does not answer: the setting may or may not have been changed",
        )
        .hint("look with LIST AFFINITY_RULES or CLUSTERSTATUS NODE_AFFINITY_STATUS before you repeat it")),
        Decided::MovedTooFast(_) => Err(Refusal::conflict(
            "other statements keep changing the same setting; try again",
        )),
    }
}
