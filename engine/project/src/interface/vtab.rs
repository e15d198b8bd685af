//! The virtual table of SQLite that streams a file.
#![expect(
    unsafe_code,
    reason = "rusqlite's virtual table traits are unsafe: the structs below are repr(C) with the base first"
)]

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, btree_set};
use std::ffi::{CStr, CString, c_int};
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::types::{ToSqlOutput, Value as Sql, ValueRef};
use rusqlite::vtab::{
    Context, CreateVTab, Filters, IndexConstraintOp, IndexInfo, Module, VTab, VTabConnection,
    VTabCursor, VTabKind, sqlite3_vtab, sqlite3_vtab_cursor,
};
use rusqlite::{Connection, Error, Result};
use weft_model::ColumnType;

use super::guard::Failure;
use super::index::{Index, PAGE};
use super::table::{Place, RowReader, TableFile};

type Tables = BTreeMap<String, std::result::Result<Arc<TableFile>, String>>;

const MODULE: &str = "weft_file";

/// Looking up a key costs about as much as reading so many rows on.
const ROWS_PER_LOOKUP: u64 = 8;

/// How `best_index` tells `filter` what it chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    /// The whole file.
    Scan,
    /// The rows whose column has this value.
    Equal { column: c_int },
    /// The rows whose column has one of these values, all of them given at once.
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

/// A connection whose tables are these files. A table that cannot be read is left out, and its reason is
/// told by a query that needs it.
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
            // One bad file does not take the others of its folder with it.
            Err(error) => tracing::warn!(table = %name, "Left out table {name}: {error}"),
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
        let lookup = self.usable_lookup(info)?;
        let rows = self.table.estimated_rows();
        if let Some((constraint, column)) = lookup {
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
            place: Place::default(),
            eof: true,
            table_lives: PhantomData,
        })
    }
}

impl CreateVTab<'_> for FileTable {
    const KIND: VTabKind = VTabKind::Default;
}

impl FileTable {
    /// The first equality on a column with an index: (constraint, column).
    fn usable_lookup(&self, info: &IndexInfo) -> Result<Option<(usize, c_int)>> {
        for (number, constraint) in info.constraints().enumerate() {
            let column = constraint.column();
            let is_indexed =
                usize::try_from(column).is_ok_and(|column| self.table.indexed.contains(&column));
            if is_indexed
                && constraint.is_usable()
                && constraint.operator() == IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_EQ
                && info.collation(number)?.eq_ignore_ascii_case("BINARY")
            {
                return Ok(Some((number, column)));
            }
        }
        Ok(None)
    }
}

fn schema(table: &TableFile) -> String {
    let columns = table.columns.iter().map(|column| {
        let kind = match column.kind {
            // JSON says itself what a value is; a CSV cell that looks like a number is one.
            ColumnType::Any if table.format == super::table::Format::Jsonl => String::new(),
            ColumnType::Any => "NUMERIC".to_owned(),
            kind => kind.to_string(),
        };
        format!("\"{}\" {kind}", column.name.replace('"', "\"\""))
    });
    format!(
        "create table t ({})",
        columns.collect::<Vec<_>>().join(", ")
    )
}

/// What an index is asked for.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Integer(i64),
    Text(String),
}

impl Key {
    fn as_value(&self) -> ValueRef<'_> {
        match self {
            Self::Integer(integer) => ValueRef::Integer(*integer),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
        }
    }
}

/// The rows of an index lookup that are still to come.
struct Lookup {
    column: usize,
    /// The key whose places these are; none before the first.
    key: Option<Key>,
    /// The keys after it.
    keys: btree_set::IntoIter<Key>,
    places: std::vec::IntoIter<Place>,
    complete: bool,
    last: i64,
}

#[repr(C)]
struct FileCursor<'vtab> {
    base: sqlite3_vtab_cursor,
    table: Arc<TableFile>,
    index: Arc<Mutex<Option<Index>>>,
    reader: Option<Box<dyn RowReader>>,
    lookup: Option<Lookup>,
    place: Place,
    eof: bool,
    table_lives: PhantomData<&'vtab FileTable>,
}

