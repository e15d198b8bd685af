//! BATCH_IN_PROCESS and MIGRATE_IN_PROCESS.

use std::fmt::{self, Formatter};

use super::given::GivenOptions;
use super::{Chapter, CommandSpec, OptionTable};
use crate::ast::{Command, Family};
use crate::cursor::Cursor;
use crate::diagnostic::Diagnostic;
use crate::options::{OptionSpec, ValueType};
use crate::print;
use crate::span::Spanned;

const PAIR: CommandSpec = CommandSpec {
    chapter: Chapter::Monitoring,
    option_table: OptionTable::of_one(OPTIONS),
    ..CommandSpec::BLANK
};

const OPTIONS: &[OptionSpec] = &[
    OptionSpec::new("FILTER", ValueType::Text).summary("A regular expression over the command.")
];

pub(super) static BATCH_IN_PROCESS: CommandSpec = CommandSpec {
    name: "BATCH_IN_PROCESS",
    summary: "lists the entities that are being processed, on all nodes",
    syntax: &["BATCH_IN_PROCESS [FILTER='<regex>']"],
    example: "BATCH_IN_PROCESS FILTER='sync_instance';",
    parse: |cursor, spec| parse(cursor, spec, Family::Batch),
    ..PAIR
};

pub(super) static MIGRATE_IN_PROCESS: CommandSpec = CommandSpec {
    name: "MIGRATE_IN_PROCESS",
    available: false,
    summary: "is BATCH_IN_PROCESS for batches that MIGRATE started",
    syntax: &["MIGRATE_IN_PROCESS"],
    example: "MIGRATE_IN_PROCESS;",
    parse: |cursor, spec| parse(cursor, spec, Family::Migrate),
    ..PAIR
};

fn parse(
    cursor: &mut Cursor<'_>,
    spec: &'static CommandSpec,
    family: Family,
) -> Result<Command, Diagnostic> {
    let options = GivenOptions::parse(cursor, spec)?;
    Ok(Command::BatchInProcess {
        family,
        filter: options.get("FILTER"),
    })
}

pub(super) fn print(f: &mut Formatter<'_>, filter: &Option<Spanned<String>>) -> fmt::Result {
    print::option(f, "FILTER", filter)
}
