//! What a history needs, and what comes out of it.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde::Serialize;

use super::faults::{Kind, Servers};

/// What histories are run with.
#[derive(Clone, Debug)]
pub struct Means {
    /// The contact points of Cassandra.
    pub points: String,
    /// The servers, if histories may stop them.
    pub servers: Option<Servers>,
    /// The binary of an earlier version, for [`Kind::Mixed`].
    pub earlier: Option<PathBuf>,
    /// The entities of each of the two batches.
    pub entities: usize,
}

impl Means {
    /// The binary of an earlier version.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn earlier(&self) -> anyhow::Result<&Path> {
        let earlier = self.earlier.as_deref();
        earlier.context("this kind needs the binary of an earlier version")
    }
}

/// The result of a history.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The kind.
    pub kind: String,
    /// The seed.
    pub seed: u64,
    /// Entities of all batches.
    pub entities: usize,
    /// Their records.
    pub records: usize,
    /// Executions of entities beyond the first of each.
    pub repeated: usize,
    /// Tries of jobs beyond the first of each run.
    pub repeated_jobs: usize,
    /// Runs of jobs, with all tries.
    pub job_runs: usize,
    /// The longest time from a kill until another node went on, in milliseconds.
    pub takeover_ms: Option<i64>,
    /// The longest time from SIGTERM to the end of a node, in milliseconds.
    pub drain_ms: Option<u128>,
    /// What went wrong, in order.
    pub faults: Vec<String>,
    /// Seconds that the history took.
    pub seconds: u64,
    /// The rules that were broken.
    pub violations: Vec<String>,
    /// The folder with the logs, if a rule was broken.
    pub kept: Option<PathBuf>,
}

impl Outcome {
    /// The result of a history that was not carried out to its end.
    pub fn broken_off(kind: Kind, seed: u64, error: &anyhow::Error) -> Self {
        Self {
            kind: kind.as_str().to_owned(),
            seed,
            entities: 0,
            records: 0,
            repeated: 0,
            repeated_jobs: 0,
            job_runs: 0,
            takeover_ms: None,
            drain_ms: None,
            faults: Vec::new(),
            seconds: 0,
            violations: vec![format!("{error:#}")],
            kept: None,
        }
    }

    /// One line for people.
    pub fn line(&self) -> String {
        let takeover = match self.takeover_ms {
            Some(takeover) => format!("{takeover} ms"),
            None => "-".to_owned(),
        };
        let drain = match self.drain_ms {
            Some(drain) => format!("{drain} ms"),
            None => "-".to_owned(),
        };
        format!(
            "{:8} seed {:<5} {} entities, {} records, {} repeated, {} job runs, {} repeated, take-over {takeover}, drain \
             {drain}, {} s, {} violations",
            self.kind,
            self.seed,
            self.entities,
            self.records,
            self.repeated,
            self.job_runs,
            self.repeated_jobs,
            self.seconds,
            self.violations.len(),
        )
    }
}

/// Moves the folder of a history that broke a rule into the folder `to`.
///
/// # Errors
/// It cannot be copied.
pub fn move_kept(outcome: &mut Outcome, to: &Path) -> anyhow::Result<()> {
    if let Some(folder) = &outcome.kept {
        let target = to.join(format!("{}-{}", outcome.kind, outcome.seed));
        let copied = std::process::Command::new("cp")
            .arg("-a")
            .args([folder.as_path(), target.as_path()])
            .status()?;
        ensure!(copied.success(), "cp ended with {copied}");
        std::fs::remove_dir_all(folder)?;
        outcome.kept = Some(target);
    }
    Ok(())
}
