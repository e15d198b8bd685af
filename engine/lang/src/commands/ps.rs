//! PS.

use std::fmt::{self, Formatter};

use super::{Chapter, CommandSpec, Operand, Word};
use crate::ast::{Command, Text};
use crate::cursor::Cursor;
use crate::diagnostic::Diagnostic;
use crate::print;
use crate::span::Spanned;

pub(super) static PS: CommandSpec = CommandSpec {
    name: "PS",
    chapter: Chapter::Jobs,
    summary: "lists the tasks of this node or of all nodes, or shows what one task is doing",
    syntax: &["PS", "PS ALL", "PS <task id>"],
    example: "PS ALL;",
    operand: Operand::Optional(Word::OneOf(&["ALL"])),
    parse: |cursor, _| parse(cursor),
    ..CommandSpec::BLANK
};

fn parse(cursor: &mut Cursor<'_>) -> Result<Command, Diagnostic> {
    let all = cursor.accept_word("ALL")?.is_some();
    let task = match all || cursor.at_end()? {
        true => None,
        false => Some(cursor.value("a task id")?),
    };
    Ok(Command::Ps { all, task })
}

pub(super) fn print(f: &mut Formatter<'_>, all: bool, task: Option<&Spanned<Text>>) -> fmt::Result {
    match all {
        true => f.write_str(" ALL"),
        false => print::argument(f, task),
    }
}
