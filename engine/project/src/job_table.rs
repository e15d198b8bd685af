//! `jobs` in `lu.yaml`: the jobs that a logical unit brings along. A deployment starts those that are not there yet.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use weft_lang::names::JOB_TYPE;
use weft_model::schedule::{Schedule, Trigger, zone};

use super::fields::Fields;
use super::finding::{Findings, Spot, nearest};
use super::project_file::ProjectFile;
use super::yaml::{Entry, Yaml};

/// A job of a logical unit.
#[derive(Clone, Debug, PartialEq)]
pub struct ProjectJob {
    /// Its uid: the name it has in the table.
    pub uid: String,
    /// The type, as the column has it.
    pub job_type: String,
    /// The name, with the logical unit in front where the type has it so.
    pub name: String,
    /// ARGS.
    pub arguments: Map<String, Value>,
    /// AFFINITY; empty = any node.
    pub affinity: Vec<String>,
    /// EXEC_INTERVAL.
    pub exec_interval: Option<String>,
    /// TIME_ZONE.
    pub time_zone: Option<String>,
    /// AFTER.
    pub after: Option<String>,
    /// MAX_ATTEMPTS.
    pub max_attempts: Option<i64>,
    /// RETRY_DELAY_MS.
    pub retry_delay_ms: Option<i64>,
    /// TIMEOUT_MS.
    pub timeout_ms: Option<i64>,
    /// False: it is kept in the project and not started.
    pub is_active: bool,
}

/// What the names of jobs may be about.
pub(super) struct Surroundings<'a> {
    pub(super) logical_unit: &'a str,
    pub(super) functions: &'a BTreeMap<String, ProjectFile>,
    pub(super) flows: &'a BTreeMap<String, ProjectFile>,
    pub(super) parsers: &'a BTreeMap<String, ProjectFile>,
    pub(super) findings: &'a Findings,
}

impl Surroundings<'_> {
    /// Reads one entry of the table.
    pub(super) fn read(&self, entry: &Entry, spot: Spot) -> Option<ProjectJob> {
        let mut fields = Fields::new(&entry.node, spot.clone(), self.findings);
        fields.text("description");
        let type_spot = fields.spot("type");
        let written = fields.required("type");
        let job_type = written.and_then(|written| {
            let canonical = JOB_TYPE.canonical(written);
            if canonical.is_none() {
                let near = nearest(written, JOB_TYPE.names.iter().copied());
                let message = format!("`{written}` is no type of job");
                self.findings.add_near(&type_spot, message, near);
            }
            canonical
        });
        let name_spot = fields.spot("name");
        let name = fields.required("name");
        let arguments_spot = fields.spot("args");
        let arguments = match fields.node("args") {
            None => Map::new(),
            Some(node) => match node.to_json() {
                Value::Object(map) => map,
                _ => {
                    let message = format!("must be a map, not {}", node.value.kind());
                    self.findings.add(&arguments_spot, message);
                    Map::new()
                }
            },
        };
        let affinity = fields.texts("affinity");
        let affinity = affinity.iter().map(|(text, _)| (*text).to_owned());
        let affinity = affinity.collect();
        let mut number = |field| fields.number(field, 1, 1_000_000_000_000);
        let max_attempts = number("max_attempts");
        let retry_delay_ms = number("retry_delay_ms");
        let timeout_ms = number("timeout_ms");
        let signed = |number: Option<u64>| number.and_then(|number| i64::try_from(number).ok());
        let (interval, time_zone) = self.schedule(&mut fields);
        let after_spot = fields.spot("after");
        let after = fields.text("after").map(str::to_owned);
        if let Some(Err(error)) = after.as_deref().map(Trigger::parse_all) {
            self.findings.add(&after_spot, error.to_string());
        }
        let active_spot = fields.spot("active");
        let is_active = match fields.text("active") {
            None | Some("true") => true,
            Some("false") => false,
            Some(other) => {
                let message = format!("must be true or false, not `{other}`");
                self.findings.add(&active_spot, message);
                true
            }
        };
        fields.finish();
        let job_type = job_type?;
        Some(ProjectJob {
            uid: entry.key.clone(),
            job_type: job_type.to_owned(),
            name: self.name(job_type, name?, &name_spot)?,
            arguments,
            affinity,
            exec_interval: interval,
            time_zone,
            after,
            max_attempts: signed(max_attempts),
            retry_delay_ms: signed(retry_delay_ms),
            timeout_ms: signed(timeout_ms),
            is_active,
        })
    }

    fn schedule(&self, fields: &mut Fields<'_>) -> (Option<String>, Option<String>) {
        let (interval_spot, zone_spot) = (fields.spot("exec_interval"), fields.spot("time_zone"));
        let interval = fields.text("exec_interval").map(str::to_owned);
        let time_zone = fields.text("time_zone").map(str::to_owned);
        let read = time_zone.as_deref().map_or(Ok(chrono_tz::Tz::UTC), zone);
        match (read, &interval) {
            (Err(error), _) => self.findings.add(&zone_spot, error.to_string()),
            (Ok(zone), Some(text)) => {
                if let Err(error) = Schedule::parse(text, zone) {
                    self.findings.add(&interval_spot, error.to_string());
                }
            }
            (Ok(_), None) => (),
        }
        (interval, time_zone)
    }

    /// Functions, flows and parsers are those of the logical unit, whose name need not be said again.
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
    /// As JSON: what stands without quotes and reads as a number or a truth value is one.
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
