//! STARTJOB and its family: what is typed, checked and read, before any row is looked at.

use serde_json::{Map, Value};
use weft_lang::names::JOB_TYPE;
use weft_lang::{JobCommand, JobPolicyOptions, JobVerb, Span, Spanned, Text};

use super::super::AffinityList;
use super::super::request::{
    JobChange, JobHistoryRequest, JobTarget, KillRequest, Request, StartJobRequest, UpdateJob,
};
use super::super::secret::is_secret;
use super::values::literal;
use super::{Refusal, Surroundings, not_available};
use crate::clock::Timestamp;
use crate::model::job_type;
use crate::schedule::policy::{Misfire, Overlap};
use crate::schedule::{JobPolicy, Schedule, Timing};

/// What stands before the name of an environment variable in ARGS, where the value itself is a secret.
const BY_REFERENCE: &str = "env:";
/// Runs that JOBHISTORY shows without a LIMIT.
const HISTORY_ROWS: usize = 20;
const HISTORY_ROWS_AT_MOST: usize = 10_000;
const ARGUMENT_BYTES: usize = 64 * 1_024;

pub(super) fn lower(
    command: &JobCommand,
    surroundings: Surroundings<'_>,
) -> Result<Request, Refusal> {
    let job_type = known_type(&command.job_type)?;
    if command.target.is_some() {
        return Err(not_available("STARTJOB of an instance").at(command.job_type.span));
    }
    let name = command.name.as_ref().map_or("", |name| name.value.as_str());
    if name.trim().is_empty() {
        let place = command
            .name
            .as_ref()
            .map_or(command.job_type.span, |name| name.span);
        return Err(Refusal::usage("the job's NAME is empty").at(place));
    }
    let target = JobTarget {
        job_type,
        name: name.to_owned(),
        uid: command.uid.as_ref().map(|uid| uid.value.clone()),
    };
    let change = match command.verb {
        JobVerb::Start => return start(command, target, surroundings),
        JobVerb::Stop => JobChange::Stop,
        JobVerb::Restart => JobChange::Restart,
        JobVerb::Resume => JobChange::Resume,
        JobVerb::Update => JobChange::Update(Box::new(update(command, &target, surroundings)?)),
    };
    Ok(Request::ChangeJobs { target, change })
}

fn start(
    command: &JobCommand,
    target: JobTarget,
    surroundings: Surroundings<'_>,
) -> Result<Request, Refusal> {
    runnable(&command.job_type, &target.job_type, surroundings)?;
    if let Some(uid) = command.uid.as_ref().filter(|uid| uid.value.is_empty()) {
        return Err(Refusal::usage("the job's UID is empty").at(uid.span));
    }
    let policy = policy(&command.policy, JobPolicy::default())?;
    let interval = interval(command.exec_interval.as_ref(), &policy)?;
    let arguments = command.args.as_ref().map(arguments).transpose()?;
    Ok(Request::StartJob(Box::new(StartJobRequest {
        target,
        affinity: affinity(command),
        arguments: arguments.unwrap_or_default(),
        has_arguments: command.args.is_some(),
        execution_interval: interval,
        policy,
    })))
}

fn update(
    command: &JobCommand,
    target: &JobTarget,
    surroundings: Surroundings<'_>,
) -> Result<UpdateJob, Refusal> {
    if target.job_type == job_type::BATCH_PROCESS {
        return Err(Refusal::usage("the job of a batch cannot be changed")
            .at(command.job_type.span)
            .hint("BATCH_CANCEL ends the batch; submit another one"));
    }
    let arguments = command.args.as_ref().map(arguments).transpose()?;
    // Whether zone and schedule go together is known once the row is read.
    policy(&command.policy, JobPolicy::default())?;
    let options = command.policy.clone();
    let update = UpdateJob {
        affinity: command.affinity.is_some().then(|| affinity(command)),
        arguments,
        execution_interval: command
            .exec_interval
            .as_ref()
            .map(|text| text.value.clone()),
        reset_end_time: command.reset_end_time.as_ref().map(|reset| reset.value),
        policy: PolicyChange(options),
        session: surroundings.session.scope.clone(),
    };
    if let Some(text) = &command.exec_interval {
        interval(Some(text), &JobPolicy::default())?;
    }
    Ok(update)
}

/// The options of a policy that were given; applied to the policy that a job has.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyChange(JobPolicyOptions);

impl PolicyChange {
    /// The policy with these options.
    ///
    /// # Errors
    /// They do not go together.
    pub fn apply(&self, before: JobPolicy) -> Result<JobPolicy, Refusal> {
        policy(&self.0, before)
    }
}

