//! JOBHISTORY.

use serde_json::json;
use weft_lang::{Spanned, Text};
use weft_model::clock::Timestamp;
use weft_model::{JobRun, canonical_job_name};

use super::JobTarget;
use super::draft::known_type;
use crate::commands::Execution;
use crate::commands::literal::literal;
use crate::inspect::message_of;
use crate::permission::{Permit, needs};
use crate::refusal::Refusal;
use crate::services::Services;

const HISTORY: [&str; 11] = [
    "UID",
    "Started",
    "Ended",
    "Planned",
    "Status",
    "Try",
    "Node",
    "Exit Code",
    "Duration (ms)",
    "Error",
    "Output",
];
/// How many runs JOBHISTORY shows without a LIMIT.
const DEFAULT_LIMIT: usize = 20;
const MAX_LIMIT: usize = 10_000;

/// Which runs to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JobHistoryRequest {
    pub(crate) target: JobTarget,
    /// How many runs at most, over all jobs of the target.
    pub(crate) limit: usize,
}

needs!(BatchRead: JobHistoryRequest);

pub(crate) fn lower(
    written: &Spanned<String>,
    name: &Spanned<Text>,
    uid: Option<&Spanned<String>>,
    limit: Option<&Spanned<u64>>,
) -> Result<JobHistoryRequest, Refusal> {
    let limit = limit.map_or(DEFAULT_LIMIT, |limit| {
        usize::try_from(limit.value).unwrap_or(usize::MAX)
    });
    let job_type = known_type(&written.value).map_err(|refusal| refusal.at(written.span))?;
    let name = canonical_job_name(&job_type, literal(name)?).to_owned();
    Ok(JobHistoryRequest {
        target: JobTarget {
            job_type,
            name,
            uid: uid.map(|uid| uid.value.clone()),
        },
        limit: limit.min(MAX_LIMIT),
    })
}

/// Shows the last runs.
///
/// # Errors
/// There is no such job, or the store failed.
pub(crate) async fn run(
    execution: Execution<'_>,
    permit: Permit<JobHistoryRequest>,
) -> Result<(), Refusal> {
    let Execution {
        services, output, ..
    } = execution;
    let runs = runs(services, &permit).await?;
    output.columns(&HISTORY).await;
    for run in runs {
        let time = |time: Timestamp| time.to_seconds_text();
        let error = run.error.as_deref().map(message_of);
        output
            .row(vec![
                json!(run.key.uid),
                json!(time(run.started)),
                json!(time(run.ended)),
                json!(run.planned.map(time)),
                json!(run.status.as_str()),
                json!(run.attempt),
                json!(run.node.0),
                json!(run.exit_code),
                json!(run.ended.millis_since(run.started)),
                json!(error),
                json!(run.output),
            ])
            .await;
    }
    Ok(())
}

/// The last runs of all jobs of the target, newest first.
///
/// # Errors
/// There is no such job, or the store failed.
pub(crate) async fn runs(
    services: &Services,
    permit: &Permit<JobHistoryRequest>,
) -> Result<Vec<JobRun>, Refusal> {
    let request = permit.request();
    let jobs = request.target.jobs(services).await?;
    let mut runs: Vec<JobRun> = Vec::new();
    for job in &jobs {
        runs.extend(services.store.job_runs(&job.key, request.limit).await?);
        runs.sort_by_key(|run| std::cmp::Reverse((run.started, run.fence)));
        runs.truncate(request.limit);
    }
    Ok(runs)
}
