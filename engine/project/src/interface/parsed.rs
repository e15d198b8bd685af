//! The tables that parsers fill as tables of SQLite, page by page out of the store.
#![expect(
    unsafe_code,
    reason = "rusqlite's virtual table traits are unsafe: the structs below are repr(C) with the base first"
)]

use std::borrow::Cow;
use std::collections::{BTreeMap, btree_set};
use std::ffi::{CStr, CString, c_int};
use std::marker::PhantomData;
use std::sync::Arc;

use rusqlite::types::{Null, ToSqlOutput, Value as Sql};
use rusqlite::vtab::{
    Context, CreateVTab, Filters, IndexInfo, Module, VTab, VTabConnection, VTabCursor, VTabKind,
    sqlite3_vtab, sqlite3_vtab_cursor,
};
use rusqlite::{Connection, Error, Result};
use tokio::runtime::Handle;
use weft_model::ColumnType;
use weft_model::ParsedTable;
use weft_model::Value;
use weft_store::{SharedStore, StoreError, StoreResult};

use super::guard::{self, Failure, STORE_OUTAGE};
use super::lookup::{self, Key};
use super::pool::{Fingerprint, Source};
use crate::sqlite_value::to_sqlite;

const MODULE: &str = "weft_parsed";
/// Rows to fetch at once.
const PAGE: usize = 1_000;
/// Keys to look up at once.
const KEYS: usize = 500;
/// The assumed number of rows, which no store counts: so many that a lookup is always cheaper than reading them all.
const ROWS: i64 = 1_000_000;
/// The plan that looks up one key. The next number looks up a set of keys; 0 reads all rows.
const LOOKUP: c_int = 1;

/// The parsed tables of one logical unit.
#[derive(Debug)]
pub(super) struct ParsedTables {
    /// The tables by name.
    pub(super) tables: BTreeMap<String, Arc<ParsedTable>>,
    /// None while a project is only checked.
    pub(super) store: Option<SharedStore>,
}

type Aux = (BTreeMap<String, Arc<ParsedTable>>, Option<SharedStore>);

impl Source for ParsedTables {
    fn kind(&self) -> &'static str {
        "parsed"
    }

    /// The tables only change with the project, which opens its interfaces anew.
    fn fingerprint(&self) -> std::result::Result<Fingerprint, Failure> {
        Ok(Fingerprint::default())
    }

    fn open(&self) -> std::result::Result<Connection, Failure> {
        const TABLES: Module<'_, StoredTable> = Module::read_only_module();
        let mut connection = Connection::open_in_memory()?;
        let aux: Aux = (self.tables.clone(), self.store.clone());
        connection.create_module(MODULE, &TABLES, Some(aux))?;
        for name in self.tables.keys() {
            let name = name.replace('"', "\"\"");
            connection.execute_batch(&format!("create virtual table \"{name}\" using {MODULE}"))?;
        }
        guard::lock_down(&mut connection)?;
        Ok(connection)
    }
}

#[repr(C)]
struct StoredTable {
    base: sqlite3_vtab,
    table: Arc<ParsedTable>,
    store: Option<SharedStore>,
    /// The key column and its type; none where the key has several columns.
    key: Option<(c_int, ColumnType)>,
}

// SAFETY: repr(C), and the base is the first field.
unsafe impl<'vtab> VTab<'vtab> for StoredTable {
    type Aux = Aux;
    type Cursor = StoredCursor<'vtab>;

    fn connect(
        _: &mut VTabConnection,
        aux: Option<&Aux>,
        _module: &[u8],
        _database: &[u8],
        name: &[u8],
        _arguments: &[&[u8]],
    ) -> Result<(Cow<'static, CStr>, Self)> {
        let name = String::from_utf8_lossy(name);
        let found = aux.and_then(|(tables, store)| Some((tables.get(name.as_ref())?, store)));
        let Some((table, store)) = found else {
            return Err(Error::ModuleError(format!("there is no table {name}")));
        };
        let columns = table.all_columns();
        let key = match table.key.as_slice() {
            [key] => columns.iter().zip(0..).find(|((name, _), _)| name == key),
            _ => None,
        };
        let key = key.map(|((_, kind), at)| (at, *kind));
        let columns = columns
            .iter()
            .map(|(name, kind)| format!("\"{name}\" {kind}"));
        let columns: Vec<String> = columns.collect();
        let schema = CString::new(format!("create table t ({})", columns.join(", ")))?;
        let vtab = Self {
            base: sqlite3_vtab::default(),
            table: Arc::clone(table),
            store: store.clone(),
            key,
        };
        Ok((Cow::Owned(schema), vtab))
    }

