//! The virtual table of SQLite that streams a file.
#![expect(
    unsafe_code,
    reason = "rusqlite's virtual table traits are unsafe: the structs below are repr(C) with the base first"
)]

use std::borrow::Cow;
use std::collections::{BTreeMap, btree_set};
use std::ffi::{CStr, CString, c_int};
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::types::{ToSqlOutput, Value as Sql};
use rusqlite::vtab::{
    Context, CreateVTab, Filters, IndexConstraintOp, IndexInfo, Module, VTab, VTabConnection,
    VTabCursor, VTabKind, sqlite3_vtab, sqlite3_vtab_cursor,
};
use rusqlite::{Connection, Error, Result};
use weft_model::ColumnType;

use super::bad_cells;
use super::guard::Failure;
use super::index::{Index, PAGE};
use super::lookup::{self, Key};
use super::row_reader::{RowLocation, RowReader};
use super::table_file::TableFile;

type Tables = BTreeMap<String, std::result::Result<Arc<TableFile>, String>>;

const MODULE: &str = "weft_file";

/// A lookup of one key costs about as much as reading this many rows in sequence.
const ROWS_PER_LOOKUP: u64 = 8;

/// The plan that `best_index` chooses and `filter` carries out; SQLite passes it as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    /// Reads the whole file.
    Scan,
    /// Looks up the rows whose column has one value.
    Equal { column: c_int },
    /// Looks up the rows whose column has a value of a set. SQLite passes the whole set at once.
    In { column: c_int },
}

impl Plan {
    fn to_number(self) -> c_int {
        match self {
            Self::Scan => 0,
            Self::Equal { column } => 2 * column + 1,
            Self::In { column } => 2 * column + 2,
        }
    }

    fn from_number(number: c_int) -> Self {
        match number {
            0 => Self::Scan,
            odd if odd % 2 == 1 => Self::Equal { column: odd / 2 },
            even => Self::In {
                column: even / 2 - 1,
            },
        }
    }
}

/// A connection whose tables are these files. A file that is not a table is left out: a query that names it gets the reason. It is an error if it is the
/// only one.
pub(super) fn connection(tables: Tables) -> std::result::Result<Connection, Failure> {
    const FILES: Module<'_, FileTable> = Module::read_only_module();
    let connection = Connection::open_in_memory()?;
    let names: Vec<String> = tables.keys().cloned().collect();
    connection.create_module(MODULE, &FILES, Some(tables))?;
    let only = names.len() == 1;
    for name in names {
        let quoted = name.replace('"', "\"\"");
        let created =
            connection.execute_batch(&format!("create virtual table \"{quoted}\" using {MODULE}"));
        match created {
            Err(error) if only => return Err(Failure::from(error)),
            // One bad file does not make the other files of its folder unusable.
            Err(error) => tracing::debug!(table = %name, "Left out table {name}: {error}"),
            Ok(()) => {}
        }
    }
    Ok(connection)
}

#[repr(C)]
struct FileTable {
    base: sqlite3_vtab,
    table: Arc<TableFile>,
    index: Arc<Mutex<Option<Index>>>,
}

// SAFETY: repr(C), and the base is the first field.
unsafe impl<'vtab> VTab<'vtab> for FileTable {
    type Aux = Tables;
    type Cursor = FileCursor<'vtab>;

    fn connect(
        _: &mut VTabConnection,
        tables: Option<&Tables>,
        _module: &[u8],
        _database: &[u8],
        name: &[u8],
        _arguments: &[&[u8]],
    ) -> Result<(Cow<'static, CStr>, Self)> {
        let name = String::from_utf8_lossy(name);
        let found = tables.and_then(|tables| tables.get(name.as_ref()));
        let table = match found {
            Some(Ok(table)) => Arc::clone(table),
            Some(Err(reason)) => return Err(Error::ModuleError(reason.clone())),
            None => return Err(Error::ModuleError(format!("there is no table {name}"))),
        };
        let schema = CString::new(schema(&table))?;
        let vtab = Self {
            base: sqlite3_vtab::default(),
            table,
            index: Arc::default(),
        };
        Ok((Cow::Owned(schema), vtab))
    }

