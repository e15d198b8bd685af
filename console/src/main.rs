//! The weft command: node, dev, console, check, schema, deploy, doctor.

use std::process::ExitCode;

mod check;
mod cli;
mod console;
mod deploy;
mod dev;
mod doctor;
mod example_command;
mod exit;
mod folder;
mod instance;
mod logs;
mod node;
mod runtime;
mod schema;
mod serve;
mod server;
mod settings;
mod stop;
mod store;

use clap::Parser;
use weft::output;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    exit::report(cli::run(cli))
}
