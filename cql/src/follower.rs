//! The jobs that follow the ends of others.

use weft_model::JobKey;
use weft_model::clock::Timestamp;
use weft_store::StoreResult;

use crate::CassandraStore;
use crate::values::Values;

impl CassandraStore {
    pub(crate) async fn write_follower(
        &self,
        job_type: &str,
        name: &str,
        follower: &JobKey,
    ) -> StoreResult<()> {
        let values = Values::new()
            .set("type", job_type)
            .set("name", name)
            .set("follower_type", &follower.job_type)
            .set("follower_name", &follower.name)
            .set("follower_uid", &follower.uid);
        let statement = &self.statements.put_follower;
        self.write("put_follower", statement, values).await
    }

    pub(crate) async fn read_followers(
        &self,
        job_type: &str,
        name: &str,
        after: Option<&JobKey>,
        limit: usize,
    ) -> StoreResult<Vec<JobKey>> {
        // No key has an empty type.
        let (after_type, after_name, after_uid) =
            after.map_or(("", "", ""), |key| (&key.job_type, &key.name, &key.uid));
        let values = Values::new()
            .set("type", job_type)
            .set("name", name)
            .set("after_type", after_type)
            .set("after_name", after_name)
            .set("after_uid", after_uid)
            .limit(limit);
        let statement = &self.statements.followers;
        let found = self.read("followers", "job_followers", statement, values);
        let keys = found.await?.into_iter().map(|mut row| {
            Ok(JobKey {
                job_type: row.require("follower_type")?,
                name: row.require("follower_name")?,
                uid: row.require("follower_uid")?,
            })
        });
        keys.collect()
    }

    /// Deletes with a timestamp just below `before`, so a note that was written at that time or later stays.
    pub(crate) async fn delete_follower(
        &self,
        job_type: &str,
        name: &str,
        follower: &JobKey,
        before: Timestamp,
    ) -> StoreResult<()> {
        let values = Values::new()
            .set("type", job_type)
            .set("name", name)
            .set("follower_type", &follower.job_type)
            .set("follower_name", &follower.name)
            .set("follower_uid", &follower.uid)
            .set("stamp", before.0.saturating_mul(1_000) - 1);
        let statement = &self.statements.drop_follower;
        self.write("forget_follower", statement, values).await
    }
}
