//! SET.

use std::fmt::{self, Formatter};

use super::{Chapter, CommandSpec};
use crate::ast::{Assignment, Command};
use crate::cursor::Cursor;
use crate::diagnostic::Diagnostic;
use crate::lexer::TokenKind;
use crate::print;
use crate::scan;

pub(super) static SET: CommandSpec = CommandSpec {
    name: "SET",
    chapter: Chapter::Session,
    summary: "sets values of the session, which its batches and jobs inherit; without arguments, lists them; NODE_AFFINITY belongs to the node",
    syntax: &[
        "SET",
        "SET <name> = <value>[, <name> = <value>…]",
        "SET <name> <value>",
        "SET NODE_AFFINITY '<logical id>[:<recommended>[:<maximum>]], …' -- adds logical ids to this node",
        "SET NODE_AFFINITY '@Reset@'",
    ],
    example: "SET environment='_dev';",
    parse: |cursor, _| parse(cursor),
    ..CommandSpec::BLANK
};

fn parse(cursor: &mut Cursor<'_>) -> Result<Command, Diagnostic> {
    let mut assignments = Vec::new();
    while !cursor.at_end()? {
        if !assignments.is_empty() {
            cursor.expect_symbol(',', "`,`")?;
        }
        if cursor.peek()?.kind != TokenKind::Word {
            return Err(cursor.unexpected(&["a name"])?);
        }
        let name = cursor.literal("a name")?;
        if !name.value.split('.').all(scan::is_name) {
            let wrong = Diagnostic::new(format!("`{}` is not a valid name", name.value), name.span);
            return Err(wrong.hint("a name consists of letters, digits, `_` and `.`"));
        }
        let value = match cursor.accept_symbol('=')? {
            true => cursor.assigned_value("a value")?,
            false => cursor.value("a value")?,
        };
        assignments.push(Assignment { name, value });
    }
    Ok(Command::Set { assignments })
}

pub(super) fn print(f: &mut Formatter<'_>, assignments: &[Assignment]) -> fmt::Result {
    print::assignments(f, assignments, ",")
}
