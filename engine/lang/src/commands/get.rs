//! GET and USE.

use std::collections::BTreeSet;
use std::fmt::{self, Formatter};

use super::given::GivenOptions;
use super::{Chapter, CommandSpec, Operand, OptionTable, ValueKind, Word, instance};
use crate::ast::{Command, Get, GetVerb};
use crate::cursor::Cursor;
use crate::diagnostic::Diagnostic;
use crate::options::{OptionSpec, ValueType};
use crate::print;

const PAIR: CommandSpec = CommandSpec {
    chapter: Chapter::Instances,
    operand: Operand::List(Word::Value(ValueKind::LogicalUnit)),
    option_table: OptionTable::of_one(OPTIONS),
    ..CommandSpec::BLANK
};

const OPTIONS: &[OptionSpec] = &[
    OptionSpec::new("STOP_ON_ERROR", ValueType::Boolean)
        .summary("`false` continues with the other instances after an error.")
        .default("true"),
    OptionSpec::new("PARALLEL", ValueType::Boolean)
        .summary("`true` fetches the instances in parallel.")
        .default("false"),
];

pub(super) static GET: CommandSpec = CommandSpec {
    name: "GET",
    for_each_entity: true,
    summary: "fetches instances, at most one of each logical unit",
    syntax: &["GET <LU>.<id>[, <LU>.<id>…] [STOP_ON_ERROR=true|false] [PARALLEL=true|false]"],
    example: "GET Customer.1, CRM.34;",
    parse: |cursor, spec| parse(cursor, spec, GetVerb::Get),
    ..PAIR
};

pub(super) static USE: CommandSpec = CommandSpec {
    name: "USE",
    available: false,
    summary: "attaches stored instances without fetching them",
    syntax: &["USE <LU>.<id>[, <LU>.<id>…] [STOP_ON_ERROR=true|false] [PARALLEL=true|false]"],
    example: "USE Customer.1;",
    parse: |cursor, spec| parse(cursor, spec, GetVerb::Use),
    ..PAIR
};

fn parse(
    cursor: &mut Cursor<'_>,
    spec: &'static CommandSpec,
    verb: GetVerb,
) -> Result<Command, Diagnostic> {
    let mut lus = BTreeSet::new();
    let mut instances = Vec::new();
    loop {
        let next = instance::parse(cursor)?;
        if !lus.insert(next.lu.value.to_lowercase()) {
            let span = next.lu.span.to(next.id.span);
            // The documented words, full stop and all: clients look for them.
            let message = "Only single instance per LUT can be used on the same GET command.";
            return Err(Diagnostic::new(message, span));
        }
        instances.push(next);
        if !cursor.accept_symbol(',')? {
            break;
        }
    }
    let options = GivenOptions::parse(cursor, spec)?;
    Ok(Command::Get(Get {
        verb,
        instances,
        stop_on_error: options.get("STOP_ON_ERROR"),
        parallel: options.get("PARALLEL"),
    }))
}

pub(super) fn print(f: &mut Formatter<'_>, get: &Get) -> fmt::Result {
    let Get {
        verb: _,
        instances,
        stop_on_error,
        parallel,
    } = get;
    for (index, instance) in instances.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write!(f, "{comma} {instance}")?;
    }
    print::option(f, "STOP_ON_ERROR", stop_on_error)?;
    print::option(f, "PARALLEL", parallel)
}
