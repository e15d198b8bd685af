//! BATCH_EDIT.

use std::fmt::{self, Formatter};

use super::given::GivenOptions;
use super::{CommandSpec, OptionTable, batch_id};
use crate::ast::{Command, Text};
use crate::cursor::Cursor;
use crate::diagnostic::Diagnostic;
use crate::options::{OptionSpec, ValueType};
use crate::print;
use crate::span::Spanned;

const MAX_WORKERS_PER_NODE: &str = "MAX_WORKERS_PER_NODE";

pub(super) static BATCH_EDIT: CommandSpec = CommandSpec {
    name: "BATCH_EDIT",
    available: false,
    summary: "changes the number of workers of a running batch",
    syntax: &["BATCH_EDIT ['<batch id>'] MAX_WORKERS_PER_NODE=<n>"],
    example: "BATCH_EDIT '35408af6-b26a-4243-bc95-f114335bfa5e' MAX_WORKERS_PER_NODE=4;",
    option_table: OptionTable::of_one(&[OptionSpec::new(
        MAX_WORKERS_PER_NODE,
        ValueType::Integer(1, u32::MAX as i64),
    )
    .summary("New maximum number of entities that a node processes at the same time. Required.")]),
    parse,
    ..batch_id::CHANGE
};

fn parse(cursor: &mut Cursor<'_>, spec: &'static CommandSpec) -> Result<Command, Diagnostic> {
    let batch_id = batch_id::optional(cursor)?;
    let options = GivenOptions::parse(cursor, spec)?;
    match options.get(MAX_WORKERS_PER_NODE) {
        Some(max_workers_per_node) => Ok(Command::BatchEdit {
            batch_id,
            max_workers_per_node,
        }),
        None => Err(cursor.unexpected(&[MAX_WORKERS_PER_NODE])?),
    }
}

pub(super) fn print(
    f: &mut Formatter<'_>,
    batch_id: Option<&Spanned<Text>>,
    max_workers_per_node: &Spanned<u64>,
) -> fmt::Result {
    print::argument(f, batch_id)?;
    write!(f, " {MAX_WORKERS_PER_NODE}={max_workers_per_node}")
}
