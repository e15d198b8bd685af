//! CDC_REPUBLISH_INSTANCE.

use std::fmt::{self, Formatter};

use super::given::GivenOptions;
use super::{CommandSpec, OptionTable, instance};
use crate::ast::{CdcRepublish, Command};
use crate::cursor::Cursor;
use crate::diagnostic::Diagnostic;
use crate::options::{OptionSpec, ValueType};
use crate::print;

pub(super) static CDC_REPUBLISH_INSTANCE: CommandSpec = CommandSpec {
    name: "CDC_REPUBLISH_INSTANCE",
    available: false,
    for_each_entity: true,
    summary: "publishes all data of one instance again",
    syntax: &[
        "CDC_REPUBLISH_INSTANCE <LU>.<id> [TABLES='<table>,<table>'] [TYPES='<type>,<type>'] [TRUNCATE=true|false]",
    ],
    example: "CDC_REPUBLISH_INSTANCE Customer.'1' TABLES='customer,address';",
    option_table: OptionTable::of_one(&[
        OptionSpec::new("TABLES", ValueType::Text)
            .summary("Only these tables, separated by commas.")
            .default("all tables"),
        OptionSpec::new("TYPES", ValueType::Text)
            .summary("Only these types, separated by commas.")
            .default("all types"),
        OptionSpec::new("TRUNCATE", ValueType::Boolean)
            .summary("`true` empties the target first.")
            .default("false"),
    ]),
    parse,
    ..instance::ONE
};

fn parse(cursor: &mut Cursor<'_>, spec: &'static CommandSpec) -> Result<Command, Diagnostic> {
    let instance = instance::parse(cursor)?;
    let options = GivenOptions::parse(cursor, spec)?;
    Ok(Command::CdcRepublish(CdcRepublish {
        instance,
        tables: options.get("TABLES"),
        types: options.get("TYPES"),
        truncate: options.get("TRUNCATE"),
    }))
}

pub(super) fn print(f: &mut Formatter<'_>, republish: &CdcRepublish) -> fmt::Result {
    let CdcRepublish {
        instance,
        tables,
        types,
        truncate,
    } = republish;
    write!(f, " {instance}")?;
    print::option(f, "TABLES", tables)?;
    print::option(f, "TYPES", types)?;
    print::option(f, "TRUNCATE", truncate)
}
