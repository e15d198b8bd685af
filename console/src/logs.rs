//! Logging to stderr, filtered by WEFT_LOG or RUST_LOG.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Formats of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object per line
    Json,
}

/// How much is logged by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// A command that calls a node: errors only.
    Client,
    /// `weft dev`: warnings, and what changes state.
    Dev,
    /// `weft node`: everything of interest.
    Node,
}

impl Level {
    fn filter(self) -> &'static str {
        match self {
            // The driver returns its errors as well, so they would be reported twice.
            Self::Client => "error,scylla=off",
            Self::Dev => "warn,weft=info",
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
    // A second start in one process, as in tests, changes nothing.
    let _ = match format {
        LogFormat::Text => subscriber.with_target(false).try_init(),
        LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
    };
}
