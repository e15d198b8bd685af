//! The example project, with any amount of data.
//!
//! The files of `examples/autodata` are part of the program, so that an installed one needs no checkout.

mod garage;
mod rng;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Only vehicles at multiples of this position can be broken, so the first 100 never are.
pub const BROKEN_EVERY: u64 = 137;

macro_rules! files {
    ($($path:literal),* $(,)?) => {
        [$(($path, include_str!(concat!("../../../examples/autodata/", $path)))),*]
    };
}

const FILES: [(&str, &str); 32] = files![
    "README.md",
    "LICENSE-data",
    "project.yaml",
    "interfaces/idsFile.yaml",
    "interfaces/garage.yaml",
    "interfaces/cars.yaml",
    "interfaces/readings.yaml",
    "logical_units/AUTODATA_DELTA/lu.yaml",
    "logical_units/AUTODATA_DELTA/vehicle.sql",
    "logical_units/AUTODATA_DELTA/service_history.sql",
    "logical_units/AUTODATA_DELTA/part.sql",
    "logical_units/AUTODATA_DELTA/model.sql",
    "logical_units/AUTODATA_DELTA/flows/arrived.yaml",
    "logical_units/AUTODATA_DELTA/flows/call.yaml",
    "logical_units/AUTODATA_DELTA/flows/count.yaml",
    "logical_units/AUTODATA_DELTA/flows/export_models.yaml",
    "logical_units/AUTODATA_DELTA/flows/jobs.yaml",
    "logical_units/AUTODATA_DELTA/flows/models.yaml",
    "logical_units/AUTODATA_DELTA/flows/parse.yaml",
    "logical_units/AUTODATA_DELTA/flows/resume.yaml",
    "logical_units/AUTODATA_DELTA/flows/sync_newest.yaml",
    "logical_units/AUTODATA_DELTA/functions/checkMileage.js",
    "logical_units/AUTODATA_DELTA/functions/countIds.js",
    "logical_units/AUTODATA_DELTA/functions/syncFirst.js",
    "logical_units/AUTODATA_DELTA/functions/waitForStop.js",
    "logical_units/AUTODATA_DELTA/parsers/readings.yaml",
    "scripts/notify.sh",
    "scripts/sync_first.sh",
    "scripts/fail.sh",
    "data/readings/2024-01.csv",
    "data/readings/2024-02.csv",
    "data/cars.csv",
];

/// How much data the example has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Vehicles.
    pub ids: u64,
    /// The same seed gives the same data.
    pub seed: u64,
    /// Vehicles that cannot be synced: the 137th, the 274th, and so on.
    pub broken: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ids: 100_000,
            seed: 7,
            broken: 1,
        }
    }
}

/// What was written to the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The project's folder.
    pub folder: PathBuf,
    /// Vehicles.
    pub vehicles: u64,
    /// Rows of `service_history`.
    pub services: u64,
    /// Rows of `part`.
    pub parts: u64,
    /// The ids of vehicles that are broken.
    pub broken: Vec<String>,
}

/// Writes the example project with its data into `folder`.
///
/// # Errors
/// A file cannot be written, or the data exists already.
pub fn materialise(folder: &Path, options: Options) -> Result<Report> {
    for (path, content) in FILES {
        write(&folder.join(path), content.as_bytes())?;
    }
    let data = folder.join("data");
    write_ids(&data.join("ids.csv"), options.ids)?;
    let counts = garage::write(&data.join("garage.sqlite"), options, &models())?;
    Ok(Report {
        folder: folder.to_path_buf(),
        vehicles: options.ids,
        services: counts.services.unsigned_abs(),
        parts: counts.parts.unsigned_abs(),
        broken: (1..=options.ids)
            .filter(|number| is_broken(*number, options))
            .map(vehicle_id)
            .collect(),
    })
}

/// The id of a vehicle by its position, from 1.
pub fn vehicle_id(number: u64) -> String {
    format!("V{number:07}")
}

fn is_broken(number: u64, options: Options) -> bool {
    number.is_multiple_of(BROKEN_EVERY) && number / BROKEN_EVERY <= options.broken
}

/// The models of `cars.csv`: (id, model year).
fn models() -> Vec<(i64, i64)> {
    let (_, cars) = FILES[FILES.len() - 1];
    let year = |fields: &str| fields.rsplit(',').nth(1)?.parse().ok();
    let model = |line: &str| Some((line.split(',').next()?.parse().ok()?, year(line)?));
    cars.lines().skip(1).filter_map(model).collect()
}

fn write_ids(path: &Path, count: u64) -> Result<()> {
    let failed = || format!("cannot write {}", path.display());
    let mut file = std::io::BufWriter::new(fs::File::create(path).with_context(failed)?);
    file.write_all(b"id\n").with_context(failed)?;
    for number in 1..=count {
        writeln!(file, "{}", vehicle_id(number)).with_context(failed)?;
    }
    file.flush().with_context(failed)
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    let failed = || format!("cannot write {}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(failed)?;
    }
    fs::write(path, content).with_context(failed)?;
    if path.extension().is_some_and(|extension| extension == "sh") {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).with_context(failed)?;
    }
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