/// The type as the column has it.
fn known_type(written: &Spanned<String>) -> Result<String, Refusal> {
    let known = JOB_TYPE.canonical(&written.value);
    known.map(str::to_owned).ok_or_else(|| {
        Refusal::usage(format!("`{}` is no type of job", written.value))
            .at(written.span)
            .near(&written.value, JOB_TYPE.names.iter().copied())
    })
}

/// The kinds that this node knows how to run.
fn runnable(
    written: &Spanned<String>,
    job_type: &str,
    surroundings: Surroundings<'_>,
) -> Result<(), Refusal> {
    if job_type == job_type::BATCH_PROCESS {
        return Err(Refusal::usage("the job of a batch is started by BATCH")
            .at(written.span)
            .hint("BATCH <LU> FABRIC_COMMAND='…'; on a schedule: STARTJOB BATCH_SCHEDULE"));
    }
    if surroundings.kinds.get(job_type).is_some() {
        return Ok(());
    }
    let names: Vec<&str> = surroundings.kinds.names().collect();
    Err(Refusal::failed(format!(
        "jobs of type {job_type} are known but not available in this version"
    ))
    .at(written.span)
    .hint(format!("this version runs {}", names.join(", "))))
}

fn affinity(command: &JobCommand) -> Vec<String> {
    let members = command
        .affinity
        .as_ref()
        .map(|text| AffinityList::read(&text.value).members)
        .unwrap_or_default();
    if members.is_empty() {
        // Fabric R23.
        return vec![crate::node::affinity::ANY.to_owned()];
    }
    members
}

