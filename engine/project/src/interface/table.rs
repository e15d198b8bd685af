//! Files as tables: which there are, what columns they have, and how their cells read as values.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::types::ValueRef;
use weft_model::ColumnType;

use super::guard::{self, Failure};
use super::pool::{Fingerprint, Source};
use super::{InterfaceDefinition, Surroundings, TableDefinition, csv, jsonl, vtab};

/// The longest line of a file.
pub(super) const LINE_BYTES: usize = 1024 * 1024;
/// The most columns of a file.
pub(super) const COLUMNS: usize = 1_000;
/// The most files of a folder.
const FILES: usize = 1_000;

/// How the lines of a file are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Csv { delimiter: Option<u8> },
    Jsonl,
}

impl Format {
    fn extensions(self) -> &'static [&'static str] {
        match self {
            Self::Csv { .. } => &["csv", "tsv"],
            Self::Jsonl => &["jsonl", "ndjson"],
        }
    }
}

/// A column of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: ColumnType,
}

/// A file that was found to be a table.
#[derive(Debug)]
pub(super) struct TableFile {
    pub(super) path: PathBuf,
    pub(super) format: Format,
    pub(super) columns: Vec<Column>,
    /// Positions in `columns` that have a lookup index.
    pub(super) indexed: Vec<usize>,
    pub(super) scratch: PathBuf,
}

impl TableFile {
    /// The file's name for messages.
    pub(super) fn label(&self) -> String {
        label(&self.path)
    }

    pub(super) fn delimiter(&self) -> u8 {
        match self.format {
            Format::Csv { delimiter } => delimiter.unwrap_or_else(|| delimiter_of(&self.path)),
            Format::Jsonl => b',',
        }
    }

    /// About how many rows it has, by its size.
    pub(super) fn estimated_rows(&self) -> u64 {
        const ROW_BYTES: u64 = 64;
        std::fs::metadata(&self.path).map_or(0, |metadata| metadata.len()) / ROW_BYTES
    }

    pub(super) fn reader(&self) -> Result<Box<dyn RowReader>, String> {
        Ok(match self.format {
            Format::Csv { .. } => Box::new(csv::Scan::open(self)?),
            Format::Jsonl => Box::new(jsonl::Scan::open(self)?),
        })
    }
}

/// Where a row lies in its file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) offset: u64,
    pub(super) length: u64,
    pub(super) line: u64,
}

/// Reads the rows of a file, one at a time.
pub(super) trait RowReader: Send {
    /// Goes to the next row; false at the end.
    fn next(&mut self) -> Result<bool, String>;
    /// Goes to the row at a place that an earlier reading found.
    fn go_to(&mut self, place: Place) -> Result<(), String>;
    /// A cell of the row.
    fn cell(&self, column: usize) -> Result<ValueRef<'_>, String>;
    /// Where the row lies.
    fn place(&self) -> Place;
}

