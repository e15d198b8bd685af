//! A file as a table: its format, its columns, and a reader of its rows.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::row_reader::{COLUMNS, Column, RowReader, label};
use super::{TableDefinition, csv, jsonl};

/// How the lines of a file are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Without a delimiter, the extension of the file decides.
    Csv {
        delimiter: Option<u8>,
    },
    Jsonl,
}

impl Format {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Csv { .. } => "csv",
            Self::Jsonl => "jsonl",
        }
    }

    pub(super) fn has_extension_of(self, path: &Path) -> bool {
        let known: &[&str] = match self {
            Self::Csv { .. } => &["csv", "tsv"],
            Self::Jsonl => &["jsonl", "ndjson"],
        };
        let extension = path.extension().unwrap_or_default().to_string_lossy();
        known
            .iter()
            .any(|name| extension.eq_ignore_ascii_case(name))
    }
}

fn delimiter_for(path: &Path, stated: Option<u8>) -> u8 {
    let is_tsv = path.extension().is_some_and(|extension| extension == "tsv");
    stated.unwrap_or(if is_tsv { b'\t' } else { b',' })
}

/// A file whose columns are known.
#[derive(Debug)]
pub(super) struct TableFile {
    pub(super) path: PathBuf,
    pub(super) format: Format,
    pub(super) columns: Vec<Column>,
    /// Positions in `columns` that have a lookup index.
    pub(super) indexed: Vec<usize>,
    /// The folder of lookup indexes.
    pub(super) scratch: PathBuf,
}

impl TableFile {
    /// Finds the columns of a file: its own, with what the definition of the table states about them.
    pub(super) fn open(
        path: PathBuf,
        format: Format,
        definition: &TableDefinition,
        scratch: &Path,
    ) -> Result<Self, String> {
        let names = match format {
            Format::Csv { delimiter } => csv::header(&path, delimiter_for(&path, delimiter))?,
            Format::Jsonl => jsonl::keys(&path, definition.columns.keys().cloned().collect())?,
        };
        let label = label(&path);
        if names.len() > COLUMNS {
            return Err(format!("{label} has more than {COLUMNS} columns"));
        }
        let position = |wanted: &str| names.iter().position(|name| name == wanted);
        for wanted in definition.columns.keys().chain(&definition.index) {
            if position(wanted).is_none() {
                return Err(format!("{label} has no column {wanted}"));
            }
        }
        let indexed = definition.index.iter().filter_map(|name| position(name));
        let indexed = indexed.collect();
        let columns = names.into_iter().map(|name| Column {
            kind: definition.columns.get(&name).copied().unwrap_or_default(),
            name,
        });
        Ok(Self {
            path,
            format,
            indexed,
            columns: columns.collect(),
            scratch: scratch.to_path_buf(),
        })
    }

    /// The name of the file for messages.
    pub(super) fn label(&self) -> String {
        label(&self.path)
    }

    /// The number of rows, estimated from the size of the file.
    pub(super) fn estimated_rows(&self) -> u64 {
        const ROW_BYTES: u64 = 64;
        std::fs::metadata(&self.path).map_or(0, |metadata| metadata.len()) / ROW_BYTES
    }

    pub(super) fn reader(&self) -> Result<Box<dyn RowReader>, String> {
        Ok(match self.format {
            Format::Csv { delimiter } => {
                let delimiter = delimiter_for(&self.path, delimiter);
                Box::new(csv::Scan::open(&self.path, delimiter, &self.columns)?)
            }
            Format::Jsonl => Box::new(jsonl::Scan::open(&self.path, &self.columns)?),
        })
    }
}

/// Identifies one version of a file: a replaced or edited file has another stamp.
pub(super) fn stamp(path: &Path) -> Result<String, String> {
    let metadata =
        std::fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()))?;
    if !metadata.is_file() {
        return Err(format!("{} is not a file", path.display()));
    }
    Ok(format!(
        "{}:{}:{}:{}.{}",
        metadata.dev(),
        metadata.ino(),
        metadata.size(),
        metadata.mtime(),
        metadata.mtime_nsec()
    ))
}
