//! STARTJOB and its family: rows are written where nobody holds them, and wishes where somebody does.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tracing::{debug, info};
use weft_model::clock::Timestamp;
use weft_model::{DueHint, Job, JobKey, JobRun, JobStatus, job_type};
use weft_model::{SESSION_SCOPE, Session};
use weft_node::Member;
use weft_node::affinity::Identity;
use weft_node::job::change::{self, Step, Update};
use weft_node::job::overlap;
use weft_store::Trust;
use weft_store::{
    Freshness, JobDefinition, JobSeen, ListJobs, RequestJob, Settled, WriteJob, settle,
};

use super::output::Output;
use super::refusal::no_such_job;
use super::request::{
    JobChange, JobHistoryRequest, JobTarget, KillRequest, StartJobRequest, UpdateJob,
};
use super::secret::without_secrets;
use super::{EndStatus, Permit, Refusal, Services, cancel, followers, tasks};
use crate::inspect::JobItem;

const CHANGED: [&str; 5] = ["Type", "Name", "UID", "Status", "Notes"];
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
/// How often a row may move while we write.
const ATTEMPTS: usize = 10;
const PATIENCE: Duration = Duration::from_secs(30);
/// The second hint at a row that was written over.
const HINT_AGAIN: Duration = Duration::from_secs(1);
/// Jobs that one command changes at most.
const TARGETS: usize = 10_000;
const MOVES_TOO_FAST: &str = "the job moves too fast to be changed; ask again";

/// STARTJOB.
///
/// # Errors
/// It was refused, and no row was left.
pub(super) async fn start(
    services: &Services,
    session: &Session,
    permit: Permit<StartJobRequest>,
    output: &Output,
) -> Result<(), Refusal> {
    let begun = begin(services, &session.scope, &permit).await?;
    let item = &begun.item;
    output.columns(&CHANGED).await;
    output.row(row(&item.job, item.note.clone())).await;
    Ok(())
}

/// A job that was asked for.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) item: JobItem,
    /// It was there already, for the same request.
    pub(super) was_there: bool,
}

/// Starts a job; `scope` is what the session has set.
///
/// # Errors
/// It was refused, and no row was left.
pub(super) async fn begin(
    services: &Services,
    scope: &BTreeMap<String, String>,
    permit: &Permit<StartJobRequest>,
) -> Result<Begun, Refusal> {
    let request = permit.request();
    let members = services.nodes.members().await?;
    one_sort_of_names(&request.affinity, &members)?;
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
        // Before anything is refused: what was right when it was asked first may have become wrong.
        let found = services.store.job(&defined.key, Freshness::Serial).await?;
        found
            .map(|found| asked_again(found, &defined))
            .transpose()?
    } else {
        None
    };
    let (job, was_there) = match repeated {
        Some(found) => (found, true),
        None => {
            let wanted = change::begun(defined, now).map_err(Refusal::failed)?;
            write_new(services, wanted, request).await?
        }
    };
    Ok(Begun {
        item: JobItem::of(job, now, &members),
        was_there,
    })
}

/// The job of a request that was made before, which is the answer to it.
fn asked_again(found: Job, wanted: &Job) -> Result<Job, Refusal> {
    if change::is_defined_as(&found, wanted) {
        return Ok(found);
    }
    let JobKey {
        job_type,
        name,
        uid,
    } = &found.key;
    Err(Refusal::conflict(format!(
        "the key was used before, for '{job_type}.{name}.{uid}', which is defined otherwise"
    ))
    .hint("use a new key for a new job"))
}

