//! What goes wrong in a history.

use std::path::PathBuf;
use std::process::Command;

use anyhow::ensure;
use clap::ValueEnum;

/// The kind of a history: what goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Nodes are killed with SIGKILL and started again.
    Kill,
    /// Nodes are stopped with SIGSTOP, for a moment or for longer than others wait; with servers of its own also those.
    Pause,
    /// All nodes lose the store; with servers of its own, one is killed and started again.
    Outage,
    /// One node loses the store.
    Cut,
    /// Nodes are ended with SIGTERM and started again, one after the other. No entity may run again.
    Rolling,
    /// The nodes of an earlier version are replaced by those of this one, one after the other, on the schema of this one.
    Mixed,
    /// A node joins in the middle of the work and leaves again.
    Join,
}

impl Kind {
    /// The name on the command line and in results.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Pause => "pause",
            Self::Outage => "outage",
            Self::Cut => "cut",
            Self::Rolling => "rolling",
            Self::Mixed => "mixed",
            Self::Join => "join",
        }
    }

    /// Whether every entity must run exactly once.
    pub(super) fn repeats_nothing(self) -> bool {
        matches!(self, Self::Rolling | Self::Mixed | Self::Join)
    }
}

/// Servers that a history may stop and kill, by the commands of `scripts/cassandra`.
#[derive(Clone, Debug)]
pub struct Servers {
    /// The path of `scripts/cassandra`.
    pub script: PathBuf,
    /// How many there are: 1 or 3.
    pub count: usize,
}

impl Servers {
    /// Sends a command (kill, stop, cont, start) to a server, numbered from 1, and waits until it is carried out.
    pub(super) async fn control(&self, command: &str, server: usize) -> anyhow::Result<()> {
        let mut control = Command::new(&self.script);
        control.args([command, &server.to_string()]);
        let output = tokio::task::spawn_blocking(move || control.output()).await??;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{command} {server}: {said}");
        Ok(())
    }
}
