//! Jobs, their runs and their followers.

use rusqlite::{Connection, OptionalExtension, params};
use tracing::warn;
use weft_model::TriggerState;
use weft_model::{Job, JobKey, JobRun};
use weft_store::{ClaimJob, EndJob, JobsPage, ListJobs};

use super::failure::Failure;
use super::queue::Writing;
use super::rows::{self, JOB, JOB_RUN, incarnation_bytes, json_text, sql_limit, token_bytes};
use super::table::{Outcome, Table, carry_out_by};

impl Table for Job {
    type Slot = ();

    fn load(writing: &mut Writing<'_>, key: &JobKey) -> Result<Option<((), Self)>, Failure> {
        Ok(get(writing.connection, key)?.map(|job| ((), job)))
    }

    fn save(
        writing: &mut Writing<'_>,
        key: &JobKey,
        slot: Option<()>,
        job: Option<&Self>,
    ) -> Result<(), Failure> {
        let connection = writing.connection;
        match (job, slot) {
            (Some(job), None) => write(connection, INSERT, job),
            (Some(job), Some(())) => write(connection, UPDATE, job),
            (None, _) => {
                connection
                    .prepare_cached("DELETE FROM job WHERE type = ?1 AND name = ?2 AND uid = ?3")?
                    .execute([&key.job_type, &key.name, &key.uid])?;
                Ok(())
            }
        }
    }
}

const INSERT: &str = "INSERT INTO job (type, name, uid, status, affinity, archived, arguments, creation_time, \
    start_time, end_time, error, execution_interval, output, tries, worker, owner_inc, next_run, fence, \
    op_token, desired, desired_seq, desired_token, notes, planned_run, runs, policy, created_by, triggers) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, \
    ?22, ?23, ?24, ?25, ?26, ?27, ?28)";

const UPDATE: &str = "UPDATE job SET status = ?4, affinity = ?5, archived = ?6, arguments = ?7, \
    creation_time = ?8, start_time = ?9, end_time = ?10, error = ?11, execution_interval = ?12, output = ?13, \
    tries = ?14, worker = ?15, owner_inc = ?16, next_run = ?17, fence = ?18, op_token = ?19, desired = ?20, \
    desired_seq = ?21, desired_token = ?22, notes = ?23, planned_run = ?24, runs = ?25, policy = ?26, \
    created_by = ?27, triggers = ?28 WHERE type = ?1 AND name = ?2 AND uid = ?3";

fn write(connection: &Connection, statement: &str, job: &Job) -> Result<(), Failure> {
    connection.prepare_cached(statement)?.execute(params![
        job.key.job_type,
        job.key.name,
        job.key.uid,
        job.status.as_str(),
        json_text(&job.affinity)?,
        job.archived,
        job.arguments,
        job.creation_time.0,
        job.start_time.map(|time| time.0),
        job.end_time.map(|time| time.0),
        job.error,
        job.execution_interval,
        job.output,
        job.tries,
        job.worker.as_ref().map(|node| &node.0),
        incarnation_bytes(job.owner_incarnation.as_ref()),
        job.next_run.map(|time| time.0),
        job.fence,
        token_bytes(job.op_token.as_ref()),
        job.desired.as_str(),
        job.desired_seq,
        token_bytes(job.desired_token.as_ref()),
        job.notes,
        job.planned_run.map(|time| time.0),
        job.runs,
        json_text(&job.policy)?,
        job.created_by,
        triggers_text(&job.triggers)?,
    ])?;
    Ok(())
}

/// The column is empty for a job without triggers.
fn triggers_text(triggers: &TriggerState) -> Result<Option<String>, Failure> {
    let text = (!triggers.is_empty()).then(|| json_text(triggers));
    text.transpose()
}

/// See [`ClaimJob`].
pub(super) fn claim(writing: &mut Writing<'_>, claim: &ClaimJob) -> Outcome<Job> {
    carry_out_by(writing, claim, |writing, slot, job| {
        if let Some(run) = &claim.cut_short {
            insert_run(writing, run)?;
        }
        Job::save(writing, &claim.key, slot, job)
    })
}

/// See [`EndJob`].
pub(super) fn end(writing: &mut Writing<'_>, end: &EndJob) -> Outcome<Job> {
    carry_out_by(writing, end, |writing, slot, job| {
        if let Some(run) = &end.run {
            insert_run(writing, run)?;
        }
        Job::save(writing, &end.key, slot, job)
    })
}

fn insert_run(writing: &Writing<'_>, run: &JobRun) -> Result<(), Failure> {
    writing
        .connection
        .prepare_cached(&format!(
            "INSERT INTO job_run ({JOB_RUN}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) \
             ON CONFLICT DO NOTHING"
        ))?
        .execute(params![
            run.key.job_type,
            run.key.name,
            run.key.uid,
            run.started.0,
            run.ended.0,
            run.fence,
            run.node.0,
            run.status.as_str(),
            run.error,
            run.output,
            run.attempt,
            run.planned.map(|time| time.0),
            run.exit_code,
        ])?;
    Ok(())
}

