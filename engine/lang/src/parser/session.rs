//! The session, the project and the cluster.

use super::cursor::Cursor;
use super::options::Options;
use super::other;
use crate::ast::{Assignment, Command, DeployTarget, ListTarget, Text};
use crate::diagnostic::Diagnostic;
use crate::job_types::{JOB_TYPES, job_type};
use crate::keywords::{COMMANDS, CommandKind, CommandSpec};
use crate::lexer::TokenKind;
use crate::names::nearest;
use crate::scan;
use crate::span::{Span, Spanned};

pub(super) fn deploy(
    cursor: &mut Cursor<'_>,
    spec: &'static CommandSpec,
) -> Result<Command, Diagnostic> {
    let is_option = |word: &str| spec.option(word).is_some() || word.eq_ignore_ascii_case("WITH");
    let token = cursor.peek()?;
    let target = match token.kind {
        TokenKind::String(folder) => {
            cursor.next()?;
            DeployTarget::Folder(Spanned::new(folder, token.span))
        }
        TokenKind::Word if !is_option(token.span.of(cursor.text())) => {
            DeployTarget::LogicalUnit(cursor.name("a logical unit")?)
        }
        TokenKind::Word | TokenKind::Symbol(_) | TokenKind::Json(_) | TokenKind::End => {
            DeployTarget::Project
        }
    };
    let options = Options::parse(cursor, spec)?;
    Ok(Command::Deploy {
        target,
        soft_deploy: options.boolean("SOFT_DEPLOY"),
    })
}

pub(super) fn cluster_status(cursor: &mut Cursor<'_>) -> Result<Command, Diagnostic> {
    let node_affinity = cursor.accept_word("NODE_AFFINITY_STATUS")?.is_some();
    Ok(Command::ClusterStatus { node_affinity })
}

/// `name = value, …` and `name value`
pub(super) fn set(cursor: &mut Cursor<'_>) -> Result<Command, Diagnostic> {
    let mut assignments = Vec::new();
    while !cursor.at_end()? {
        if !assignments.is_empty() {
            cursor.expect_symbol(',', "`,`")?;
        }
        if cursor.peek()?.kind != TokenKind::Word {
            return Err(cursor.unexpected(&["a name"])?);
        }
        let name = cursor.literal("a name")?;
        if !name.value.split('.').all(is_word) {
            let wrong =
                Diagnostic::new(format!("`{}` is no name of a value", name.value), name.span);
            return Err(wrong.hint("a name has letters, digits, `_` and `.` in it"));
        }
        let value = match cursor.accept_symbol('=')? {
            true => cursor.assigned_value("a value")?,
            false => cursor.value("a value")?,
        };
        assignments.push(Assignment { name, value });
    }
    Ok(Command::Set { assignments })
}

/// What of the cluster can be set.
const GLOBALS: [&str; 2] = ["AFFINITY_RULES", "RESET_AFFINITY_RULES"];

/// Other values of the cluster are known by name only.
pub(super) fn set_global(
    cursor: &mut Cursor<'_>,
    spec: &'static CommandSpec,
) -> Result<Command, Diagnostic> {
    if cursor.accept_word("RESET_AFFINITY_RULES")?.is_some() {
        return Ok(Command::SetAffinityRules { rules: None });
    }
    if cursor.accept_word("AFFINITY_RULES")?.is_some() {
        let rules = match cursor.accept_symbol('=')? {
            true => cursor.assigned_value("rules as JSON")?,
            false => cursor.value("rules as JSON")?,
        };
        return Ok(Command::SetAffinityRules { rules: Some(rules) });
    }
    let meant = cursor.peek_word()?.map(|word| nearest(word, GLOBALS));
    if cursor.at_end()? || meant.flatten().is_some() {
        return Err(cursor.unexpected(&GLOBALS)?);
    }
    other::other(cursor, spec)
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(scan::is_word)
}

pub(super) fn help(cursor: &mut Cursor<'_>) -> Result<Command, Diagnostic> {
    let mut words = Vec::new();
    let mut span: Option<Span> = None;
    while !cursor.at_end()? {
        let word = cursor.literal("a command")?;
        span = Some(span.map_or(word.span, |span| span.to(word.span)));
        words.push(word.value);
    }
    let Some(span) = span else {
        return Ok(Command::Help { topic: None });
    };
    let topic = words.join(" ");
    if let Some(spec) = CommandSpec::find(&topic) {
        return Ok(Command::Help {
            topic: Some(spec.name.to_owned()),
        });
    }
    if let Some(known) = job_type(&topic) {
        return Ok(Command::Help {
            topic: Some(known.name.to_owned()),
        });
    }
    let diagnostic = Diagnostic::new(
        format!("there is no command or type of job `{topic}`"),
        span,
    );
    let commands = COMMANDS.iter().map(|spec| spec.name);
    let job_types = JOB_TYPES.iter().map(|known| known.name);
    Err(match nearest(&topic, commands.chain(job_types)) {
        Some(name) => diagnostic.hint(format!("did you mean `{name}`?")),
        None => diagnostic.hint("HELP alone lists the commands"),
    })
}

/// Takes everything up to the `;` as it is. The name has been read already; it is part of the query.
pub(super) fn select(cursor: &mut Cursor<'_>) -> Result<Command, Diagnostic> {
    let mut from_start = cursor.clone();
    from_start.go_to(0);
    let start = from_start.peek()?.span.start;
    let mut end = cursor.place();
    while !cursor.at_end()? {
        end = cursor.next()?.span.end;
    }
    let span = Span::new(start, end);
    let sql = Spanned::new(span.of(cursor.text()).to_owned(), span);
    Ok(Command::Select { sql })
}

pub(super) fn release(cursor: &mut Cursor<'_>) -> Result<Command, Diagnostic> {
    let lu = if cursor.at_end()? {
        None
    } else {
        Some(cursor.name("a logical unit")?)
    };
    Ok(Command::Release { lu })
}

pub(super) fn list(spec: &CommandSpec) -> Command {
    Command::List(match spec.kind {
        CommandKind::ListInstanceGroups => ListTarget::InstanceGroups,
        CommandKind::ListInterfaces => ListTarget::Interfaces,
        CommandKind::ListAffinityRules => ListTarget::AffinityRules,
        _ => ListTarget::LogicalUnits,
    })
}

pub(super) fn echo(
    cursor: &mut Cursor<'_>,
    spec: &'static CommandSpec,
) -> Result<Command, Diagnostic> {
    let first = cursor.peek()?;
    if cursor.at_end()? {
        return Err(cursor.unexpected(&["a text"])?);
    }
    let begins_options = |cursor: &Cursor<'_>| -> Result<bool, Diagnostic> {
        let is_known = cursor
            .peek_word()?
            .is_some_and(|word| spec.option(word).is_some());
        Ok(is_known && cursor.is_option()?)
    };
    let text = if matches!(first.kind, TokenKind::String(_) | TokenKind::Symbol('?')) {
        let mut look = cursor.clone();
        let text = look.value("a text")?;
        if look.at_end()? || begins_options(&look)? {
            *cursor = look;
            Some(text)
        } else {
            None
        }
    } else {
        None
    };
    let text = match text {
        Some(text) => text,
        None => {
            let mut span = first.span;
            while !cursor.at_end()? && !begins_options(cursor)? {
                span = span.to(cursor.next()?.span);
            }
            Spanned::new(Text::from(span.of(cursor.text())), span)
        }
    };
    let options = Options::parse(cursor, spec)?;
    Ok(Command::Echo {
        text,
        delay_ms: options.count("DELAY_MS"),
    })
}
