//! The arguments of a listener.

use std::time::Duration;

use glob::Pattern;
use reqwest::Url;
use serde_json::{Map, Value};
use weft_model::Job;
use weft_node::job::DefinitionError;

use crate::arguments::{self, flag, refused, wrong};

const ARGUMENTS: [&str; 9] = [
    "path",
    "url",
    "pattern",
    "poll_seconds",
    "once",
    "changed",
    "inputs",
    "headers",
    "timeout_ms",
];
// The inputs that the listener itself gives a flow, if the flow declares them.
pub(super) const PATH: &str = "path";
pub(super) const NAME: &str = "name";
pub(super) const SIZE: &str = "size";
pub(super) const MODIFIED: &str = "modified";
pub(super) const IDEMPOTENCY_KEY: &str = "idempotency_key";
const RESERVED: [&str; 5] = [PATH, NAME, SIZE, MODIFIED, IDEMPOTENCY_KEY];

const DEFAULT_POLL: Duration = Duration::from_secs(5);
const MIN_POLL_SECONDS: f64 = 0.1;
const MAX_POLL_SECONDS: f64 = 86_400.0;

/// The definition of a listener.
#[derive(Debug)]
pub(super) struct Definition {
    pub(super) location: Location,
    /// Matches the names of files.
    pub(super) pattern: Pattern,
    /// The pause between two scans.
    pub(super) poll_interval: Duration,
    pub(super) mode: Mode,
    /// Files that change after they were handled are handled again.
    pub(super) handles_changed: bool,
    /// Further inputs of the flow.
    pub(super) inputs: Map<String, Value>,
}

/// The location where files appear.
#[derive(Debug)]
pub(super) enum Location {
    /// The absolute path of a folder.
    Folder(String),
    /// A URL that lists names of files, and the arguments of the HTTP call.
    Listing { url: Url, call: Map<String, Value> },
}

/// Decides when a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// When a stop is requested.
    Listening,
    /// After one pass, and the further tries at files that failed.
    Once,
    /// After one pass. The job runs again, and its next run makes the further tries.
    OnePassOfMany,
}

impl Definition {
    /// Reads the arguments of a job.
    ///
    /// # Errors
    /// An argument is unknown or wrong.
    pub(super) fn read(job: &Job) -> Result<Self, DefinitionError> {
        let given = arguments::read(job)?;
        arguments::check_names("INTERFACE_LISTENER has no argument", &given, &ARGUMENTS)?;
        let runs_again = job.execution_interval.is_some() || !job.policy.after.is_empty();
        let once = flag(&given, "once")?;
        Ok(Self {
            location: location(&given)?,
            pattern: pattern(&given)?,
            poll_interval: poll_interval(&given)?,
            mode: match (runs_again, once) {
                (true, _) => Mode::OnePassOfMany,
                (false, true) => Mode::Once,
                (false, false) => Mode::Listening,
            },
            handles_changed: changed(&given)?,
            inputs: inputs(&given)?,
        })
    }
}

fn location(given: &Map<String, Value>) -> Result<Location, DefinitionError> {
    const HINT: &str = r#"write ARGS='{"path":"/folder"}' or ARGS='{"url":"http://host/listing"}'"#;
    match (given.get("path"), given.get("url")) {
        (Some(_), Some(_)) => Err(refused("`path` and `url` are both given", HINT)),
        (None, None) => Err(refused("neither `path` nor `url` is given", HINT)),
        (Some(path), None) => {
            let for_url = ["headers", "timeout_ms"];
            if let Some(name) = for_url.into_iter().find(|name| given.contains_key(*name)) {
                let message = format!("`{name}` is for a `url`, and `path` is given");
                return Err(refused(message, "leave it out"));
            }
            match path.as_str() {
                Some(path) => Ok(Location::Folder(path.to_owned())),
                None => Err(wrong("path", "the absolute path of a folder")),
            }
        }
        (None, Some(url)) => {
            let parsed = url.as_str().and_then(|url| Url::parse(url).ok());
            let url = parsed
                .filter(|url| !url.cannot_be_a_base())
                .ok_or_else(|| wrong("url", "an address such as http://files.example.com/in"))?;
            let call_arguments = ["url", "headers", "timeout_ms"];
            let call = call_arguments.into_iter().filter_map(|name| {
                let value = given.get(name)?;
                Some((name.to_owned(), value.clone()))
            });
            let call = call.collect();
            Ok(Location::Listing { url, call })
        }
    }
}

fn pattern(given: &Map<String, Value>) -> Result<Pattern, DefinitionError> {
    let written = match given.get("pattern") {
        None => "*",
        Some(Value::String(text)) if !text.is_empty() && !text.contains('/') => text,
        Some(_) => {
            return Err(wrong(
                "pattern",
                "a pattern of names such as *.csv, without `/`",
            ));
        }
    };
    Pattern::new(written).map_err(|error| {
        let message = format!("the argument `pattern`, `{written}`, cannot be read: {error}");
        refused(message, "write a pattern such as *.csv")
    })
}

fn poll_interval(given: &Map<String, Value>) -> Result<Duration, DefinitionError> {
    let seconds = match given.get("poll_seconds") {
        None => return Ok(DEFAULT_POLL),
        Some(Value::String(text)) => text.parse().ok(),
        Some(value) => value.as_f64(),
    };
    let allowed = seconds.filter(|seconds| (MIN_POLL_SECONDS..=MAX_POLL_SECONDS).contains(seconds));
    allowed.map(Duration::from_secs_f64).ok_or_else(|| {
        let expected = format!("seconds from {MIN_POLL_SECONDS} to {MAX_POLL_SECONDS}");
        wrong("poll_seconds", &expected)
    })
}

fn changed(given: &Map<String, Value>) -> Result<bool, DefinitionError> {
    match given.get("changed").map(Value::as_str) {
        None | Some(Some("ignore")) => Ok(false),
        Some(Some("handle")) => Ok(true),
        Some(_) => Err(wrong("changed", "ignore or handle")),
    }
}

fn inputs(given: &Map<String, Value>) -> Result<Map<String, Value>, DefinitionError> {
    let inputs = match given.get("inputs") {
        None => return Ok(Map::new()),
        Some(Value::Object(inputs)) => inputs,
        Some(_) => return Err(wrong("inputs", r#"an object such as {"colour":"red"}"#)),
    };
    match inputs.keys().find(|name| RESERVED.contains(&name.as_str())) {
        Some(name) => Err(refused(
            format!("the input `{name}` is given by the listener"),
            "leave it out of `inputs`",
        )),
        None => Ok(inputs.clone()),
    }
}
