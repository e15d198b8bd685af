//! Commands that are known by name only.

use super::cursor::Cursor;
use crate::ast::{Argument, Assignment, Command, Text};
use crate::diagnostic::Diagnostic;
use crate::keywords::CommandSpec;
use crate::lexer::TokenKind;
use crate::span::Spanned;

pub(super) fn other(
    cursor: &mut Cursor<'_>,
    spec: &'static CommandSpec,
) -> Result<Command, Diagnostic> {
    let mut arguments = Vec::new();
    while !cursor.at_end()? {
        arguments.push(argument(cursor)?);
    }
    Ok(Command::Other {
        keyword: spec.name,
        arguments,
    })
}

fn argument(cursor: &mut Cursor<'_>) -> Result<Argument, Diagnostic> {
    let token = cursor.peek()?;
    match token.kind {
        TokenKind::Symbol(symbol @ (',' | '(' | ')')) => {
            cursor.next()?;
            return Ok(Argument::Symbol(symbol));
        }
        TokenKind::Symbol('=') | TokenKind::End => return Err(cursor.unexpected(&[])?),
        TokenKind::Word | TokenKind::Symbol(_) | TokenKind::String(_) | TokenKind::Json(_) => (),
    }
    let is_string = matches!(token.kind, TokenKind::String(_));
    let Spanned { value, span } = cursor.value("a word")?;
    match value {
        Text::Literal(name) if cursor.accept_symbol('=')? => {
            let value = cursor.assigned_value("a value")?;
            let name = Spanned::new(name, span);
            Ok(Argument::Named(Assignment { name, value }))
        }
        Text::Literal(word) if !is_string => Ok(Argument::Word(Spanned::new(word, span))),
        value @ (Text::Literal(_) | Text::Parameter(_)) => {
            Ok(Argument::Text(Spanned::new(value, span)))
        }
    }
}
