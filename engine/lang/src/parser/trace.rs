//! TRACE.

use super::cursor::Cursor;
use crate::ast::{Command, Trace, TraceScope};
use crate::diagnostic::Diagnostic;
use crate::span::Spanned;

pub(super) fn trace(cursor: &mut Cursor<'_>) -> Result<Command, Diagnostic> {
    let trace = if cursor.accept_word("OPS")?.is_some() {
        Trace::Operations
    } else if cursor.accept_word("STATUS")?.is_some() {
        Trace::Status(optional_number(cursor)?)
    } else if cursor.accept_word("OFF")?.is_some() {
        Trace::Off(optional_number(cursor)?)
    } else if cursor.accept_word("REMOVE")?.is_some() {
        Trace::Remove(number(cursor)?)
    } else {
        begin(cursor)?
    };
    Ok(Command::Trace(trace))
}

fn begin(cursor: &mut Cursor<'_>) -> Result<Trace, Diagnostic> {
    let mut scope = None;
    for known in TraceScope::ALL {
        if scope.is_none() && cursor.accept_word(known.as_str())?.is_some() {
            scope = Some(known);
        }
    }
    if cursor.at_end()? {
        let expected: &[&str] = match scope {
            Some(_) => &["an operation"],
            None => &["an operation", "OPS", "STATUS", "OFF", "REMOVE"],
        };
        return Err(cursor
            .unexpected(expected)?
            .hint("TRACE OPS shows the operations"));
    }
    let operation = cursor.name("an operation")?;
    if cursor.is_option()? {
        return Err(cursor.unexpected(&[])?.hint(format!(
            "the parameters are one text: TRACE {operation} 'type=PROCESS name=a.sh'"
        )));
    }
    let parameters = match cursor.at_end()? {
        true => None,
        false => Some(cursor.literal("the parameters")?),
    };
    Ok(Trace::Begin {
        scope,
        operation,
        parameters,
    })
}

fn optional_number(cursor: &mut Cursor<'_>) -> Result<Option<Spanned<u64>>, Diagnostic> {
    match cursor.at_end()? {
        true => Ok(None),
        false => number(cursor).map(Some),
    }
}

fn number(cursor: &mut Cursor<'_>) -> Result<Spanned<u64>, Diagnostic> {
    let Spanned { value, span } = cursor.literal("the number of a trace")?;
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    match value.parse() {
        Ok(number) if is_number => Ok(Spanned::new(number, span)),
        _ => Err(
            Diagnostic::new(format!("`{value}` is not the number of a trace"), span)
                .hint("TRACE STATUS shows the numbers"),
        ),
    }
}