/// See [`Store::put_follower`](weft_store::Store::put_follower).
pub(super) fn put_follower(
    writing: &Writing<'_>,
    (job_type, name): (&str, &str),
    follower: &JobKey,
) -> Result<(), Failure> {
    writing
        .connection
        .prepare_cached(
            "INSERT INTO job_follower (type, name, follower_type, follower_name, follower_uid, written_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET written_at = excluded.written_at",
        )?
        .execute(params![
            job_type,
            name,
            follower.job_type,
            follower.name,
            follower.uid,
            writing.clock.now().0,
        ])?;
    Ok(())
}

/// The jobs that wait for the ends of jobs of a type and name, after one of them.
pub(super) fn followers(
    connection: &Connection,
    (job_type, name): (&str, &str),
    after: Option<&JobKey>,
    limit: usize,
) -> Result<Vec<JobKey>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT follower_type, follower_name, follower_uid FROM job_follower \
         WHERE type = ?1 AND name = ?2 AND (follower_type, follower_name, follower_uid) > (?4, ?5, ?6) \
         ORDER BY 1, 2, 3 LIMIT ?3",
    )?;
    // No key has an empty type.
    let (after_type, after_name, after_uid) =
        after.map_or(("", "", ""), |key| (&key.job_type, &key.name, &key.uid));
    let values = params![
        job_type,
        name,
        sql_limit(limit),
        after_type,
        after_name,
        after_uid
    ];
    let found = statement.query_map(values, |row| {
        Ok(JobKey {
            job_type: row.get(0)?,
            name: row.get(1)?,
            uid: row.get(2)?,
        })
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// One job.
pub(super) fn get(connection: &Connection, key: &JobKey) -> Result<Option<Job>, Failure> {
    connection
        .prepare_cached(&format!(
            "SELECT {JOB} FROM job WHERE type = ?1 AND name = ?2 AND uid = ?3"
        ))?
        .query_row([&key.job_type, &key.name, &key.uid], |row| {
            Ok(rows::job(row))
        })
        .optional()?
        .transpose()
}

/// Jobs in key order.
pub(super) fn list(connection: &Connection, list: &ListJobs) -> Result<JobsPage, Failure> {
    // A uid counts only with a name, a name only with a type: together they are a prefix of the key.
    let wanted = [&list.job_type, &list.name, &list.uid];
    let given: Vec<&str> = wanted.iter().map_while(|part| part.as_deref()).collect();
    let condition = match given.len() {
        0 => "true",
        1 => "type = ?5",
        2 => "type = ?5 AND name = ?6",
        _ => "type = ?5 AND name = ?6 AND uid = ?7",
    };
    // Before the first key there is none with an empty type.
    let rest = "(type, name, uid) > (?2, ?3, ?4)";
    let active = if list.active_only {
        "AND archived = 0"
    } else {
        ""
    };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {JOB} FROM job WHERE {condition} {active} AND {rest} ORDER BY type, name, uid LIMIT ?1"
    ))?;
    statement.raw_bind_parameter(1, sql_limit(list.limit.saturating_add(1)))?;
    let after = list.after.as_ref();
    let start = [
        after.map_or("", |key| &key.job_type),
        after.map_or("", |key| &key.name),
        after.map_or("", |key| &key.uid),
    ];
    for (position, part) in start.iter().chain(&given).enumerate() {
        statement.raw_bind_parameter(position + 2, part)?;
    }
    let mut found = statement.raw_query();
    let mut keyed = Vec::new();
    while let Some(row) = found.next()? {
        let key = JobKey {
            job_type: row.get("type")?,
            name: row.get("name")?,
            uid: row.get("uid")?,
        };
        // One row that cannot be read must not hide the others (Fabric R56).
        let job = match rows::job(row) {
            Ok(job) => Some(job),
            Err(Failure::Store(error)) => {
                warn!("A job is left out of a list: {error}");
                None
            }
            Err(Failure::Sqlite(error)) => return Err(error.into()),
        };
        keyed.push((key, job));
    }
    let more = keyed.len() > list.limit;
    keyed.truncate(list.limit);
    let next = keyed.last().filter(|_| more).map(|(key, _)| key.clone());
    Ok(JobsPage {
        jobs: keyed.into_iter().filter_map(|(_, job)| job).collect(),
        next,
    })
}

/// The runs of a job, newest first.
pub(super) fn runs(
    connection: &Connection,
    key: &JobKey,
    limit: usize,
) -> Result<Vec<JobRun>, Failure> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {JOB_RUN} FROM job_run WHERE type = ?1 AND name = ?2 AND uid = ?3 \
         ORDER BY started DESC, fence DESC LIMIT ?4"
    ))?;
    let mut found = statement.query(params![key.job_type, key.name, key.uid, sql_limit(limit)])?;
    let mut runs = Vec::new();
    while let Some(row) = found.next()? {
        runs.push(rows::job_run(row)?);
    }
    Ok(runs)
}
