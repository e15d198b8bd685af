//! The batch id that many commands take.

use super::{Chapter, CommandSpec, Operand, ValueKind, Word};
use crate::ast::Text;
use crate::cursor::Cursor;
use crate::diagnostic::Diagnostic;
use crate::span::Spanned;

const BATCH_ID: &str = "a batch id";

/// A command that changes a batch; without an id, often the last one of the session.
pub(super) const CHANGE: CommandSpec = CommandSpec {
    chapter: Chapter::Batches,
    operand: Operand::Optional(Word::Value(ValueKind::BatchId)),
    ..CommandSpec::BLANK
};

/// A command that reads about one batch.
pub(super) const MONITOR: CommandSpec = CommandSpec {
    chapter: Chapter::Monitoring,
    operand: Operand::Required(Word::Value(ValueKind::BatchId)),
    ..CommandSpec::BLANK
};

/// A batch id, unless the statement ends or an option begins.
pub(super) fn optional(cursor: &mut Cursor<'_>) -> Result<Option<Spanned<Text>>, Diagnostic> {
    match cursor.at_end()? || cursor.is_option()? {
        true => Ok(None),
        false => cursor.value(BATCH_ID).map(Some),
    }
}

pub(super) fn required(cursor: &mut Cursor<'_>) -> Result<Spanned<Text>, Diagnostic> {
    match optional(cursor)? {
        Some(batch_id) => Ok(batch_id),
        None => Err(cursor
            .unexpected(&[BATCH_ID])?
            .hint("BATCH_LIST shows the ids of batches")),
    }
}