    fn best_index(&self, info: &mut IndexInfo) -> Result<bool> {
        let rows = self.table.estimated_rows();
        let compared: Vec<String> = info
            .constraints()
            .filter(|constraint| {
                constraint.is_usable()
                    && constraint.operator() == IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_EQ
            })
            .map(|constraint| constraint.column().to_string())
            .collect();
        info.set_idx_str(&compared.join(" "));
        let is_indexed = |column: c_int| {
            usize::try_from(column).is_ok_and(|column| self.table.indexed.contains(&column))
        };
        if let Some((constraint, column)) = lookup::equality(info, is_indexed)? {
            let plan = if info.set_in_constraint(constraint, true)? {
                Plan::In { column }
            } else {
                Plan::Equal { column }
            };
            info.constraint_usage(constraint).set_argv_index(1);
            info.set_idx_num(plan.to_number());
            info.set_estimated_cost(20.0);
            info.set_estimated_rows(4);
        } else {
            info.set_idx_num(Plan::Scan.to_number());
            info.set_estimated_cost(1_000.0 + rows as f64);
            info.set_estimated_rows(i64::try_from(rows).unwrap_or(i64::MAX).max(1));
        }
        Ok(true)
    }

    fn open(&'vtab mut self) -> Result<FileCursor<'vtab>> {
        Ok(FileCursor {
            base: sqlite3_vtab_cursor::default(),
            table: Arc::clone(&self.table),
            index: Arc::clone(&self.index),
            reader: None,
            lookup: None,
            location: RowLocation::default(),
            compared: Vec::new(),
            eof: true,
            table_lives: PhantomData,
        })
    }
}

impl CreateVTab<'_> for FileTable {
    const KIND: VTabKind = VTabKind::Default;
}

fn schema(table: &TableFile) -> String {
    let columns = table.columns.iter().map(|column| {
        let kind = match column.kind {
            // With a numeric affinity the text '007' would be compared as the number 7.
            ColumnType::Any => String::new(),
            kind => kind.to_string(),
        };
        format!("\"{}\" {kind}", column.name.replace('"', "\"\""))
    });
    format!(
        "create table t ({})",
        columns.collect::<Vec<_>>().join(", ")
    )
}

/// The remaining rows of an index lookup.
struct Lookup {
    column: usize,
    /// The key of `locations`; none before the first key.
    key: Option<Key>,
    /// The keys that follow.
    keys: btree_set::IntoIter<Key>,
    locations: std::vec::IntoIter<RowLocation>,
    /// Whether all locations of `key` were fetched.
    complete: bool,
    /// The offset of the last location of `key` that was read; -1 before the first.
    last: i64,
}

#[repr(C)]
struct FileCursor<'vtab> {
    base: sqlite3_vtab_cursor,
    table: Arc<TableFile>,
    index: Arc<Mutex<Option<Index>>>,
    reader: Option<Box<dyn RowReader>>,
    lookup: Option<Lookup>,
    location: RowLocation,
    /// The columns that the query compares for equality, in all rows: a bad cell there only leaves its row out.
    compared: Vec<usize>,
    eof: bool,
    table_lives: PhantomData<&'vtab FileTable>,
}