/// The row as it is then, and whether it was there before.
async fn write_new(
    services: &Services,
    wanted: Job,
    request: &StartJobRequest,
) -> Result<(Job, bool), Refusal> {
    let store = services.store.as_ref();
    let trust = Trust::for_duration(services.clock.clone(), PATIENCE);
    let is_by_hand = request.execution_interval.is_none() && !request.has_arguments;
    for _ in 0..ATTEMPTS {
        let found = store.job(&wanted.key, Freshness::Serial).await?;
        let (job, seen) = match &found {
            None => (wanted.clone(), None),
            Some(found) if request.is_repeatable => {
                return asked_again(found.clone(), &wanted).map(|job| (job, true));
            }
            Some(found) => match change::started_again(found, &wanted, is_by_hand)? {
                Step::Write(job) => (*job, Some(JobSeen::of(found))),
                Step::Refuse(why) | Step::Leave(why) => return Err(Refusal::conflict(why)),
                Step::Wish { .. } => return Err(Refusal::conflict(MOVES_TOO_FAST)),
            },
        };
        // A start by hand runs what was looked at when it was defined.
        let is_known = found.as_ref().is_some_and(|found| {
            found.arguments == job.arguments && found.status == JobStatus::Scheduled
        });
        if !is_known {
            check(services, &job).await?;
            followers::follow(services, &job).await?;
        }
        if let Written::Yes = write(services, &trust, &job, seen).await? {
            info!(
                job.name = job.key.name,
                job.uid = job.key.uid,
                "Started '{}.{}.{}', which is {}",
                job.key.job_type,
                job.key.name,
                job.key.uid,
                job.status
            );
            return Ok((job, false));
        }
    }
    Err(Refusal::conflict(MOVES_TOO_FAST))
}

enum Written {
    Yes,
    SomebodyWasFaster,
}

async fn write(
    services: &Services,
    trust: &Trust,
    job: &Job,
    seen: Option<JobSeen>,
) -> Result<Written, Refusal> {
    let now = services.clock.now();
    let operation = WriteJob::of(job.clone(), seen, now, services.ids.token());
    let due = operation.due.clone();
    match settle(services.store.as_ref(), &services.ids, trust, &operation).await? {
        Settled::Applied => {
            if let Some(due) = due {
                if seen.is_some() && due.due_at <= services.clock.now() {
                    hint_again(services, &due, HINT_AGAIN).await;
                }
                services.wake.due(due);
            }
            Ok(Written::Yes)
        }
        Settled::Lost(_) => Ok(Written::SomebodyWasFaster),
        Settled::StillUnknown => {
            if let Some(due) = due {
                hint_again(services, &due, PATIENCE).await;
                services.wake.due(due);
            }
            Err(outcome_unknown(&job.key))
        }
    }
}

/// The hint comes before the row. Another node may have looked in between, seen the row as it was, and passed the hint;
/// a second one at another moment leads there again, should this node die before it claims.
async fn hint_again(services: &Services, due: &DueHint, later: Duration) {
    let hint = DueHint {
        due_at: services.clock.now().plus(later),
        key: due.key.clone(),
    };
    if let Err(error) = services.store.put_due(&hint).await {
        debug!(error = %error, "Could not hint at a job a second time: {error}");
    }
}

fn outcome_unknown(key: &JobKey) -> Refusal {
    let message = "the store does not answer: nobody knows whether the job was changed";
    Refusal::new(EndStatus::Unreachable, message).hint(format!(
        "look with JOBSTATUS {} '{}' WITH UID='{}' before you repeat it",
        key.job_type, key.name, key.uid
    ))
}

/// The kind looks at the definition before there is a row.
async fn check(services: &Services, job: &Job) -> Result<(), Refusal> {
    let Some(kind) = services.kinds.get(&job.key.job_type) else {
        return Err(Refusal::failed(format!(
            "this node cannot run jobs of type {}",
            job.key.job_type
        )));
    };
    if let Some(why) = overlap::refusal(job) {
        return Err(Refusal::usage(why).about("OVERLAP"));
    }
    kind.check(job).await.map_err(|check| {
        let refusal = Refusal::failed(check.message);
        match check.hint {
            Some(hint) => refusal.hint(hint),
            None => refusal,
        }
    })
}

