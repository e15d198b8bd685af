//! BATCH_LIST and MIGRATE_LIST.

use std::fmt::{self, Formatter};

use super::given::GivenOptions;
use super::{Chapter, CommandSpec, OptionTable};
use crate::ast::{BatchList, Command, Family};
use crate::cursor::Cursor;
use crate::diagnostic::Diagnostic;
use crate::names::{BATCH_STATUS, MIGRATE_STATUS, NameList};
use crate::options::{OptionSpec, ValueType};
use crate::print;

pub(super) static BATCH_LIST: CommandSpec = CommandSpec {
    name: "BATCH_LIST",
    chapter: Chapter::Monitoring,
    summary: "lists batches; without options, the active ones",
    syntax: &[
        "BATCH_LIST [STATUS='<status>'] [FROM_DATE='<date>' [TO_DATE='<date>']] [FILTER='<regex>']",
    ],
    example: "BATCH_LIST STATUS='ALL' FILTER='sync_instance';",
    option_table: OptionTable::of_one(&options(&BATCH_STATUS)),
    parse: |cursor, spec| parse(cursor, spec, Family::Batch),
    ..CommandSpec::BLANK
};

pub(super) static MIGRATE_LIST: CommandSpec = CommandSpec {
    name: "MIGRATE_LIST",
    chapter: Chapter::Monitoring,
    available: false,
    summary: "lists batches that MIGRATE started",
    syntax: &["MIGRATE_LIST [STATUS='<status>' [FROM_DATE='<date>' [TO_DATE='<date>']]]"],
    example: "MIGRATE_LIST STATUS='ALL';",
    option_table: OptionTable::of_one(&options(&MIGRATE_STATUS)),
    parse: |cursor, spec| parse(cursor, spec, Family::Migrate),
    ..CommandSpec::BLANK
};

const fn options(statuses: &'static NameList) -> [OptionSpec; 4] {
    [
        OptionSpec::new("STATUS", ValueType::Name(statuses))
            .summary("Only batches in this state. ALL includes every state.")
            .default("active batches"),
        OptionSpec::new("FROM_DATE", ValueType::Text)
            .summary("Only batches that started at this moment or later."),
        OptionSpec::new("TO_DATE", ValueType::Text)
            .summary("Only batches that started at this moment or earlier."),
        OptionSpec::new("FILTER", ValueType::Text).summary(
            "A regular expression over the command, its entity command and the execution id.",
        ),
    ]
}

fn parse(
    cursor: &mut Cursor<'_>,
    spec: &'static CommandSpec,
    family: Family,
) -> Result<Command, Diagnostic> {
    let options = GivenOptions::parse(cursor, spec)?;
    Ok(Command::BatchList(BatchList {
        family,
        status: options.get("STATUS"),
        from_date: options.get("FROM_DATE"),
        to_date: options.get("TO_DATE"),
        filter: options.get("FILTER"),
    }))
}

pub(super) fn print(f: &mut Formatter<'_>, list: &BatchList) -> fmt::Result {
    let BatchList {
        family: _,
        status,
        from_date,
        to_date,
        filter,
    } = list;
    print::option(f, "STATUS", status)?;
    print::option(f, "FROM_DATE", from_date)?;
    print::option(f, "TO_DATE", to_date)?;
    print::option(f, "FILTER", filter)
}
