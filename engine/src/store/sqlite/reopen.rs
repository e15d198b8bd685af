//! A job that is missing or has ended is opened again.

use rusqlite::params;

use super::failure::Failure;
use super::queue::Writing;
use super::rows::bytes;
use super::verbs_job::{get, insert, put_due};
use crate::model::Job;
use crate::store::{Attempt, ReopenJob};

/// See [`ReopenJob`].
pub(super) fn reopen(
    writing: &Writing<'_>,
    reopen: &ReopenJob,
) -> Result<Attempt<Option<Job>>, Failure> {
    let found = get(writing.connection, &reopen.job.key)?;
    let Some((status, fence)) = reopen.seen else {
        put_due(writing, &reopen.due)?;
        return Ok(match insert(writing, &reopen.job, reopen.token)? {
            None => Attempt::Applied,
            Some(other) => Attempt::Lost(Some(other)),
        });
    };
    match found {
        Some(job) if job.op_token == Some(reopen.token) => return Ok(Attempt::Applied),
        Some(job) if job.status == status && job.fence == fence => (),
        found => return Ok(Attempt::Lost(found)),
    }
    put_due(writing, &reopen.due)?;
    writing
        .connection
        .prepare_cached(
            "UPDATE job SET status = ?4, archived = ?5, fence = ?6, next_run = ?7, tries = ?8, \
             worker = NULL, owner_inc = NULL, op_token = ?9 WHERE type = ?1 AND name = ?2 AND uid = ?3",
        )?
        .execute(params![
            reopen.job.key.job_type,
            reopen.job.key.name,
            reopen.job.key.uid,
            reopen.job.status.as_str(),
            reopen.job.archived,
            reopen.job.fence,
            reopen.job.next_run.map(|time| time.0),
            reopen.job.tries,
            bytes(&reopen.token.0),
        ])?;
    Ok(Attempt::Applied)
}
