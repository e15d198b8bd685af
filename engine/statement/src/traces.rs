//! TRACE: what the node that runs the statement does with its jobs.

use serde_json::{Value, json};
use weft_lang::TraceScope;
use weft_model::Session;
use weft_node::trace::{NewTrace, Operation, TraceError, TraceStatus};

use super::output::Output;
use super::request::TraceRequest;
use super::{Permit, Refusal, Services};

const OPERATIONS: [&str; 4] = ["Operation", "Category", "Level", "Meaning"];
const STATUS: [&str; 9] = [
    "No",
    "Operation",
    "Scope",
    "Filter",
    "State",
    "Since",
    "Lines",
    "Dropped",
    "File",
];
const LINES: [&str; 4] = ["Time", "Event", "Job", "Details"];
/// Lines of a trace that are shown; its file has all.
const LINES_SHOWN: usize = 100;

/// Begins, shows and ends traces.
///
/// # Errors
/// There is no such trace, there are too many, or files cannot be used.
pub(super) async fn trace(
    services: &Services,
    session: &mut Session,
    permit: Permit<TraceRequest>,
    output: &Output,
) -> Result<(), Refusal> {
    let traces = &services.traces;
    match permit.request() {
        TraceRequest::Operations => {
            output.columns(&OPERATIONS).await;
            for operation in Operation::ALL {
                let shown = [
                    operation.name(),
                    Operation::CATEGORY,
                    operation.level(),
                    operation.meaning(),
                ];
                output.row(shown.map(Value::from).to_vec()).await;
            }
        }
        TraceRequest::Status(None) => {
            let listed = traces.list().await?;
            output.columns(&STATUS).await;
            for trace in listed {
                output.row(row(&trace)).await;
            }
        }
        TraceRequest::Status(Some(number)) => {
            let lines = traces.lines(*number, LINES_SHOWN).await?;
            output.columns(&LINES).await;
            for line in lines {
                let shown = [json!(line.time), json!(line.event)];
                let more = [json!(line.job), json!(line.details)];
                output.row(shown.into_iter().chain(more).collect()).await;
            }
        }
        TraceRequest::Begin {
            scope,
            operation,
            filter,
        } => {
            let name = || services.ids.uuid();
            let begun = traces.begin(NewTrace {
                operation: *operation,
                filter: filter.clone(),
                session: match scope {
                    TraceScope::Session => Some(*session.trace_session.get_or_insert_with(name)),
                    TraceScope::Global => None,
                },
                by: permit.principal().name.clone(),
            });
            let begun = begun.await?;
            output.columns(&STATUS).await;
            output.row(row(&begun)).await;
        }
        TraceRequest::Off(number) => {
            let ended = traces.turn_off(*number).await?;
            output.notice(turned_off(*number, &ended)).await;
        }
        TraceRequest::Remove(number) => {
            traces.remove(*number).await?;
            output.notice(format!("Removed trace {number}")).await;
        }
    }
    Ok(())
}

fn row(trace: &TraceStatus) -> Vec<Value> {
    vec![
        json!(trace.number),
        json!(trace.operation.name()),
        json!(trace.scope.map(TraceScope::as_str)),
        json!(trace.filter.to_string()),
        json!(trace.state.as_str()),
        json!(trace.since.map(|since| since.to_seconds_text())),
        json!(trace.lines),
        json!(trace.dropped),
        json!(trace.path.display().to_string()),
    ]
}

fn turned_off(asked: Option<u64>, ended: &[u64]) -> String {
    match (asked, ended) {
        (Some(number), []) => format!("Trace {number} was off already"),
        (None, []) => "No trace was on".to_owned(),
        (_, [number]) => format!("Trace {number} is off"),
        (_, several) => format!("Traces {} are off", joined(several)),
    }
}

/// `1, 2 and 3`
fn joined(numbers: &[u64]) -> String {
    let texts: Vec<String> = numbers.iter().map(u64::to_string).collect();
    match texts.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

impl From<TraceError> for Refusal {
    fn from(error: TraceError) -> Self {
        let message = error.to_string();
        match error {
            TraceError::NoSuchTrace { there, .. } => {
                Self::not_found(message).hint(match there.as_slice() {
                    [] => "there is none; TRACE OPS shows what can be traced".to_owned(),
                    [one] => format!("there is trace {one}"),
                    several => format!("there are traces {}", joined(several)),
                })
            }
            TraceError::TooMany => Self::conflict(message)
                .hint("TRACE REMOVE <n> removes one; TRACE STATUS shows them"),
            TraceError::NoFolder => Self::failed(message),
            TraceError::File { .. } | TraceError::Ended => Self::of_node(message),
        }
    }
}
