//! SELECT and WITH: queries, which the parser passes through as they are.

use std::fmt::{self, Formatter};

use super::{Chapter, CommandSpec};
use crate::ast::Command;
use crate::cursor::Cursor;
use crate::diagnostic::Diagnostic;
use crate::span::{Span, Spanned};

pub(super) static SELECT: CommandSpec = CommandSpec {
    name: "SELECT",
    chapter: Chapter::Instances,
    summary: "queries the attached instances",
    syntax: &["SELECT …"],
    example: "SELECT count(*) FROM customer;",
    parse: |cursor, _| parse(cursor),
    ..CommandSpec::BLANK
};

pub(super) static WITH: CommandSpec = CommandSpec {
    name: "WITH",
    chapter: Chapter::Instances,
    summary: "queries the attached instances, as SELECT with common table expressions",
    syntax: &["WITH … SELECT …"],
    example: "WITH c AS (SELECT 1 AS n) SELECT n FROM c;",
    parse: |cursor, _| parse(cursor),
    ..CommandSpec::BLANK
};

/// Takes everything up to the `;`, including the name, which is part of the query.
fn parse(cursor: &mut Cursor<'_>) -> Result<Command, Diagnostic> {
    let mut from_start = cursor.clone();
    from_start.seek(0);
    let start = from_start.peek()?.span.start;
    let mut end = cursor.offset();
    while !cursor.at_end()? {
        end = cursor.next()?.span.end;
    }
    let span = Span::new(start, end);
    let sql = Spanned::new(span.of(cursor.text()).to_owned(), span);
    Ok(Command::Select { sql })
}

/// The query, in which the name is as the user wrote it.
pub(super) fn print(f: &mut Formatter<'_>, sql: &Spanned<String>) -> fmt::Result {
    f.write_str(&sql.value)
}
