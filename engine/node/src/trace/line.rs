//! The lines of a trace file.

use serde_json::{Value, json};
use weft_lang::TraceScope;
use weft_model::JobKey;
use weft_model::clock::Timestamp;

use super::{Trace, TracedOperation};

/// The most characters of a type, name or uid in an event: queued events have a bounded size.
const NAME_CHARACTERS: usize = 500;

/// A line of a trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceLine {
    /// The time, as in the file.
    pub time: String,
    /// The event.
    pub event: String,
    /// Type, name and uid of the job; `None` if the line is about the trace itself.
    pub job: Option<String>,
    /// The other fields, each as `name=value`.
    pub details: String,
}

impl TraceLine {
    pub(super) fn from_json(line: &Value) -> Self {
        let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        let key = ["type", "name", "uid"].map(text);
        let fields = line["fields"].as_object();
        let field = |(name, value): (&String, &Value)| match value {
            Value::Null => None,
            Value::String(value) => Some(format!("{name}={value}")),
            value => Some(format!("{name}={value}")),
        };
        let fields: Vec<String> = fields.into_iter().flatten().filter_map(field).collect();
        Self {
            time: text("time"),
            event: text("event"),
            job: line["type"].is_string().then(|| key.join(" ")),
            details: fields.join(", "),
        }
    }
}

/// An event of a job.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) time: Timestamp,
    operation: TracedOperation,
    event: &'static str,
    key: JobKey,
    fields: Value,
}

impl Event {
    pub(super) fn new(
        time: Timestamp,
        operation: TracedOperation,
        event: &'static str,
        key: &JobKey,
        fields: Value,
    ) -> Self {
        let cut = |text: &str| text.chars().take(NAME_CHARACTERS).collect();
        let key = JobKey {
            job_type: cut(&key.job_type),
            name: cut(&key.name),
            uid: cut(&key.uid),
        };
        Self {
            time,
            operation,
            event,
            key,
            fields,
        }
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "time": self.time.to_rfc3339(),
            "operation": self.operation.name(),
            "event": self.event,
            "type": self.key.job_type,
            "name": self.key.name,
            "uid": self.key.uid,
            "fields": self.fields,
        })
    }
}

/// The first line of the file of `trace`, which `by` asked for.
pub(super) fn first_line(trace: &Trace, by: &str, now: Timestamp) -> Value {
    let fields = json!({
        "scope": trace.scope.map(TraceScope::as_str),
        "filter": trace.filter.to_string(),
        "by": by,
    });
    own_line(trace, "begun", fields, now)
}

/// The last line of a file that is full.
pub(super) fn full_line(trace: &Trace, now: Timestamp) -> Value {
    let fields = json!({"note": "nothing more is written"});
    own_line(trace, "full", fields, now)
}

fn own_line(trace: &Trace, event: &str, fields: Value, now: Timestamp) -> Value {
    json!({
        "time": now.to_rfc3339(),
        "operation": trace.operation.name(),
        "event": event,
        "fields": fields,
    })
}
