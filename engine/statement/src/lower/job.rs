//! STARTJOB and its family: what is typed, read into a draft; the rules about it are the draft's.

use serde_json::{Map, Value};
use weft_lang::names::JOB_TYPE;
use weft_lang::{JobCommand, JobOptions, JobVerb, Spanned, Text};
use weft_model::canonical_job_name;

use super::super::job_draft::{Ask, JobDraft, PolicyDraft, known_type};
use super::super::request::{JobChange, JobHistoryRequest, JobTarget, KillRequest, Request};
use super::values::literal;
use super::{Refusal, Surroundings};

/// The type that takes an instance and TABLES.
const REPUBLISH: &str = "CDC_REPUBLISH";
/// Runs that JOBHISTORY shows without a LIMIT.
const HISTORY_ROWS: usize = 20;
const HISTORY_ROWS_AT_MOST: usize = 10_000;

pub(super) fn lower(
    command: &JobCommand,
    surroundings: Surroundings<'_>,
) -> Result<Request, Refusal> {
    let draft = draft(command)?;
    let request = request(command, &draft, surroundings);
    request.map_err(|refusal| match refusal.option() {
        Some(option) => {
            let given = command.options.span(option);
            refusal.at(given.unwrap_or(command.job_type.span))
        }
        None => refusal,
    })
}

fn request(
    command: &JobCommand,
    draft: &JobDraft,
    surroundings: Surroundings<'_>,
) -> Result<Request, Refusal> {
    let target = draft.target()?;
    let change = match command.verb {
        JobVerb::Start => {
            let start = draft.start(surroundings.kinds)?;
            return Ok(Request::StartJob(Box::new(start)));
        }
        JobVerb::Stop => JobChange::Stop,
        JobVerb::Restart => JobChange::Restart,
        JobVerb::Resume => JobChange::Resume,
        JobVerb::Update => draft.update(&target.job_type, &surroundings.session.scope)?,
    };
    Ok(Request::ChangeJobs { target, change })
}

fn draft(command: &JobCommand) -> Result<JobDraft, Refusal> {
    let text = |given: &Option<Spanned<String>>| given.as_ref().map(|text| text.value.clone());
    let options = &command.options;
    let mut given = options.args.as_ref().map(arguments).transpose()?;
    let name = unit_of_instance(command, &mut given)?;
    Ok(JobDraft {
        job_type: command.job_type.value.clone(),
        name: name.or_else(|| text(&options.name)).unwrap_or_default(),
        uid: text(&options.uid),
        affinity: text(&options.affinity).map(|text| vec![text]).into(),
        arguments: given.into(),
        exec_interval: text(&options.exec_interval).into(),
        reset_end_time: options.reset_end_time.as_ref().map(|reset| reset.value),
        policy: policy(options)?,
    })
}

/// `cdc_republish_instance_job <LU>.<id> TABLES='…'` is CDC_REPUBLISH of the logical unit, which this answers, with both
/// among its arguments (as in Fabric).
fn unit_of_instance(
    command: &JobCommand,
    arguments: &mut Option<Map<String, Value>>,
) -> Result<Option<String>, Refusal> {
    let mut add = |option: &Spanned<String>, name: &str, value: Value| {
        let before = arguments
            .get_or_insert_default()
            .insert(name.to_owned(), value);
        match before {
            None => Ok(()),
            Some(_) => Err(
                Refusal::usage(format!("`{name}` is given twice, in ARGS and here"))
                    .at(option.span)
                    .hint("write it once"),
            ),
        }
    };
    let mut unit = None;
    if let Some(target) = &command.target {
        if let Some(name) = &command.options.name {
            let refusal = Refusal::usage("the job has an instance and a NAME").at(name.span);
            return Err(refusal.hint("leave NAME out: it is the logical unit of the instance"));
        }
        let Some((name, id)) = target
            .value
            .split_once('.')
            .filter(|(name, id)| !name.is_empty() && !id.is_empty())
        else {
            let message = format!("`{}` is no instance", target.value);
            return Err(Refusal::usage(message)
                .at(target.span)
                .hint("write <LU>.<id>"));
        };
        unit = Some(name.to_owned());
        add(target, "instances", Value::from(vec![id]))?;
    }
    if let Some(tables) = &command.options.tables {
        if JOB_TYPE.canonical(&command.job_type.value) != Some(REPUBLISH) {
            let message = format!("jobs of type {} have no TABLES", command.job_type.value);
            return Err(Refusal::usage(message)
                .at(tables.span)
                .hint(format!("TABLES is for {REPUBLISH}")));
        }
        add(tables, "tables", Value::from(tables.value.clone()))?;
    }
    Ok(unit)
}

fn policy(options: &JobOptions) -> Result<PolicyDraft, Refusal> {
    let text = |given: &Option<Spanned<String>>| -> Ask<String> {
        given.as_ref().map(|text| text.value.clone()).into()
    };
    let count = |given: &Option<Spanned<u64>>| -> Ask<i64> {
        let count = given.as_ref().map(|count| count.value);
        count
            .map(|count| i64::try_from(count).unwrap_or(i64::MAX))
            .into()
    };
    let boolean = |given: &Option<Spanned<bool>>| -> Ask<bool> {
        given.as_ref().map(|boolean| boolean.value).into()
    };
    Ok(PolicyDraft {
        start_at: text(&options.start_at),
        end_at: text(&options.end_at),
        time_zone: text(&options.time_zone),
        misfire: text(&options.misfire),
        overlap: text(&options.overlap),
        max_runs: count(&options.max_runs),
        jitter_ms: count(&options.jitter_ms),
        max_attempts: options
            .max_attempts
            .as_ref()
            .map(|attempts| attempts.value)
            .into(),
        retry_delay_ms: count(&options.retry_delay_ms),
        // What is no number is refused as one.
        retry_factor: options
            .retry_factor
            .as_ref()
            .map(|factor| factor.value.parse().unwrap_or(f64::NAN))
            .into(),
        retry_max_delay_ms: count(&options.retry_max_delay_ms),
        timeout_ms: count(&options.timeout_ms),
        relocate: boolean(&options.relocate),
        paused: boolean(&options.paused),
        after: text(&options.after),
    })
}

/// ARGS as a JSON object; relaxed forms are `{a:10,b:20}` and `A=10, B=20` (Fabric A.1).
fn arguments(text: &Spanned<String>) -> Result<Map<String, Value>, Refusal> {
    let trimmed = text.value.trim();
    if trimmed.is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_str(trimmed).or_else(|error| {
        relaxed(trimmed).ok_or_else(|| {
            Refusal::usage(format!("ARGS is no JSON object: {error}"))
                .at(text.span)
                .hint(r#"write ARGS='{"name":"value"}'"#)
        })
    })
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

pub(super) fn history(
    written: &Spanned<String>,
    name: &Spanned<Text>,
    uid: Option<&Spanned<String>>,
    limit: Option<&Spanned<u64>>,
) -> Result<Request, Refusal> {
    let limit = limit.map_or(HISTORY_ROWS, |limit| {
        usize::try_from(limit.value).unwrap_or(usize::MAX)
    });
    let job_type = known_type(&written.value).map_err(|refusal| refusal.at(written.span))?;
    let name = canonical_job_name(&job_type, literal(name)?).to_owned();
    Ok(Request::JobHistory(JobHistoryRequest {
        target: JobTarget {
            job_type,
            name,
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
