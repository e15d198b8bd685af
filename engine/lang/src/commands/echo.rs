//! ECHO.

use std::fmt::{self, Formatter};

use super::given::GivenOptions;
use super::{Chapter, CommandSpec, OptionTable};
use crate::ast::{Command, Text};
use crate::cursor::Cursor;
use crate::diagnostic::Diagnostic;
use crate::lexer::TokenKind;
use crate::options::{OptionSpec, ValueType};
use crate::print;
use crate::span::Spanned;

pub(super) static ECHO: CommandSpec = CommandSpec {
    name: "ECHO",
    chapter: Chapter::Instances,
    for_each_entity: true,
    summary: "answers its text, for trying things out",
    syntax: &["ECHO <text> [DELAY_MS=<n>]"],
    example: "ECHO 'hello' DELAY_MS=100;",
    option_table: OptionTable::of_one(&[OptionSpec::new(
        "DELAY_MS",
        ValueType::Integer(0, i64::MAX),
    )
    .summary("Milliseconds to wait before answering.")
    .default("0")]),
    parse,
    ..CommandSpec::BLANK
};

fn parse(cursor: &mut Cursor<'_>, spec: &'static CommandSpec) -> Result<Command, Diagnostic> {
    if cursor.at_end()? {
        return Err(cursor.unexpected(&["a text"])?);
    }
    let text = match quoted_text(cursor, spec)? {
        Some(text) => text,
        None => bare_text(cursor, spec)?,
    };
    let options = GivenOptions::parse(cursor, spec)?;
    Ok(Command::Echo {
        text,
        delay_ms: options.get("DELAY_MS"),
    })
}

/// A string or a parameter, if nothing but options follows it.
fn quoted_text(
    cursor: &mut Cursor<'_>,
    spec: &CommandSpec,
) -> Result<Option<Spanned<Text>>, Diagnostic> {
    let first = cursor.peek()?;
    if !matches!(first.kind, TokenKind::String(_) | TokenKind::Symbol('?')) {
        return Ok(None);
    }
    let mut ahead = cursor.clone();
    let text = ahead.value("a text")?;
    let is_all = ahead.at_end()? || begins_options(&ahead, spec)?;
    if is_all {
        *cursor = ahead;
    }
    Ok(is_all.then_some(text))
}

/// Everything up to the options, as it is written.
fn bare_text(cursor: &mut Cursor<'_>, spec: &CommandSpec) -> Result<Spanned<Text>, Diagnostic> {
    let mut span = cursor.peek()?.span;
    while !cursor.at_end()? && !begins_options(cursor, spec)? {
        span = span.to(cursor.next()?.span);
    }
    Ok(Spanned::new(Text::from(span.of(cursor.text())), span))
}

fn begins_options(cursor: &Cursor<'_>, spec: &CommandSpec) -> Result<bool, Diagnostic> {
    let word = cursor.peek_word()?;
    let is_known = word.is_some_and(|word| spec.option(word).is_some());
    Ok(is_known && cursor.is_option()?)
}

pub(super) fn print(
    f: &mut Formatter<'_>,
    text: &Spanned<Text>,
    delay_ms: &Option<Spanned<u64>>,
) -> fmt::Result {
    write!(f, " {text}")?;
    print::option(f, "DELAY_MS", delay_ms)
}
