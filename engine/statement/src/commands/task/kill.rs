//! KILL of a task.

use weft_lang::{Spanned, Text};
use weft_model::{JobStatus, job_type};
use weft_node::job::change;

use crate::commands::Execution;
use crate::commands::job::apply::Applied;
use crate::commands::job::change::{apply_to_existing, change_batch};
use crate::commands::job::running::running_jobs;
use crate::commands::job::{CHANGED, JobChange, changed_row};
use crate::commands::literal::literal;
use crate::permission::{Permit, needs};
use crate::refusal::Refusal;

/// Which task to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KillRequest {
    /// The node that the task runs on.
    node: String,
    /// The task, as PS shows it.
    task: String,
}

needs!(Batch: KillRequest);

pub(crate) fn lower(node: &Spanned<Text>, task: &Spanned<Text>) -> Result<KillRequest, Refusal> {
    Ok(KillRequest {
        node: literal(node)?.to_owned(),
        task: literal(task)?.to_owned(),
    })
}

/// Ends the task at once.
///
/// # Errors
/// No such task runs there.
pub(crate) async fn run(
    execution: Execution<'_>,
    permit: Permit<KillRequest>,
) -> Result<(), Refusal> {
    let services = execution.services;
    let KillRequest { node, task } = permit.request();
    let jobs = running_jobs(services).await?;
    let found = jobs.into_iter().find(|job| {
        job.key.uid == *task && job.holder().is_some_and(|holder| holder.node.0 == *node)
    });
    let Some(job) = found else {
        let refusal = Refusal::not_found(format!("node {node} runs no task {task}"));
        return Err(match task.contains('/') {
            true => refusal.hint("an entity ends with its batch: BATCH_CANCEL"),
            false => refusal.hint("PS ALL shows nodes and tasks"),
        });
    };
    let (job, note) = if job.key.job_type == job_type::BATCH_PROCESS {
        change_batch(services, &job, &JobChange::Stop, &permit.principal().name).await?
    } else {
        let killed = apply_to_existing(services, &job.key, |job| Ok(change::kill(job)));
        let Applied { job, note, .. } = killed.await?;
        let note = match job.status {
            JobStatus::Stopping => Some("it ends now, even if it ignores the stop".to_owned()),
            JobStatus::InProcess => Some(
                "this try ends; the job is tried again as after a failure, STOPJOB ends it"
                    .to_owned(),
            ),
            _ => note,
        };
        (job, note)
    };
    execution.output.columns(&CHANGED).await;
    execution.output.row(changed_row(&job, note)).await;
    Ok(())
}
