//! The example project, written into a folder of somebody's choice.

use std::path::Path;

use anyhow::Context;
use weft::example::{Options, materialise};

use crate::output::tell;

/// Writes the example project with so many ids into a folder.
pub fn write_example(folder: &Path, ids: u64, seed: u64) -> anyhow::Result<()> {
    let options = Options {
        ids,
        seed,
        ..Options::default()
    };
    let report = materialise(folder, options)
        .with_context(|| format!("cannot write the example into {}", folder.display()))?;
    tell::notice(&format!(
        "Wrote the example: {} vehicles, {} services, {} parts",
        report.vehicles, report.services, report.parts
    ));
    Ok(())
}
