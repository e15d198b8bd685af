//! BATCH_PAUSE.

use std::fmt::{self, Formatter};

use super::{CommandSpec, batch_id};
use crate::ast::{Command, Text};
use crate::cursor::Cursor;
use crate::diagnostic::Diagnostic;
use crate::print;
use crate::span::Spanned;

pub(super) static BATCH_PAUSE: CommandSpec = CommandSpec {
    name: "BATCH_PAUSE",
    available: false,
    summary: "pauses a batch; without an id, the last asynchronous one of the session",
    syntax: &["BATCH_PAUSE ['<batch id>']"],
    example: "BATCH_PAUSE '35408af6-b26a-4243-bc95-f114335bfa5e';",
    parse: |cursor, _| parse(cursor),
    ..batch_id::CHANGE
};

fn parse(cursor: &mut Cursor<'_>) -> Result<Command, Diagnostic> {
    let batch_id = batch_id::optional(cursor)?;
    Ok(Command::BatchPause { batch_id })
}

pub(super) fn print(f: &mut Formatter<'_>, batch_id: Option<&Spanned<Text>>) -> fmt::Result {
    print::argument(f, batch_id)
}
