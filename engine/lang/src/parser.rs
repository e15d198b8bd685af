//! Text to syntax tree.

mod batch;
mod cursor;
mod instance;
mod job;
mod monitor;
mod options;
mod other;
mod session;
mod trace;

use crate::ast::{Command, Statement};
use crate::diagnostic::Diagnostic;
use crate::keywords::{COMMANDS, CommandKind, CommandSpec};
use crate::lexer::{TokenKind, Tokens};
use crate::names::nearest;
use crate::scan::MAX_NESTING;
use crate::span::Span;
use cursor::{Cursor, Marks};

/// How long a statement may be.
pub const MAX_STATEMENT_BYTES: usize = 64 * 1024;

impl Statement {
    /// Parses one statement; a `;` behind it may be left out.
    pub fn parse(text: &str) -> Result<Self, Diagnostic> {
        Self::parse_marks(text, Marks::Open)
    }

    /// Parses a prepared statement with a value for each `?`. A value becomes one literal, whatever
    /// its characters are; printing the statement shows it.
    pub fn parse_with(text: &str, parameters: &[String]) -> Result<Self, Diagnostic> {
        Self::parse_marks(text, Marks::Given(parameters))
    }

    fn parse_marks(text: &str, marks: Marks<'_>) -> Result<Self, Diagnostic> {
        let command = parse(text, marks)?;
        Ok(Self {
            command,
            source: text.to_owned(),
        })
    }

    /// The command's name in the table, in capitals.
    pub fn keyword(&self) -> &'static str {
        self.command.keyword()
    }

    /// The command's place in the table.
    pub fn spec(&self) -> &'static CommandSpec {
        self.command.spec()
    }

    /// Whether this version can do it; if not, it is known by name only.
    pub fn is_available(&self) -> bool {
        self.spec().available
    }
}

impl From<Command> for Statement {
    fn from(command: Command) -> Self {
        let source = format!("{command};");
        Self { command, source }
    }
}

/// Parses a command in which `?` is the entity id.
pub(crate) fn parse_template(text: &str) -> Result<Command, Diagnostic> {
    parse(text, Marks::EntityId)
}

fn parse(text: &str, marks: Marks<'_>) -> Result<Command, Diagnostic> {
    if text.len() > MAX_STATEMENT_BYTES {
        let kib = MAX_STATEMENT_BYTES / 1024;
        let message = format!("the statement is longer than {kib} KiB");
        return Err(Diagnostic::new(message, Span::at(0))
            .hint("take a long list of ids from a query or a file, with FROM … USING"));
    }
    let mut cursor = Cursor::new(text, marks);
    check_nesting(text)?;
    let spec = command_spec(&mut cursor)?;
    let command = command(&mut cursor, spec)?;
    cursor.finish()?;
    Ok(command)
}

fn check_nesting(text: &str) -> Result<(), Diagnostic> {
    let mut tokens = Tokens::new(text);
    let mut depth = 0_usize;
    loop {
        // The parser says more about an unclosed string: it knows what was expected there.
        let Ok(token) = tokens.next() else {
            return Ok(());
        };
        let deepest = match token.kind {
            TokenKind::End => return Ok(()),
            TokenKind::Json(nested) => depth + nested,
            TokenKind::Symbol('(' | '[' | '{') => depth + 1,
            TokenKind::Symbol(_) | TokenKind::Word | TokenKind::String(_) => depth,
        };
        if deepest > MAX_NESTING {
            return Err(Diagnostic::new(
                format!("brackets are nested deeper than {MAX_NESTING}"),
                token.span,
            ));
        }
        match token.kind {
            TokenKind::Symbol('(' | '[' | '{') => depth += 1,
            TokenKind::Symbol(')' | ']' | '}') => depth = depth.saturating_sub(1),
            TokenKind::Symbol(_)
            | TokenKind::Word
            | TokenKind::String(_)
            | TokenKind::Json(_)
            | TokenKind::End => (),
        }
    }
}

