//! The command line: the commands, and the flags that all of them have. The flags of a command are beside it.

use clap::{Args, Parser, Subcommand};

use crate::check::{self, CheckArgs};
use crate::console::{self, ConsoleArgs};
use crate::deploy::{self, DeployArgs};
use crate::dev::{self, DevArgs};
use crate::doctor::{self, DoctorArgs};
use crate::example_command::{self, ExampleArgs};
use crate::instance::{self, InstanceCommand};
use crate::logs::{self, Level, LogFormat};
use crate::node::{self, NodeArgs};
use crate::output::stderr;
use crate::runtime;
use crate::schema::{self, SchemaCommand};

/// Jobs and batches on Cassandra, ScyllaDB or one SQLite file
#[derive(Debug, Parser)]
#[command(
    name = "weft",
    version,
    propagate_version = true,
    arg_required_else_help = true,
    after_help = "First steps:\n  weft dev                          start a node with a sample project\n  weft console -e 'CLUSTERSTATUS;'  ask it something\n\nExit codes: 0 ok, 1 failed, 2 usage, 3 batch failed, 4 cancelled, 5 not found, 6 not allowed, 7 unreachable, 124 timeout, 130 Ctrl-C"
)]
pub struct Cli {
    #[command(flatten)]
    shared: SharedArgs,
    #[command(subcommand)]
    command: Command,
}

/// Flags of every command.
#[derive(Clone, Debug, Args)]
struct SharedArgs {
    /// Print no colours (NO_COLOR does the same)
    #[arg(long, global = true)]
    no_color: bool,
    /// Print data and errors only
    #[arg(long, short, global = true)]
    quiet: bool,
    /// How log lines are written
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "text",
        env = "WEFT_LOG_FORMAT"
    )]
    log_format: LogFormat,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write and run statements, in a terminal or from files
    Console(ConsoleArgs),
    /// Check the statements of a file without running them
    Check(CheckArgs),
    /// Start a node with a store of its own in a folder
    Dev(DevArgs),
    /// Start a node of a cluster
    Node(NodeArgs),
    /// Create or check the tables of a store
    #[command(subcommand)]
    Schema(SchemaCommand),
    /// Deploy a project folder
    Deploy(DeployArgs),
    /// Check a store and what it needs
    Doctor(DoctorArgs),
    /// Work with stored instances
    #[command(subcommand)]
    Instance(InstanceCommand),
    /// Write the example project into a folder
    Example(ExampleArgs),
}

impl Command {
    /// How much the command logs; `None` where nothing is logged.
    fn log_level(&self) -> Option<Level> {
        match self {
            Self::Check(_) | Self::Example(_) => None,
            Self::Dev(_) => Some(Level::Dev),
            Self::Node(_) => Some(Level::Node),
            Self::Console(_)
            | Self::Schema(_)
            | Self::Deploy(_)
            | Self::Doctor(_)
            | Self::Instance(_) => Some(Level::Client),
        }
    }
}

/// Runs the command and answers its exit code.
pub fn run(cli: Cli) -> anyhow::Result<u8> {
    if cli.shared.no_color {
        stderr::disable_color();
    }
    if cli.shared.quiet {
        stderr::silence_notices();
    }
    if let Some(level) = cli.command.log_level() {
        logs::start(cli.shared.log_format, level);
    }
    match cli.command {
        Command::Console(args) => console::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Dev(args) => runtime::run(dev::run(args)),
        Command::Node(args) => runtime::run(node::run(args)),
        Command::Schema(command) => runtime::run(schema::run(command)),
        Command::Deploy(args) => deploy::run(&args),
        Command::Doctor(args) => runtime::run(doctor::run(&args)),
        Command::Instance(InstanceCommand::Export(args)) => runtime::run(instance::export(&args)),
        Command::Example(args) => example_command::run(&args),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_and_flag_is_explained() {
        fn check(command: &clap::Command) {
            let name = command.get_name();
            assert!(command.get_about().is_some(), "{name} has no help");
            for arg in command.get_arguments() {
                assert!(
                    arg.get_help().is_some(),
                    "{} of {name} has no help",
                    arg.get_id()
                );
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }
}
