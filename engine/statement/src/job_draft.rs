//! What is asked of a job, by a statement or by a call: plain values, and every rule about them. A refusal names the
//! option; whoever asked knows where that stands.

use std::collections::BTreeMap;

use chrono::DateTime;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use weft_lang::CommandSpec;
use weft_lang::names::JOB_TYPE;
use weft_model::canonical_job_name;
use weft_model::clock::Timestamp;
use weft_model::job_type;
use weft_model::schedule::policy::{Misfire, Overlap};
use weft_model::schedule::{JobPolicy, Schedule, Timing, Trigger};
use weft_node::job::JobKinds;

use super::AffinityList;
use super::request::{JobTarget, StartJobRequest, UpdateJob};
use super::secret::is_secret;
use super::{JobChange, Refusal};

/// What stands before the name of an environment variable in ARGS, where the value itself is a secret.
const BY_REFERENCE: &str = "env:";
const ARGUMENT_BYTES: usize = 64 * 1_024;

/// What is said of one option.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Ask<T> {
    /// Nothing: it stays as it is, or as it is by itself.
    #[default]
    Stays,
    /// It is put back to what it is by itself.
    Default,
    /// It is this.
    Is(T),
}

/// What is asked of a job.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobDraft {
    /// The type, in any spelling.
    pub job_type: String,
    /// NAME.
    pub name: String,
    /// UID.
    pub uid: Option<String>,
    /// AFFINITY: nodes, data centres and logical ids.
    pub affinity: Ask<Vec<String>>,
    /// ARGS.
    pub arguments: Ask<Map<String, Value>>,
    /// EXEC_INTERVAL.
    pub exec_interval: Ask<String>,
    /// RESET_END_TIME, which only an update has.
    pub reset_end_time: Option<bool>,
    /// The other options.
    pub policy: PolicyDraft,
}

/// What is asked of a job's policy; each field is the option of its name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PolicyDraft {
    /// A moment in the job's time zone, or one of RFC 3339; empty takes the bound away.
    pub start_at: Ask<String>,
    /// The same.
    pub end_at: Ask<String>,
    /// The zone of moments and of the schedule; empty is UTC.
    pub time_zone: Ask<String>,
    /// `ONCE`, `SKIP`, `ALL` or `ALL:` and a number.
    pub misfire: Ask<String>,
    /// `SKIP`, `QUEUE` or `ALLOW`.
    pub overlap: Ask<String>,
    /// From 1 up.
    pub max_runs: Ask<i64>,
    /// From 0 up.
    pub jitter_ms: Ask<i64>,
    /// From 1 up, or -1.
    pub max_attempts: Ask<i64>,
    /// From 0 up.
    pub retry_delay_ms: Ask<i64>,
    /// From 1 up.
    pub retry_factor: Ask<f64>,
    /// From 0 up.
    pub retry_max_delay_ms: Ask<i64>,
    /// From 1 up.
    pub timeout_ms: Ask<i64>,
    /// Whether other nodes may run it while none of the affinity lives.
    pub relocate: Ask<bool>,
    /// Whether the schedule stands still.
    pub paused: Ask<bool>,
    /// Triggers, separated by `;`; empty takes them away.
    pub after: Ask<String>,
}

impl<T> From<Option<T>> for Ask<T> {
    fn from(given: Option<T>) -> Self {
        given.map_or(Self::Stays, Self::Is)
    }
}

/// In JSON what is left out stays, and null is the default; fields need `#[serde(default)]`.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for Ask<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let given = Option::deserialize(deserializer)?;
        Ok(given.map_or(Self::Default, Self::Is))
    }
}

impl<T> Ask<T> {
    fn apply<U>(
        &self,
        to: &mut U,
        usual: U,
        read: impl FnOnce(&T) -> Result<U, Refusal>,
    ) -> Result<(), Refusal> {
        match self {
            Self::Stays => (),
            Self::Default => *to = usual,
            Self::Is(value) => *to = read(value)?,
        }
        Ok(())
    }
}

