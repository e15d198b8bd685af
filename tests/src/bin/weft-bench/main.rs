//! Measures the engine against a bare loop that writes the same rows; `scripts/bench` runs it and
//! `docs/performance.md` says what the figures mean. One run is one process and one line of JSON.

mod bare;
mod cleanup;
mod engine;
mod gauge;
mod jobs;
mod latency;
mod place;
mod report;
mod run;
mod work;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use place::Place;
use work::Work;

#[derive(Parser)]
#[command(about = "Measures the engine against a bare loop")]
struct Command {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// One batch through the engine
    Engine(Measured),
    /// The same rows written by a bare loop
    Bare(Measured),
    /// Tiny batches on an idle node: from accepted to the first entity entered
    Latency {
        #[command(flatten)]
        place: PlaceArguments,
        /// How many batches
        #[arg(long, default_value_t = 200)]
        batches: usize,
    },
    /// Jobs: an idle node with few and with many of them, lateness at a low rate and of many at once
    Jobs {
        #[command(flatten)]
        place: PlaceArguments,
        /// How many are scheduled for later while the node idles
        #[arg(long, default_value_t = 1_000_000)]
        scheduled: usize,
        /// How many are due at one moment
        #[arg(long, default_value_t = 10_000)]
        due: usize,
        /// How many come one by one
        #[arg(long, default_value_t = 400)]
        apart: usize,
    },
    /// Ended batches: lists beside them, one entity of a large batch, and how fast the clean-up removes them
    Cleanup {
        #[command(flatten)]
        place: PlaceArguments,
        /// How many ended batches of one chunk
        #[arg(long, default_value_t = 10_000)]
        batches: usize,
        /// How many ids the large batch has
        #[arg(long, default_value_t = 1_000_000)]
        ids: usize,
    },
    /// Writes the example project with as many ids
    Project {
        /// Where to
        folder: PathBuf,
        /// How many
        #[arg(long)]
        ids: u64,
    },
    /// The table of a file of runs, and which marks hold
    Report {
        /// One run per line
        runs: PathBuf,
    },
}

#[derive(Args)]
struct PlaceArguments {
    /// `sqlite` or `host:port` of a Cassandra
    #[arg(long)]
    store: String,
    /// A folder for the files of this run; what is in it is replaced
    #[arg(long)]
    folder: PathBuf,
    /// The process id of the server, to count its CPU apart
    #[arg(long)]
    server: Option<u32>,
}

impl PlaceArguments {
    fn place(&self) -> Result<Place> {
        Place::new(&self.store, &self.folder)
    }
}

#[derive(Args)]
struct Measured {
    #[command(flatten)]
    place: PlaceArguments,
    /// What is run for each id
    #[arg(long, value_enum)]
    work: Work,
    /// How many ids
    #[arg(long)]
    ids: usize,
    /// The folder of the example project, for `sync`
    #[arg(long)]
    project: Option<PathBuf>,
}

fn main() -> Result<()> {
    let command = Command::parse();
    tracing_subscriber::fmt()
        .with_env_filter(std::env::var("WEFT_LOG").unwrap_or_else(|_| "warn".to_owned()))
        .with_writer(std::io::stderr)
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    match command.what {
        What::Engine(measured) => print(&runtime.block_on(engine::measure(&measured))?),
        What::Bare(measured) => print(&runtime.block_on(bare::measure(&measured))?),
        What::Latency { place, batches } => {
            print(&runtime.block_on(latency::measure(&place, batches))?)
        }
        What::Jobs {
            place,
            scheduled,
            due,
            apart,
        } => {
            let found = place.place()?;
            let measured = jobs::measure(&found, place.server, scheduled, due, apart);
            runtime.block_on(measured)?.iter().try_for_each(print)
        }
        What::Cleanup {
            place,
            batches,
            ids,
        } => {
            let measured = cleanup::measure(&place, batches, ids);
            runtime.block_on(measured)?.iter().try_for_each(print)
        }
        What::Project { folder, ids } => work::write_project(&folder, ids),
        What::Report { runs } => report::print(&runs),
    }
}

#[expect(clippy::print_stdout, reason = "runs are the data of this program")]
fn print(run: &impl serde::Serialize) -> Result<()> {
    println!("{}", serde_json::to_string(run)?);
    Ok(())
}
