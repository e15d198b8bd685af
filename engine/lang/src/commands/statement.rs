//! One statement: its limits, the name of its command, and the end.

use std::fmt::{self, Display, Formatter};

use super::{COMMANDS, CommandSpec};
use crate::ast::{Command, Statement};
use crate::cursor::{Cursor, Placeholders};
use crate::diagnostic::Diagnostic;
use crate::lexer::{TokenKind, Tokens};
use crate::names::nearest;
use crate::scan::MAX_NESTING;
use crate::span::Span;

/// The maximum length of a statement.
pub const MAX_STATEMENT_BYTES: usize = 64 * 1024;

impl Statement {
    /// Parses one statement; the `;` at its end may be left out.
    pub fn parse(text: &str) -> Result<Self, Diagnostic> {
        Self::parse_placeholders(text, Placeholders::Open)
    }

    /// Parses a prepared statement with a value for each `?`. A value becomes one literal, whatever its characters
    /// are.
    pub fn parse_with(text: &str, parameters: &[String]) -> Result<Self, Diagnostic> {
        Self::parse_placeholders(text, Placeholders::Given(parameters))
    }

    fn parse_placeholders(text: &str, placeholders: Placeholders<'_>) -> Result<Self, Diagnostic> {
        let command = parse(text, placeholders)?;
        Ok(Self {
            command,
            source: text.to_owned(),
        })
    }

    /// The command's name in the table of commands, in capitals.
    pub fn keyword(&self) -> &'static str {
        self.command.keyword()
    }

    /// The command's entry in the table of commands.
    pub fn spec(&self) -> &'static CommandSpec {
        CommandSpec::find(self.keyword()).expect("every keyword of the tree is in the table")
    }

    /// Whether this version can run it.
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

/// The canonical form, with its `;`.
impl Display for Statement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{};", self.command)
    }
}

/// Parses a whole text as one command.
pub(super) fn parse(text: &str, placeholders: Placeholders<'_>) -> Result<Command, Diagnostic> {
    if text.len() > MAX_STATEMENT_BYTES {
        let kib = MAX_STATEMENT_BYTES / 1024;
        let message = format!("the statement is longer than {kib} KiB");
        return Err(Diagnostic::new(message, Span::at(0))
            .hint("take a long list of ids from a query or a file, with FROM … USING"));
    }
    let mut cursor = Cursor::new(text, placeholders);
    check_nesting(text)?;
    let spec = command_spec(&mut cursor)?;
    let command = (spec.parse)(&mut cursor, spec)?;
    cursor.finish()?;
    Ok(command)
}

fn check_nesting(text: &str) -> Result<(), Diagnostic> {
    let mut tokens = Tokens::new(text);
    let mut depth = 0_usize;
    loop {
        // The parser reports an unclosed string better: it knows what is expected there.
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

/// Reads the command's name, which has one or two words.
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
    let names = COMMANDS.iter().flat_map(|spec| spec.names());
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
        .or_else(|| nearest(word, names))
    {
        Some(name) => diagnostic.hint(format!("did you mean `{name}`?")),
        None => diagnostic.hint("HELP lists the commands"),
    }
}
