//! KILL of a batch, or of a task on a node.

use std::fmt::{self, Formatter};

use super::{CommandSpec, batch_id};
use crate::ast::{CancelSpelling, Command, Text};
use crate::cursor::Cursor;
use crate::diagnostic::Diagnostic;
use crate::span::Spanned;

pub(super) static KILL: CommandSpec = CommandSpec {
    name: "KILL",
    summary: "cancels a batch; with a node and a task, as PS shows them, ends that attempt of a job",
    syntax: &["KILL '<batch id>'", "KILL '<node id>' '<task id>'"],
    example: "KILL '35408af6-b26a-4243-bc95-f114335bfa5e';",
    parse: |cursor, _| parse(cursor),
    ..batch_id::CHANGE
};

/// One value is a batch, two are a node and a task.
fn parse(cursor: &mut Cursor<'_>) -> Result<Command, Diagnostic> {
    let first = batch_id::required(cursor)?;
    if cursor.at_end()? {
        return Ok(Command::BatchCancel {
            spelling: CancelSpelling::Kill,
            batch_id: Some(first),
        });
    }
    cursor.accept_symbol(',')?;
    let task = cursor.value("a task id")?;
    Ok(Command::KillTask { node: first, task })
}

pub(super) fn print_task(
    f: &mut Formatter<'_>,
    node: &Spanned<Text>,
    task: &Spanned<Text>,
) -> fmt::Result {
    write!(f, " {node} {task}")
}
