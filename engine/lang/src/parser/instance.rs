//! Commands about instances.

use std::collections::BTreeSet;

use super::cursor::Cursor;
use super::options::Options;
use crate::ast::{Assignment, Broadway, CdcRepublish, Command, Get, GetVerb, Instance};
use crate::diagnostic::Diagnostic;
use crate::keywords::{CommandKind, CommandSpec};
use crate::lexer::TokenKind;

/// `LU.id`
fn instance(cursor: &mut Cursor<'_>) -> Result<Instance, Diagnostic> {
    let lu = cursor.name("a logical unit")?;
    cursor.expect_symbol('.', "`.` and an id")?;
    let id = cursor.value("an id")?;
    Ok(Instance { lu, id })
}

pub(super) fn get(
    cursor: &mut Cursor<'_>,
    spec: &'static CommandSpec,
) -> Result<Command, Diagnostic> {
    let verb = match spec.kind {
        CommandKind::Use => GetVerb::Use,
        _ => GetVerb::Get,
    };
    let mut lus = BTreeSet::new();
    let mut instances = Vec::new();
    loop {
        let next = instance(cursor)?;
        if !lus.insert(next.lu.value.to_lowercase()) {
            let span = next.lu.span.to(next.id.span);
            // The documented words, full stop and all: clients look for them.
            let message = "Only single instance per LUT can be used on the same GET command.";
            return Err(Diagnostic::new(message, span));
        }
        instances.push(next);
        if !cursor.accept_symbol(',')? {
            break;
        }
    }
    let options = Options::parse(cursor, spec)?;
    Ok(Command::Get(Get {
        verb,
        instances,
        stop_on_error: options.boolean("STOP_ON_ERROR"),
        parallel: options.boolean("PARALLEL"),
    }))
}

pub(super) fn sync(cursor: &mut Cursor<'_>) -> Result<Command, Diagnostic> {
    let instance = instance(cursor)?;
    Ok(Command::SyncInstance { instance })
}

pub(super) fn cdc_republish(
    cursor: &mut Cursor<'_>,
    spec: &'static CommandSpec,
) -> Result<Command, Diagnostic> {
    let instance = instance(cursor)?;
    let options = Options::parse(cursor, spec)?;
    Ok(Command::CdcRepublish(CdcRepublish {
        instance,
        tables: options.text("TABLES"),
        types: options.text("TYPES"),
        truncate: options.boolean("TRUNCATE"),
    }))
}

pub(super) fn broadway(cursor: &mut Cursor<'_>) -> Result<Command, Diagnostic> {
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
        return Err(Diagnostic::new("the flow's parameter has no value", span)
            .hint("write `name=value`, as in `broadway Customer.flow id=?`"));
    }
    let value = cursor.assigned_value("a value")?;
    Ok(Assignment { name, value })
}
