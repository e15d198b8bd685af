//! Commands that are known by name only: any arguments are accepted and kept as written.

use std::fmt::{self, Display, Formatter};

use super::{Chapter, CommandSpec, Operand, ValueKind, Word, instance};
use crate::ast::{Argument, Assignment, Command, Text};
use crate::cursor::Cursor;
use crate::diagnostic::Diagnostic;
use crate::lexer::TokenKind;
use crate::span::Spanned;

const INSTANCE: CommandSpec = CommandSpec {
    available: false,
    ..instance::ONE
};

const RIGHTS: CommandSpec = CommandSpec {
    chapter: Chapter::Cluster,
    available: false,
    ..CommandSpec::BLANK
};

pub(super) static STOPPARSER: CommandSpec = CommandSpec {
    name: "STOPPARSER",
    chapter: Chapter::Jobs,
    available: false,
    summary: "stops a parser of a logical unit",
    syntax: &["STOPPARSER <LU> <parser>"],
    example: "STOPPARSER Customer deltaIid;",
    operand: Operand::Required(Word::Value(ValueKind::LogicalUnit)),
    ..CommandSpec::BLANK
};

pub(super) static GETF: CommandSpec = CommandSpec {
    name: "GETF",
    summary: "fetches the instance whose id a function makes",
    syntax: &["GETF <LU>.<function>(<values>)"],
    example: "GETF Customer.addEnvironment(235);",
    ..INSTANCE
};

pub(super) static DELETE_INSTANCE: CommandSpec = CommandSpec {
    name: "DELETE INSTANCE",
    aliases: &["DELETE"],
    summary: "deletes stored instances",
    syntax: &["DELETE INSTANCE <LU>.<id>[, <LU>.<id>…]"],
    example: "DELETE INSTANCE Customer.1;",
    ..INSTANCE
};

pub(super) static DELETE_INSTANCES: CommandSpec = CommandSpec {
    name: "DELETE INSTANCES",
    summary: "deletes the stored instances that no longer exist in their source",
    syntax: &["DELETE INSTANCES IF NOT EXIST <LU>"],
    example: "DELETE INSTANCES IF NOT EXIST Customer;",
    operand: Operand::Required(Word::OneOf(&["IF NOT EXIST"])),
    ..INSTANCE
};

pub(super) static GRANT: CommandSpec = CommandSpec {
    name: "GRANT",
    summary: "gives a permission to a role",
    syntax: &["GRANT <permission> ON <object> TO <role>"],
    example: "GRANT migrate ON Customer TO operators;",
    ..RIGHTS
};

pub(super) static REVOKE: CommandSpec = CommandSpec {
    name: "REVOKE",
    summary: "takes a permission from a role",
    syntax: &["REVOKE <permission> ON <object> FROM <role>"],
    example: "REVOKE migrate ON Customer FROM operators;",
    ..RIGHTS
};

pub(super) fn parse(
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

pub(super) fn print(f: &mut Formatter<'_>, arguments: &[Argument]) -> fmt::Result {
    let mut after_open = false;
    for argument in arguments {
        let is_tight = after_open || matches!(argument, Argument::Symbol(_));
        f.write_str(if is_tight { "" } else { " " })?;
        match argument {
            Argument::Word(word) => word.fmt(f)?,
            Argument::Text(text) => text.fmt(f)?,
            Argument::Named(assignment) => assignment.fmt(f)?,
            Argument::Symbol(symbol) => write!(f, "{symbol}")?,
        }
        after_open = *argument == Argument::Symbol('(');
    }
    Ok(())
}
