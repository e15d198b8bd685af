//! PROCESS: a script for each entity of a batch.

use std::fmt::{self, Formatter};

use super::{Chapter, CommandSpec};
use crate::ast::{Command, Text};
use crate::cursor::Cursor;
use crate::diagnostic::Diagnostic;
use crate::print::Name;
use crate::span::Spanned;

pub(super) static PROCESS: CommandSpec = CommandSpec {
    name: "PROCESS",
    chapter: Chapter::Instances,
    for_each_entity: true,
    summary: "runs a script of the project, as the FABRIC_COMMAND of a batch",
    syntax: &["PROCESS <script> [<argument>…]"],
    example: "PROCESS 'notify.sh' '1' 'by mail';",
    parse: |cursor, _| parse(cursor),
    ..CommandSpec::BLANK
};

fn parse(cursor: &mut Cursor<'_>) -> Result<Command, Diagnostic> {
    let script = cursor.literal("a script")?;
    let mut arguments = Vec::new();
    while !cursor.at_end()? {
        arguments.push(cursor.value("an argument")?);
    }
    Ok(Command::Process { script, arguments })
}

pub(super) fn print(
    f: &mut Formatter<'_>,
    script: &Spanned<String>,
    arguments: &[Spanned<Text>],
) -> fmt::Result {
    write!(f, " {}", Name(&script.value))?;
    arguments
        .iter()
        .try_for_each(|argument| write!(f, " {argument}"))
}
