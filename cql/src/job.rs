//! Jobs: submission, claims, ends, history, and the hints that say when somebody must look.

use std::hash::Hash;
use std::time::Duration;

use chrono::{Datelike, Months, NaiveDate};
use tracing::warn;
use weft_model::TriggerState;
use weft_model::clock::{Clock, SystemClock, Timestamp};
use weft_model::{DueHint, Job, JobKey, JobRun, Token};
use weft_store::{
    Attempt, AttemptResult, ClaimJob, EndJob, Freshness, JobSeen, JobsPage, ListJobs, RequestJob,
    StoreResult, WriteJob,
};

use crate::CassandraStore;
use crate::connect::all_of;
use crate::rows::{Found, Values, json_text};

pub(crate) const JOBS: &str = "jobs";

/// Partitions per hour of the due index.
const DUE_SHARDS: u64 = 8;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Hints live so long past their moment.
const HINT_KEPT: Duration = Duration::from_secs(30 * 86_400);
/// A row cannot live past January 2038 on every server, so no hint lies farther ahead. Whoever finds it before the
/// job's time writes the next one.
const FARTHEST_HINT: Duration = Duration::from_secs(300 * 86_400);
/// Reads in flight.
const READS_AT_ONCE: usize = 32;
/// Hours of the due index read at once, each in all its shards.
const HOURS_AT_ONCE: usize = 4;
/// Months of history looked through, one partition each; older runs have passed their TTL long ago.
pub(crate) const MONTHS_BACK: u32 = 13;
/// Rows in a page of a list at most, each with arguments and output.
const PAGE: usize = 10_000;
/// Room for keys that share the token of the last one.
const SAME_TOKEN: usize = 8;

/// The partition of a job, for the lane of its compare-and-sets.
pub(crate) fn lane(key: &JobKey) -> impl Hash + '_ {
    (JOBS, &key.job_type, &key.name, &key.uid)
}

impl CassandraStore {
    /// Inserts the row; found with our token it counts as ours.
    pub(crate) async fn insert_job(
        &self,
        verb: &'static str,
        job: &Job,
        token: Token,
    ) -> AttemptResult<()> {
        self.compare_and_set(
            verb,
            lane(&job.key),
            &self.statements.insert_job,
            values_of(job, token),
            ("submit_token", token),
        )
        .await
    }

    pub(crate) async fn put_name(&self, verb: &'static str, key: &JobKey) -> StoreResult<()> {
        self.write(verb, &self.statements.put_name, Values::new().job(key))
            .await
    }

    pub(crate) async fn claim_a_job(&self, claim: &ClaimJob) -> AttemptResult<Option<Job>> {
        const VERB: &str = "claim_job";
        self.write_due(VERB, &claim.due).await?;
        let values = Values::new()
            .job(&claim.key)
            .set("worker_id", &claim.holder.node)
            .set("owner_inc", claim.holder.incarnation)
            .set("to_fence", claim.seen_fence + 1)
            .set("start_time", claim.now)
            .set("op_token", claim.token)
            .set("seen_status", claim.seen_status.as_str())
            .set("fence", claim.seen_fence);
        let attempt = self
            .compare_and_set(
                VERB,
                lane(&claim.key),
                &self.statements.claim_job,
                values,
                ("op_token", claim.token),
            )
            .await?;
        self.with_job(VERB, attempt, &claim.key).await
    }

    /// Hints first, then the row: a new one, or what stood there as a whole.
    pub(crate) async fn write_a_job(&self, write: &WriteJob) -> AttemptResult<Option<Job>> {
        const VERB: &str = "write_job";
        let key = &write.job.key;
        if let Some(due) = &write.due {
            self.write_due(VERB, due).await?;
        }
        let Some(seen) = write.seen else {
            self.put_name(VERB, key).await?;
            let attempt = self.insert_job(VERB, &write.job, write.token).await?;
            return self.with_job(VERB, attempt, key).await;
        };
        let values = columns_of(&write.job)
            .set("to_fence", write.job.fence)
            .set("op_token", write.token)
            .set("seen_status", seen.status.as_str())
            .set("fence", seen.fence)
            .set("seen_desired_seq", seen.desired_seq);
        let attempt = self
            .compare_and_set(
                VERB,
                lane(key),
                &self.statements.write_job,
                values,
                ("op_token", write.token),
            )
            .await?;
        self.with_job(VERB, attempt, key).await
    }

