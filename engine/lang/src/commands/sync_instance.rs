//! SYNC_INSTANCE.

use std::fmt::{self, Formatter};

use super::{CommandSpec, instance};
use crate::ast::{Command, Instance};
use crate::cursor::Cursor;
use crate::diagnostic::Diagnostic;

pub(super) static SYNC_INSTANCE: CommandSpec = CommandSpec {
    name: "SYNC_INSTANCE",
    for_each_entity: true,
    summary: "brings one instance up to date",
    syntax: &["SYNC_INSTANCE <LU>.<id>"],
    example: "SYNC_INSTANCE Customer.'1';",
    parse: |cursor, _| parse(cursor),
    ..instance::ONE
};

fn parse(cursor: &mut Cursor<'_>) -> Result<Command, Diagnostic> {
    let instance = instance::parse(cursor)?;
    Ok(Command::SyncInstance { instance })
}

pub(super) fn print(f: &mut Formatter<'_>, instance: &Instance) -> fmt::Result {
    write!(f, " {instance}")
}
