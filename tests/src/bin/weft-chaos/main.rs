//! Runs histories in which things go wrong; `scripts/chaos` starts it. One history is one line of text on stdout and one
//! line of JSON in the file of results.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use serde_json::{Value, json};
use weft_tests::chaos::{self, Kind, Means, Outcome, Servers};

#[derive(Parser)]
#[command(about = "Runs histories of real nodes on a real Cassandra in which things go wrong")]
struct Command {
    /// What goes wrong
    #[arg(required = true, value_enum)]
    kinds: Vec<Kind>,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// How many seeds of each kind
    #[arg(long, default_value_t = 1)]
    count: u64,
    /// Entities of each of the two batches
    #[arg(long, default_value_t = 2_000)]
    entities: usize,
    /// The contact points of Cassandra, host:port[,…]
    #[arg(long)]
    cassandra: String,
    /// scripts/cassandra, if histories may stop and kill its servers
    #[arg(long)]
    servers: Option<PathBuf>,
    /// The binary of an earlier version, for `mixed`
    #[arg(long)]
    earlier: Option<PathBuf>,
    /// The folder of results, and of the logs of histories that broke a rule
    #[arg(long)]
    results: PathBuf,
    /// The version under test. Histories that have a result of it are left out
    #[arg(long)]
    version: String,
}

fn main() -> Result<ExitCode> {
    let command = Command::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let all_hold = runtime.block_on(run_all(&command))?;
    Ok(ExitCode::from(u8::from(!all_hold)))
}

/// Whether no history broke a rule.
async fn run_all(command: &Command) -> Result<bool> {
    fs::create_dir_all(&command.results)?;
    let file = command.results.join("results.jsonl");
    let servers = command.cassandra.split(',').count();
    let means = Means {
        points: command.cassandra.clone(),
        servers: command.servers.clone().map(|script| Servers {
            script,
            count: servers,
        }),
        earlier: command.earlier.clone(),
        entities: command.entities,
    };
    let there = finished(&file, &command.version, servers)?;
    let mut all_hold = true;
    for kind in &command.kinds {
        for seed in command.from..command.from + command.count {
            if there.contains(&(kind.as_str().to_owned(), seed)) {
                continue;
            }
            let outcome = one(*kind, seed, &means, command).await;
            all_hold &= outcome.violations.is_empty();
            print(&outcome);
            let mut line = serde_json::to_value(&outcome)?;
            line["version"] = json!(command.version);
            line["servers"] = json!(servers);
            append(&file, &line)?;
        }
    }
    Ok(all_hold)
}

async fn one(kind: Kind, seed: u64, means: &Means, command: &Command) -> Outcome {
    let ran = chaos::run(kind, seed, means).await;
    let ran = ran.and_then(|mut outcome| {
        chaos::move_kept(&mut outcome, &command.results)?;
        Ok(outcome)
    });
    // A history that cannot be carried out, because a node does not become ready or a batch does not end, is a violation.
    ran.unwrap_or_else(|error| Outcome::broken_off(kind, seed, &error))
}

/// Kinds and seeds with a result of this version on as many servers.
fn finished(file: &Path, version: &str, servers: usize) -> Result<BTreeSet<(String, u64)>> {
    if !file.exists() {
        return Ok(BTreeSet::new());
    }
    let mut found = BTreeSet::new();
    for line in fs::read_to_string(file)?.lines() {
        let line: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        if line["version"] == version && line["servers"] == servers {
            let kind = line["kind"].as_str().unwrap_or_default().to_owned();
            found.insert((kind, line["seed"].as_u64().unwrap_or_default()));
        }
    }
    Ok(found)
}

fn append(file: &Path, line: &Value) -> Result<()> {
    let mut file = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(file)?;
    writeln!(file, "{line}")?;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "results are the data of this program")]
fn print(outcome: &Outcome) {
    println!("{}", outcome.line());
    for fault in &outcome.faults {
        println!("         {fault}");
    }
    for violation in outcome.violations.iter().take(20) {
        println!("         VIOLATION: {violation}");
    }
    if let Some(kept) = &outcome.kept {
        println!("         logs: {}", kept.display());
    }
}
