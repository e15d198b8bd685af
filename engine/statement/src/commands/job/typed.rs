//! STARTJOB and its family as typed, read into a draft. The rules about the values are those of the draft.

use serde_json::{Map, Value};
use weft_lang::names::JOB_TYPE;
use weft_lang::{JobCommand, JobVerb, Spanned};
use weft_model::schedule::PolicyDraft;

use super::arguments::read_typed;
use super::change::ChangeJobs;
use super::start::StartJobRequest;
use super::{JobChange, JobDraft};
use crate::commands::Lowering;
use crate::refusal::Refusal;

/// The type that takes an instance and TABLES.
const REPUBLISH: &str = "CDC_REPUBLISH";

/// The request of a command of the family.
#[derive(Debug)]
pub(crate) enum JobRequest {
    Start(Box<StartJobRequest>),
    Change(ChangeJobs),
}

pub(crate) fn lower(command: &JobCommand, context: Lowering<'_>) -> Result<JobRequest, Refusal> {
    let draft = draft(command)?;
    let request = request(command, &draft, context);
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
    context: Lowering<'_>,
) -> Result<JobRequest, Refusal> {
    let target = draft.target()?;
    let change = match command.verb {
        JobVerb::Start => {
            let start = draft.start(&context.services.kinds)?;
            return Ok(JobRequest::Start(Box::new(start)));
        }
        JobVerb::Stop => JobChange::Stop,
        JobVerb::Restart => JobChange::Restart,
        JobVerb::Resume => JobChange::Resume,
        JobVerb::Update => draft.update(&target.job_type, &context.session.scope)?,
    };
    Ok(JobRequest::Change(ChangeJobs { target, change }))
}

fn draft(command: &JobCommand) -> Result<JobDraft, Refusal> {
    let text = |given: &Option<Spanned<String>>| given.as_ref().map(|text| text.value.clone());
    let options = &command.options;
    let mut given = options.args.as_ref().map(read_typed).transpose()?;
    let name = unit_of_instance(command, &mut given)?;
    Ok(JobDraft {
        job_type: command.job_type.value.clone(),
        name: name.or_else(|| text(&options.name)).unwrap_or_default(),
        uid: text(&options.uid),
        affinity: text(&options.affinity).map(|text| vec![text]).into(),
        arguments: given.into(),
        exec_interval: text(&options.exec_interval).into(),
        reset_end_time: options.reset_end_time.as_ref().map(|reset| reset.value),
        policy: PolicyDraft::from_typed(options),
    })
}

/// `cdc_republish_instance_job <LU>.<id> TABLES='…'` is CDC_REPUBLISH of the logical unit. Returns the logical unit, and
/// adds the instance and the tables to the arguments (as in Fabric).
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
            let message = format!("`{}` is not an instance", target.value);
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