pub(super) fn label(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

pub(super) fn delimiter_of(path: &Path) -> u8 {
    if path.extension().is_some_and(|extension| extension == "tsv") {
        b'\t'
    } else {
        b','
    }
}

/// Tells one state of a file from another.
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

/// A file or a folder of files as a source.
#[derive(Debug)]
pub(super) struct Files {
    path: PathBuf,
    format: Format,
    tables: BTreeMap<String, TableDefinition>,
    scratch: PathBuf,
}

impl Files {
    pub(super) fn new(
        definition: &InterfaceDefinition,
        path: PathBuf,
        format: Format,
        surroundings: &Surroundings,
    ) -> Self {
        Self {
            path,
            format,
            tables: definition.tables.clone(),
            scratch: surroundings.scratch.clone(),
        }
    }

    /// The paths of the tables, by name.
    fn paths(&self) -> Result<BTreeMap<String, PathBuf>, String> {
        let failed = |error: std::io::Error| format!("{}: {error}", self.path.display());
        let is_folder = std::fs::metadata(&self.path).map_err(failed)?.is_dir();
        let mut paths = BTreeMap::new();
        let folder = if is_folder {
            for entry in std::fs::read_dir(&self.path).map_err(failed)? {
                let path = entry.map_err(failed)?.path();
                if path.is_file() && self.has_extension(&path) {
                    paths.extend(stem(&path).map(|name| (name, path)));
                }
            }
            self.path.as_path()
        } else {
            let named = self.tables.iter().find(|(_, table)| table.file.is_none());
            let name = named
                .map(|(name, _)| name.clone())
                .or_else(|| stem(&self.path));
            paths.extend(name.map(|name| (name, self.path.clone())));
            self.path.parent().unwrap_or(Path::new("."))
        };
        for (name, table) in &self.tables {
            if let Some(file) = &table.file {
                paths.insert(name.clone(), folder.join(file));
            } else if !paths.contains_key(name) {
                return Err(format!(
                    "table {name} has no file in {}",
                    self.path.display()
                ));
            }
        }
        if paths.len() > FILES {
            return Err(format!(
                "{} has more than {FILES} tables",
                self.path.display()
            ));
        }
        Ok(paths)
    }

    fn has_extension(&self, path: &Path) -> bool {
        let extension = path.extension().unwrap_or_default().to_string_lossy();
        let known = self.format.extensions();
        known
            .iter()
            .any(|name| extension.eq_ignore_ascii_case(name))
    }

    fn table_file(&self, name: &str, path: PathBuf) -> Result<TableFile, String> {
        let stated = self.tables.get(name).cloned().unwrap_or_default();
        let names = match self.format {
            Format::Csv { delimiter } => {
                csv::header(&path, delimiter.unwrap_or_else(|| delimiter_of(&path)))?
            }
            Format::Jsonl => jsonl::keys(&path, stated.columns.keys().cloned().collect())?,
        };
        let label = label(&path);
        if names.len() > COLUMNS {
            return Err(format!("{label} has more than {COLUMNS} columns"));
        }
        let position = |wanted: &str| names.iter().position(|name| name == wanted);
        for wanted in stated.columns.keys().chain(&stated.index) {
            if position(wanted).is_none() {
                return Err(format!("{label} has no column {wanted}"));
            }
        }
        Ok(TableFile {
            path,
            format: self.format,
            indexed: stated
                .index
                .iter()
                .filter_map(|name| position(name))
                .collect(),
            columns: names
                .into_iter()
                .map(|name| Column {
                    kind: stated.columns.get(&name).copied().unwrap_or_default(),
                    name,
                })
                .collect(),
            scratch: self.scratch.clone(),
        })
    }
}

impl Source for Files {
    fn kind(&self) -> &'static str {
        match self.format {
            Format::Csv { .. } => "csv",
            Format::Jsonl => "jsonl",
        }
    }

    fn fingerprint(&self) -> Result<Fingerprint, Failure> {
        let paths = self.paths().map_err(Failure::Unavailable)?;
        let stamps = paths
            .into_iter()
            .map(|(name, path)| Ok(format!("{name}:{}", stamp(&path)?)));
        stamps
            .collect::<Result<_, String>>()
            .map(Fingerprint)
            .map_err(Failure::Unavailable)
    }

    fn open(&self) -> Result<Connection, Failure> {
        let mut tables = BTreeMap::new();
        for (name, path) in self.paths().map_err(Failure::Unavailable)? {
            // A file that cannot be a table says so when it is used, not before.
            let table = self.table_file(&name, path).map(Arc::new);
            tables.insert(name, table);
        }
        let mut connection = vtab::connection(tables)?;
        guard::lock_down(&mut connection)?;
        Ok(connection)
    }
}

fn stem(path: &Path) -> Option<String> {
    path.file_stem()
        .map(|stem| stem.to_string_lossy().into_owned())
}

/// A text cell as its column's type wants it; what does not fit stays text, as in SQLite.
pub(super) fn typed(text: &[u8], kind: ColumnType) -> ValueRef<'_> {
    let number = || std::str::from_utf8(text).ok().map(str::trim);
    match kind {
        ColumnType::Text => ValueRef::Text(text),
        ColumnType::Blob => ValueRef::Blob(text),
        _ if text.is_empty() => ValueRef::Null,
        ColumnType::Integer | ColumnType::Any => number()
            .and_then(|text| {
                text.parse()
                    .ok()
                    .map(ValueRef::Integer)
                    .or_else(|| real(text))
            })
            .unwrap_or(ValueRef::Text(text)),
        ColumnType::Real => number().and_then(real).unwrap_or(ValueRef::Text(text)),
    }
}

fn real(text: &str) -> Option<ValueRef<'static>> {
    // Rust also reads `inf` and `nan`.
    let numeric = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | 'e' | 'E');
    text.chars()
        .all(numeric)
        .then(|| text.parse().ok().map(ValueRef::Real))
        .flatten()
}
