//! Jobs for callers without a statement: the same requests, permits and functions as those of the statements.

use std::collections::BTreeMap;

use uuid::Uuid;
use weft_model::clock::Timestamp;
use weft_model::{Fence, JobKey, JobRun, Principal};

use crate::commands::job::change::{ChangeJobs, change_all};
use crate::commands::job::history::{self, JobHistoryRequest};
use crate::commands::job::removal::{self, RemoveJob};
use crate::commands::job::start::{self, StartJobRequest};
use crate::commands::job::{JobChange, JobDraft, JobTarget};
use crate::inspect::{JobInfoQuery, JobItem};
use crate::refusal::Refusal;
use crate::statements::Statements;

/// How many runs are read in search of one, in steps: most callers look for one of the last.
const SCANNED_RUNS: [usize; 3] = [16, 128, 1_024];

/// A started job.
#[derive(Clone, Debug, PartialEq)]
pub struct StartedJob {
    /// The job as it is now.
    pub item: JobItem,
    /// A call with the same key started it before; this one changed nothing.
    pub was_there: bool,
}

impl Statements {
    /// One job.
    ///
    /// # Errors
    /// There is none, or the principal lacks the permission.
    pub async fn job(&self, principal: &Principal, key: JobKey) -> Result<JobItem, Refusal> {
        let permit = self.authorize(principal, JobInfoQuery(key))?;
        Ok(self.inspector().job(&permit).await?)
    }

    /// Starts a job. With a `key`, which takes the place of a uid, a repeated call finds its own job, running or ended, and
    /// starts nothing.
    ///
    /// # Errors
    /// It was refused, and no row was left.
    pub async fn start_job(
        &self,
        principal: &Principal,
        draft: &JobDraft,
        key: Option<&str>,
    ) -> Result<StartedJob, Refusal> {
        let services = self.services();
        let request = start_request(principal, draft.start(&services.kinds)?, key)?;
        let permit = self.authorize(principal, request)?;
        let started = start::start(services, &BTreeMap::new(), &permit).await?;
        Ok(StartedJob {
            item: started.item,
            was_there: started.was_there,
        })
    }

    /// Changes one job; its note says what happens next.
    ///
    /// # Errors
    /// There is none, or the change is impossible.
    pub async fn change_job(
        &self,
        principal: &Principal,
        key: JobKey,
        change: JobChange,
    ) -> Result<JobItem, Refusal> {
        let services = self.services();
        let target = JobTarget::from(key);
        let permit = self.authorize(principal, ChangeJobs { target, change })?;
        let changed = change_all(services, &permit).await?;
        let changed = changed.into_iter().next();
        let changed = changed.ok_or_else(|| Refusal::not_found("the job is gone"))?;
        let members = services.nodes.members().await?;
        let item = JobItem::of(changed.job, services.clock.now(), &members);
        Ok(JobItem {
            note: changed.note.or(item.note),
            ..item
        })
    }

    /// Updates one job; type, name and uid of the draft do not count.
    ///
    /// # Errors
    /// There is none, or the change is impossible.
    pub async fn update_job(
        &self,
        principal: &Principal,
        key: JobKey,
        draft: &JobDraft,
    ) -> Result<JobItem, Refusal> {
        let change = draft.update(&key.job_type, &BTreeMap::new())?;
        self.change_job(principal, key, change).await
    }

    /// Removes an archived job with its history.
    ///
    /// # Errors
    /// There is none, or it is not archived.
    pub async fn remove_job(&self, principal: &Principal, key: JobKey) -> Result<(), Refusal> {
        let permit = self.authorize(principal, RemoveJob(key))?;
        removal::remove(self.services(), &permit).await
    }

    /// The last runs of a job, newest first.
    ///
    /// # Errors
    /// There is no such job.
    pub async fn job_runs(
        &self,
        principal: &Principal,
        key: JobKey,
        limit: usize,
    ) -> Result<Vec<JobRun>, Refusal> {
        let request = JobHistoryRequest {
            target: key.into(),
            limit,
        };
        let permit = self.authorize(principal, request)?;
        history::runs(self.services(), &permit).await
    }

    /// One of the last runs of a job.
    ///
    /// # Errors
    /// There is no such job, or no such run.
    pub async fn job_run(
        &self,
        principal: &Principal,
        key: JobKey,
        started: Timestamp,
        fence: Fence,
    ) -> Result<JobRun, Refusal> {
        for limit in SCANNED_RUNS {
            let runs = self.job_runs(principal, key.clone(), limit).await?;
            let were_all =
                runs.len() < limit || runs.last().is_some_and(|run| run.started < started);
            let mut runs = runs.into_iter();
            if let Some(run) = runs.find(|run| (run.started, run.fence) == (started, fence)) {
                return Ok(run);
            }
            if were_all {
                break;
            }
        }
        let JobKey {
            job_type,
            name,
            uid,
        } = &key;
        let message = format!(
            "'{job_type}.{name}.{uid}' has no run {}-{fence} among its last ones",
            started.0
        );
        Err(Refusal::not_found(message).hint(format!(
            "JOBHISTORY {job_type} '{name}' WITH UID='{uid}' shows its runs"
        )))
    }
}

fn start_request(
    principal: &Principal,
    request: StartJobRequest,
    key: Option<&str>,
) -> Result<StartJobRequest, Refusal> {
    let Some(key) = key else {
        return Ok(request);
    };
    if request.target.uid.is_some() {
        return Err(
            Refusal::usage("a job has a UID or a key that makes one, not both").about("UID"),
        );
    }
    Ok(StartJobRequest {
        target: JobTarget {
            uid: Some(uid_of(principal, key).to_string()),
            ..request.target
        },
        is_repeatable: true,
        ..request
    })
}

/// The uid of a principal's key: the same for every call.
fn uid_of(principal: &Principal, key: &str) -> Uuid {
    let name = format!("{}\0{key}", principal.name);
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())
}
