//! RELEASE.

use std::fmt::{self, Formatter};

use super::{Chapter, CommandSpec, Operand, ValueKind, Word};
use crate::ast::Command;
use crate::cursor::Cursor;
use crate::diagnostic::Diagnostic;
use crate::print;
use crate::span::Spanned;

pub(super) static RELEASE: CommandSpec = CommandSpec {
    name: "RELEASE",
    chapter: Chapter::Instances,
    summary: "detaches the instance of a logical unit, or all instances",
    syntax: &["RELEASE [<LU>]"],
    example: "RELEASE Customer;",
    operand: Operand::Optional(Word::Value(ValueKind::LogicalUnit)),
    parse: |cursor, _| parse(cursor),
    ..CommandSpec::BLANK
};

fn parse(cursor: &mut Cursor<'_>) -> Result<Command, Diagnostic> {
    let lu = match cursor.at_end()? {
        true => None,
        false => Some(cursor.name("a logical unit")?),
    };
    Ok(Command::Release { lu })
}

pub(super) fn print(f: &mut Formatter<'_>, lu: Option<&Spanned<String>>) -> fmt::Result {
    print::argument(f, lu)
}
