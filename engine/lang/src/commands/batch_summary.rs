//! BATCH_SUMMARY and MIGRATE_SUMMARY.

use std::fmt::{self, Formatter};

use super::{CommandSpec, batch_id};
use crate::ast::{Command, Family, Text};
use crate::cursor::Cursor;
use crate::diagnostic::Diagnostic;
use crate::span::Spanned;

pub(super) static BATCH_SUMMARY: CommandSpec = CommandSpec {
    name: "BATCH_SUMMARY",
    summary: "shows the progress of a batch per node, per data centre and in total",
    syntax: &["BATCH_SUMMARY '<batch id>'"],
    example: "BATCH_SUMMARY '35408af6-b26a-4243-bc95-f114335bfa5e';",
    parse: |cursor, _| parse(cursor, Family::Batch),
    ..batch_id::MONITOR
};

pub(super) static MIGRATE_SUMMARY: CommandSpec = CommandSpec {
    name: "MIGRATE_SUMMARY",
    available: false,
    summary: "is BATCH_SUMMARY for a batch that MIGRATE started",
    syntax: &["MIGRATE_SUMMARY '<batch id>'"],
    example: "MIGRATE_SUMMARY '35408af6-b26a-4243-bc95-f114335bfa5e';",
    parse: |cursor, _| parse(cursor, Family::Migrate),
    ..batch_id::MONITOR
};

fn parse(cursor: &mut Cursor<'_>, family: Family) -> Result<Command, Diagnostic> {
    let batch_id = batch_id::required(cursor)?;
    Ok(Command::BatchSummary { family, batch_id })
}

pub(super) fn print(f: &mut Formatter<'_>, batch_id: &Spanned<Text>) -> fmt::Result {
    write!(f, " {batch_id}")
}