/// ARGS and what the session had set, as the row keeps them.
fn stored(mut arguments: Map<String, Value>, scope: &BTreeMap<String, String>) -> String {
    if !scope.is_empty() {
        let scope = json!({ "scope": without_secrets(scope) });
        arguments.insert(SESSION_SCOPE.to_owned(), Value::from(scope.to_string()));
    }
    Value::Object(arguments).to_string()
}

/// Logical ids and names of machines are not mixed in one job (Fabric R24).
fn one_sort_of_names(affinity: &[String], members: &[Member]) -> Result<(), Refusal> {
    let is_physical = |name: &String| {
        name.parse::<std::net::IpAddr>().is_ok()
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

/// STOPJOB, RESTARTJOB, RESUMEJOB and UPDATEJOB: one row for each job.
///
/// # Errors
/// There is no such job, or none of them could be changed.
pub(super) async fn change(
    services: &Services,
    permit: Permit<(JobTarget, JobChange)>,
    output: &Output,
) -> Result<(), Refusal> {
    let changed = change_all(services, &permit).await?;
    output.columns(&CHANGED).await;
    let count = changed.len();
    let mut refused = 0;
    for Changed {
        job,
        note,
        is_refused,
    } in changed
    {
        refused += usize::from(is_refused);
        output.row(row(&job, note)).await;
    }
    match refused {
        0 => Ok(()),
        _ => Err(Refusal::failed(format!(
            "{refused} of {count} jobs were not changed; the column Notes says why"
        ))),
    }
}

/// A job that was to be changed.
#[derive(Debug)]
pub(super) struct Changed {
    /// As it is now.
    pub(super) job: Job,
    /// What there is to say of it, or why it was refused.
    pub(super) note: Option<String>,
    is_refused: bool,
}

/// Changes all jobs of the target.
///
/// # Errors
/// There is no such job, or there is one and it was refused.
pub(super) async fn change_all(
    services: &Services,
    permit: &Permit<(JobTarget, JobChange)>,
) -> Result<Vec<Changed>, Refusal> {
    let (target, change) = permit.request();
    let jobs = matching(services, target).await?;
    let is_wanted = |job: &&Job| match (change, &target.uid) {
        (_, Some(_)) => true,
        (JobChange::Resume, None) => job.archived,
        (JobChange::Stop | JobChange::Restart | JobChange::Update(_), None) => !job.archived,
    };
    let wanted: Vec<&Job> = jobs.iter().filter(is_wanted).collect();
    if wanted.is_empty() {
        let state = match change {
            JobChange::Resume => "archived",
            JobChange::Stop | JobChange::Restart | JobChange::Update(_) => "active",
        };
        return Err(Refusal::conflict(format!(
            "none of the {} jobs {} '{}' is {state}",
            jobs.len(),
            target.job_type,
            target.name
        )));
    }
    let is_one = wanted.len() == 1;
    let mut changed = Vec::new();
    let principal = &permit.principal().name;
    for job in wanted {
        let (job, note, is_refused) = match change_one(services, job, change, principal).await {
            Ok((job, note)) => (job, note, false),
            Err(refusal) if is_one => return Err(refusal),
            Err(refusal) => (job.clone(), Some(refusal.to_string()), true),
        };
        changed.push(Changed {
            job,
            note,
            is_refused,
        });
    }
    Ok(changed)
}

/// RESTARTJOB of one job, where a node runs it.
///
/// # Errors
/// It does not run any more, or what the store said.
pub(super) async fn restart_running(services: &Services, key: &JobKey) -> Result<(), Refusal> {
    apply(services, key, |job, _| {
        Ok(match job.holder() {
            Some(_) => change::restarted(job)?,
            None => Step::Leave(format!("it is {}", job.status)),
        })
    })
    .await
    .map(drop)
}

async fn change_one(
    services: &Services,
    job: &Job,
    change: &JobChange,
    principal: &str,
) -> Result<(Job, Option<String>), Refusal> {
    if job.key.job_type == job_type::BATCH_PROCESS {
        return change_batch(services, job, change, principal).await;
    }
    let key = &job.key;
    let (job, note) = apply(services, key, |job, now| match change {
        JobChange::Stop => Ok(change::stopped(job, now)?),
        JobChange::Restart => Ok(change::restarted(job)?),
        JobChange::Resume => Ok(change::resumed(job, now)?),
        JobChange::Update(update) => Ok(change::updated(job, definition(job, update)?, now)?),
    })
    .await?;
    info!(
        job.name = key.name,
        job.uid = key.uid,
        principal,
        "{principal} changed '{}.{}.{}', which is {} now",
        key.job_type,
        key.name,
        key.uid,
        job.status
    );
    Ok((job, note))
}

/// STOPJOB of the job of a batch is BATCH_CANCEL (as in Fabric); the batch itself says what else may become of it.
async fn change_batch(
    services: &Services,
    job: &Job,
    change: &JobChange,
    principal: &str,
) -> Result<(Job, Option<String>), Refusal> {
    let hint = match change {
        JobChange::Stop => {
            let id = job.key.uid.parse().map_err(|_| {
                Refusal::failed(format!("the uid `{}` is no batch id", job.key.uid))
            })?;
            let note = cancel::wish_of(services, id, principal).await?;
            return Ok((job.clone(), Some(note.to_owned())));
        }
        JobChange::Restart | JobChange::Update(_) => "STOPJOB or BATCH_CANCEL ends it",
        JobChange::Resume => "submit the batch again",
    };
    Err(Refusal::failed("the job of a batch is changed through its batch").hint(hint))
}

/// Reads, decides and writes until the row stood still meanwhile.
async fn apply(
    services: &Services,
    key: &JobKey,
    decide: impl Fn(&Job, Timestamp) -> Result<Step, Refusal>,
) -> Result<(Job, Option<String>), Refusal> {
    let trust = Trust::for_duration(services.clock.clone(), PATIENCE);
    for _ in 0..ATTEMPTS {
        let found = services.store.job(key, Freshness::Serial).await?;
        let Some(found) = found else {
            return Err(Refusal::not_found("the job is gone"));
        };
        match decide(&found, services.clock.now())? {
            Step::Leave(why) => return Ok((found, Some(why))),
            Step::Refuse(why) => return Err(Refusal::conflict(why)),
            Step::Write(job) => {
                if job.policy != found.policy || job.arguments != found.arguments {
                    check(services, &job).await?;
                }
                // Who is taken up again may close a circle that was open while he was archived.
                if job.policy != found.policy || found.status.is_ended() && !job.archived {
                    followers::follow(services, &job).await?;
                }
                let seen = Some(JobSeen::of(&found));
                if let Written::Yes = write(services, &trust, &job, seen).await? {
                    let note = job.notes.clone();
                    return Ok((*job, note));
                }
            }
            Step::Wish {
                desired,
                status,
                definition,
            } => {
                if let Some(definition) = &definition {
                    let defined = definition.applied_to(&found);
                    check(services, &defined).await?;
                    followers::follow(services, &defined).await?;
                }
                let wished = Job {
                    status,
                    ..found.clone()
                };
                let request = RequestJob {
                    definition: definition.map(|definition| *definition),
                    ..RequestJob::of(&found, desired, status, services.ids.token())
                };
                let store = services.store.as_ref();
                match settle(store, &services.ids, &trust, &request).await? {
                    Settled::Applied => {
                        services.wake.wishes();
                        return Ok((
                            wished,
                            Some("the node that runs it carries it out".to_owned()),
                        ));
                    }
                    // It moved, or somebody else wished for something: look again.
                    Settled::Lost(_) => (),
                    Settled::StillUnknown => return Err(outcome_unknown(key)),
                }
            }
        }
    }
    Err(Refusal::conflict(MOVES_TOO_FAST))
}

/// The definition of a job with the changes of an UPDATEJOB.
fn definition(job: &Job, update: &UpdateJob) -> Result<Update, Refusal> {
    let policy = update.policy.apply(job.policy.clone())?;
    let execution_interval = match &update.execution_interval {
        None => job.execution_interval.clone(),
        Some(text) if text.trim().is_empty() => None,
        Some(text) => Some(text.trim().to_owned()),
    };
    let bounds = |policy: &weft_model::schedule::JobPolicy| {
        (
            policy.start_at,
            policy.end_at,
            policy.time_zone.clone(),
            policy.jitter_ms,
            policy.after.is_empty(),
        )
    };
    Ok(Update {
        reschedules: execution_interval != job.execution_interval
            || bounds(&policy) != bounds(&job.policy),
        runs_now: update.reset_end_time == Some(true),
        definition: JobDefinition {
            affinity: update
                .affinity
                .clone()
                .unwrap_or_else(|| job.affinity.clone()),
            arguments: match &update.arguments {
                None => job.arguments.clone(),
                Some(arguments) => stored(arguments.clone(), &update.session),
            },
            execution_interval,
            policy,
            triggers: job.triggers.clone(),
        },
    })
}

async fn matching(services: &Services, target: &JobTarget) -> Result<Vec<Job>, Refusal> {
    let list = ListJobs {
        job_type: Some(target.job_type.clone()),
        name: Some(target.name.clone()),
        uid: target.uid.clone(),
        active_only: false,
        after: None,
        limit: TARGETS,
    };
    let jobs = services.store.jobs(&list).await?.jobs;
    if !jobs.is_empty() {
        return Ok(jobs);
    }
    Err(no_such_job(
        &target.job_type,
        &target.name,
        target.uid.as_deref(),
    ))
}

fn row(job: &Job, note: Option<String>) -> Vec<Value> {
    vec![
        json!(job.key.job_type),
        json!(job.key.name),
        json!(job.key.uid),
        json!(job.status.as_str()),
        json!(note),
    ]
}

/// JOBHISTORY.
///
/// # Errors
/// There is no such job, or what the store said.
pub(super) async fn history(
    services: &Services,
    permit: Permit<JobHistoryRequest>,
    output: &Output,
) -> Result<(), Refusal> {
    let runs = runs(services, &permit).await?;
    output.columns(&HISTORY).await;
    for run in runs {
        let time = |time: Timestamp| time.to_seconds_text();
        let error = run.error.as_deref().map(crate::inspect::message_of);
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
/// There is no such job, or what the store said.
pub(super) async fn runs(
    services: &Services,
    permit: &Permit<JobHistoryRequest>,
) -> Result<Vec<JobRun>, Refusal> {
    let request = permit.request();
    let jobs = matching(services, &request.target).await?;
    let mut runs: Vec<JobRun> = Vec::new();
    for job in &jobs {
        runs.extend(services.store.job_runs(&job.key, request.limit).await?);
        runs.sort_by_key(|run| std::cmp::Reverse((run.started, run.fence)));
        runs.truncate(request.limit);
    }
    Ok(runs)
}

/// KILL of a task.
///
/// # Errors
/// No such task runs there.
pub(super) async fn kill(
    services: &Services,
    permit: Permit<KillRequest>,
    output: &Output,
) -> Result<(), Refusal> {
    let KillRequest { node, task } = permit.request();
    let jobs = tasks::running_jobs(services).await?;
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
        let (job, left) = apply(services, &job.key, |job, _| Ok(change::killed(job))).await?;
        let note = match job.status {
            JobStatus::Stopping => Some("it ends now, whether it listens or not".to_owned()),
            JobStatus::InProcess => Some(
                "this try ends; the job is tried again as after a failure, STOPJOB ends it"
                    .to_owned(),
            ),
            _ => left,
        };
        (job, note)
    };
    output.columns(&CHANGED).await;
    output.row(row(&job, note)).await;
    Ok(())
}
