//! A job as a statement or a call describes it: plain values, and every rule about them. A refusal names the option; the
//! caller knows its position.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use weft_lang::names::JOB_TYPE;
use weft_model::schedule::{JobPolicy, PolicyDraft, Schedule, ScheduleError, Timing};
use weft_model::{canonical_job_name, job_type};
use weft_node::job::JobKinds;

use super::arguments::check_arguments;
use super::start::StartJobRequest;
use super::{JobChange, JobTarget, Patch, UpdateJob};
use crate::affinity::AffinityList;
use crate::refusal::Refusal;

/// What a request says about a job.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobDraft {
    /// The type, in any spelling.
    pub job_type: String,
    /// NAME.
    pub name: String,
    /// UID.
    pub uid: Option<String>,
    /// AFFINITY: nodes, data centres and logical ids.
    pub affinity: Patch<Vec<String>>,
    /// ARGS.
    pub arguments: Patch<Map<String, Value>>,
    /// EXEC_INTERVAL.
    pub exec_interval: Patch<String>,
    /// RESET_END_TIME; only an update has it.
    pub reset_end_time: Option<bool>,
    /// The other options.
    pub policy: PolicyDraft,
}

impl JobDraft {
    /// Which jobs the draft is about.
    ///
    /// # Errors
    /// The type is unknown, or the name is empty.
    pub(super) fn target(&self) -> Result<JobTarget, Refusal> {
        let job_type = known_type(&self.job_type)?;
        if self.name.trim().is_empty() {
            return Err(Refusal::usage("the job's NAME is empty").about("NAME"));
        }
        let name = canonical_job_name(&job_type, &self.name).to_owned();
        Ok(JobTarget {
            job_type,
            name,
            uid: self.uid.clone(),
        })
    }

    /// The request to start the job.
    ///
    /// # Errors
    /// A value is impossible, or the node does not know the kind.
    pub(crate) fn start(&self, kinds: &JobKinds) -> Result<StartJobRequest, Refusal> {
        let target = self.target()?;
        check_runnable(&target.job_type, kinds)?;
        if target.uid.as_ref().is_some_and(String::is_empty) {
            return Err(Refusal::usage("the job's UID is empty").about("UID"));
        }
        let policy = self.policy.apply(JobPolicy::default())?;
        let execution_interval = match &self.exec_interval {
            Patch::Keep | Patch::Reset => None,
            Patch::Set(text) => interval(text, &policy)?,
        };
        Ok(StartJobRequest {
            target,
            affinity: self.affinity().unwrap_or_else(any_node),
            arguments: self.arguments()?.unwrap_or_default(),
            has_arguments: matches!(self.arguments, Patch::Set(_)),
            execution_interval,
            policy,
            is_repeatable: false,
        })
    }

    /// The request to update an existing job of this type; `scope` has the values of the session.
    ///
    /// # Errors
    /// A value is impossible, or nothing would change.
    pub(crate) fn update(
        &self,
        job_type: &str,
        scope: &BTreeMap<String, String>,
    ) -> Result<JobChange, Refusal> {
        if job_type == job_type::BATCH_PROCESS {
            return Err(Refusal::usage("the job of a batch cannot be changed")
                .about("TYPE")
                .hint("BATCH_CANCEL ends the batch; submit another one"));
        }
        if self.changes_nothing() {
            let refusal = Refusal::usage("no option says what to change");
            return Err(refusal.about("TYPE").hint(
                "AFFINITY, ARGS, EXEC_INTERVAL, RESET_END_TIME and the options of the schedule can be changed",
            ));
        }
        self.arguments()?;
        // Whether zone and schedule go together is known once the row is read.
        self.policy.apply(JobPolicy::default())?;
        if let Patch::Set(text) = &self.exec_interval {
            interval(text, &JobPolicy::default())?;
        }
        Ok(JobChange::Update(Box::new(UpdateJob {
            draft: self.clone(),
            scope: scope.clone(),
        })))
    }

    fn changes_nothing(&self) -> bool {
        self.affinity == Patch::Keep
            && self.arguments == Patch::Keep
            && self.exec_interval == Patch::Keep
            && self.reset_end_time.is_none()
            && self.policy == PolicyDraft::default()
    }