/// ARGS as a JSON object; relaxed forms are `{a:10,b:20}` and `A=10, B=20` (Fabric A.1).
fn arguments(text: &Spanned<String>) -> Result<Map<String, Value>, Refusal> {
    let place = text.span;
    if text.value.len() > ARGUMENT_BYTES {
        let message = format!("ARGS has at most {ARGUMENT_BYTES} bytes");
        return Err(Refusal::usage(message).at(place));
    }
    let trimmed = text.value.trim();
    if trimmed.is_empty() {
        return Ok(Map::new());
    }
    let parsed: Result<Map<String, Value>, _> = serde_json::from_str(trimmed);
    let map = match parsed {
        Ok(map) => map,
        Err(error) => relaxed(trimmed).ok_or_else(|| {
            Refusal::usage(format!("ARGS is no JSON object: {error}"))
                .at(place)
                .hint(r#"write ARGS='{"name":"value"}'"#)
        })?,
    };
    for (name, value) in &map {
        let by_reference = value
            .as_str()
            .is_some_and(|text| text.starts_with(BY_REFERENCE) || text.is_empty());
        if is_secret(name) && !by_reference {
            return Err(Refusal::usage(format!(
                "`{name}` in ARGS would be stored in plain text for everybody to read"
            ))
            .at(place)
            .hint(format!(
                "write \"{name}\":\"{BY_REFERENCE}NAME\" and set the variable NAME where the nodes run"
            )));
        }
    }
    Ok(map)
}

/// `{a:10,b:20}` and `A=10, B=20`, without nesting, quotes or blanks in values.
fn relaxed(text: &str) -> Option<Map<String, Value>> {
    let (inner, separator) = match text
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
    {
        Some(inner) => (inner, ':'),
        None => (text, '='),
    };
    if inner.contains(['{', '}', '[', ']', '"']) {
        return None;
    }
    let mut map = Map::new();
    for pair in inner.split(',').filter(|pair| !pair.trim().is_empty()) {
        let (name, value) = pair.split_once(separator)?;
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty()
            || !name
                .chars()
                .all(|c| c.is_alphanumeric() || "_.-".contains(c))
        {
            return None;
        }
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
        map.insert(name.to_owned(), value);
    }
    Some(map)
}

/// EXEC_INTERVAL as typed, once it is known to be a schedule.
fn interval(text: Option<&Spanned<String>>, policy: &JobPolicy) -> Result<Option<String>, Refusal> {
    let Some(text) = text else {
        return Ok(None);
    };
    let refused = |error: crate::schedule::ScheduleError| {
        Refusal::usage(error.to_string()).at(text.span).hint(
            "EXEC_INTERVAL is 'yyyy-MM-dd HH:mm:ss', '[D.]HH:MM:SS' or a cron expression of five, six or seven fields",
        )
    };
    let zone = policy.zone().map_err(refused)?;
    let schedule = Schedule::parse(&text.value, zone).map_err(refused)?;
    Ok(match schedule.timing() {
        Timing::Once => None,
        Timing::At(_) | Timing::Every(_) | Timing::Cron(_) => Some(text.value.trim().to_owned()),
    })
}

fn policy(options: &JobPolicyOptions, before: JobPolicy) -> Result<JobPolicy, Refusal> {
    let mut policy = before;
    if let Some(after) = &options.after {
        return Err(not_available("AFTER").at(after.span));
    }
    if let Some(zone) = &options.time_zone {
        let name = zone.value.trim();
        policy.time_zone = (!name.is_empty()).then(|| name.to_owned());
        policy
            .zone()
            .map_err(|error| Refusal::usage(error.to_string()).at(zone.span))?;
    }
    if let Some(start) = &options.start_at {
        policy.start_at = bound(start, &policy)?;
    }
    if let Some(end) = &options.end_at {
        policy.end_at = bound(end, &policy)?;
    }
    if let (Some(start), Some(end), Some(place)) = (
        policy.start_at,
        policy.end_at,
        options.end_at.as_ref().or(options.start_at.as_ref()),
    ) && end <= start
    {
        return Err(Refusal::usage("END_AT is not behind START_AT").at(place.span));
    }
    if let Some(misfire) = &options.misfire {
        let read: Result<Misfire, _> = misfire.value.parse();
        policy.misfire =
            read.map_err(|error| Refusal::usage(error.to_string()).at(misfire.span))?;
    }
    if let Some(overlap) = &options.overlap {
        let read: Result<Overlap, _> = overlap.value.parse();
        policy.overlap =
            read.map_err(|error| Refusal::usage(error.to_string()).at(overlap.span))?;
    }
    if let Some(factor) = &options.retry_factor {
        let read: f64 = factor.value.parse().map_err(|_| {
            Refusal::usage("RETRY_FACTOR is a number of at least 1").at(factor.span)
        })?;
        policy.retry_factor = read;
    }
    let number = |given: &Option<Spanned<u64>>, set: &mut i64| {
        if let Some(given) = given {
            *set = i64::try_from(given.value).unwrap_or(i64::MAX);
        }
    };
    number(&options.jitter_ms, &mut policy.jitter_ms);
    number(&options.retry_delay_ms, &mut policy.retry_delay_ms);
    number(&options.retry_max_delay_ms, &mut policy.retry_max_delay_ms);
    let optional = |given: &Option<Spanned<u64>>, set: &mut Option<i64>| {
        if let Some(given) = given {
            *set = Some(i64::try_from(given.value).unwrap_or(i64::MAX));
        }
    };
    optional(&options.max_runs, &mut policy.max_runs);
    optional(&options.timeout_ms, &mut policy.timeout_ms);
    if let Some(attempts) = &options.max_attempts {
        policy.max_attempts = i32::try_from(attempts.value).unwrap_or(i32::MAX);
    }
    if let Some(relocate) = &options.relocate {
        policy.relocate = relocate.value;
    }
    if let Some(paused) = &options.paused {
        policy.paused = paused.value;
    }
    Ok(policy)
}

/// A moment in the job's time zone; an empty text takes the bound away.
fn bound(text: &Spanned<String>, policy: &JobPolicy) -> Result<Option<Timestamp>, Refusal> {
    if text.value.trim().is_empty() {
        return Ok(None);
    }
    let refused = |place: Span| {
        Refusal::usage(format!("`{}` is not a moment", text.value))
            .at(place)
            .hint("write '2027-08-12 12:20:07'")
    };
    let zone = policy.zone().map_err(|_| refused(text.span))?;
    let schedule = Schedule::parse(&text.value, zone).map_err(|_| refused(text.span))?;
    match schedule.timing() {
        Timing::At(moment) => Ok(Some(*moment)),
        Timing::Once | Timing::Every(_) | Timing::Cron(_) => Err(refused(text.span)),
    }
}

pub(super) fn history(
    written: &Spanned<String>,
    name: &Spanned<Text>,
    uid: Option<&Spanned<String>>,
    limit: Option<&Spanned<u64>>,
) -> Result<Request, Refusal> {
    let limit = limit.map_or(HISTORY_ROWS, |limit| {
        usize::try_from(limit.value).unwrap_or(usize::MAX)
    });
    Ok(Request::JobHistory(JobHistoryRequest {
        target: JobTarget {
            job_type: known_type(written)?,
            name: literal(name)?.to_owned(),
            uid: uid.map(|uid| uid.value.clone()),
        },
        limit: limit.min(HISTORY_ROWS_AT_MOST),
    }))
}

pub(super) fn kill(node: &Spanned<Text>, task: &Spanned<Text>) -> Result<Request, Refusal> {
    Ok(Request::KillTask(KillRequest {
        node: literal(node)?.to_owned(),
        task: literal(task)?.to_owned(),
    }))
}
