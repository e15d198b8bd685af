//! BATCH_DETAILS and MIGRATE_DETAILS.

use std::fmt::{self, Formatter};

use super::given::GivenOptions;
use super::{CommandSpec, OptionTable, batch_id};
use crate::ast::{BatchDetails, Command, Family};
use crate::cursor::Cursor;
use crate::diagnostic::Diagnostic;
use crate::names::{ENTITY_STATUS, MIGRATED_STATUS, NameList};
use crate::options::{OptionSpec, ValueType};
use crate::print;

pub(super) static BATCH_DETAILS: CommandSpec = CommandSpec {
    name: "BATCH_DETAILS",
    summary: "lists the entities of a batch with their results",
    syntax: &[
        "BATCH_DETAILS '<batch id>' [STATUS='WAITING|COMPLETED|FAILED'] [ENTITIES='<id>,<id>'] [AFFINITY='<nodes>'] [LIMIT=<n>] [SORT_BY_PROCESS_TIME=true|false]",
    ],
    example: "BATCH_DETAILS '35408af6-b26a-4243-bc95-f114335bfa5e' STATUS='FAILED' LIMIT=100;",
    option_table: OptionTable::of_one(&options(&ENTITY_STATUS)),
    parse: |cursor, spec| parse(cursor, spec, Family::Batch),
    ..batch_id::MONITOR
};

pub(super) static MIGRATE_DETAILS: CommandSpec = CommandSpec {
    name: "MIGRATE_DETAILS",
    available: false,
    summary: "lists the instances of a batch that MIGRATE started, with their outcomes",
    syntax: &["MIGRATE_DETAILS '<batch id>' [STATUS='<status>' [AFFINITY='<nodes>']] [LIMIT <n>]"],
    example: "MIGRATE_DETAILS '35408af6-b26a-4243-bc95-f114335bfa5e' LIMIT 10;",
    option_table: OptionTable::of_one(&options(&MIGRATED_STATUS)),
    parse: |cursor, spec| parse(cursor, spec, Family::Migrate),
    ..batch_id::MONITOR
};

const fn options(statuses: &'static NameList) -> [OptionSpec; 5] {
    [
        OptionSpec::new("STATUS", ValueType::Name(statuses))
            .summary("Only entities in this state."),
        OptionSpec::new("ENTITIES", ValueType::Text)
            .summary("Only these entity ids, separated by commas."),
        OptionSpec::new("AFFINITY", ValueType::Nodes)
            .summary("Only entities that were processed on these nodes or in these data centres."),
        OptionSpec::new("LIMIT", ValueType::Integer(-1, i64::MAX))
            .summary("Maximum number of rows. -1 means all rows.")
            .equals_optional(),
        OptionSpec::new("SORT_BY_PROCESS_TIME", ValueType::Boolean)
            .summary("`true` shows the slowest entities and ignores the other options.")
            .default("false"),
    ]
}

fn parse(
    cursor: &mut Cursor<'_>,
    spec: &'static CommandSpec,
    family: Family,
) -> Result<Command, Diagnostic> {
    let batch_id = batch_id::required(cursor)?;
    let options = GivenOptions::parse(cursor, spec)?;
    Ok(Command::BatchDetails(BatchDetails {
        family,
        batch_id,
        status: options.get("STATUS"),
        entities: options.get("ENTITIES"),
        affinity: options.get("AFFINITY"),
        limit: options.get("LIMIT"),
        sort_by_process_time: options.get("SORT_BY_PROCESS_TIME"),
    }))
}

pub(super) fn print(f: &mut Formatter<'_>, details: &BatchDetails) -> fmt::Result {
    let BatchDetails {
        family: _,
        batch_id,
        status,
        entities,
        affinity,
        limit,
        sort_by_process_time,
    } = details;
    write!(f, " {batch_id}")?;
    print::option(f, "STATUS", status)?;
    print::option(f, "ENTITIES", entities)?;
    print::option(f, "AFFINITY", affinity)?;
    print::option(f, "LIMIT", limit)?;
    print::option(f, "SORT_BY_PROCESS_TIME", sort_by_process_time)
}
