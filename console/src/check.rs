//! `weft check`: parses the statements of a file and reports the errors, without running them.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use serde::Serialize;
use weft_lang::{Statement, split_statements};

use crate::exit::{OK, USAGE};
use crate::output::stdout;

/// `weft check`.
#[derive(Clone, Debug, Args)]
pub struct CheckArgs {
    /// The file with statements; `-` is stdin
    #[arg(short, long, value_name = "FILE")]
    pub file: PathBuf,
}

/// The result of one statement.
#[derive(Debug, PartialEq, Serialize)]
struct Checked<'a> {
    line: usize,
    statement: &'a str,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    expected: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Position>,
}

/// A position in the file; lines and columns count from 1.
#[derive(Debug, PartialEq, Serialize)]
struct Position {
    line: usize,
    column: usize,
}

/// Checks every statement of the file.
pub fn run(args: &CheckArgs) -> anyhow::Result<u8> {
    let text = read(&args.file)?;
    let checked = check(&text);
    for statement in &checked {
        stdout::line(&serde_json::to_string(statement)?);
    }
    let all_ok = checked.iter().all(|statement| statement.ok);
    Ok(if all_ok { OK } else { USAGE })
}

/// Reads a file, or stdin for `-`.
pub fn read(file: &Path) -> anyhow::Result<String> {
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .context("cannot read stdin")?;
        return Ok(text);
    }
    std::fs::read_to_string(file).map_err(|error| {
        let message = format!("cannot read {}: {error}", file.display());
        crate::exit::Failure::usage(message).into()
    })
}

fn check(text: &str) -> Vec<Checked<'_>> {
    let spans = split_statements(text);
    let check_one = |span: weft_lang::Span| {
        let statement = span.of(text);
        let error = Statement::parse(statement).err();
        let at = error
            .as_ref()
            .map(|error| position_of(text, span.start + error.span.start));
        let (message, expected, hint) = match error {
            Some(error) => (Some(error.message), error.expected, error.hint),
            None => (None, Vec::new(), None),
        };
        Checked {
            line: position_of(text, span.start).line,
            statement,
            ok: message.is_none(),
            error: message,
            expected,
            hint,
            at,
        }
    };
    spans.into_iter().map(check_one).collect()
}

fn position_of(text: &str, byte: usize) -> Position {
    let before = text.get(..byte).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Position {
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_statement_has_its_result_and_position() {
        let text = "-- jobs\nJOBSTATUS;\n\nBATCH Customer\n  FABRIC_COMAND='x ?';\nCLUSTERSTATUS";
        let checked = check(text);
        let found: Vec<_> = checked
            .iter()
            .map(|checked| (checked.line, checked.ok))
            .collect();
        assert_eq!(found, [(2, true), (4, false), (6, true)]);
        assert_eq!(checked[1].at, Some(Position { line: 5, column: 3 }));
        assert!(checked[1].error.is_some());
        assert!(check(" -- nothing\n").is_empty());
    }
}