    /// The members of AFFINITY, where it is given.
    pub(super) fn affinity(&self) -> Option<Vec<String>> {
        let members: Vec<String> = match &self.affinity {
            Patch::Keep => return None,
            Patch::Reset => Vec::new(),
            Patch::Set(texts) => {
                let lists = texts.iter().map(|text| AffinityList::read(text).members);
                lists.flatten().collect()
            }
        };
        Some(if members.is_empty() {
            any_node()
        } else {
            members
        })
    }

    /// ARGS, where they are given.
    pub(super) fn arguments(&self) -> Result<Option<Map<String, Value>>, Refusal> {
        match &self.arguments {
            Patch::Keep => Ok(None),
            Patch::Reset => Ok(Some(Map::new())),
            Patch::Set(arguments) => {
                check_arguments(arguments)?;
                Ok(Some(arguments.clone()))
            }
        }
    }
}

/// The default AFFINITY (Fabric R23).
fn any_node() -> Vec<String> {
    vec![weft_node::affinity::ANY.to_owned()]
}

/// The type as the column has it.
///
/// # Errors
/// There is none of this name.
pub(super) fn known_type(written: &str) -> Result<String, Refusal> {
    let known = JOB_TYPE.canonical(written);
    known.map(str::to_owned).ok_or_else(|| {
        Refusal::usage(format!("`{written}` is not a type of job"))
            .about("TYPE")
            .near(written, JOB_TYPE.names.iter().copied())
    })
}

/// Refuses types that this node cannot run.
fn check_runnable(job_type: &str, kinds: &JobKinds) -> Result<(), Refusal> {
    if job_type == job_type::BATCH_PROCESS {
        return Err(Refusal::usage("the job of a batch is started by BATCH")
            .about("TYPE")
            .hint("BATCH <LU> FABRIC_COMMAND='…'; on a schedule: STARTJOB BATCH_SCHEDULE"));
    }
    if kinds.get(job_type).is_some() {
        return Ok(());
    }
    let names: Vec<&str> = kinds.names().collect();
    Err(Refusal::failed(format!(
        "jobs of type {job_type} are known but not available in this version"
    ))
    .about("TYPE")
    .hint(format!("this version runs {}", names.join(", "))))
}

/// EXEC_INTERVAL as typed, checked; none where it means once and now.
fn interval(text: &str, policy: &JobPolicy) -> Result<Option<String>, Refusal> {
    let refused = |error: ScheduleError| {
        Refusal::usage(error.to_string()).about("EXEC_INTERVAL").hint(
            "EXEC_INTERVAL is 'yyyy-MM-dd HH:mm:ss', '[D.]HH:MM:SS' or a cron expression of five, six or seven fields, \
             or several of these with `;` between them",
        )
    };
    let zone = policy.zone().map_err(refused)?;
    let schedule = Schedule::parse(text, zone).map_err(refused)?;
    Ok(match schedule.timing() {
        Timing::Once => None,
        Timing::At(_) | Timing::Every(_) | Timing::Cron(_) | Timing::Several(_) => {
            Some(text.trim().to_owned())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_names_a_job_and_its_nodes() {
        let draft = JobDraft {
            job_type: "batch_schedul".to_owned(),
            name: "n".to_owned(),
            ..JobDraft::default()
        };
        let refusal = draft.target().expect_err("no such type");
        assert_eq!(refusal.option(), Some("TYPE"));
        assert_eq!(refusal.advice(), Some("did you mean `BATCH_SCHEDULE`?"));
        let draft = JobDraft {
            job_type: "Batch_Schedule".to_owned(),
            affinity: Patch::Set(vec![
                "DC1, 'n1'".to_owned(),
                " n2 ".to_owned(),
                String::new(),
            ]),
            ..draft
        };
        assert_eq!(draft.target().unwrap().job_type, "BATCH_SCHEDULE");
        let expected = ["DC1", "n1", "n2"].map(str::to_owned).to_vec();
        assert_eq!(draft.affinity(), Some(expected));
        let nameless = JobDraft {
            name: " ".to_owned(),
            ..draft.clone()
        };
        let refusal = nameless.target().expect_err("no name");
        assert_eq!(refusal.option(), Some("NAME"));
        let refusal = draft.start(&JobKinds::default()).expect_err("no kinds");
        assert_eq!(refusal.option(), Some("TYPE"));
    }
}
