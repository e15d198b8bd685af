//! BROADWAY.

use std::collections::BTreeSet;
use std::fmt::{self, Formatter};

use super::{CommandSpec, instance};
use crate::ast::{Assignment, Broadway, Command};
use crate::cursor::Cursor;
use crate::diagnostic::Diagnostic;
use crate::lexer::TokenKind;
use crate::print::{self, Name};

pub(super) static BROADWAY: CommandSpec = CommandSpec {
    name: "BROADWAY",
    for_each_entity: true,
    summary: "runs a flow and shows its outputs",
    syntax: &[
        "BROADWAY <LU>.<flow> [<input>=<value>[, <input>=<value>…]] [RESULT_STRUCTURE=COLUMN|ROW|CURSOR] [recoveryId=<id> [recoveryTtl=<seconds>] [recoveryMaxTries=<n>]]",
    ],
    example: "BROADWAY Customer.publish customer_id='1' RESULT_STRUCTURE='ROW';",
    parse: |cursor, _| parse(cursor),
    ..instance::ONE
};

fn parse(cursor: &mut Cursor<'_>) -> Result<Command, Diagnostic> {
    let lu = cursor.name("a logical unit")?;
    cursor.expect_symbol('.', "`.` and a flow")?;
    let flow = cursor.bare_until("a flow", '?')?;
    let mut names = BTreeSet::new();
    let mut parameters = Vec::new();
    loop {
        cursor.accept_symbol(',')?;
        if cursor.at_end()? {
            break;
        }
        let parameter = parameter(cursor)?;
        if !names.insert(parameter.name.value.clone()) {
            let message = format!("parameter `{}` is given twice", parameter.name.value);
            return Err(Diagnostic::new(message, parameter.name.span));
        }
        parameters.push(parameter);
    }
    Ok(Command::Broadway(Broadway {
        lu,
        flow,
        parameters,
    }))
}

/// `name=value`
fn parameter(cursor: &mut Cursor<'_>) -> Result<Assignment, Diagnostic> {
    let token = cursor.peek()?;
    if !matches!(token.kind, TokenKind::Word | TokenKind::String(_)) {
        return Err(cursor.unexpected(&["the name of a parameter"])?);
    }
    let name = cursor.literal("the name of a parameter")?;
    if !cursor.accept_symbol('=')? {
        let span = name.span;
        return Err(Diagnostic::new("the parameter has no value", span)
            .hint("write `name=value`, as in `broadway Customer.flow id=?`"));
    }
    let value = cursor.assigned_value("a value")?;
    Ok(Assignment { name, value })
}

pub(super) fn print(f: &mut Formatter<'_>, broadway: &Broadway) -> fmt::Result {
    let Broadway {
        lu,
        flow,
        parameters,
    } = broadway;
    write!(f, " {lu}.{}", Name(&flow.value))?;
    print::assignments(f, parameters, "")
}
