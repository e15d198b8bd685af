//! Jobs and runs of the HTTP API as calls of the engine, and its answers back.

use weft_model::JobKey;
use weft_model::{Principal, canonical_job_name, canonical_job_type};
use weft_statement::inspect::{JobQuery, JobSelection};
use weft_statement::{JobChange, JobDraft, Statements};
use weft_web::{ApiResult, ChangeJob, JobItem, JobPage, JobsQuery, RunId, RunPage, StartedJob};

use super::cursor;
use super::queries::{failed, limit};

/// Looks at and changes jobs for one principal.
#[derive(Debug)]
pub struct Jobs<'a> {
    statements: &'a Statements,
    principal: Principal,
}

impl<'a> Jobs<'a> {
    /// For this principal.
    pub fn new(statements: &'a Statements, principal: Principal) -> Self {
        Self {
            statements,
            principal,
        }
    }

    /// A page of jobs.
    pub async fn page(&self, query: JobsQuery) -> ApiResult<JobPage> {
        let selection = match query.job_type {
            None => JobSelection::All,
            Some(job_type) => {
                let job_type = canonical_job_type(&job_type);
                let name = query
                    .name
                    .map(|name| canonical_job_name(&job_type, &name).to_owned());
                JobSelection::Of {
                    job_type,
                    name,
                    uid: query.uid,
                }
            }
        };
        let request = JobQuery {
            selection,
            status: query.status.map(Into::into),
            archived: query.archived,
            after: cursor::read(query.cursor.as_deref())?,
            limit: limit(query.limit, 100),
        };
        let permit = self.statements.authorize(&self.principal, request)?;
        let page = self.statements.inspector().jobs(&permit).await;
        let page = page.map_err(failed)?;
        Ok(JobPage {
            items: page.items.into_iter().map(Into::into).collect(),
            next: page.next.as_ref().map(cursor::write).transpose()?,
            counts: page.counts.into(),
        })
    }

    /// One job.
    pub async fn job(&self, key: JobKey) -> ApiResult<JobItem> {
        let item = self.statements.job(&self.principal, stored(key)).await?;
        Ok(item.into())
    }

    /// Its last runs.
    pub async fn runs(&self, key: JobKey, most: u32) -> ApiResult<RunPage> {
        let most = limit(Some(most), 20);
        let runs = self.statements.job_runs(&self.principal, stored(key), most);
        Ok(RunPage {
            items: runs.await?.into_iter().map(Into::into).collect(),
        })
    }

    /// What a run wrote.
    pub async fn run_output(&self, key: JobKey, run: RunId) -> ApiResult<Option<String>> {
        let RunId { started, fence } = run;
        let run = self
            .statements
            .job_run(&self.principal, stored(key), started, fence);
        Ok(run.await?.output)
    }

    /// Starts one.
    pub async fn start(&self, draft: &JobDraft, key: Option<&str>) -> ApiResult<StartedJob> {
        let started = self.statements.start_job(&self.principal, draft, key);
        let started = started.await?;
        Ok(StartedJob {
            item: started.item.into(),
            was_there: started.was_there,
        })
    }

    /// Changes one.
    pub async fn change(&self, key: JobKey, change: ChangeJob) -> ApiResult<JobItem> {
        let key = stored(key);
        let change = match change {
            ChangeJob::Stop => JobChange::Stop,
            ChangeJob::Restart => JobChange::Restart,
            ChangeJob::Resume => JobChange::Resume,
            ChangeJob::Update(draft) => {
                let updated = self.statements.update_job(&self.principal, key, &draft);
                return Ok(updated.await?.into());
            }
        };
        let changed = self.statements.change_job(&self.principal, key, change);
        Ok(changed.await?.into())
    }

    /// Removes one that is archived.
    pub async fn remove(&self, key: JobKey) -> ApiResult<()> {
        Ok(self
            .statements
            .remove_job(&self.principal, stored(key))
            .await?)
    }
}

/// The key as the store has it: types may be written in any case.
fn stored(key: JobKey) -> JobKey {
    let job_type = canonical_job_type(&key.job_type);
    JobKey {
        name: canonical_job_name(&job_type, &key.name).to_owned(),
        job_type,
        ..key
    }
}