    pub(crate) async fn request_a_job(&self, request: &RequestJob) -> AttemptResult<Option<Job>> {
        const VERB: &str = "request_job";
        let JobSeen {
            status,
            fence,
            desired_seq,
        } = request.seen;
        let definition = request.definition.as_ref();
        let affinity = definition.map(|definition| json_text(&Affinity::of(&definition.affinity)));
        let policy = definition.map(|definition| json_text(&definition.policy));
        let values = Values::new()
            .job(&request.key)
            .set("status", request.status.as_str())
            .set("desired", request.desired.as_str())
            .set("to_desired_seq", desired_seq + 1)
            .set("desired_token", request.token)
            .set_or_keep("affinity", affinity.as_ref())
            .set_or_keep(
                "arguments",
                definition.map(|definition| &definition.arguments),
            )
            .set_or_keep("policy", policy.as_ref())
            .set("seen_status", status.as_str())
            .set("fence", fence)
            .set("desired_seq", desired_seq);
        let values = match definition {
            None => values
                .set_or_keep("execution_interval", None::<&String>)
                .set_or_keep("triggers", None::<&String>),
            Some(definition) => values
                .set("execution_interval", definition.execution_interval.as_ref())
                .set("triggers", triggers_text(&definition.triggers)),
        };
        let attempt = self
            .compare_and_set(
                VERB,
                lane(&request.key),
                &self.statements.request_job,
                values,
                ("desired_token", request.token),
            )
            .await?;
        self.with_job(VERB, attempt, &request.key).await
    }

    /// Hint, history row, then the move. What stands before the move is true whatever comes of it, or
    /// belongs to this fence alone.
    pub(crate) async fn end_a_job(&self, end: &EndJob) -> AttemptResult<Option<Job>> {
        const VERB: &str = "end_job";
        if let Some(due) = &end.due {
            self.write_due(VERB, due).await?;
        }
        if let Some(run) = &end.run
            && let Attempt::Unknown(reason) = self.insert_run(VERB, run).await?
        {
            return Ok(Attempt::Unknown(reason));
        }
        let values = Values::new()
            .job(&end.key)
            .set("status", end.to.as_str())
            .set("archived", end.to.is_ended())
            .set("to_fence", end.to_fence)
            .set("end_time", end.now)
            .set_or_keep("output", end.output.as_ref())
            .set("error_msg", end.error.as_ref())
            .set("tries", end.tries)
            .set("next_run", end.next_run)
            .set("notes", end.notes.as_ref())
            .set("op_token", end.token)
            .set("worker_id", &end.holder.node)
            .set("owner_inc", end.holder.incarnation)
            .set("fence", end.fence)
            .set("desired_seq", end.desired_seq)
            .set("seen_status", end.seen_status.as_str())
            .set("desired", end.desired.as_str())
            .set("runs", end.runs)
            .set("planned_run", end.planned_run)
            .set("triggers", triggers_text(&end.triggers))
            .set(
                "to_worker_id",
                (!end.forget_worker).then_some(&end.holder.node),
            )
            .set(
                "to_owner_inc",
                (!end.forget_worker).then_some(end.holder.incarnation),
            );
        let attempt = self
            .compare_and_set(
                VERB,
                lane(&end.key),
                &self.statements.end_job,
                values,
                ("op_token", end.token),
            )
            .await?;
        self.with_job(VERB, attempt, &end.key).await
    }

    /// Writes the history row of a run once; the row of an earlier sending is as good.
    async fn insert_run(&self, verb: &'static str, run: &JobRun) -> AttemptResult<()> {
        let month = month_of(run.started);
        let values = Values::new()
            .job(&run.key)
            .set("month", month.as_str())
            .set("started", run.started)
            .set("run_fence", run.fence)
            .set("ended", run.ended)
            .set("node", &run.node)
            .set("status", run.status.as_str())
            .set("error", run.error.as_ref())
            .set("output", run.output.as_ref())
            .set("attempt", run.attempt)
            .set("planned", run.planned)
            .set("exit_code", run.exit_code);
        let lane = ("job_runs", &run.key, month.as_str());
        let attempt = self
            .compare_and_set_text(verb, lane, &self.statements.insert_run, values, "uid")
            .await?;
        Ok(match attempt {
            Attempt::Applied | Attempt::Lost(_) => Attempt::Applied,
            Attempt::Unknown(reason) => Attempt::Unknown(reason),
        })
    }

