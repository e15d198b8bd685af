//! Logs: to stderr, filtered by WEFT_LOG or RUST_LOG.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Forms of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object per line
    Json,
}

/// How much is logged where nobody asks for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// A command that talks to a node: errors only.
    Client,
    /// A node in front of a person: warnings and what changes state.
    Dev,
    /// A node of a cluster: everything of interest.
    Node,
}

impl Level {
    fn filter(self) -> &'static str {
        match self {
            // What the driver has to say comes back to us as an error, and is said once, with its reason.
            Self::Client => "error,scylla=off",
            Self::Dev => "warn,weft=info,weft_engine=info",
            Self::Node => "info,scylla=off,hyper=warn,reqwest=warn",
        }
    }
}

/// Starts logging; once per process.
pub fn start(format: LogFormat, level: Level) {
    let asked = ["WEFT_LOG", "RUST_LOG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    let filter = match asked.as_deref().map(EnvFilter::try_new) {
        Some(Ok(filter)) => filter,
        Some(Err(error)) => {
            crate::output::stderr::warning(&format!("the log filter cannot be read: {error}"));
            EnvFilter::new(level.filter())
        }
        None => EnvFilter::new(level.filter()),
    };
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(crate::output::stderr::has_color() && std::io::stderr().is_terminal());
    // A second start in one process, as in tests, keeps the first.
    let _ = match format {
        LogFormat::Text => subscriber.with_target(false).try_init(),
        LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
    };
}
