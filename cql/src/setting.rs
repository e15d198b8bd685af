//! Settings of the cluster.

use weft_model::Setting;
use weft_store::{AttemptResult, Freshness, PutSetting, StoreResult};

use crate::CassandraStore;
use crate::row::StoredRow;
use crate::values::Values;

impl CassandraStore {
    pub(crate) async fn write_setting(&self, put: &PutSetting) -> AttemptResult<Option<Setting>> {
        const VERB: &str = "put_setting";
        let setting = &put.setting;
        // The first write of a setting finds no row.
        let seen = Some(setting.seq - 1).filter(|seen| *seen > 0);
        let values = Values::new()
            .set("name", &setting.name)
            .set("to_seq", setting.seq)
            .set("seq", seen)
            .set("value", &setting.value)
            .set("changed_at", setting.changed_at)
            .set("changed_by", &setting.changed_by);
        let attempt = self
            .compare_and_set(
                VERB,
                VERB,
                &self.statements.put_setting,
                values,
                ("op_token", put.token),
            )
            .await?;
        let found = self.read_setting(VERB, &setting.name, Freshness::Serial);
        attempt.or_found(found).await
    }

    pub(crate) async fn read_setting(
        &self,
        verb: &'static str,
        name: &str,
        freshness: Freshness,
    ) -> StoreResult<Option<Setting>> {
        let statement = self.statements.setting.at(freshness);
        let row = self
            .read_one(
                verb,
                "cluster_settings",
                statement,
                Values::new().set("name", name),
            )
            .await?;
        row.map(setting_of).transpose()
    }
}

fn setting_of(mut row: StoredRow) -> StoreResult<Setting> {
    Ok(Setting {
        name: row.require("name")?,
        seq: row.require("seq")?,
        value: row.take("value")?.unwrap_or_default(),
        changed_at: row.require("changed_at")?,
        changed_by: row.require("changed_by")?,
    })
}
