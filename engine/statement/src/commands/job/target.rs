//! Which jobs a command is about, and the table that most of these commands answer with.

use serde_json::{Value, json};
use weft_model::{Job, JobKey};
use weft_store::ListJobs;

use crate::refusal::Refusal;
use crate::services::Services;

/// How many jobs one command is about at most.
const TARGETS: usize = 100_000;
/// How many of them are read at once.
const PAGE: usize = 1_000;

pub(crate) const CHANGED: [&str; 5] = ["Type", "Name", "UID", "Status", "Notes"];

/// All jobs of a type and name, or one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JobTarget {
    /// The type, as the column has it.
    pub(crate) job_type: String,
    pub(crate) name: String,
    pub(crate) uid: Option<String>,
}

impl From<JobKey> for JobTarget {
    fn from(key: JobKey) -> Self {
        Self {
            job_type: key.job_type,
            name: key.name,
            uid: Some(key.uid),
        }
    }
}

impl JobTarget {
    /// The jobs, archived ones included.
    ///
    /// # Errors
    /// There is no such job, there are too many, or the store failed.
    pub(super) async fn jobs(&self, services: &Services) -> Result<Vec<Job>, Refusal> {
        let mut list = ListJobs {
            job_type: Some(self.job_type.clone()),
            name: Some(self.name.clone()),
            uid: self.uid.clone(),
            active_only: false,
            after: None,
            limit: PAGE,
        };
        let mut jobs = Vec::new();
        loop {
            let page = services.store.jobs(&list).await?;
            jobs.extend(page.jobs);
            if jobs.len() > TARGETS {
                return Err(Refusal::conflict(format!(
                    "more than {TARGETS} jobs are {} '{}': name the one that is meant with UID",
                    self.job_type, self.name
                )));
            }
            match page.next {
                Some(next) => list.after = Some(next),
                None => break,
            }
        }
        if !jobs.is_empty() {
            return Ok(jobs);
        }
        Err(Refusal::no_such_job(
            &self.job_type,
            &self.name,
            self.uid.as_deref(),
        ))
    }
}

/// A row of the table [`CHANGED`].
pub(crate) fn changed_row(job: &Job, note: Option<String>) -> Vec<Value> {
    vec![
        json!(job.key.job_type),
        json!(job.key.name),
        json!(job.key.uid),
        json!(job.status.as_str()),
        json!(note),
    ]
}
