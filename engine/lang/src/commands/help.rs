//! HELP.

use std::fmt::{self, Formatter};

use super::{COMMANDS, Chapter, CommandSpec, Operand, Word};
use crate::ast::Command;
use crate::cursor::Cursor;
use crate::diagnostic::Diagnostic;
use crate::job_types::{JOB_TYPES, job_type};
use crate::names::nearest;
use crate::print;
use crate::span::Span;

pub(super) static HELP: CommandSpec = CommandSpec {
    name: "HELP",
    chapter: Chapter::Session,
    summary: "lists the commands, or describes a command or a job type",
    syntax: &["HELP [<command> | <job type>]"],
    example: "HELP BATCH;",
    operand: Operand::Optional(Word::Command),
    parse: |cursor, _| parse(cursor),
    ..CommandSpec::BLANK
};

fn parse(cursor: &mut Cursor<'_>) -> Result<Command, Diagnostic> {
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
    let diagnostic = Diagnostic::new(format!("no command or job type is named `{topic}`"), span);
    let commands = COMMANDS.iter().map(|spec| spec.name);
    let job_types = JOB_TYPES.iter().map(|known| known.name);
    Err(match nearest(&topic, commands.chain(job_types)) {
        Some(name) => diagnostic.hint(format!("did you mean `{name}`?")),
        None => diagnostic.hint("HELP alone lists the commands"),
    })
}

pub(super) fn print(f: &mut Formatter<'_>, topic: Option<&String>) -> fmt::Result {
    print::argument(f, topic)
}
