//! A file, or a folder of files, as a source of tables.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;

use super::guard::{self, Failure};
use super::pool::{Fingerprint, Source};
use super::row_reader::label;
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

    /// The path of each table, by the name of the table, or why no file can be chosen for it.
    fn paths(&self) -> Result<BTreeMap<String, Result<PathBuf, String>>, String> {
        let failed = |error: std::io::Error| format!("{}: {error}", self.path.display());
        let is_folder = std::fs::metadata(&self.path).map_err(failed)?.is_dir();
        let mut paths = BTreeMap::new();
        let mut found = Vec::new();
        let folder = if is_folder {
            for entry in std::fs::read_dir(&self.path).map_err(failed)? {
                let path = entry.map_err(failed)?.path();
                if path.is_file() && self.format.has_extension_of(&path) {
                    found.push(path);
                }
            }
            paths = tables_of(found);
            self.path.as_path()
        } else {
            let named = self.tables.iter().find(|(_, table)| table.file.is_none());
            let name = named
                .map(|(name, _)| name.clone())
                .or_else(|| stem(&self.path));
            paths.extend(name.map(|name| (name, Ok(self.path.clone()))));
            self.path.parent().unwrap_or(Path::new("."))
        };
        for (name, table) in &self.tables {
            if let Some(file) = &table.file {
                paths.retain(|known, _| !known.eq_ignore_ascii_case(name));
                paths.insert(name.clone(), Ok(folder.join(file)));
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
        let stamps = paths.into_iter().map(|(name, path)| match path {
            Ok(path) => Ok(format!("{name}:{}", stamp(&path)?)),
            Err(reason) => Ok(format!("{name}:{reason}")),
        });
        stamps
            .collect::<Result<_, String>>()
            .map(Fingerprint)
            .map_err(Failure::Unavailable)
    }

    fn why_no_table(&self, name: &str) -> Option<String> {
        let paths = self.paths().ok()?;
        let (name, path) = paths
            .into_iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        let default = TableDefinition::default();
        let definition = self.tables.get(&name).unwrap_or(&default);
        path.and_then(|path| TableFile::open(path, self.format, definition, &self.scratch))
            .err()
    }

    fn open(&self) -> Result<Connection, Failure> {
        let default = TableDefinition::default();
        let mut tables = BTreeMap::new();
        for (name, path) in self.paths().map_err(Failure::Unavailable)? {
            // A file that is not a table is an error of the queries that use it, not of the others.
            let definition = self.tables.get(&name).unwrap_or(&default);
            let table =
                path.and_then(|path| TableFile::open(path, self.format, definition, &self.scratch));
            tables.insert(name, table.map(Arc::new));
        }
        let mut connection = vtab::connection(tables)?;
        guard::lock_down(&mut connection)?;
        Ok(connection)
    }
}

/// The files as tables. SQL does not tell names apart by case, so two files with one name are no table.
fn tables_of(mut files: Vec<PathBuf>) -> BTreeMap<String, Result<PathBuf, String>> {
    files.sort();
    let mut by_name: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for path in files {
        let key = stem(&path).map(|name| name.to_ascii_lowercase());
        by_name
            .entry(key.unwrap_or_default())
            .or_default()
            .push(path);
    }
    let mut tables = BTreeMap::new();
    for paths in by_name.into_values() {
        let names: Vec<String> = paths.iter().map(|path| label(path)).collect();
        let reason = format!(
            "{} have the same table name; state the `file` of the table, or rename one of them",
            names.join(" and ")
        );
        let is_alone = paths.len() == 1;
        for path in paths {
            let table = if is_alone {
                Ok(path.clone())
            } else {
                Err(reason.clone())
            };
            tables.extend(stem(&path).map(|name| (name, table)));
        }
    }
    tables
}

fn stem(path: &Path) -> Option<String> {
    path.file_stem()
        .map(|stem| stem.to_string_lossy().into_owned())
}
