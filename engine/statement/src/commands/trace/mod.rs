//! TRACE: what this node does with its jobs.

mod typed;

use serde_json::{Value, json};
use weft_lang::TraceScope;
use weft_node::trace::{Filter, NewTrace, TraceError, TraceStatus, TracedOperation};

use super::Execution;
use crate::output::Output;
use crate::permission::{Access, Operation, Permission, Permit};
use crate::refusal::Refusal;

pub(crate) use typed::lower;

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
/// How many lines of a trace are shown; its file has all of them.
const LINES_SHOWN: usize = 100;

/// What to do with the traces of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TraceRequest {
    /// OPS: list the operations that can be traced.
    Operations,
    /// STATUS: list the traces, or the last lines of one.
    Status(Option<u64>),
    Begin {
        scope: TraceScope,
        operation: TracedOperation,
        filter: Filter,
    },
    /// OFF: turn off all traces, or one.
    Off(Option<u64>),
    Remove(u64),
}

impl Operation for TraceRequest {
    fn access(&self) -> Access {
        Access::to(match self {
            Self::Operations | Self::Status(_) => Permission::BatchRead,
            // A trace takes space on the node's disk, and other users may be reading the one that is ended or removed.
            Self::Begin { .. } | Self::Off(_) | Self::Remove(_) => Permission::Batch,
        })
    }
}

/// Begins, shows and ends traces.
///
/// # Errors
/// There is no such trace, there are too many, or files cannot be used.
pub(crate) async fn run(
    execution: Execution<'_>,
    permit: Permit<TraceRequest>,
) -> Result<(), Refusal> {
    let Execution {
        services,
        session,
        output,
        ..
    } = execution;
    let traces = &services.traces;
    match permit.request() {
        TraceRequest::Operations => list_operations(output).await,
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
            let trace = traces.begin(NewTrace {
                operation: *operation,
                filter: filter.clone(),
                session: match scope {
                    TraceScope::Session => Some(*session.trace_session.get_or_insert_with(name)),
                    TraceScope::Global => None,
                },
                by: permit.principal().name.clone(),
            });
            let trace = trace.await?;
            output.columns(&STATUS).await;
            output.row(row(&trace)).await;
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

async fn list_operations(output: &Output) {
    output.columns(&OPERATIONS).await;
    for operation in TracedOperation::ALL {
        let shown = [
            operation.name(),
            TracedOperation::CATEGORY,
            operation.level(),
            operation.meaning(),
        ];
        output.row(shown.map(Value::from).to_vec()).await;
    }
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
            TraceError::File { .. } | TraceError::Ended => Self::node_failed(message),
        }
    }
}