    /// A refusal with the row that refused. The answer is definite already, so reading may follow.
    pub(crate) async fn with_job(
        &self,
        verb: &'static str,
        attempt: Attempt<()>,
        key: &JobKey,
    ) -> AttemptResult<Option<Job>> {
        attempt
            .or_found(self.read_job(verb, key, Freshness::Serial))
            .await
    }

    pub(crate) async fn read_job(
        &self,
        verb: &'static str,
        key: &JobKey,
        freshness: Freshness,
    ) -> StoreResult<Option<Job>> {
        let statement = match freshness {
            Freshness::Committed => &self.statements.job,
            Freshness::Serial => &self.statements.job_serial,
        };
        self.read_one(verb, JOBS, statement, Values::new().job(key))
            .await?
            .map(job_of)
            .transpose()
    }

    pub(crate) async fn list_jobs(&self, list: &ListJobs) -> StoreResult<JobsPage> {
        const VERB: &str = "jobs";
        let limit = list.limit.clamp(1, PAGE);
        let mut page = match (&list.job_type, &list.name, &list.uid) {
            (Some(job_type), Some(name), Some(uid)) => {
                let key = JobKey {
                    job_type: job_type.clone(),
                    name: name.clone(),
                    uid: uid.clone(),
                };
                let job = self.read_job(VERB, &key, Freshness::Committed).await?;
                let jobs = job.into_iter();
                JobsPage {
                    jobs: jobs
                        .filter(|job| list.after.as_ref().is_none_or(|after| job.key > *after))
                        .collect(),
                    next: None,
                }
            }
            (Some(job_type), Some(name), None) => {
                self.jobs_of(job_type, name, list.after.as_ref(), limit)
                    .await?
            }
            (job_type, _, _) => {
                let mut page = self.all_jobs(list.after.as_ref(), limit).await?;
                page.jobs.retain(|job| {
                    job_type
                        .as_ref()
                        .is_none_or(|wanted| job.key.job_type == *wanted)
                });
                page
            }
        };
        page.jobs.retain(|job| !list.active_only || !job.archived);
        Ok(page)
    }

    async fn jobs_of(
        &self,
        job_type: &str,
        name: &str,
        after: Option<&JobKey>,
        limit: usize,
    ) -> StoreResult<JobsPage> {
        const VERB: &str = "jobs";
        let rows = i32::try_from(limit.saturating_add(1)).unwrap_or(i32::MAX);
        let values = Values::new()
            .set("type", job_type)
            .set("name", name)
            .set("after", after.map_or("", |key| &key.uid))
            .set("rows", rows);
        let mut keys: Vec<JobKey> = self
            .read(VERB, "jobs_by_name", &self.statements.jobs_by_name, values)
            .await?
            .into_iter()
            .map(|mut row| {
                Ok(JobKey {
                    job_type: job_type.to_owned(),
                    name: name.to_owned(),
                    uid: row.need("uid")?,
                })
            })
            .collect::<StoreResult<_>>()?;
        let more = keys.len() > limit;
        keys.truncate(limit);
        let reads = keys
            .iter()
            .map(|key| self.read_job(VERB, key, Freshness::Committed))
            .collect();
        let jobs = all_of(READS_AT_ONCE, reads).await?;
        Ok(JobsPage {
            // A name without a row is a hint whose job was never written, or was removed.
            jobs: jobs.into_iter().flatten().collect(),
            next: keys.pop().filter(|_| more),
        })
    }

    /// In the order of the partitioner, which never changes.
    async fn all_jobs(&self, after: Option<&JobKey>, limit: usize) -> StoreResult<JobsPage> {
        let wanted = limit.saturating_add(SAME_TOKEN);
        let rows = i32::try_from(wanted).unwrap_or(i32::MAX);
        let values = Values::new().set("rows", rows);
        let (statement, values) = match after {
            Some(key) => (&self.statements.next_jobs, values.job(key)),
            None => (&self.statements.first_jobs, values),
        };
        let rows = self.scan("jobs", JOBS, statement, values, wanted).await?;
        let mut keyed: Vec<(JobKey, Option<Job>)> = Vec::with_capacity(rows.len());
        for row in rows {
            let key = row.clone().job_key()?;
            // One row that cannot be read must not hide the others (Fabric R56: a row without a status).
            let job =
                job_of(row).inspect_err(|error| warn!("A job is left out of a list: {error}"));
            keyed.push((key, job.ok()));
        }
        if let Some(after) = after
            && let Some(position) = keyed.iter().position(|(key, _)| key == after)
        {
            keyed.drain(..=position);
        }
        let more = keyed.len() > limit;
        keyed.truncate(limit);
        let next = keyed.last().filter(|_| more).map(|(key, _)| key.clone());
        Ok(JobsPage {
            jobs: keyed.into_iter().filter_map(|(_, job)| job).collect(),
            next,
        })
    }

