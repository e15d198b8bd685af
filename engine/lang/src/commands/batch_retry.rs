//! BATCH_RETRY and MIGRATE_RESUME.

use std::fmt::{self, Formatter};

use super::given::GivenOptions;
use super::{CommandSpec, OptionTable, batch_id};
use crate::ast::{Command, Family, Text};
use crate::cursor::Cursor;
use crate::diagnostic::Diagnostic;
use crate::options::{OptionSpec, ValueType};
use crate::print;
use crate::span::Spanned;

const PAIR: CommandSpec = CommandSpec {
    available: false,
    option_table: OptionTable::of_one(OPTIONS),
    ..batch_id::CHANGE
};

const OPTIONS: &[OptionSpec] = &[OptionSpec::new("ALLOW_CANCELLED", ValueType::Boolean)
    .summary("`true` resumes a cancelled batch as well.")
    .default("false")];

pub(super) static BATCH_RETRY: CommandSpec = CommandSpec {
    name: "BATCH_RETRY",
    summary: "resumes a paused batch, or runs the failed entities of an ended one again",
    syntax: &["BATCH_RETRY ['<batch id>'] [ALLOW_CANCELLED=true|false]"],
    example: "BATCH_RETRY '35408af6-b26a-4243-bc95-f114335bfa5e' ALLOW_CANCELLED=true;",
    parse: |cursor, spec| parse(cursor, spec, Family::Batch),
    ..PAIR
};

pub(super) static MIGRATE_RESUME: CommandSpec = CommandSpec {
    name: "MIGRATE_RESUME",
    summary: "is BATCH_RETRY for a batch that MIGRATE started",
    syntax: &["MIGRATE_RESUME ['<batch id>'] [ALLOW_CANCELLED=true|false]"],
    example: "MIGRATE_RESUME '35408af6-b26a-4243-bc95-f114335bfa5e';",
    parse: |cursor, spec| parse(cursor, spec, Family::Migrate),
    ..PAIR
};

fn parse(
    cursor: &mut Cursor<'_>,
    spec: &'static CommandSpec,
    family: Family,
) -> Result<Command, Diagnostic> {
    let batch_id = batch_id::optional(cursor)?;
    let options = GivenOptions::parse(cursor, spec)?;
    Ok(Command::BatchRetry {
        family,
        batch_id,
        allow_cancelled: options.get("ALLOW_CANCELLED"),
    })
}

pub(super) fn print(
    f: &mut Formatter<'_>,
    batch_id: Option<&Spanned<Text>>,
    allow_cancelled: &Option<Spanned<bool>>,
) -> fmt::Result {
    print::argument(f, batch_id)?;
    print::option(f, "ALLOW_CANCELLED", allow_cancelled)
}
