//! The instance that many commands take.

use super::{Chapter, CommandSpec, Operand, ValueKind, Word};
use crate::ast::Instance;
use crate::cursor::Cursor;
use crate::diagnostic::Diagnostic;

/// A command about something of a logical unit.
pub(super) const ONE: CommandSpec = CommandSpec {
    chapter: Chapter::Instances,
    operand: Operand::Required(Word::Value(ValueKind::LogicalUnit)),
    ..CommandSpec::BLANK
};

/// `LU.id`
pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Instance, Diagnostic> {
    let lu = cursor.name("a logical unit")?;
    cursor.expect_symbol('.', "`.` and an id")?;
    let id = cursor.value("an id")?;
    Ok(Instance { lu, id })
}