    /// From the month of the job's last run backwards: one partition per month.
    pub(crate) async fn runs_of(&self, key: &JobKey, limit: usize) -> StoreResult<Vec<JobRun>> {
        const VERB: &str = "job_runs";
        let job = self.read_job(VERB, key, Freshness::Committed).await?;
        let newest = job
            .and_then(|job| job.start_time.max(job.end_time))
            .unwrap_or_else(|| SystemClock.now());
        let mut runs = Vec::new();
        for back in 0..MONTHS_BACK {
            let rows = i32::try_from(limit - runs.len()).unwrap_or(i32::MAX);
            let values = Values::new()
                .job(key)
                .set("month", month_before(newest, back))
                .set("rows", rows);
            for row in self.read(VERB, VERB, &self.statements.runs, values).await? {
                runs.push(run_of(row)?);
            }
            if runs.len() >= limit {
                break;
            }
        }
        Ok(runs)
    }

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

    pub(crate) async fn followers_of(
        &self,
        job_type: &str,
        name: &str,
        limit: usize,
    ) -> StoreResult<Vec<JobKey>> {
        let values = Values::new()
            .set("type", job_type)
            .set("name", name)
            .set("rows", i32::try_from(limit).unwrap_or(i32::MAX));
        let statement = &self.statements.followers;
        let found = self.read("followers", "job_followers", statement, values);
        let keys = found.await?.into_iter().map(|mut row| {
            Ok(JobKey {
                job_type: row.need("follower_type")?,
                name: row.need("follower_name")?,
                uid: row.need("follower_uid")?,
            })
        });
        keys.collect()
    }

    pub(crate) async fn write_due(&self, verb: &'static str, hint: &DueHint) -> StoreResult<()> {
        let now = SystemClock.now();
        let due_at = hint.due_at.min(now.plus(FARTHEST_HINT));
        let kept_until = due_at.max(now).plus(HINT_KEPT);
        let ttl = kept_until.millis_since(now) / 1_000;
        let values = Values::new()
            .set("bucket", hour_of(due_at))
            .set("shard", shard_of(&hint.key))
            .set("due_at", due_at)
            .job(&hint.key)
            .set("ttl", i32::try_from(ttl).unwrap_or(i32::MAX));
        self.write(verb, &self.statements.put_due, values).await
    }

