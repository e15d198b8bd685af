//! STARTJOB.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Map, Value};
use tracing::info;
use weft_model::schedule::JobPolicy;
use weft_model::{Job, JobKey};
use weft_node::Member;
use weft_node::affinity::Identity;
use weft_node::job::{Step, change};
use weft_store::Freshness;

use super::apply::{OverEnded, apply};
use super::arguments::stored;
use super::{CHANGED, JobTarget, changed_row};
use crate::commands::Execution;
use crate::inspect::JobItem;
use crate::permission::{Permit, needs};
use crate::refusal::Refusal;
use crate::services::Services;

/// A job to start, checked, with its defaults.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StartJobRequest {
    /// Without a uid it is a new job.
    pub(crate) target: JobTarget,
    /// Which nodes may run it.
    pub(crate) affinity: Vec<String>,
    pub(crate) arguments: Map<String, Value>,
    /// ARGS were given.
    pub(crate) has_arguments: bool,
    /// EXEC_INTERVAL, unless it means once and now.
    pub(crate) execution_interval: Option<String>,
    pub(crate) policy: JobPolicy,
    /// The caller may repeat the request: an existing job with the same definition is the answer, running or ended.
    pub(crate) is_repeatable: bool,
}

needs!(Batch: StartJobRequest);

/// Starts a job and shows it.
///
/// # Errors
/// It was refused, and no row was left.
pub(crate) async fn run(
    execution: Execution<'_>,
    permit: Permit<StartJobRequest>,
) -> Result<(), Refusal> {
    let started = start(execution.services, &execution.session.scope, &permit).await?;
    let item = &started.item;
    execution.output.columns(&CHANGED).await;
    let row = changed_row(&item.job, item.note.clone());
    execution.output.row(row).await;
    Ok(())
}

/// A started job.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) item: JobItem,
    /// An earlier call with the same request started it.
    pub(crate) was_there: bool,
}

/// Starts a job; `scope` has the values of the session.
///
/// # Errors
/// It was refused, and no row was left.
pub(crate) async fn start(
    services: &Services,
    scope: &BTreeMap<String, String>,
    permit: &Permit<StartJobRequest>,
) -> Result<Started, Refusal> {
    let request = permit.request();
    let members = services.nodes.members().await?;
    refuse_mixed_names(&request.affinity, &members)?;
    let key = JobKey {
        job_type: request.target.job_type.clone(),
        name: request.target.name.clone(),
        uid: match &request.target.uid {
            Some(uid) => uid.clone(),
            None => services.ids.uuid().to_string(),
        },
    };
    let now = services.clock.now();
    let defined = Job {
        affinity: request.affinity.clone(),
        arguments: stored(request.arguments.clone(), scope),
        execution_interval: request.execution_interval.clone(),
        policy: request.policy.clone(),
        created_by: permit.principal().name.clone(),
        ..Job::waiting(key, now)
    };
    let repeated = if request.is_repeatable {
        // Before anything is refused: what was right at the first request may have become wrong.
        let found = services.store.job(&defined.key, Freshness::Serial).await?;
        found
            .map(|found| same_job(&found, &defined).map(|()| found))
            .transpose()?
    } else {
        None
    };
    let (job, was_there) = match repeated {
        Some(found) => (found, true),
        None => {
            let new = change::begin(defined, now).map_err(Refusal::failed)?;
            write_new(services, new, request).await?
        }
    };
    Ok(Started {
        item: JobItem::of(job, now, &members),
        was_there,
    })
}

/// Refuses to answer with a job that the same key started with another definition.
fn same_job(found: &Job, requested: &Job) -> Result<(), Refusal> {
    if change::is_defined_as(found, requested) {
        return Ok(());
    }
    let JobKey {
        job_type,
        name,
        uid,
    } = &found.key;
    Err(Refusal::conflict(format!(
        "the key was used before, for '{job_type}.{name}.{uid}', which has another definition"
    ))
    .hint("use a new key for a new job"))
}

/// Writes the row. Returns it, and whether it was there before.
async fn write_new(
    services: &Services,
    new: Job,
    request: &StartJobRequest,
) -> Result<(Job, bool), Refusal> {
    let is_by_hand = request.execution_interval.is_none() && !request.has_arguments;
    let applied = apply(services, &new.key, OverEnded::NewDefinition, |found| {
        Ok(match found {
            None => Step::Write(Box::new(new.clone())),
            Some(found) if request.is_repeatable => {
                same_job(found, &new)?;
                Step::Leave(String::new())
            }
            Some(found) => change::start_again(found, &new, is_by_hand)?,
        })
    })
    .await?;
    let job = applied.job;
    if applied.is_changed {
        info!(
            job.name = job.key.name,
            job.uid = job.key.uid,
            "Started '{}.{}.{}', which is {}",
            job.key.job_type,
            job.key.name,
            job.key.uid,
            job.status
        );
    }
    Ok((job, !applied.is_changed))
}

/// A job names either logical ids or machines (Fabric R24).
fn refuse_mixed_names(affinity: &[String], members: &[Member]) -> Result<(), Refusal> {
    let is_physical = |name: &String| {
        name.parse::<IpAddr>().is_ok()
            || members.iter().any(|member| {
                Identity::from(&member.row).is_named_physically(std::slice::from_ref(name))
            })
    };
    let is_logical = |name: &String| {
        members
            .iter()
            .any(|member| Identity::from(&member.row).sizes_of(name).is_some())
    };
    let logical = affinity.iter().find(|name| is_logical(name));
    let physical = affinity
        .iter()
        .find(|name| is_physical(name) && !is_logical(name));
    match (logical, physical) {
        (Some(logical), Some(physical)) => Err(Refusal::usage(format!(
            "AFFINITY mixes the logical id `{logical}` with `{physical}`, which names machines"
        ))
        .about("AFFINITY")
        .hint("name either logical ids, or nodes and data centres")),
        _ => Ok(()),
    }
}
