//! The type and name of a job, which many commands take.

use super::{Chapter, CommandSpec, Operand, Word};
use crate::ast::Text;
use crate::cursor::Cursor;
use crate::diagnostic::Diagnostic;
use crate::names::JOB_TYPE;
use crate::span::Spanned;

/// A command about jobs of a type.
pub(super) const JOBS: CommandSpec = CommandSpec {
    chapter: Chapter::Jobs,
    operand: Operand::Required(Word::JobType),
    ..CommandSpec::BLANK
};

/// A job type. One of two words may be bare.
pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Spanned<String>, Diagnostic> {
    let is_bare = cursor.peek_word()?.is_some();
    let first = cursor.bare_until("a job type", ' ')?;
    if !is_bare || cursor.peek_word()?.is_none() || cursor.is_option()? {
        return Ok(first);
    }
    let mut ahead = cursor.clone();
    let second = ahead.bare_until("a word", ' ')?;
    let both = format!("{} {}", first.value, second.value);
    let mut names = JOB_TYPE.names.iter();
    if !names.any(|name| name.eq_ignore_ascii_case(&both)) {
        return Ok(first);
    }
    *cursor = ahead;
    Ok(Spanned::new(both, first.span.to(second.span)))
}

/// The name that follows a job type.
pub(super) fn job_name(
    cursor: &mut Cursor<'_>,
    spec: &'static CommandSpec,
) -> Result<Spanned<Text>, Diagnostic> {
    if cursor.at_end()? || cursor.is_word("WITH")? || cursor.is_option()? {
        return Err(cursor.unexpected(&["a job name"])?.hint(format!(
            "write `{} <type> '<name>' WITH UID='<uid>'`",
            spec.name
        )));
    }
    cursor.value("a job name")
}