    fn best_index(&self, info: &mut IndexInfo) -> Result<bool> {
        let is_key = |column| self.key.is_some_and(|(key, _)| key == column);
        let Some((constraint, _)) = lookup::equality(info, is_key)? else {
            info.set_estimated_cost(1_000.0 + ROWS as f64);
            info.set_estimated_rows(ROWS);
            return Ok(true);
        };
        // Asks SQLite to pass all members of a set at once.
        let is_set = info.set_in_constraint(constraint, true)?;
        info.constraint_usage(constraint).set_argv_index(1);
        info.set_idx_num(LOOKUP + c_int::from(is_set));
        info.set_estimated_cost(20.0);
        info.set_estimated_rows(4);
        Ok(true)
    }

    fn open(&'vtab mut self) -> Result<StoredCursor<'vtab>> {
        Ok(StoredCursor {
            base: sqlite3_vtab_cursor::default(),
            table: Arc::clone(&self.table),
            store: self.store.clone(),
            key: self.key.map(|(_, kind)| kind),
            pages: Pages::End,
            rows: Vec::new().into_iter(),
            row: None,
            number: 0,
            table_lives: PhantomData,
        })
    }
}

impl CreateVTab<'_> for StoredTable {
    const KIND: VTabKind = VTabKind::Default;
}

/// The rows that are not fetched yet.
enum Pages {
    Scan { after: Option<String> },
    Keys(btree_set::IntoIter<Key>),
    End,
}

#[repr(C)]
struct StoredCursor<'vtab> {
    base: sqlite3_vtab_cursor,
    table: Arc<ParsedTable>,
    store: Option<SharedStore>,
    key: Option<ColumnType>,
    pages: Pages,
    rows: std::vec::IntoIter<Vec<Value>>,
    row: Option<Vec<Value>>,
    number: i64,
    table_lives: PhantomData<&'vtab StoredTable>,
}

// SAFETY: repr(C), and the base is the first field.
unsafe impl VTabCursor for StoredCursor<'_> {
    fn filter(&mut self, plan: c_int, _: Option<&str>, arguments: &Filters<'_>) -> Result<()> {
        self.rows = Vec::new().into_iter();
        let keys = match (plan, self.key) {
            (0, _) | (_, None) => None,
            (LOOKUP, Some(kind)) => lookup::keys(&[arguments.get::<Sql>(0)?], kind),
            (_, Some(kind)) => lookup::keys(&lookup::set_members(arguments)?, kind),
        };
        self.pages = keys.map_or(Pages::Scan { after: None }, |keys| {
            Pages::Keys(keys.into_iter())
        });
        self.next()
    }

    fn next(&mut self) -> Result<()> {
        self.number += 1;
        loop {
            self.row = self.rows.next();
            if self.row.is_some() || matches!(self.pages, Pages::End) {
                return Ok(());
            }
            self.fetch()?;
        }
    }

    fn eof(&self) -> bool {
        self.row.is_none()
    }

    fn column(&self, context: &mut Context, column: c_int) -> Result<()> {
        let value = usize::try_from(column)
            .ok()
            .and_then(|column| self.row.as_ref()?.get(column));
        match value {
            Some(value) => context.set_result(ToSqlOutput::Borrowed(to_sqlite(value))),
            None => context.set_result(Null),
        }
    }

    fn rowid(&self) -> Result<i64> {
        Ok(self.number)
    }
}

