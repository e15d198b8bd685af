//! What a listener listens to and how, as the arguments of its job say it.

use std::time::Duration;

use glob::Pattern;
use reqwest::Url;
use serde_json::{Map, Value};
use weft_model::Job;
use weft_node::job::Check;

use crate::arguments;

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
/// What the listener itself hands a flow, where the flow has such an input.
pub(super) const PATH: &str = "path";
pub(super) const NAME: &str = "name";
pub(super) const SIZE: &str = "size";
pub(super) const MODIFIED: &str = "modified";
pub(super) const IDEMPOTENCY_KEY: &str = "idempotency_key";
const OURS: [&str; 5] = [PATH, NAME, SIZE, MODIFIED, IDEMPOTENCY_KEY];

const DEFAULT_POLL: Duration = Duration::from_secs(5);
const MIN_POLL_SECONDS: f64 = 0.1;
const MAX_POLL_SECONDS: f64 = 86_400.0;

/// A listener as its job defines it.
#[derive(Debug)]
pub(super) struct Definition {
    pub(super) place: Place,
    /// Of the names that count.
    pub(super) pattern: Pattern,
    /// Between two looks.
    pub(super) poll: Duration,
    /// It ends by itself after a pass, and does not listen on.
    pub(super) mode: Mode,
    /// A file that has changed since it was handled is handled again.
    pub(super) handles_changed: bool,
    /// What every flow is given besides.
    pub(super) inputs: Map<String, Value>,
}

/// Where files appear.
#[derive(Debug)]
pub(super) enum Place {
    /// An absolute path.
    Folder(String),
    /// What answers with their names, and the arguments of the call.
    Listing { url: Url, call: Map<String, Value> },
}

/// When a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// When it is told to stop.
    Listening,
    /// After one pass, and the further tries at what failed in it.
    Once,
    /// After one pass; there will be another one.
    OnePassOfMany,
}

impl Definition {
    /// Reads the arguments of a job.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(super) fn of(job: &Job) -> Result<Self, Check> {
        let given = arguments::of(job)?;
        arguments::check_names("INTERFACE_LISTENER has no argument", &given, &ARGUMENTS)?;
        let comes_again = job.execution_interval.is_some() || !job.policy.after.is_empty();
        let once = flag(&given, "once")?;
        Ok(Self {
            place: place(&given)?,
            pattern: pattern(&given)?,
            poll: poll(&given)?,
            mode: match (comes_again, once) {
                (true, _) => Mode::OnePassOfMany,
                (false, true) => Mode::Once,
                (false, false) => Mode::Listening,
            },
            handles_changed: changed(&given)?,
            inputs: inputs(&given)?,
        })
    }
}

fn place(given: &Map<String, Value>) -> Result<Place, Check> {
    const HINT: &str = r#"write ARGS='{"path":"/folder"}' or ARGS='{"url":"http://host/listing"}'"#;
    match (given.get("path"), given.get("url")) {
        (Some(_), Some(_)) => Err(refused("`path` and `url` are both given".to_owned(), HINT)),
        (None, None) => Err(refused(
            "neither `path` nor `url` is given".to_owned(),
            HINT,
        )),
        (Some(path), None) => {
            if let Some(of_calls) = ["headers", "timeout_ms"]
                .into_iter()
                .find(|name| given.contains_key(*name))
            {
                let message =
                    format!("`{of_calls}` is an argument of calls, and a folder is not called");
                return Err(refused(message, "leave it out"));
            }
            match path.as_str() {
                Some(path) => Ok(Place::Folder(path.to_owned())),
                None => Err(wrong("path", "the absolute path of a folder")),
            }
        }
        (None, Some(url)) => {
            let parsed = url.as_str().and_then(|url| Url::parse(url).ok());
            let url = parsed
                .filter(|url| !url.cannot_be_a_base())
                .ok_or_else(|| wrong("url", "an address such as http://files.example.com/in"))?;
            let of_call = ["url", "headers", "timeout_ms"];
            let call = of_call.into_iter().filter_map(|name| {
                let value = given.get(name)?;
                Some((name.to_owned(), value.clone()))
            });
            let call = call.collect();
            Ok(Place::Listing { url, call })
        }
    }
}

fn pattern(given: &Map<String, Value>) -> Result<Pattern, Check> {
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
        refused(message, "write such as *.csv")
    })
}

fn poll(given: &Map<String, Value>) -> Result<Duration, Check> {
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

fn flag(given: &Map<String, Value>, name: &str) -> Result<bool, Check> {
    match given.get(name) {
        None => Ok(false),
        Some(Value::Bool(value)) => Ok(*value),
        Some(Value::String(text)) if text.eq_ignore_ascii_case("true") => Ok(true),
        Some(Value::String(text)) if text.eq_ignore_ascii_case("false") => Ok(false),
        Some(_) => Err(wrong(name, "true or false")),
    }
}

fn changed(given: &Map<String, Value>) -> Result<bool, Check> {
    match given.get("changed").map(Value::as_str) {
        None | Some(Some("ignore")) => Ok(false),
        Some(Some("handle")) => Ok(true),
        Some(_) => Err(wrong("changed", "ignore or handle")),
    }
}

fn inputs(given: &Map<String, Value>) -> Result<Map<String, Value>, Check> {
    let inputs = match given.get("inputs") {
        None => return Ok(Map::new()),
        Some(Value::Object(inputs)) => inputs,
        Some(_) => return Err(wrong("inputs", r#"an object such as {"colour":"red"}"#)),
    };
    match inputs.keys().find(|name| OURS.contains(&name.as_str())) {
        Some(ours) => Err(refused(
            format!("the input `{ours}` is given by the listener"),
            "leave it out of `inputs`",
        )),
        None => Ok(inputs.clone()),
    }
}

fn wrong(argument: &str, expected: &str) -> Check {
    Check {
        message: format!("the argument `{argument}` must be {expected}"),
        hint: None,
    }
}

pub(super) fn refused(message: String, hint: &str) -> Check {
    Check {
        message,
        hint: Some(hint.to_owned()),
    }
}
