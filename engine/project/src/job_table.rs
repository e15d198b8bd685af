//! The field `jobs` of `lu.yaml`: jobs that a deployment starts if they do not exist.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use weft_lang::names::JOB_TYPE;
use weft_model::schedule::policy_draft::policy_options;
use weft_model::schedule::{JobPolicy, PolicyDraft, Schedule};

use super::fields::Fields;
use super::finding::{Findings, Spot, nearest};
use super::project_file::ProjectFile;
use super::yaml::{Entry, Yaml};

/// A job of a logical unit.
#[derive(Clone, Debug, PartialEq)]
pub struct ProjectJob {
    /// The uid: the key of its entry.
    pub uid: String,
    /// The stored job type.
    pub job_type: String,
    /// The stored name. Functions, flows and parsers have the prefix `LU.`.
    pub name: String,
    /// The value of ARGS.
    pub arguments: Map<String, Value>,
    /// The values of AFFINITY; empty = any node.
    pub affinity: Vec<String>,
    /// The value of EXEC_INTERVAL.
    pub exec_interval: Option<String>,
    /// The options of its policy.
    pub policy: PolicyDraft,
    /// Whether a deployment starts the job.
    pub is_active: bool,
}

/// Reads the jobs of a logical unit. Their names refer to its functions, flows and parsers.
pub(super) struct JobReader<'a> {
    pub(super) logical_unit: &'a str,
    pub(super) functions: &'a BTreeMap<String, ProjectFile>,
    pub(super) flows: &'a BTreeMap<String, ProjectFile>,
    pub(super) parsers: &'a BTreeMap<String, ProjectFile>,
    pub(super) findings: &'a Findings,
}

impl JobReader<'_> {
    /// Reads one entry of `jobs`.
    pub(super) fn read(&self, entry: &Entry, spot: Spot) -> Option<ProjectJob> {
        let mut fields = Fields::new(&entry.node, spot.clone(), self.findings);
        fields.text("description");
        let job_type = self.job_type(&mut fields);
        let name_spot = fields.spot("name");
        let name = fields.required("name");
        let arguments = self.arguments(&mut fields);
        let affinity = fields.texts("affinity");
        let affinity = affinity.iter().map(|(text, _)| (*text).to_owned());
        let affinity = affinity.collect();
        let draft = self.policy(&mut fields);
        let interval = self.interval(&mut fields, &draft);
        let is_active = self.is_active(&mut fields);
        fields.finish();
        let job_type = job_type?;
        Some(ProjectJob {
            uid: entry.key.clone(),
            job_type: job_type.to_owned(),
            name: self.name(job_type, name?, &name_spot)?,
            arguments,
            affinity,
            exec_interval: interval,
            policy: draft,
            is_active,
        })
    }

    fn job_type(&self, fields: &mut Fields<'_>) -> Option<&'static str> {
        let spot = fields.spot("type");
        let written = fields.required("type")?;
        let canonical = JOB_TYPE.canonical(written);
        if canonical.is_none() {
            let near = nearest(written, JOB_TYPE.names.iter().copied());
            let message = format!("`{written}` is not a job type");
            self.findings.add_near(&spot, message, near);
        }
        canonical
    }

    fn arguments(&self, fields: &mut Fields<'_>) -> Map<String, Value> {
        let spot = fields.spot("args");
        let Some(node) = fields.node("args") else {
            return Map::new();
        };
        match node.to_json() {
            Value::Object(map) => map,
            _ => {
                let message = format!("must be a map, not {}", node.value.kind());
                self.findings.add(&spot, message);
                Map::new()
            }
        }
    }

    fn is_active(&self, fields: &mut Fields<'_>) -> bool {
        let spot = fields.spot("active");
        match fields.text("active") {
            None | Some("true") => true,
            Some("false") => false,
            Some(other) => {
                let message = format!("must be true or false, not `{other}`");
                self.findings.add(&spot, message);
                true
            }
        }
    }

    /// The options of the policy, each as the field of its name in small letters.
    fn policy(&self, fields: &mut Fields<'_>) -> PolicyDraft {
        let mut draft = PolicyDraft::default();
        for option in policy_options() {
            let name = option.name.to_ascii_lowercase();
            let spot = fields.spot(&name);
            let Some(text) = fields.text(name) else {
                continue;
            };
            match option.read(text) {
                Ok(value) => draft = draft.with(option.name, Some(value)),
                Err(diagnostic) => self.findings.add(&spot, diagnostic.message),
            }
        }
        for error in draft.errors() {
            let spot = fields.spot(&error.option.to_ascii_lowercase());
            self.findings.add(&spot, error.message);
        }
        draft
    }

    fn interval(&self, fields: &mut Fields<'_>, draft: &PolicyDraft) -> Option<String> {
        let spot = fields.spot("exec_interval");
        let text = fields.text("exec_interval")?;
        let policy = draft.apply(JobPolicy::default()).unwrap_or_default();
        let zone = policy.zone().unwrap_or(chrono_tz::Tz::UTC);
        if let Err(error) = Schedule::parse(text, zone) {
            self.findings.add(&spot, error.to_string());
        }
        Some(text.to_owned())
    }

    /// The stored name of a job. Functions, flows and parsers belong to the logical unit, whose name is optional.
    fn name(&self, job_type: &str, written: &str, spot: &Spot) -> Option<String> {
        let (what, known) = match job_type {
            "USER_JOB" => ("function", self.functions),
            "BROADWAY_JOB" | "INTERFACE_LISTENER" => ("flow", self.flows),
            "PARSER" => ("parser", self.parsers),
            _ => return Some(written.to_owned()),
        };
        let own = format!("{}.", self.logical_unit);
        let short = written.strip_prefix(&own).unwrap_or(written);
        if known.contains_key(short) {
            return Some(format!("{own}{short}"));
        }
        let near = nearest(short, known.keys().map(String::as_str));
        self.findings
            .add_near(spot, format!("there is no {what} `{short}`"), near);
        None
    }
}

impl super::yaml::Node {
    /// Converts to JSON. An unquoted scalar that reads as a number or a boolean becomes one.
    pub fn to_json(&self) -> Value {
        match &self.value {
            Yaml::Null => Value::Null,
            Yaml::Text(text) if self.is_plain => {
                super::yaml::plain(text).unwrap_or_else(|| Value::from(text.as_str()))
            }
            Yaml::Text(text) => Value::from(text.as_str()),
            Yaml::List(items) => items.iter().map(Self::to_json).collect(),
            Yaml::Map(entries) => entries
                .iter()
                .map(|entry| (entry.key.clone(), entry.node.to_json()))
                .collect::<Map<_, _>>()
                .into(),
        }
    }
}