    /// Hour by hour, all shards of an hour at once, until there are enough.
    ///
    /// Nothing can be due that is older than what hints live, so it begins at most 31 days before `to`.
    pub(crate) async fn due_between(
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
                .map(|(hour, shard)| self.due_shard(hour, shard, after, to, limit))
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

    async fn due_shard(
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
            .set("rows", i32::try_from(limit).unwrap_or(i32::MAX));
        self.read("due", "jobs_due", &self.statements.due, values)
            .await?
            .into_iter()
            .map(|mut row| {
                Ok(DueHint {
                    due_at: row.need("due_at")?,
                    key: row.job_key()?,
                })
            })
            .collect()
    }
}

fn hour_of(moment: Timestamp) -> Timestamp {
    Timestamp(moment.0.div_euclid(HOUR_MS) * HOUR_MS)
}

/// The same key always has the same shard, on every node and in every version: FNV-1a.
fn shard_of(key: &JobKey) -> i32 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for part in [&key.job_type, &key.name, &key.uid] {
        for byte in part.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    i32::try_from(hash % DUE_SHARDS).unwrap_or(0)
}

pub(crate) fn month_of(moment: Timestamp) -> String {
    month_before(moment, 0)
}

pub(crate) fn month_before(moment: Timestamp, months: u32) -> String {
    let date = moment.to_utc().date_naive();
    let first = NaiveDate::from_ymd_opt(date.year(), date.month(), 1).unwrap_or(date);
    let month = first
        .checked_sub_months(Months::new(months))
        .unwrap_or(first);
    month.format("%Y-%m").to_string()
}

fn values_of(job: &Job, token: Token) -> Values {
    columns_of(job)
        .set("fence", job.fence)
        .set("op_token", token)
        .set("submit_token", token)
}

/// All columns but the fence and the tokens of the owner.
fn columns_of(job: &Job) -> Values {
    Values::new()
        .job(&job.key)
        .set_json("affinity", &Affinity::of(&job.affinity))
        .set("archived", job.archived)
        .set("arguments", &job.arguments)
        .set("creation_time", job.creation_time)
        .set("start_time", job.start_time)
        .set("end_time", job.end_time)
        .set("error_msg", job.error.as_ref())
        .set("execution_interval", job.execution_interval.as_ref())
        .set("output", job.output.as_ref())
        .set("status", job.status.as_str())
        .set("tries", job.tries)
        .set("worker_id", job.worker.as_ref())
        .set("next_run", job.next_run)
        .set("planned_run", job.planned_run)
        .set("runs", job.runs)
        .set_json("policy", &job.policy)
        .set("created_by", &job.created_by)
        .set("triggers", triggers_text(&job.triggers))
        .set("owner_inc", job.owner_incarnation)
        .set("desired", job.desired.as_str())
        .set("desired_seq", job.desired_seq)
        .set("desired_token", job.desired_token)
        .set("notes", job.notes.as_ref())
}

fn job_of(mut row: Found) -> StoreResult<Job> {
    Ok(Job {
        key: row.job_key()?,
        status: row.parse("status")?,
        affinity: affinity_of(&mut row)?,
        archived: row.take("archived")?.unwrap_or(false),
        arguments: row.need("arguments")?,
        creation_time: row.need("creation_time")?,
        start_time: row.take("start_time")?,
        end_time: row.take("end_time")?,
        error: row.take("error_msg")?,
        execution_interval: row.take("execution_interval")?,
        output: row.take("output")?,
        tries: row.take("tries")?.unwrap_or(0),
        worker: row.take("worker_id")?,
        owner_incarnation: row.take("owner_inc")?,
        next_run: row.take("next_run")?,
        planned_run: row.take("planned_run")?,
        runs: row.take("runs")?.unwrap_or(0),
        policy: row.json("policy")?.unwrap_or_default(),
        created_by: row.take("created_by")?.unwrap_or_default(),
        triggers: row.json("triggers")?.unwrap_or_default(),
        fence: row.need("fence")?,
        op_token: row.take("op_token")?,
        desired: row.parse("desired")?,
        desired_seq: row.need("desired_seq")?,
        desired_token: row.take("desired_token")?,
        notes: row.take("notes")?,
    })
}

/// The column is empty for a job without triggers.
fn triggers_text(triggers: &TriggerState) -> Option<String> {
    (!triggers.is_empty()).then(|| json_text(triggers))
}

/// The column as Fabric writes it: `{"Affinity":["ANY"]}`.
#[derive(serde::Serialize, serde::Deserialize)]
struct Affinity {
    #[serde(rename = "Affinity", default)]
    places: Vec<String>,
}

impl Affinity {
    fn of(places: &[String]) -> Self {
        Self {
            places: places.to_vec(),
        }
    }
}

fn affinity_of(row: &mut Found) -> StoreResult<Vec<String>> {
    let affinity: Option<Affinity> = row.json("affinity")?;
    Ok(affinity.map(|affinity| affinity.places).unwrap_or_default())
}

fn run_of(mut row: Found) -> StoreResult<JobRun> {
    Ok(JobRun {
        key: row.job_key()?,
        started: row.need("started")?,
        ended: row.need("ended")?,
        fence: row.need("run_fence")?,
        node: row.need("node")?,
        status: row.parse("status")?,
        error: row.take("error")?,
        output: row.take("output")?,
        attempt: row.take("attempt")?.unwrap_or(1),
        planned: row.take("planned")?,
        exit_code: row.take("exit_code")?,
    })
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
    fn months_go_back_over_the_year() {
        let march = Timestamp(1_772_323_200_000); // 2026-03-01
        assert_eq!(month_of(march), "2026-03");
        assert_eq!(month_before(march, 2), "2026-01");
        assert_eq!(month_before(march, 3), "2025-12");
    }

    #[test]
    fn hours_of_early_moments_are_whole() {
        assert_eq!(hour_of(Timestamp(HOUR_MS + 5)), Timestamp(HOUR_MS));
        assert_eq!(hour_of(Timestamp(-1)), Timestamp(-HOUR_MS));
    }
}
