//! A file, or a folder of files, as a source of tables.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;

use super::guard::{self, Failure};
use super::pool::{Fingerprint, Source};
use super::table_file::{Format, TableFile, stamp};
use super::{InterfaceContext, InterfaceDefinition, TableDefinition, vtab};

/// The most files of a folder.
const FILES: usize = 1_000;

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
        context: &InterfaceContext,
    ) -> Self {
        Self {
            path,
            format,
            tables: definition.tables.clone(),
            scratch: context.scratch.clone(),
        }
    }

    /// The path of each table, by the name of the table.
    fn paths(&self) -> Result<BTreeMap<String, PathBuf>, String> {
        let failed = |error: std::io::Error| format!("{}: {error}", self.path.display());
        let is_folder = std::fs::metadata(&self.path).map_err(failed)?.is_dir();
        let mut paths = BTreeMap::new();
        let folder = if is_folder {
            for entry in std::fs::read_dir(&self.path).map_err(failed)? {
                let path = entry.map_err(failed)?.path();
                if path.is_file() && self.format.has_extension_of(&path) {
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
}

impl Source for Files {
    fn kind(&self) -> &'static str {
        self.format.name()
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
        let default = TableDefinition::default();
        let mut tables = BTreeMap::new();
        for (name, path) in self.paths().map_err(Failure::Unavailable)? {
            // A file that is not a table is an error of the queries that use it, not of the others.
            let definition = self.tables.get(&name).unwrap_or(&default);
            let table = TableFile::open(path, self.format, definition, &self.scratch);
            tables.insert(name, table.map(Arc::new));
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
