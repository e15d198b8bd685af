//! `weft console`: sends statements from a terminal, flags, files or stdin to a node and shows the answers.

mod client;
mod completion;
mod history;
mod local;
mod progress;
mod repl;
mod runner;
mod script;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

pub use client::Client;
pub use runner::Runner;

use crate::output::{Format, stderr, stdout};
use crate::server::{self, ServerArgs};
use crate::{check, runtime};

/// `weft console`.
#[derive(Clone, Debug, Args)]
pub struct ConsoleArgs {
    #[command(flatten)]
    pub server: ServerArgs,
    /// Run these statements and leave; may be given several times
    #[arg(short = 'e', long = "execute", value_name = "STATEMENTS")]
    pub execute: Vec<String>,
    /// Run the statements of this file and leave; `-` is stdin
    #[arg(short, long, value_name = "FILE")]
    pub file: Vec<PathBuf>,
    /// How tables are written [default: table, and vertical where the terminal is too narrow]
    #[arg(short, long, value_enum, env = "WEFT_OUTPUT")]
    pub output: Option<Format>,
    /// Stop waiting for a statement after this many seconds (exit code 124); its work continues
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: Option<u64>,
}

/// Runs the console; answers the exit code of the last statement.
pub fn run(args: &ConsoleArgs) -> anyhow::Result<u8> {
    let texts = texts(args)?;
    for text in &texts {
        script::check(text)?;
    }
    let target = server::find(&args.server)?;
    let runtime = runtime::start()?;
    let client = Client::new(target)?;
    let is_interactive = texts.is_empty() && std::io::stdin().is_terminal();
    let mut runner = Runner::new(client.clone(), args.output.unwrap_or(Format::Table));
    runner.timeout = args.timeout.map(Duration::from_secs);

    // Only a table on a terminal, without an explicit format, may become vertical.
    runner.max_width = match args.output {
        Some(_) => None,
        None => stdout::columns(),
    };
    let code = if is_interactive {
        repl::run(&runtime, &mut runner)
    } else if texts.is_empty() {
        runtime.block_on(script::run_stdin(&mut runner))
    } else {
        runtime.block_on(script::run_all(&mut runner, &texts))
    };
    // A thread may still be waiting for stdin.
    runtime.shutdown_background();
    code
}

/// Runs one statement for another command.
pub fn run_statement(args: &ServerArgs, statement: &str) -> anyhow::Result<u8> {
    let client = Client::new(server::find(args)?)?;
    let mut runner = Runner::new(client, Format::Table);
    runtime::start()?.block_on(script::run(&mut runner, statement))
}

/// The texts of `-e`, then those of `-f`.
fn texts(args: &ConsoleArgs) -> anyhow::Result<Vec<String>> {
    let mut texts = args.execute.clone();
    for file in &args.file {
        texts.push(check::read(file)?);
    }
    if !texts.is_empty() && texts.iter().all(|text| text.trim().is_empty()) {
        stderr::notice("There is no statement to run");
    }
    Ok(texts)
}