// SAFETY: repr(C), and the base is the first field.
unsafe impl VTabCursor for FileCursor<'_> {
    fn filter(
        &mut self,
        plan: c_int,
        compared: Option<&str>,
        arguments: &Filters<'_>,
    ) -> Result<()> {
        let compared = compared.unwrap_or_default().split_whitespace();
        self.compared = compared.filter_map(|column| column.parse().ok()).collect();
        self.lookup = match Plan::from_number(plan) {
            Plan::Scan => None,
            Plan::Equal { column } => {
                let argument: Sql = arguments.get(0)?;
                self.lookup(column, &[argument])?
            }
            Plan::In { column } => self.lookup(column, &lookup::set_members(arguments)?)?,
        };
        if self.lookup.is_none() || self.reader.is_none() {
            self.reader = Some(self.table.reader().map_err(Error::ModuleError)?);
        }
        self.next()
    }

    fn next(&mut self) -> Result<()> {
        let Some(reader) = &mut self.reader else {
            self.eof = true;
            return Ok(());
        };
        if let Some(lookup) = &mut self.lookup {
            let location = next_location(lookup, &self.index)?;
            self.eof = location.is_none();
            if let Some(location) = location {
                reader.seek(location).map_err(Error::ModuleError)?;
            }
        } else {
            self.eof = !reader.next().map_err(Error::ModuleError)?;
        }
        self.location = reader.location();
        Ok(())
    }

    fn eof(&self) -> bool {
        self.eof
    }

    fn column(&self, context: &mut Context, column: c_int) -> Result<()> {
        let (Some(reader), Ok(column)) = (&self.reader, usize::try_from(column)) else {
            return Err(Error::ModuleError("there is no row".to_owned()));
        };
        match reader.cell(column) {
            Ok(cell) => context.set_result(ToSqlOutput::Borrowed(cell)),
            Err(reason) => {
                let is_compared = self.compared.contains(&column);
                let blob = bad_cells::note(reason, is_compared).map_err(Error::ModuleError)?;
                context.set_result(ToSqlOutput::Owned(Sql::Blob(blob)))
            }
        }
    }

    fn rowid(&self) -> Result<i64> {
        Ok(i64::try_from(self.location.offset).unwrap_or(i64::MAX))
    }
}

impl FileCursor<'_> {
    /// Plans a lookup; none where the whole file has to be read, or where that is cheaper.
    fn lookup(&mut self, column: c_int, arguments: &[Sql]) -> Result<Option<Lookup>> {
        let Ok(column) = usize::try_from(column) else {
            return Ok(None);
        };
        let kind = self.table.columns[column].kind;
        let Some(keys) = lookup::keys(arguments, kind) else {
            return Ok(None);
        };
        if keys.len() > 1 && keys.len() as u64 * ROWS_PER_LOOKUP > self.table.estimated_rows() {
            return Ok(None);
        }
        // Without a key no row matches, and no index is needed.
        if !keys.is_empty() {
            self.use_index()?;
        }
        Ok(Some(Lookup {
            column,
            key: None,
            keys: keys.into_iter(),
            locations: Vec::new().into_iter(),
            complete: true,
            last: -1,
        }))
    }

    /// Opens an index of the current version of the file, unless one is open.
    fn use_index(&mut self) -> Result<()> {
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        if index
            .as_ref()
            .is_none_or(|index| !index.is_current(&self.table))
        {
            *index = Some(Index::open(&self.table).map_err(Error::ModuleError)?);
            // The reader still has the previous version of the file.
            self.reader = None;
        }
        Ok(())
    }
}

fn next_location(lookup: &mut Lookup, index: &Mutex<Option<Index>>) -> Result<Option<RowLocation>> {
    while lookup.locations.as_slice().is_empty() {
        if lookup.complete {
            lookup.key = lookup.keys.next();
            lookup.complete = false;
            lookup.last = -1;
        }
        let index = index.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(key), Some(index)) = (&lookup.key, index.as_ref()) else {
            return Ok(None);
        };
        let locations = index.locations(lookup.column, key.as_sqlite(), lookup.last)?;
        lookup.complete = locations.len() < PAGE;
        lookup.locations = locations.into_iter();
    }
    let location = lookup.locations.next();
    if let Some(location) = location {
        lookup.last = i64::try_from(location.offset).unwrap_or(i64::MAX);
    }
    Ok(location)
}
