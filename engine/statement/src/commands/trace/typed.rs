//! TRACE as typed.

use weft_lang::names::{TRACE_WORDS, nearest};
use weft_lang::{Spanned, Trace, TraceScope};
use weft_node::trace::{Filter, TracedOperation};

use super::TraceRequest;
use crate::refusal::Refusal;

/// An operation of Fabric that this version does not have.
const MISSING: &str = "sftpReader";

pub(crate) fn lower(trace: &Trace) -> Result<TraceRequest, Refusal> {
    let value = |number: &Option<Spanned<u64>>| number.as_ref().map(|number| number.value);
    Ok(match trace {
        Trace::Operations => TraceRequest::Operations,
        Trace::Status(number) => TraceRequest::Status(value(number)),
        Trace::Off(number) => TraceRequest::Off(value(number)),
        Trace::Remove(number) => TraceRequest::Remove(number.value),
        Trace::Begin {
            scope,
            operation,
            parameters,
        } => TraceRequest::Begin {
            scope: scope.unwrap_or(TraceScope::Session),
            operation: named(operation)?,
            filter: match parameters {
                Some(parameters) => filter(parameters)?,
                None => Filter::default(),
            },
        },
    })
}

fn named(operation: &Spanned<String>) -> Result<TracedOperation, Refusal> {
    let name = operation.value.as_str();
    if let Some(known) = TracedOperation::find(name) {
        return Ok(known);
    }
    let refusal = match name.eq_ignore_ascii_case(MISSING) {
        true => Refusal::failed(format!(
            "the operation {MISSING} is known but not available in this version: nothing reads SFTP here"
        )),
        false => Refusal::not_found(format!("there is no operation `{name}`")),
    };
    // A word such as STATUS may be what was meant.
    let hint = match nearest(name, TRACE_WORDS.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "TRACE OPS shows the operations".to_owned(),
    };
    Err(refusal.at(operation.span).hint(hint))
}

fn filter(parameters: &Spanned<String>) -> Result<Filter, Refusal> {
    Filter::read(&parameters.value).map_err(|error| {
        Refusal::usage(error.message)
            .at(parameters.span)
            .hint(error.hint)
    })
}