/// Reads the command's name, of one word or two.
fn command_spec(cursor: &mut Cursor<'_>) -> Result<&'static CommandSpec, Diagnostic> {
    let first = cursor.next()?;
    match first.kind {
        TokenKind::Word => (),
        TokenKind::End | TokenKind::Symbol(';') => {
            return Err(Diagnostic::new("there is no statement", first.span)
                .hint("HELP lists the commands"));
        }
        TokenKind::String(_) | TokenKind::Symbol(_) | TokenKind::Json(_) => {
            return Err(Diagnostic::new(
                "a statement begins with the name of a command",
                first.span,
            )
            .hint("HELP lists the commands"));
        }
    }
    let word = first.span.of(cursor.text());
    let second = cursor.peek()?;
    let second_word = match second.kind {
        TokenKind::Word => Some(second.span.of(cursor.text())),
        TokenKind::String(_) | TokenKind::Symbol(_) | TokenKind::Json(_) | TokenKind::End => None,
    };
    if let Some(second_word) = second_word
        && let Some(spec) = CommandSpec::find(&format!("{word} {second_word}"))
    {
        cursor.next()?;
        return Ok(spec);
    }
    if let Some(spec) = CommandSpec::find(word) {
        return Ok(spec);
    }
    Err(unknown_command(word, second_word, first.span, second.span))
}

fn unknown_command(word: &str, second: Option<&str>, span: Span, second_span: Span) -> Diagnostic {
    let names = || COMMANDS.iter().flat_map(CommandSpec::names);
    let begins = |name: &&str| {
        name.split_once(' ')
            .is_some_and(|(first, _)| first.eq_ignore_ascii_case(word))
    };
    let pairs: Vec<_> = COMMANDS
        .iter()
        .map(|spec| spec.name)
        .filter(|name| begins(name))
        .collect();
    if !pairs.is_empty() {
        let what = second.map_or(
            Diagnostic::new(format!("{} needs a second word", word.to_uppercase()), span),
            |second| {
                Diagnostic::new(
                    format!("unknown command `{word} {second}`"),
                    span.to(second_span),
                )
            },
        );
        return what.expecting(pairs);
    }
    let diagnostic = Diagnostic::new(format!("unknown command `{word}`"), span);
    let joined = second.and_then(|second| {
        let spec = CommandSpec::find(&format!("{word}{second}"));
        spec.or_else(|| CommandSpec::find(&format!("{word}_{second}")))
    });
    match joined
        .map(|spec| spec.name)
        .or_else(|| nearest(word, names()))
    {
        Some(name) => diagnostic.hint(format!("did you mean `{name}`?")),
        None => diagnostic.hint("HELP lists the commands"),
    }
}

fn command(cursor: &mut Cursor<'_>, spec: &'static CommandSpec) -> Result<Command, Diagnostic> {
    match spec.kind {
        CommandKind::Batch | CommandKind::Batchf | CommandKind::Migrate | CommandKind::Migratef => {
            batch::batch(cursor, spec)
        }
        CommandKind::BatchList | CommandKind::MigrateList => monitor::list(cursor, spec),
        CommandKind::BatchInfo => monitor::info(cursor),
        CommandKind::BatchSummary | CommandKind::MigrateSummary => monitor::summary(cursor, spec),
        CommandKind::BatchDetails | CommandKind::MigrateDetails => monitor::details(cursor, spec),
        CommandKind::BatchInProcess | CommandKind::MigrateInProcess => {
            monitor::in_process(cursor, spec)
        }
        CommandKind::BatchCancel | CommandKind::CancelBatch => monitor::cancel(cursor, spec),
        CommandKind::Kill => monitor::kill(cursor),
        CommandKind::BatchPause => monitor::pause(cursor),
        CommandKind::BatchRetry | CommandKind::MigrateResume => monitor::retry(cursor, spec),
        CommandKind::BatchEdit => monitor::edit(cursor, spec),
        CommandKind::StartJob
        | CommandKind::StopJob
        | CommandKind::RestartJob
        | CommandKind::ResumeJob
        | CommandKind::UpdateJob => job::job(cursor, spec),
        CommandKind::JobStatus => job::status(cursor, spec),
        CommandKind::JobHistory => job::history(cursor, spec),
        CommandKind::Ps => job::ps(cursor),
        CommandKind::Deploy => session::deploy(cursor, spec),
        CommandKind::ClusterStatus => session::cluster_status(cursor),
        CommandKind::ClusterId => Ok(Command::ClusterId),
        CommandKind::Set => session::set(cursor),
        CommandKind::Help => session::help(cursor),
        CommandKind::Get | CommandKind::Use => instance::get(cursor, spec),
        CommandKind::Select => session::select(cursor),
        CommandKind::Release => session::release(cursor),
        CommandKind::ListInstanceGroups
        | CommandKind::ListLogicalUnits
        | CommandKind::ListInterfaces
        | CommandKind::ListAffinityRules => Ok(session::list(spec)),
        CommandKind::Echo => session::echo(cursor, spec),
        CommandKind::SyncInstance => instance::sync(cursor),
        CommandKind::CdcRepublish => instance::cdc_republish(cursor, spec),
        CommandKind::Broadway => instance::broadway(cursor),
        CommandKind::SetGlobal => session::set_global(cursor, spec),
        CommandKind::Trace => trace::trace(cursor),
        CommandKind::Other => other::other(cursor, spec),
    }
}
