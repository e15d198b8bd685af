//! BATCH_INFO.

use std::fmt::{self, Formatter};

use super::{CommandSpec, batch_id};
use crate::ast::{Command, Text};
use crate::cursor::Cursor;
use crate::diagnostic::Diagnostic;
use crate::span::Spanned;

pub(super) static BATCH_INFO: CommandSpec = CommandSpec {
    name: "BATCH_INFO",
    summary: "shows how a batch was started",
    syntax: &["BATCH_INFO '<batch id>'"],
    example: "BATCH_INFO '35408af6-b26a-4243-bc95-f114335bfa5e';",
    parse: |cursor, _| parse(cursor),
    ..batch_id::MONITOR
};

fn parse(cursor: &mut Cursor<'_>) -> Result<Command, Diagnostic> {
    let batch_id = batch_id::required(cursor)?;
    Ok(Command::BatchInfo { batch_id })
}

pub(super) fn print(f: &mut Formatter<'_>, batch_id: &Spanned<Text>) -> fmt::Result {
    write!(f, " {batch_id}")
}
