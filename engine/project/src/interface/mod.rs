//! The interfaces that need nothing but files and the store: SQLite databases, CSV, JSON lines, and the tables of parsers.
//!
//! All of them answer the full SQL of SQLite. Files and stored tables are virtual tables that are read as a stream, so
//! memory stays flat whatever their size. An interface works on threads of its own, named `weft-interface-<name>`.

mod csv;
mod files;
mod guard;
mod index;
mod jsonl;
mod lookup;
mod pager;
mod parsed;
mod pool;
mod query;
mod reference;
mod row_reader;
mod sql;
mod sqlite;
mod table_file;
mod vtab;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use reference::{Environment, Secret};
pub(crate) use sql::named_parameters;

use weft_model::clock::SharedClock;
use weft_model::{ColumnType, ParsedTable};
use weft_store::SharedStore;

use crate::source::SharedInterface;
use files::Files;
use table_file::Format;

/// What an interface is made of: its file `interfaces/<name>.yaml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceDefinition {
    /// Its name.
    pub name: String,
    /// What lies behind it.
    pub kind: InterfaceKind,
    /// A file, or a folder of files; relative to the project folder, with `${NAME}` references. Of parsed tables the name
    /// of their logical unit.
    pub path: String,
    /// What is said of the tables, by name; files that are not named are tables too.
    pub tables: BTreeMap<String, TableDefinition>,
    /// Between the fields of a CSV file; none = `,`, and a tab in `.tsv` files.
    pub delimiter: Option<u8>,
    /// What its queries may use.
    pub limits: Limits,
}

/// Which kind of interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InterfaceKind {
    /// A SQLite file.
    Sqlite,
    /// CSV files with a header.
    Csv,
    /// Files with a JSON object on each line.
    Jsonl,
    /// The tables that the parsers of a logical unit fill.
    Parsed,
}

/// A table of a CSV or JSON lines interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableDefinition {
    /// The file, where it is not the table's name with an extension.
    pub file: Option<String>,
    /// Types of columns; the others are TEXT.
    pub columns: BTreeMap<String, ColumnType>,
    /// Columns for which equality and `in (…)` need not read the whole file.
    pub index: Vec<String>,
}

/// What the queries of an interface may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Rows of one answer.
    pub rows: usize,
    /// Seconds of one answer; ids are streamed and have no such limit.
    pub seconds: u64,
    /// Connections, and threads, that answer queries side by side.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rows: 1_000_000,
            seconds: 300,
            connections: 4,
        }
    }
}

/// What interfaces need of the node that opens them.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Where time limits are measured.
    pub clock: SharedClock,
    /// Where relative paths start: the project folder.
    pub base: PathBuf,
    /// Where lookup indexes of files are kept; may be emptied at any time.
    pub scratch: PathBuf,
    /// Where `${NAME}` takes its value from.
    pub environment: Environment,
    /// Where parsed tables are; none where a project is only checked.
    pub store: Option<SharedStore>,
}

/// Makes an interface of its definition. Nothing is opened yet, so the source may be down. `parsed` are the parsed tables
/// of the logical unit that it names.
///
/// # Errors
/// A sentence: a reference that cannot be resolved.
pub fn open(
    definition: &InterfaceDefinition,
    surroundings: &Surroundings,
    parsed: &[ParsedTable],
) -> Result<SharedInterface, String> {
    let path = surroundings.environment.expand(&definition.path)?;
    let path = surroundings.base.join(Path::new(&path));
    let source: Arc<dyn pool::Source> = match definition.kind {
        InterfaceKind::Sqlite => Arc::new(sqlite::SqliteFile { path }),
        InterfaceKind::Csv => {
            let format = Format::Csv {
                delimiter: definition.delimiter,
            };
            Arc::new(Files::new(definition, path, format, surroundings))
        }
        InterfaceKind::Parsed => Arc::new(parsed::ParsedTables {
            tables: parsed
                .iter()
                .map(|table| (table.name.clone(), Arc::new(table.clone())))
                .collect(),
            store: surroundings.store.clone(),
        }),
        InterfaceKind::Jsonl => Arc::new(Files::new(definition, path, Format::Jsonl, surroundings)),
    };
    Ok(Arc::new(query::SqlInterface::new(
        &definition.name,
        source,
        definition.limits,
        Arc::clone(&surroundings.clock),
    )))
}

#[cfg(test)]
mod tests;