// SAFETY: repr(C), and the base is the first field.
unsafe impl VTabCursor for FileCursor<'_> {
    fn filter(&mut self, plan: c_int, _: Option<&str>, arguments: &Filters<'_>) -> Result<()> {
        self.lookup = match Plan::from_number(plan) {
            Plan::Scan => None,
            Plan::Equal { column } => {
                let argument: Sql = arguments.get(0)?;
                self.lookup_of(column, [ValueRef::from(&argument)])?
            }
            Plan::In { column } => {
                let values = arguments
                    .in_values(0)?
                    .map(|value| Ok(Sql::try_from(value)?));
                let values: Vec<Sql> = values.collect()?;
                self.lookup_of(column, values.iter().map(ValueRef::from))?
            }
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
            let place = next_place(lookup, &self.index)?;
            self.eof = place.is_none();
            if let Some(place) = place {
                reader.go_to(place).map_err(Error::ModuleError)?;
            }
        } else {
            self.eof = !reader.next().map_err(Error::ModuleError)?;
        }
        self.place = reader.place();
        Ok(())
    }

    fn eof(&self) -> bool {
        self.eof
    }

    fn column(&self, context: &mut Context, column: c_int) -> Result<()> {
        let (Some(reader), Ok(column)) = (&self.reader, usize::try_from(column)) else {
            return Err(Error::ModuleError("there is no row".to_owned()));
        };
        let cell = reader.cell(column).map_err(Error::ModuleError)?;
        context.set_result(ToSqlOutput::Borrowed(cell))
    }

    fn rowid(&self) -> Result<i64> {
        Ok(i64::try_from(self.place.offset).unwrap_or(i64::MAX))
    }
}

impl FileCursor<'_> {
    /// None where the whole file has to be read, or where that is cheaper.
    fn lookup_of<'v>(
        &mut self,
        column: c_int,
        values: impl IntoIterator<Item = ValueRef<'v>>,
    ) -> Result<Option<Lookup>> {
        let Ok(column) = usize::try_from(column) else {
            return Ok(None);
        };
        let kind = self.table.columns[column].kind;
        let mut keys = BTreeSet::new();
        for value in values.into_iter().filter(|value| *value != ValueRef::Null) {
            match key(value, kind) {
                Some(key) => keys.insert(key),
                None => return Ok(None),
            };
        }
        if keys.len() > 1 && keys.len() as u64 * ROWS_PER_LOOKUP > self.table.estimated_rows() {
            return Ok(None);
        }
        // Nothing equals NULL: without a key there is nothing to find, and no file to read for it.
        if !keys.is_empty() {
            self.use_index()?;
        }
        Ok(Some(Lookup {
            column,
            key: None,
            keys: keys.into_iter(),
            places: Vec::new().into_iter(),
            complete: true,
            last: -1,
        }))
    }

    /// Makes sure that there is an index of the file as it is now.
    fn use_index(&mut self) -> Result<()> {
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        if index
            .as_ref()
            .is_none_or(|index| !index.is_current(&self.table))
        {
            *index = Some(Index::of(&self.table).map_err(Error::ModuleError)?);
            // The reader has the file as it was.
            self.reader = None;
        }
        Ok(())
    }
}

fn next_place(lookup: &mut Lookup, index: &Mutex<Option<Index>>) -> Result<Option<Place>> {
    while lookup.places.as_slice().is_empty() {
        if lookup.complete {
            lookup.key = lookup.keys.next();
            lookup.complete = false;
            lookup.last = -1;
        }
        let index = index.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(key), Some(index)) = (&lookup.key, index.as_ref()) else {
            return Ok(None);
        };
        let places = index.places(lookup.column, key.as_value(), lookup.last)?;
        lookup.complete = places.len() < PAGE;
        lookup.places = places.into_iter();
    }
    let place = lookup.places.next();
    if let Some(place) = place {
        lookup.last = i64::try_from(place.offset).unwrap_or(i64::MAX);
    }
    Ok(place)
}

/// What to look up, where SQLite's comparison with `argument` comes to equality of stored values.
/// Otherwise the whole file is read, and SQLite compares.
fn key(argument: ValueRef<'_>, kind: ColumnType) -> Option<Key> {
    match (kind, argument) {
        (ColumnType::Text, ValueRef::Text(text)) => {
            let text = std::str::from_utf8(text).ok()?;
            Some(Key::Text(text.to_owned()))
        }
        (ColumnType::Integer, ValueRef::Integer(integer)) => Some(Key::Integer(integer)),
        (ColumnType::Integer, ValueRef::Text(text)) => {
            let text = std::str::from_utf8(text).ok()?;
            text.trim().parse().ok().map(Key::Integer)
        }
        _ => None,
    }
}
