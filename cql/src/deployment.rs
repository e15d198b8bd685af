//! The deployed project: bundles in parts, and the row that names the deployed one.

use weft_model::Deployment;
use weft_store::{AttemptResult, Deploy, Freshness, StoreError, StoreResult};

use crate::CassandraStore;
use crate::request::all_of;
use crate::row::StoredRow;
use crate::values::Values;

/// Bytes of a part.
const PART: usize = 1 << 20;
/// Parts read at once.
const PARTS_AT_ONCE: usize = 4;

impl CassandraStore {
    /// Writes part 0 last. It has the number of parts, so a reader finds all of a bundle or none of it.
    pub(crate) async fn write_bundle(&self, hash: &str, bytes: &[u8]) -> StoreResult<()> {
        const VERB: &str = "put_bundle";
        let mut parts: Vec<&[u8]> = bytes.chunks(PART).collect();
        if parts.is_empty() {
            parts.push(&[]);
        }
        let count = i32::try_from(parts.len())
            .map_err(|_| StoreError::Refused("a bundle is too large".to_owned()))?;
        for (number, part) in (0..count).zip(parts).rev() {
            let values = part_key(hash, number).set("parts", count).set("data", part);
            self.write(VERB, &self.statements.put_part, values).await?;
        }
        Ok(())
    }

    pub(crate) async fn read_bundle(&self, hash: &str) -> StoreResult<Option<Vec<u8>>> {
        let Some(mut first) = self.read_part(hash, 0).await? else {
            return Ok(None);
        };
        let mut bytes: Vec<u8> = first.take("data")?.unwrap_or_default();
        let count: i32 = first.require("parts")?;
        let reads = (1..count)
            .map(|number| self.read_part(hash, number))
            .collect();
        for part in all_of(PARTS_AT_ONCE, reads).await? {
            match part {
                Some(mut part) => bytes.extend(part.require::<Vec<u8>>("data")?),
                None => return Err(first.corrupt("parts", &"a part is missing")),
            }
        }
        Ok(Some(bytes))
    }

    async fn read_part(&self, hash: &str, number: i32) -> StoreResult<Option<StoredRow>> {
        self.read_one(
            "bundle",
            "bundles",
            &self.statements.part,
            part_key(hash, number),
        )
        .await
    }

    pub(crate) async fn write_deployment(
        &self,
        deploy: &Deploy,
    ) -> AttemptResult<Option<Deployment>> {
        const VERB: &str = "deploy";
        let deployment = &deploy.deployment;
        // The first deployment finds no row.
        let seen = Some(deployment.seq - 1).filter(|seen| *seen > 0);
        let values = Values::new()
            .set("to_seq", deployment.seq)
            .set("seq", seen)
            .set("hash", &deployment.hash)
            .set("deployed_at", deployment.deployed_at)
            .set("deployed_by", &deployment.deployed_by)
            .set("logical_units", deployment.logical_units.as_slice());
        let attempt = self
            .compare_and_set(
                VERB,
                VERB,
                &self.statements.deploy,
                values,
                ("op_token", deploy.token),
            )
            .await?;
        let found = self.read_deployment(VERB, Freshness::Serial);
        attempt.or_found(found).await
    }

    pub(crate) async fn read_deployment(
        &self,
        verb: &'static str,
        freshness: Freshness,
    ) -> StoreResult<Option<Deployment>> {
        let statement = self.statements.deployment.at(freshness);
        let row = self
            .read_one(verb, "deployment", statement, Values::new())
            .await?;
        row.map(deployment_of).transpose()
    }
}

fn part_key(hash: &str, number: i32) -> Values {
    Values::new().set("hash", hash).set("part", number)
}

fn deployment_of(mut row: StoredRow) -> StoreResult<Deployment> {
    Ok(Deployment {
        seq: row.require("seq")?,
        hash: row.require("hash")?,
        deployed_at: row.require("deployed_at")?,
        deployed_by: row.require("deployed_by")?,
        logical_units: row.take("logical_units")?.unwrap_or_default(),
    })
}
