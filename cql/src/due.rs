//! Due hints: when a node must check a job.

use std::time::Duration;

use weft_model::clock::{Clock, SystemClock, Timestamp};
use weft_model::{DueHint, JobKey};
use weft_store::StoreResult;

use crate::CassandraStore;
use crate::request::all_of;
use crate::values::Values;

/// Partitions per hour of the due index.
const DUE_SHARDS: u64 = 8;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// How long a hint is kept after its time.
const HINT_KEPT: Duration = Duration::from_secs(30 * 86_400);
/// The farthest time of a hint, since not every server accepts rows that expire after January 2038. The node that
/// finds a hint before its job is due writes the next one.
const FARTHEST_HINT: Duration = Duration::from_secs(300 * 86_400);
/// Reads in flight.
const READS_AT_ONCE: usize = 32;
/// Hours read at once, each in all its shards.
const HOURS_AT_ONCE: usize = 4;

impl CassandraStore {
    pub(crate) async fn write_due(&self, verb: &'static str, hint: &DueHint) -> StoreResult<()> {
        let now = SystemClock.now();
        let due_at = hint.due_at.min(now.plus(FARTHEST_HINT));
        let kept_until = due_at.max(now).plus(HINT_KEPT);
        let ttl = kept_until.millis_since(now) / 1_000;
        let values = Values::new()
            .set("bucket", hour_of(due_at))
            .set("shard", shard_of(&hint.key))
            .set("due_at", due_at)
            .job_key(&hint.key)
            .set("ttl", i32::try_from(ttl).unwrap_or(i32::MAX));
        self.write(verb, &self.statements.put_due, values).await
    }

    /// Reads hour by hour, all shards of an hour at once, until there are enough hints. Starts at most 31 days before
    /// `to`: older hints have expired.
    pub(crate) async fn read_due(
        &self,
        after: &DueHint,
        to: Timestamp,
        limit: usize,
    ) -> StoreResult<Vec<DueHint>> {
        let oldest = DueHint::first_at(Timestamp(to.0.saturating_sub(31 * DAY_MS)));
        let after = after.max(&oldest);
        let hours: Vec<i64> = (hour_of(after.due_at).0..=hour_of(to).0)
            .step_by(usize::try_from(HOUR_MS).unwrap_or(usize::MAX))
            .collect();
        let mut hints: Vec<DueHint> = Vec::new();
        for wave in hours.chunks(HOURS_AT_ONCE) {
            let reads = wave
                .iter()
                .flat_map(|hour| (0..DUE_SHARDS).map(move |shard| (*hour, shard)))
                .map(|(hour, shard)| self.read_due_shard(hour, shard, after, to, limit))
                .collect();
            hints.extend(all_of(READS_AT_ONCE, reads).await?.into_iter().flatten());
            if hints.len() >= limit {
                break;
            }
        }
        hints.sort();
        hints.truncate(limit);
        Ok(hints)
    }

    async fn read_due_shard(
        &self,
        hour: i64,
        shard: u64,
        after: &DueHint,
        to: Timestamp,
        limit: usize,
    ) -> StoreResult<Vec<DueHint>> {
        let values = Values::new()
            .set("bucket", Timestamp(hour))
            .set("shard", i32::try_from(shard).unwrap_or(0))
            .set("after_time", after.due_at)
            .set("after_type", &after.key.job_type)
            .set("after_name", &after.key.name)
            .set("after_uid", &after.key.uid)
            .set("to_time", to)
            .limit(limit);
        self.read("due", "jobs_due", &self.statements.due, values)
            .await?
            .into_iter()
            .map(|mut row| {
                Ok(DueHint {
                    due_at: row.require("due_at")?,
                    key: row.take_job_key()?,
                })
            })
            .collect()
    }
}

fn hour_of(time: Timestamp) -> Timestamp {
    Timestamp(time.0.div_euclid(HOUR_MS) * HOUR_MS)
}

/// FNV-1a: the shard of a key is stored, so it must be the same on every node and in every version.
fn shard_of(key: &JobKey) -> i32 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for part in [&key.job_type, &key.name, &key.uid] {
        for byte in part.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    i32::try_from(hash % DUE_SHARDS).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(uid: &str) -> JobKey {
        JobKey {
            job_type: "PROCESS".to_owned(),
            name: "a.sh".to_owned(),
            uid: uid.to_owned(),
        }
    }

    #[test]
    fn shards_never_change() {
        let shards = ["a", "b", "c", "d"].map(|uid| shard_of(&key(uid)));
        assert_eq!(shards, [7, 4, 5, 2]);
    }

    #[test]
    fn a_time_before_1970_has_a_whole_hour() {
        assert_eq!(hour_of(Timestamp(HOUR_MS + 5)), Timestamp(HOUR_MS));
        assert_eq!(hour_of(Timestamp(-1)), Timestamp(-HOUR_MS));
    }
}
