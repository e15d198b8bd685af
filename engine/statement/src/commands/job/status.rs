//! JOBSTATUS.

use serde_json::{Value, json};
use weft_lang::JobFilter;
use weft_lang::names::{JOB_TYPE, nearest};
use weft_model::clock::Timestamp;
use weft_model::{canonical_job_name, canonical_job_type};

use crate::commands::Execution;
use crate::commands::literal::literal;
use crate::inspect::{JobItem, JobQuery, JobSelection};
use crate::permission::Permit;
use crate::refusal::Refusal;

const JOB_STATUS: [&str; 16] = [
    "Type",
    "Name",
    "UID",
    "Status",
    "Creation Time",
    "Start Time",
    "End Time",
    "Affinity",
    "Is Archived",
    "Next Run",
    "Ownership Candidates Num",
    "Notes",
    "Owner",
    "Tries",
    "Why Waiting",
    "Schedule",
];
/// How many jobs JOBSTATUS shows at most.
const JOBS: usize = 10_000;

pub(crate) fn lower(filter: &JobFilter) -> Result<JobQuery, Refusal> {
    let selection = match filter {
        JobFilter::Active => JobSelection::Active,
        JobFilter::DaysAgo(days) => JobSelection::Days(days.value),
        JobFilter::Type(job_type) => JobSelection::Of {
            job_type: canonical_job_type(&job_type.value),
            name: None,
            uid: None,
        },
        JobFilter::Name {
            job_type,
            name,
            uid,
        } => {
            let job_type = canonical_job_type(&job_type.value);
            let name = canonical_job_name(&job_type, literal(name)?).to_owned();
            JobSelection::Of {
                job_type,
                name: Some(name),
                uid: uid.as_ref().map(|uid| uid.value.clone()),
            }
        }
    };
    Ok(JobQuery {
        selection,
        status: None,
        archived: None,
        after: None,
        limit: JOBS,
    })
}

/// Shows the jobs by name.
pub(crate) async fn run(execution: Execution<'_>, permit: Permit<JobQuery>) -> Result<(), Refusal> {
    let mut page = execution.inspector().jobs(&permit).await?;
    let output = execution.output;
    // The store has an order of its own; people look for names.
    page.items
        .sort_by(|one, other| one.job.key.cmp(&other.job.key));
    output.columns(&JOB_STATUS).await;
    let shown = page.items.len();
    for item in page.items {
        output.row(job_row(item)).await;
    }
    if page.next.is_some() {
        let notice = match shown == permit.request().limit {
            true => {
                format!("only {shown} of the jobs are shown; name a type or a job to see others")
            }
            false => {
                "there are more jobs than were read; name a type and a job to see others".to_owned()
            }
        };
        output.notice(notice).await;
    }
    if shown == 0
        && let Some(notice) = why_none(&permit.request().selection)
    {
        output.notice(notice).await;
    }
    Ok(())
}

/// Why a selection by type or name finds no job.
fn why_none(selection: &JobSelection) -> Option<String> {
    let JobSelection::Of {
        job_type,
        name,
        uid,
    } = selection
    else {
        return None;
    };
    if JOB_TYPE.canonical(job_type).is_none() {
        let meant = nearest(job_type, JOB_TYPE.names.iter().copied());
        let meant = meant.map_or_else(String::new, |name| format!("; did you mean {name}?"));
        return Some(format!(
            "{job_type} is not one of the known job types{meant}"
        ));
    }
    let refusal = Refusal::no_such_job(job_type, name.as_deref()?, uid.as_deref());
    let hint = refusal.advice().unwrap_or_default();
    Some(format!("{}; {hint}", refusal.message()))
}

fn job_row(item: JobItem) -> Vec<Value> {
    let why = item.why_waiting().unwrap_or_default().to_owned();
    let job = item.job;
    // The form of JOBSTATUS, blanks between the parts of the date; never is the epoch.
    let moment = |time: Option<Timestamp>| {
        let time = time.unwrap_or_default().to_utc();
        json!(time.format("%Y %m %d %H:%M:%S").to_string())
    };
    let notes = item.error.or(item.note).unwrap_or_default();
    let owner = job.worker.map_or_else(String::new, |worker| worker.0);
    vec![
        json!(job.key.job_type),
        json!(job.key.name),
        json!(job.key.uid),
        json!(job.status.as_str()),
        moment(Some(job.creation_time)),
        moment(job.start_time),
        moment(job.end_time),
        json!(job.affinity.join(",")),
        json!(job.archived),
        json!(item.next_run.text()),
        json!(item.candidates),
        json!(notes),
        json!(owner),
        json!(job.tries),
        json!(why),
        json!(item.schedule.unwrap_or_default()),
    ]
}
