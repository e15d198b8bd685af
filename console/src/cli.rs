//! The command line: what can be written, and who does it.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use weft_web::AllowedHost;

use crate::output::Format;
use crate::{
    check, console, deploy, dev, doctor, example_command, instance, node, runtime, schema,
};

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
    pub shared: SharedArgs,
    #[command(subcommand)]
    command: Command,
}

/// Flags of every command.
#[derive(Clone, Debug, Args)]
pub struct SharedArgs {
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
    pub log_format: LogFormat,
}

/// Forms of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object per line
    Json,
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
    /// Make or look at the tables of a store
    #[command(subcommand)]
    Schema(SchemaCommand),
    /// Deploy a project folder
    Deploy(DeployArgs),
    /// Check a store and what it needs
    Doctor(StoreArgs),
    /// Work with stored instances
    #[command(subcommand)]
    Instance(InstanceCommand),
    /// Write the example project into a folder
    Example(ExampleArgs),
}

/// Which node to talk to.
#[derive(Clone, Debug, Default, Args)]
pub struct ServerArgs {
    /// Address of a node, e.g. http://127.0.0.1:7420
    #[arg(long, env = "WEFT_SERVER", value_name = "URL")]
    pub server: Option<String>,
    /// Folder of `weft dev`, where its address and token are found
    #[arg(long, env = "WEFT_DIR", value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// File with the token; WEFT_TOKEN may hold the token itself
    #[arg(long, env = "WEFT_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

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
    /// Stop waiting for a statement after so many seconds (exit code 124); its work goes on
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: Option<u64>,
}

/// `weft check`.
#[derive(Clone, Debug, Args)]
pub struct CheckArgs {
    /// The file with statements; `-` is stdin
    #[arg(short, long, value_name = "FILE")]
    pub file: PathBuf,
}

/// Settings that both `dev` and `node` take.
#[derive(Clone, Debug, Default, Args)]
pub struct SettingArgs {
    /// Address that an IP in an affinity is compared with (effective_ip of node.id)
    #[arg(long, value_name = "IP")]
    pub node_ip: Option<String>,
    /// Set a key of config.ini or node.id; may be given several times
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,
    /// File with settings [default: config.ini in the data folder, if there]
    #[arg(long, env = "WEFT_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Check the settings, print each with its origin, and leave
    #[arg(long)]
    pub check: bool,
}

/// `weft dev`.
#[derive(Clone, Debug, Args)]
pub struct DevArgs {
    /// Folder for the store, the token and everything else
    #[arg(long, env = "WEFT_DIR", default_value = ".weft", value_name = "DIR")]
    pub dir: PathBuf,
    /// Port on 127.0.0.1; 0 takes a free one
    #[arg(long, short, env = "WEFT_PORT", default_value_t = 7420)]
    pub port: u16,
    /// Project folder to deploy at start [default: the example, if nothing is deployed]
    #[arg(long, value_name = "DIR")]
    pub project: Option<PathBuf>,
    /// Ids that the example project has
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    pub ids: u64,
    #[command(flatten)]
    pub settings: SettingArgs,
}

/// `weft node`.
#[derive(Clone, Debug, Args)]
pub struct NodeArgs {
    #[command(flatten)]
    pub store: StoreArgs,
    /// Folder for node.id, projects and scratch files
    #[arg(long, env = "WEFT_DATA", value_name = "DIR")]
    pub data: PathBuf,
    /// File that says who this node is [default: node.id in the data folder, made if absent]
    #[arg(long, env = "WEFT_NODE_ID", value_name = "FILE")]
    pub node_id: Option<PathBuf>,
    /// Address of the HTTP API
    #[arg(
        long,
        env = "WEFT_LISTEN",
        default_value = "127.0.0.1:7420",
        value_name = "ADDR:PORT"
    )]
    pub listen: SocketAddr,
    /// A further name that callers may reach it by, e.g. behind a proxy; may be given several times
    #[arg(long, value_name = "HOST[:PORT]")]
    pub allow_host: Vec<AllowedHost>,
    /// File with the token that callers must send; WEFT_TOKEN may hold the token itself
    #[arg(long, env = "WEFT_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    #[command(flatten)]
    pub settings: SettingArgs,
}

/// Which store.
#[derive(Clone, Debug, Args)]
pub struct StoreArgs {
    /// cassandra://host1:9042,host2[?dc=…&serial=…&replication=…&cluster=…] or sqlite:PATH
    #[arg(long, env = "WEFT_STORE", value_name = "ADDRESS")]
    pub store: String,
}

/// `weft schema …`.
#[derive(Clone, Debug, Subcommand)]
pub enum SchemaCommand {
    /// Make the tables, or bring them to this version
    Migrate(StoreArgs),
    /// Say which version the tables have
    Status(StoreArgs),
}

/// `weft deploy`.
#[derive(Clone, Debug, Args)]
pub struct DeployArgs {
    /// The project folder, as the node sees it
    #[arg(value_name = "DIR")]
    pub project: PathBuf,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `weft instance …`.
#[derive(Clone, Debug, Subcommand)]
pub enum InstanceCommand {
    /// Write a stored instance as a SQLite file
    Export(ExportArgs),
}

/// `weft instance export`.
#[derive(Clone, Debug, Args)]
pub struct ExportArgs {
    /// The logical unit
    #[arg(value_name = "LU")]
    pub logical_unit: String,
    /// The instance's id
    #[arg(value_name = "ID")]
    pub id: String,
    /// The file to write; it must not exist
    #[arg(long, short, value_name = "FILE")]
    pub out: PathBuf,
    /// A store to read it from, instead of the folder's
    #[arg(long, env = "WEFT_STORE", value_name = "ADDRESS")]
    pub store: Option<String>,
    /// Folder of `weft dev`
    #[arg(long, env = "WEFT_DIR", default_value = ".weft", value_name = "DIR")]
    pub dir: PathBuf,
}

/// `weft example`.
#[derive(Clone, Debug, Args)]
pub struct ExampleArgs {
    /// Folder to write into
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// Ids in the source
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    pub ids: u64,
    /// The same seed gives the same data
    #[arg(long, default_value_t = 7, value_name = "S")]
    pub seed: u64,
}

/// Does what was asked; the exit code where it is not a failure.
pub fn run(cli: Cli) -> anyhow::Result<u8> {
    if cli.shared.no_color {
        crate::output::tell::no_color();
    }
    if cli.shared.quiet {
        crate::output::tell::quiet();
    }
    let shared = cli.shared;
    match cli.command {
        Command::Console(args) => {
            crate::logs::start(&shared, crate::logs::Level::Client);
            console::run(&args)
        }
        Command::Check(args) => check::run(&args),
        Command::Dev(args) => {
            crate::logs::start(&shared, crate::logs::Level::Dev);
            runtime::start()?.block_on(dev::run(args))
        }
        Command::Node(args) => {
            crate::logs::start(&shared, crate::logs::Level::Node);
            runtime::start()?.block_on(node::run(args))
        }
        Command::Schema(command) => {
            crate::logs::start(&shared, crate::logs::Level::Client);
            runtime::start()?.block_on(schema::run(command))
        }
        Command::Deploy(args) => {
            crate::logs::start(&shared, crate::logs::Level::Client);
            deploy::run(&args)
        }
        Command::Doctor(args) => {
            crate::logs::start(&shared, crate::logs::Level::Client);
            runtime::start()?.block_on(doctor::run(&args))
        }
        Command::Instance(InstanceCommand::Export(args)) => {
            crate::logs::start(&shared, crate::logs::Level::Client);
            runtime::start()?.block_on(instance::export(&args))
        }
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
