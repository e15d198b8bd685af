//! Rows of jobs that nobody holds are written anew as a whole; wishes about those that somebody holds.

use rusqlite::params;
use weft_model::Job;
use weft_store::{Attempt, JobSeen, RequestJob, WriteJob};

use super::failure::Failure;
use super::queue::Writing;
use super::rows::{bytes, json_text};
use super::verbs_job::{get, insert, put_due, replace, triggers_text};

/// See [`WriteJob`].
pub(super) fn write(
    writing: &Writing<'_>,
    write: &WriteJob,
) -> Result<Attempt<Option<Job>>, Failure> {
    let Some(seen) = write.seen else {
        if let Some(due) = &write.due {
            put_due(writing, due)?;
        }
        return Ok(match insert(writing, &write.job, write.token)? {
            None => Attempt::Applied,
            Some(other) => Attempt::Lost(Some(other)),
        });
    };
    match get(writing.connection, &write.job.key)? {
        Some(job) if job.op_token == Some(write.token) => return Ok(Attempt::Applied),
        Some(job) if JobSeen::of(&job) == seen => (),
        found => return Ok(Attempt::Lost(found)),
    }
    if let Some(due) = &write.due {
        put_due(writing, due)?;
    }
    replace(writing, &write.job, write.token)?;
    Ok(Attempt::Applied)
}

/// See [`RequestJob`].
pub(super) fn request(
    writing: &Writing<'_>,
    request: &RequestJob,
) -> Result<Attempt<Option<Job>>, Failure> {
    let Some(job) = get(writing.connection, &request.key)? else {
        return Ok(Attempt::Lost(None));
    };
    if job.desired_token == Some(request.token) {
        return Ok(Attempt::Applied);
    }
    if JobSeen::of(&job) != request.seen {
        return Ok(Attempt::Lost(Some(job)));
    }
    let definition = request.definition.as_ref();
    let affinity = definition.map(|definition| json_text(&definition.affinity));
    let policy = definition.map(|definition| json_text(&definition.policy));
    let triggers = definition.map(|definition| triggers_text(&definition.triggers));
    writing
        .connection
        .prepare_cached(
            "UPDATE job SET status = ?4, desired = ?5, desired_seq = ?6, desired_token = ?7, \
             affinity = coalesce(?8, affinity), arguments = coalesce(?9, arguments), \
             execution_interval = CASE ?10 WHEN 0 THEN execution_interval ELSE ?11 END, \
             policy = coalesce(?12, policy), triggers = CASE ?10 WHEN 0 THEN triggers ELSE ?13 END WHERE type = ?1 AND name = ?2 AND uid = ?3",
        )?
        .execute(params![
            request.key.job_type,
            request.key.name,
            request.key.uid,
            request.status.as_str(),
            request.desired.as_str(),
            request.seen.desired_seq + 1,
            bytes(&request.token.0),
            affinity.transpose()?,
            definition.map(|definition| &definition.arguments),
            definition.is_some(),
            definition.and_then(|definition| definition.execution_interval.as_ref()),
            policy.transpose()?,
            triggers.transpose()?.flatten(),
        ])?;
    Ok(Attempt::Applied)
}
