//! BATCH_CANCEL and CANCEL BATCH.

use std::fmt::{self, Formatter};

use super::{CommandSpec, batch_id};
use crate::ast::{CancelSpelling, Command, Text};
use crate::cursor::Cursor;
use crate::diagnostic::Diagnostic;
use crate::print;
use crate::span::Spanned;

pub(super) static BATCH_CANCEL: CommandSpec = CommandSpec {
    name: "BATCH_CANCEL",
    summary: "cancels a batch; without an id, the last asynchronous one of the session",
    syntax: &["BATCH_CANCEL ['<batch id>']"],
    example: "BATCH_CANCEL '35408af6-b26a-4243-bc95-f114335bfa5e';",
    parse: |cursor, _| parse(cursor, CancelSpelling::BatchCancel),
    ..batch_id::CHANGE
};

pub(super) static CANCEL_BATCH: CommandSpec = CommandSpec {
    name: "CANCEL BATCH",
    summary: "cancels a batch; without an id, the last one that this node started",
    syntax: &["CANCEL BATCH ['<batch id>']"],
    example: "CANCEL BATCH '35408af6-b26a-4243-bc95-f114335bfa5e';",
    parse: |cursor, _| parse(cursor, CancelSpelling::CancelBatch),
    ..batch_id::CHANGE
};

fn parse(cursor: &mut Cursor<'_>, spelling: CancelSpelling) -> Result<Command, Diagnostic> {
    let batch_id = batch_id::optional(cursor)?;
    Ok(Command::BatchCancel { spelling, batch_id })
}

pub(super) fn print(f: &mut Formatter<'_>, batch_id: Option<&Spanned<Text>>) -> fmt::Result {
    print::argument(f, batch_id)
}
