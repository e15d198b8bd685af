//! The jobs that follow the ends of others.

use weft_model::JobKey;
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
        limit: usize,
    ) -> StoreResult<Vec<JobKey>> {
        let values = Values::new()
            .set("type", job_type)
            .set("name", name)
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
}