impl JobDraft {
    /// Which jobs it is about.
    ///
    /// # Errors
    /// The type is unknown, or the name is empty.
    pub fn target(&self) -> Result<JobTarget, Refusal> {
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

    /// The request to start it.
    ///
    /// # Errors
    /// What cannot be, or is of a kind that the node does not know.
    pub fn start(&self, kinds: &JobKinds) -> Result<StartJobRequest, Refusal> {
        let target = self.target()?;
        runnable(&target.job_type, kinds)?;
        if target.uid.as_ref().is_some_and(String::is_empty) {
            return Err(Refusal::usage("the job's UID is empty").about("UID"));
        }
        let policy = self.policy.apply(JobPolicy::default())?;
        let execution_interval = match &self.exec_interval {
            Ask::Stays | Ask::Default => None,
            Ask::Is(text) => interval(text, &policy)?,
        };
        Ok(StartJobRequest {
            target,
            affinity: self.affinity().unwrap_or_else(any),
            arguments: self.arguments()?.unwrap_or_default(),
            has_arguments: matches!(self.arguments, Ask::Is(_)),
            execution_interval,
            policy,
            is_repeatable: false,
        })
    }

    /// What becomes of a job of this type that is there; `scope` is what the session has set.
    ///
    /// # Errors
    /// What cannot be.
    pub fn update(
        &self,
        job_type: &str,
        scope: &BTreeMap<String, String>,
    ) -> Result<JobChange, Refusal> {
        if job_type == job_type::BATCH_PROCESS {
            return Err(Refusal::usage("the job of a batch cannot be changed")
                .about("TYPE")
                .hint("BATCH_CANCEL ends the batch; submit another one"));
        }
        if self.asks_nothing() {
            let refusal = Refusal::usage("nothing is said about what shall be another");
            return Err(refusal.about("TYPE").hint(
                "AFFINITY, ARGS, EXEC_INTERVAL, RESET_END_TIME and the options of the schedule can be changed",
            ));
        }
        let arguments = self.arguments()?;
        // Whether zone and schedule go together is known once the row is read.
        self.policy.apply(JobPolicy::default())?;
        let execution_interval = match &self.exec_interval {
            Ask::Stays => None,
            Ask::Default => Some(String::new()),
            Ask::Is(text) => {
                interval(text, &JobPolicy::default())?;
                Some(text.clone())
            }
        };
        Ok(JobChange::Update(Box::new(UpdateJob {
            affinity: self.affinity(),
            arguments,
            execution_interval,
            reset_end_time: self.reset_end_time,
            policy: self.policy.clone(),
            session: scope.clone(),
        })))
    }

    fn asks_nothing(&self) -> bool {
        self.affinity == Ask::Stays
            && self.arguments == Ask::Stays
            && self.exec_interval == Ask::Stays
            && self.reset_end_time.is_none()
            && self.policy == PolicyDraft::default()
    }

    fn affinity(&self) -> Option<Vec<String>> {
        let members: Vec<String> = match &self.affinity {
            Ask::Stays => return None,
            Ask::Default => Vec::new(),
            Ask::Is(texts) => {
                let lists = texts.iter().map(|text| AffinityList::read(text).members);
                lists.flatten().collect()
            }
        };
        Some(if members.is_empty() { any() } else { members })
    }

    fn arguments(&self) -> Result<Option<Map<String, Value>>, Refusal> {
        match &self.arguments {
            Ask::Stays => Ok(None),
            Ask::Default => Ok(Some(Map::new())),
            Ask::Is(arguments) => {
                check_arguments(arguments)?;
                Ok(Some(arguments.clone()))
            }
        }
    }
}

/// Fabric R23.
fn any() -> Vec<String> {
    vec![weft_node::affinity::ANY.to_owned()]
}

/// The type as the column has it.
///
/// # Errors
/// There is none of this name.
pub(super) fn known_type(written: &str) -> Result<String, Refusal> {
    let known = JOB_TYPE.canonical(written);
    known.map(str::to_owned).ok_or_else(|| {
        Refusal::usage(format!("`{written}` is not a job type"))
            .about("TYPE")
            .near(written, JOB_TYPE.names.iter().copied())
    })
}

/// The kinds that this node knows how to run.
fn runnable(job_type: &str, kinds: &JobKinds) -> Result<(), Refusal> {
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

fn check_arguments(arguments: &Map<String, Value>) -> Result<(), Refusal> {
    let refused = |message: String| Refusal::usage(message).about("ARGS");
    // Only maps with other keys than texts cannot be written, and these have none.
    let bytes = serde_json::to_string(arguments).map_or(0, |text| text.len());
    if bytes > ARGUMENT_BYTES {
        return Err(refused(format!("ARGS has at most {ARGUMENT_BYTES} bytes")));
    }
    let in_plain = arguments.iter().find(|(name, value)| {
        let by_reference = value
            .as_str()
            .is_some_and(|text| text.starts_with(BY_REFERENCE) || text.is_empty());
        is_secret(name) && !by_reference
    });
    match in_plain {
        None => Ok(()),
        Some((name, _)) => Err(refused(format!(
            "`{name}` in ARGS would be stored in plain text for everybody to read"
        ))
        .hint(format!(
            "write \"{name}\":\"{BY_REFERENCE}NAME\" and set the variable NAME where the nodes run"
        ))),
    }
}

/// EXEC_INTERVAL as typed, once it is known to be a schedule.
fn interval(text: &str, policy: &JobPolicy) -> Result<Option<String>, Refusal> {
    let refused = |error: weft_model::schedule::ScheduleError| {
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

impl PolicyDraft {
    /// The policy with what is asked of it.
    ///
    /// # Errors
    /// It cannot be, or does not go together.
    pub fn apply(&self, before: JobPolicy) -> Result<JobPolicy, Refusal> {
        let usual = JobPolicy::default();
        let mut policy = before;
        self.time_zone
            .apply(&mut policy.time_zone, usual.time_zone.clone(), |zone| {
                let zone = zone.trim();
                Ok((!zone.is_empty()).then(|| zone.to_owned()))
            })?;
        if self.time_zone != Ask::Stays {
            let zone = policy.zone();
            zone.map_err(|error| Refusal::usage(error.to_string()).about("TIME_ZONE"))?;
        }
        let zoned = policy.clone();
        self.start_at
            .apply(&mut policy.start_at, usual.start_at, |text| {
                bound(text, &zoned).map_err(|refusal| refusal.about("START_AT"))
            })?;
        self.end_at
            .apply(&mut policy.end_at, usual.end_at, |text| {
                bound(text, &zoned).map_err(|refusal| refusal.about("END_AT"))
            })?;
        self.check_bounds(&policy)?;
        self.misfire
            .apply(&mut policy.misfire, usual.misfire, |word| {
                let read: Result<Misfire, _> = word.parse();
                read.map_err(|error| Refusal::usage(error.to_string()).about("MISFIRE"))
            })?;
        self.overlap
            .apply(&mut policy.overlap, usual.overlap, |word| {
                let read: Result<Overlap, _> = word.parse();
                read.map_err(|error| Refusal::usage(error.to_string()).about("OVERLAP"))
            })?;
        self.retry_factor
            .apply(&mut policy.retry_factor, usual.retry_factor, |factor| {
                let is_factor = factor.is_finite() && *factor >= 1.0;
                is_factor.then_some(*factor).ok_or_else(|| {
                    Refusal::usage("RETRY_FACTOR is a number of at least 1").about("RETRY_FACTOR")
                })
            })?;
        self.apply_numbers(&mut policy, &usual)?;
        self.relocate
            .apply(&mut policy.relocate, usual.relocate, |yes| Ok(*yes))?;
        self.paused
            .apply(&mut policy.paused, usual.paused, |yes| Ok(*yes))?;
        self.after.apply(&mut policy.after, usual.after, |text| {
            Trigger::parse_all(text).map_err(|error| {
                Refusal::usage(error.to_string()).about("AFTER").hint(
                    "AFTER is `<type> <name> [<uid>] SUCCEEDED|FAILED|ENDED [AND …] [+HH:MM:SS] [OFF]`, more than one separated by `;`",
                )
            })
        })?;
        Ok(policy)
    }

    fn apply_numbers(&self, policy: &mut JobPolicy, usual: &JobPolicy) -> Result<(), Refusal> {
        for (ask, option, to, usual) in [
            (
                &self.jitter_ms,
                "JITTER_MS",
                &mut policy.jitter_ms,
                usual.jitter_ms,
            ),
            (
                &self.retry_delay_ms,
                "RETRY_DELAY_MS",
                &mut policy.retry_delay_ms,
                usual.retry_delay_ms,
            ),
            (
                &self.retry_max_delay_ms,
                "RETRY_MAX_DELAY_MS",
                &mut policy.retry_max_delay_ms,
                usual.retry_max_delay_ms,
            ),
        ] {
            ask.apply(to, usual, |value| number(option, *value))?;
        }
        for (ask, option, to, usual) in [
            (
                &self.max_runs,
                "MAX_RUNS",
                &mut policy.max_runs,
                usual.max_runs,
            ),
            (
                &self.timeout_ms,
                "TIMEOUT_MS",
                &mut policy.timeout_ms,
                usual.timeout_ms,
            ),
        ] {
            ask.apply(to, usual, |value| number(option, *value).map(Some))?;
        }
        self.max_attempts
            .apply(&mut policy.max_attempts, usual.max_attempts, |value| {
                let value = number("MAX_ATTEMPTS", *value)?;
                Ok(i32::try_from(value).unwrap_or(i32::MAX))
            })
    }

    fn check_bounds(&self, policy: &JobPolicy) -> Result<(), Refusal> {
        let option = match (&self.start_at, &self.end_at) {
            (Ask::Stays, Ask::Stays) => return Ok(()),
            (_, Ask::Stays) => "START_AT",
            (_, Ask::Default | Ask::Is(_)) => "END_AT",
        };
        match (policy.start_at, policy.end_at) {
            (Some(start), Some(end)) if end <= start => {
                Err(Refusal::usage("END_AT is not behind START_AT").about(option))
            }
            _ => Ok(()),
        }
    }
}

/// A number that the option takes, as the table of the language has it.
fn number(option: &'static str, number: i64) -> Result<i64, Refusal> {
    let command = CommandSpec::find("STARTJOB").expect("the language has STARTJOB");
    let spec = command.option(option);
    let takes = spec.expect("STARTJOB has every option of a policy").takes;
    if takes.admits(number) {
        return Ok(number);
    }
    Err(Refusal::usage(format!("{option} takes {}", takes.in_words())).about(option))
}

/// A moment in the job's time zone; an empty text takes the bound away.
fn bound(text: &str, policy: &JobPolicy) -> Result<Option<Timestamp>, Refusal> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let refused = || {
        Refusal::usage(format!("`{text}` is not a moment"))
            .hint("write '2027-08-12 12:20:07', or '2027-08-12T12:20:07Z'")
    };
    if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
        let moment = Timestamp(moment.timestamp_millis());
        return (moment.0 >= 0).then_some(Some(moment)).ok_or_else(refused);
    }
    let zone = policy.zone().map_err(|_| refused())?;
    let schedule = Schedule::parse(text, zone).map_err(|_| refused())?;
    match schedule.timing() {
        Timing::At(moment) => Ok(Some(*moment)),
        Timing::Once | Timing::Every(_) | Timing::Cron(_) | Timing::Several(_) => Err(refused()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Form {
        #[serde(default)]
        number: Ask<i64>,
    }

    fn refused(policy: PolicyDraft) -> (Option<&'static str>, String) {
        let refusal = policy.apply(JobPolicy::default()).expect_err("refused");
        (refusal.option(), refusal.message().to_owned())
    }

    #[test]
    fn what_is_left_out_stays_and_null_is_the_default() {
        let read = |text: &str| serde_json::from_str::<Form>(text).unwrap().number;
        assert_eq!(read("{}"), Ask::Stays);
        assert_eq!(read(r#"{"number":null}"#), Ask::Default);
        assert_eq!(read(r#"{"number":3}"#), Ask::Is(3));
        let before = JobPolicy {
            max_runs: Some(3),
            jitter_ms: 7,
            time_zone: Some("Europe/Berlin".to_owned()),
            ..JobPolicy::default()
        };
        let draft = PolicyDraft {
            max_runs: Ask::Default,
            time_zone: Ask::Default,
            max_attempts: Ask::Is(-1),
            ..PolicyDraft::default()
        };
        let after = draft.apply(before).unwrap();
        let expected = JobPolicy {
            jitter_ms: 7,
            max_attempts: -1,
            ..JobPolicy::default()
        };
        assert_eq!(after, expected);
    }

    #[test]
    fn numbers_have_the_ranges_of_the_language() {
        let check = |policy: PolicyDraft, option: &'static str, what: &str| {
            let expected = (Some(option), format!("{option} takes {what}"));
            assert_eq!(refused(policy), expected);
        };
        let usual = PolicyDraft::default;
        let max_runs = Ask::Is(0);
        let policy = PolicyDraft {
            max_runs,
            ..usual()
        };
        check(policy, "MAX_RUNS", "a whole number from 1 up");
        let policy = PolicyDraft {
            jitter_ms: Ask::Is(-1),
            ..usual()
        };
        check(policy, "JITTER_MS", "a whole number from 0 up");
        let policy = PolicyDraft {
            max_attempts: Ask::Is(0),
            ..usual()
        };
        check(
            policy,
            "MAX_ATTEMPTS",
            "-1 or a whole number from 1 to 1000",
        );
        let policy = PolicyDraft {
            timeout_ms: Ask::Is(0),
            ..usual()
        };
        check(policy, "TIMEOUT_MS", "a whole number from 1 up");
        for factor in [0.9, f64::NAN, f64::INFINITY] {
            let policy = PolicyDraft {
                retry_factor: Ask::Is(factor),
                ..usual()
            };
            assert_eq!(refused(policy).0, Some("RETRY_FACTOR"));
        }
    }

    #[test]
    fn bounds_are_moments_of_the_zone_or_of_rfc_3339_and_in_order() {
        let draft = |start: &str, end: &str| PolicyDraft {
            start_at: Ask::Is(start.to_owned()),
            end_at: Ask::Is(end.to_owned()),
            time_zone: Ask::Is("Europe/Berlin".to_owned()),
            ..PolicyDraft::default()
        };
        let policy = draft("2027-08-12 12:20:07", "2027-08-12T10:20:08.000Z");
        let policy = policy.apply(JobPolicy::default()).unwrap();
        let (start, end) = (policy.start_at.unwrap(), policy.end_at.unwrap());
        assert_eq!(end.millis_since(start), 1_000);
        let (option, message) = refused(draft("2027-08-12 12:20:07", "2027-08-12 12:20:07"));
        assert_eq!(
            (option, message.as_str()),
            (Some("END_AT"), "END_AT is not behind START_AT")
        );
        assert_eq!(refused(draft("tomorrow", "")).0, Some("START_AT"));
        assert_eq!(refused(draft("", "1907-01-01T00:00:00Z")).0, Some("END_AT"));
        let policy = draft("", " ").apply(policy).unwrap();
        assert_eq!((policy.start_at, policy.end_at), (None, None));
    }

    #[test]
    fn secrets_and_too_much_are_no_arguments() {
        let check = |arguments: Value, expected: Option<&'static str>| {
            let Value::Object(arguments) = arguments else {
                panic!("an object")
            };
            let refusal = check_arguments(&arguments).err();
            assert_eq!(refusal.and_then(|refusal| refusal.option()), expected);
        };
        check(json!({ "a": [1, { "b": 2 }] }), None);
        check(json!({ "password": "env:DB" }), None);
        check(json!({ "password": "hunter2" }), Some("ARGS"));
        check(json!({ "password": 2 }), Some("ARGS"));
        check(json!({ "a": "x".repeat(64 * 1_024) }), Some("ARGS"));
    }

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
            affinity: Ask::Is(vec![
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
