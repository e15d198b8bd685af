//! Interfaces that need only files and the store: SQLite databases, CSV, JSON lines, and the tables of parsers.
//!
//! All of them answer the full SQL of SQLite. Files and stored tables are virtual tables that are read as streams, so
//! that memory does not grow with their size. An interface works on its own threads, named `weft-interface-<name>`.

mod bad_cells;
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

/// The definition of an interface, as in `interfaces/<name>.yaml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceDefinition {
    /// The name.
    pub name: String,
    /// The kind of source.
    pub kind: InterfaceKind,
    /// A file or a folder of files, relative to the project folder and with `${NAME}` references. For parsed tables the
    /// name of their logical unit.
    pub path: String,
    /// Definitions of tables, by name. Other files of the folder are tables with default definitions.
    pub tables: BTreeMap<String, TableDefinition>,
    /// The delimiter of CSV files; none = `,`, or a tab in `.tsv` files.
    pub delimiter: Option<u8>,
    /// The limits of its queries.
    pub limits: Limits,
}

/// The kind of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InterfaceKind {
    /// A SQLite database file.
    Sqlite,
    /// CSV files with a header line.
    Csv,
    /// Files with a JSON object on each line.
    Jsonl,
    /// The tables that the parsers of a logical unit fill.
    Parsed,
}

/// A table of a CSV or JSON lines interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableDefinition {
    /// The file, unless it is the name of the table with an extension.
    pub file: Option<String>,
    /// The types of columns. Other columns are TEXT.
    pub columns: BTreeMap<String, ColumnType>,
    /// Columns with a lookup index: `=` and `in (…)` do not read the whole file.
    pub index: Vec<String>,
}

/// The limits of the queries of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most rows of one answer. Streams have no such limit.
    pub rows: usize,
    /// The most seconds of one answer. Streams have no such limit.
    pub seconds: u64,
    /// The number of connections and threads that answer queries in parallel.
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

/// The parts of a node that interfaces use.
#[derive(Clone, Debug)]
pub struct InterfaceContext {
    /// The clock for time limits.
    pub clock: SharedClock,
    /// The folder of relative paths: the project folder.
    pub base: PathBuf,
    /// The folder of lookup indexes. It may be emptied at any time.
    pub scratch: PathBuf,
    /// The values of `${NAME}` references.
    pub environment: Environment,
    /// The store with the parsed tables; none while a project is only checked.
    pub store: Option<SharedStore>,
}

/// Makes an interface from its definition. It does not open the source, which may be down. `parsed` are the tables of
/// the logical unit that an interface of kind `Parsed` names.
///
/// # Errors
/// A sentence about a reference that cannot be resolved.
pub fn open(
    definition: &InterfaceDefinition,
    context: &InterfaceContext,
    parsed: &[ParsedTable],
) -> Result<SharedInterface, String> {
    let path = context.environment.expand(&definition.path)?;
    let path = context.base.join(Path::new(&path));
    let source: Arc<dyn pool::Source> = match definition.kind {
        InterfaceKind::Sqlite => Arc::new(sqlite::SqliteFile { path }),
        InterfaceKind::Csv => {
            let format = Format::Csv {
                delimiter: definition.delimiter,
            };
            Arc::new(Files::new(definition, path, format, context))
        }
        InterfaceKind::Parsed => Arc::new(parsed::ParsedTables {
            tables: parsed
                .iter()
                .map(|table| (table.name.clone(), Arc::new(table.clone())))
                .collect(),
            store: context.store.clone(),
        }),
        InterfaceKind::Jsonl => Arc::new(Files::new(definition, path, Format::Jsonl, context)),
    };
    Ok(Arc::new(query::SqlInterface::new(
        &definition.name,
        source,
        definition.limits,
        Arc::clone(&context.clock),
    )))
}

#[cfg(test)]
mod tests;
