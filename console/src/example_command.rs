//! `weft example`: writes the example project into a folder.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use weft::example::{Options, materialise};

use crate::exit::{Failure, OK};
use crate::output::{stderr, stdout};

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

/// Writes the example.
pub fn run(args: &ExampleArgs) -> anyhow::Result<u8> {
    let has_files = std::fs::read_dir(&args.dir).is_ok_and(|mut entries| entries.next().is_some());
    if has_files {
        return Err(
            Failure::usage(format!("{} is not empty", args.dir.display()))
                .hint("name a folder that does not exist yet")
                .into(),
        );
    }
    write_example(&args.dir, args.ids, args.seed)?;
    stdout::line(&args.dir.display().to_string());
    stderr::notice(&format!("next: weft dev --project {}", args.dir.display()));
    Ok(OK)
}

/// Writes the example project with this many ids into a folder.
pub fn write_example(folder: &Path, ids: u64, seed: u64) -> anyhow::Result<()> {
    let options = Options {
        ids,
        seed,
        ..Options::default()
    };
    let report = materialise(folder, options)
        .with_context(|| format!("cannot write the example into {}", folder.display()))?;
    stderr::notice(&format!(
        "Wrote the example: {} vehicles, {} services, {} parts",
        report.vehicles, report.services, report.parts
    ));
    Ok(())
}
