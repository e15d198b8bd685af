//! Statements of `-e`, `-f` and stdin. The first one that fails ends the script.

use tokio::io::{AsyncBufReadExt, BufReader};
use weft_lang::{Completeness, Statement, is_complete, split_statements};

use super::runner::Runner;
use super::{local, repl};
use crate::exit::{Failure, INTERRUPTED, OK, USAGE};
use crate::output::stderr;

/// Parses every statement of a text, so that nothing runs if a later one is invalid.
pub fn check(text: &str) -> Result<(), Failure> {
    let mut is_sound = true;
    for span in split_statements(text) {
        let statement = span.of(text);
        if local::parse(statement).is_some() {
            continue;
        }
        if let Err(diagnostic) = Statement::parse(statement) {
            stderr::error(&diagnostic.render(statement));
            is_sound = false;
        }
    }
    if is_sound {
        Ok(())
    } else {
        Err(Failure::silent(USAGE))
    }
}

/// Runs the statements of all texts until one fails; answers the last exit code.
pub async fn run_all(runner: &mut Runner, texts: &[String]) -> anyhow::Result<u8> {
    for text in texts {
        let code = run(runner, text).await?;
        if code != OK || runner.is_leaving {
            return Ok(code);
        }
    }
    Ok(OK)
}

/// Runs the statements of a text until one fails; answers the last exit code.
pub async fn run(runner: &mut Runner, text: &str) -> anyhow::Result<u8> {
    for span in split_statements(text) {
        let code = runner.run(span.of(text)).await;
        if code != OK || runner.is_leaving {
            return Ok(code);
        }
    }
    Ok(OK)
}

/// Runs each statement of stdin as soon as it is complete.
pub async fn run_stdin(runner: &mut Runner) -> anyhow::Result<u8> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut text = String::new();
    loop {
        let line = tokio::select! {
            biased;
            _ = tokio::signal::ctrl_c() => return Ok(INTERRUPTED),
            line = lines.next_line() => line?,
        };
        let is_end = line.is_none();
        if let Some(line) = line {
            text.push_str(&line);
            text.push('\n');
        }
        if is_end || is_complete(&text) == Completeness::Complete {
            let code = run(runner, &text).await?;
            if code != OK || runner.is_leaving || is_end {
                return Ok(code);
            }
            text.clear();
        } else if text.len() > repl::MAX_TEXT {
            return Err(Failure::usage("the statement on stdin is too long").into());
        }
    }
}
