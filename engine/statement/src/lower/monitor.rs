//! BATCH_LIST, BATCH_DETAILS and JOBSTATUS.

use regex::{Regex, RegexBuilder};
use weft_lang::names::{JOB_TYPE, nearest};
use weft_lang::{BatchDetails, BatchList, JobFilter, Spanned};
use weft_model::{canonical_job_name, canonical_job_type};
use weft_node::NodeConfig;

use super::super::AffinityList;
use super::Refusal;
use super::values::{Edge, batch_id, literal, moment};
use crate::inspect::{BatchListQuery, EntityQuery, JobQuery, JobSelection, StatusFilter};

/// Ended batches that BATCH_LIST shows at most.
const ENDED_BATCHES: usize = 10_000;
/// Jobs that JOBSTATUS shows at most.
const JOBS: usize = 10_000;
/// What a compiled expression may take.
const REGEX_BYTES: usize = 1 << 20;

pub(super) fn batch_list(list: &BatchList) -> Result<BatchListQuery, Refusal> {
    let status = match &list.status {
        None => StatusFilter::Active,
        Some(status) if status.value.eq_ignore_ascii_case("ALL") => StatusFilter::All,
        Some(status) => {
            let known = status.value.parse();
            StatusFilter::Is(known.map_err(|_| {
                Refusal::usage(format!("`{}` is no status of a batch", status.value))
                    .at(status.span)
            })?)
        }
    };
    let from = list
        .from_date
        .as_ref()
        .map(|date| moment(date, Edge::First));
    let to = list.to_date.as_ref().map(|date| moment(date, Edge::Behind));
    let filter = list.filter.as_ref().map(|filter| regex(filter, ""));
    let query = BatchListQuery {
        status,
        from: from.transpose()?,
        to: to.transpose()?,
        filter: filter.transpose()?,
        before: None,
        limit: ENDED_BATCHES,
    };
    if let (Some(from), Some(to), Some(date)) = (query.from, query.to, &list.to_date)
        && to <= from
    {
        return Err(Refusal::usage("TO_DATE is before FROM_DATE").at(date.span));
    }
    Ok(query)
}

/// A regular expression, searched for; `before` stands in front of it.
pub(super) fn regex(text: &Spanned<String>, before: &str) -> Result<Regex, Refusal> {
    let pattern = format!("{before}{}", text.value);
    let compiled = RegexBuilder::new(&pattern).size_limit(REGEX_BYTES).build();
    compiled.map_err(|error| {
        let reason = match error {
            regex::Error::CompiledTooBig(_) => "it is too large".to_owned(),
            error => error
                .to_string()
                .lines()
                .last()
                .unwrap_or_default()
                .to_owned(),
        };
        Refusal::usage(format!("FILTER is no regular expression: {reason}")).at(text.span)
    })
}

pub(super) fn batch_details(
    details: &BatchDetails,
    config: &NodeConfig,
) -> Result<EntityQuery, Refusal> {
    let status = details.status.as_ref().map(|status| {
        status.value.parse().map_err(|_| {
            Refusal::usage(format!("`{}` is no status of an entity", status.value)).at(status.span)
        })
    });
    let entities = details.entities.as_ref().map(|list| {
        let ids = list.value.split(',').map(|id| id.trim().to_owned());
        ids.filter(|id| !id.is_empty()).collect()
    });
    let limit = match details.limit.as_ref().map(|limit| limit.value) {
        None => Some(config.batch_detail_max_rows),
        // -1 is all of them.
        Some(limit) => usize::try_from(limit).ok(),
    };
    let affinity = details.affinity.as_ref();
    Ok(EntityQuery {
        batch: batch_id(&details.batch_id)?,
        status: status.transpose()?,
        entities,
        affinity: affinity.map_or_else(Vec::new, |text| AffinityList::read(&text.value).members),
        limit,
        after: None,
        slowest: details
            .sort_by_process_time
            .as_ref()
            .is_some_and(|sort| sort.value),
    })
}

pub(super) fn job_status(filter: &JobFilter) -> Result<JobQuery, Refusal> {
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

/// What to say where there are no jobs of a type: nothing for a type that we know.
pub(crate) fn about_type(job_type: &str) -> Option<String> {
    if JOB_TYPE.canonical(job_type).is_some() {
        return None;
    }
    let meant = nearest(job_type, JOB_TYPE.names.iter().copied());
    let meant = meant.map_or_else(String::new, |name| format!("; did you mean {name}?"));
    Some(format!(
        "{job_type} is not one of the known job types{meant}"
    ))
}
