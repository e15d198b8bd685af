//! TRACE.

use std::fmt::{self, Formatter};

use super::{Chapter, CommandSpec, Operand, Word};
use crate::ast::{Command, Trace, TraceScope};
use crate::cursor::Cursor;
use crate::diagnostic::Diagnostic;
use crate::names::TRACE_WORDS;
use crate::print::Quoted;
use crate::span::Spanned;

pub(super) static TRACE: CommandSpec = CommandSpec {
    name: "TRACE",
    chapter: Chapter::Jobs,
    summary: "records what this node does with its jobs, until it is turned off",
    syntax: &[
        "TRACE [session_scope | global_scope] <operation> ['[type=<type>] [name=<name>] [uid=<uid>]']",
        "TRACE OPS",
        "TRACE STATUS [<n>]",
        "TRACE OFF [<n>]",
        "TRACE REMOVE <n>",
    ],
    example: "TRACE global_scope jobExecutor 'type=PROCESS name=report.sh';",
    operand: Operand::Optional(Word::OneOf(TRACE_WORDS)),
    parse: |cursor, _| parse(cursor),
    ..CommandSpec::BLANK
};

fn parse(cursor: &mut Cursor<'_>) -> Result<Command, Diagnostic> {
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
            "the parameters are one string: TRACE {operation} 'type=PROCESS name=a.sh'"
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

pub(super) fn print(f: &mut Formatter<'_>, trace: &Trace) -> fmt::Result {
    match trace {
        Trace::Operations => f.write_str(" OPS"),
        Trace::Status(None) => f.write_str(" STATUS"),
        Trace::Status(Some(number)) => write!(f, " STATUS {number}"),
        Trace::Off(None) => f.write_str(" OFF"),
        Trace::Off(Some(number)) => write!(f, " OFF {number}"),
        Trace::Remove(number) => write!(f, " REMOVE {number}"),
        Trace::Begin {
            scope,
            operation,
            parameters,
        } => {
            if let Some(scope) = scope {
                write!(f, " {}", scope.as_str())?;
            }
            write!(f, " {operation}")?;
            match parameters {
                Some(parameters) => write!(f, " {}", Quoted(&parameters.value)),
                None => Ok(()),
            }
        }
    }
}