impl StoredCursor<'_> {
    fn fetch(&mut self) -> Result<()> {
        let Some(store) = &self.store else {
            return Err(unavailable(
                "parsed tables are not available where a project is only checked".to_owned(),
            ));
        };
        let (rows, pages) = match std::mem::replace(&mut self.pages, Pages::End) {
            Pages::Scan { after } => {
                let page = wait(store.parsed_rows(&self.table, after.as_deref(), PAGE))?;
                let pages = match page.next {
                    None => Pages::End,
                    after => Pages::Scan { after },
                };
                (page.rows, pages)
            }
            Pages::Keys(mut keys) => {
                let some = keys.by_ref().take(KEYS).map(Key::into_value);
                let some: Vec<Value> = some.collect();
                let rows = wait(store.parsed_rows_of(&self.table, &some))?;
                let pages = match keys.len() == 0 {
                    true => Pages::End,
                    false => Pages::Keys(keys),
                };
                (rows, pages)
            }
            Pages::End => (Vec::new(), Pages::End),
        };
        self.rows = rows.into_iter();
        self.pages = pages;
        Ok(())
    }
}

/// Waits on this thread, which belongs to the interface. The thread has entered the runtime of the caller.
fn wait<T>(answer: impl Future<Output = StoreResult<T>>) -> Result<T> {
    let runtime = Handle::try_current().map_err(|error| unavailable(error.to_string()))?;
    runtime.block_on(answer).map_err(|error| match error {
        StoreError::Unavailable(reason) | StoreError::Full(reason) => {
            Error::SqliteFailure(rusqlite::ffi::Error::new(STORE_OUTAGE), Some(reason))
        }
        error @ StoreError::Schema(_) => unavailable(error.to_string()),
        error => Error::ModuleError(error.to_string()),
    })
}

/// The error that SQLite reports when a file cannot be read.
fn unavailable(reason: String) -> Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR);
    Error::SqliteFailure(code, Some(reason))
}

#[cfg(test)]
mod tests {
    use weft_model::ParsedColumn;
    use weft_model::clock::SystemClock;
    use weft_sqlite::{Options, SqliteStore};
    use weft_store::faulty::{Fault, FaultyStore};

    use super::super::Limits;
    use super::super::query::SqlInterface;
    use super::*;
    use crate::source::{Interface, Parameters, SourceError};

    #[tokio::test]
    async fn an_outage_of_the_store_is_not_an_error_of_the_source() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(SystemClock);
        let options = Options::new(clock.clone());
        let inner = SqliteStore::open(folder.path().join("weft.db"), options).unwrap();
        let store = Arc::new(FaultyStore::new(Arc::new(inner)));
        let table = ParsedTable {
            logical_unit: "CAR".to_owned(),
            name: "trip".to_owned(),
            columns: vec![ParsedColumn {
                name: "id".to_owned(),
                kind: ColumnType::Text,
                from: "id".to_owned(),
            }],
            key: vec!["id".to_owned()],
        };
        let shared: SharedStore = store.clone();
        let units = ["CAR".to_owned()];
        shared.ensure_logical_units(&units).await.unwrap();
        let tables = std::slice::from_ref(&table);
        shared.ensure_parsed_tables(tables).await.unwrap();
        let source = ParsedTables {
            tables: [(table.name.clone(), Arc::new(table))].into(),
            store: Some(shared),
        };
        let interface = SqlInterface::new("trips", Arc::new(source), Limits::default(), clock);
        let query = async |sql| {
            let none = Parameters::Positional(Vec::new());
            interface.query(sql, none).await
        };
        for (verb, sql) in [
            ("parsed_rows", "select id from trip"),
            ("parsed_rows_of", "select id from trip where id = 'x'"),
        ] {
            store.set(verb, "", Fault::Unavailable);
            let error = query(sql).await.unwrap_err();
            assert!(matches!(error, SourceError::Store { .. }), "{error:?}");
            store.set(verb, "", Fault::Refused);
            let error = query(sql).await.unwrap_err();
            assert!(matches!(error, SourceError::Query { .. }), "{error:?}");
            store.set(verb, "", None);
            assert_eq!(query(sql).await.unwrap().rows.len(), 0);
        }
        // A stream ends with the outage, and does not look complete.
        store.set("parsed_rows", "", Fault::Unavailable);
        let ids = interface.ids("select id from trip", Vec::new(), None).await;
        let last = match ids {
            Ok(mut ids) => ids.recv().await.unwrap().unwrap_err(),
            Err(error) => error,
        };
        assert!(matches!(last, SourceError::Store { .. }), "{last:?}");
    }
}
