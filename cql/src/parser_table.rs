//! Tables that parsers fill, with typed columns, in the keyspace of their logical unit.
//!
//! In a table with a key, each row is a partition, so that none grows. In a table without one, a partition holds a block
//! of lines of a file.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use scylla::response::{PagingState, PagingStateResponse};
use scylla::statement::prepared::PreparedStatement;
use scylla::value::{CqlValue, MaybeUnset};
use weft_model::Value;
use weft_model::{ParsedPage, ParsedRow, ParsedTable};
use weft_store::{StoreError, StoreResult};

use crate::CassandraStore;
use crate::driver_error;
use crate::request::all_of;
use crate::row::StoredRow;
use crate::statements::{ParserTableStatements, parser_table};
use crate::values::check_key;

const TABLE: &str = "a table of a parser";
/// Rows written at once.
const WRITES_AT_ONCE: usize = 64;
/// Keys read at once.
const READS_AT_ONCE: usize = 64;
/// Lines of a file in a partition.
const LINES_PER_PART: i64 = 10_000;

type Bound = MaybeUnset<Option<CqlValue>>;

impl CassandraStore {
    /// The statements of a table, prepared at first use.
    async fn parser_table(&self, table: &ParsedTable) -> StoreResult<Arc<ParserTableStatements>> {
        let keyspace = self.connection.keyspaces.unit(&table.logical_unit)?;
        let name = parser_table::create(&keyspace, table, "");
        let known = || {
            self.parser_table_statements
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        if let Some(found) = known().get(&name) {
            return Ok(Arc::clone(found));
        }
        let prepared = ParserTableStatements::prepare(
            &self.connection.session,
            &self.connection.profiles,
            &keyspace,
            table,
        )
        .await;
        let prepared = Arc::new(prepared.map_err(|error| match error {
            StoreError::Schema(_) => StoreError::missing_parsed_table(table),
            other => other,
        })?);
        known().insert(name, Arc::clone(&prepared));
        Ok(prepared)
    }

    pub(crate) async fn write_parsed_rows(
        &self,
        table: &ParsedTable,
        rows: &[ParsedRow],
    ) -> StoreResult<()> {
        const VERB: &str = "put_parsed_rows";
        for row in rows {
            check_key(key_bytes(table, row))?;
        }
        let statements = self.parser_table(table).await?;
        let writes = rows
            .iter()
            .map(|row| self.execute(VERB, &statements.put, bound_values(table, row)))
            .collect();
        all_of(WRITES_AT_ONCE, writes).await.map(|_| ())
    }

    /// Reads a page in the order of tokens. The end of a page is the paging state of the server.
    pub(crate) async fn read_parsed_page(
        &self,
        table: &ParsedTable,
        after: Option<&str>,
        limit: usize,
    ) -> StoreResult<ParsedPage> {
        const VERB: &str = "parsed_rows";
        let invalid =
            || StoreError::Refused("the start of the page is from another store".to_owned());
        let state = match after {
            None => PagingState::start(),
            Some(after) => {
                let bytes = BASE64.decode(after).map_err(|_| invalid())?;
                PagingState::new_from_raw_bytes(bytes)
            }
        };
        let mut statement = self.parser_table(table).await?.page.clone();
        statement.set_page_size(i32::try_from(limit.max(1)).unwrap_or(i32::MAX));
        self.counters.call(VERB);
        let answer = self
            .connection
            .session
            .execute_single_page(&statement, (), state)
            .await;
        let (answer, state) = answer.map_err(driver_error::from_execution)?;
        let next = match &state {
            PagingStateResponse::HasMorePages { state } => {
                state.as_bytes_slice().map(|bytes| BASE64.encode(bytes))
            }
            PagingStateResponse::NoMorePages => None,
        };
        let rows = StoredRow::all(TABLE, answer)?
            .into_iter()
            .map(|row| values_of(table, row));
        Ok(ParsedPage {
            rows: rows.collect::<StoreResult<_>>()?,
            next,
        })
    }

    pub(crate) async fn read_parsed_rows_of(
        &self,
        table: &ParsedTable,
        keys: &[Value],
    ) -> StoreResult<Vec<Vec<Value>>> {
        const VERB: &str = "parsed_rows_of";
        let statements = self.parser_table(table).await?;
        let Some(of_key) = &statements.of_key else {
            let label = table.label();
            return Err(StoreError::Refused(format!(
                "table {label} has no key of one column"
            )));
        };
        for key in keys {
            check_key(value_bytes(key))?;
        }
        let reads = keys
            .iter()
            .map(|key| self.execute(VERB, of_key, vec![MaybeUnset::Set(cql_value(key))]))
            .collect();
        let found = all_of(READS_AT_ONCE, reads).await?;
        let rows = found.into_iter().flatten().map(|row| values_of(table, row));
        rows.collect()
    }

    async fn execute(
        &self,
        verb: &'static str,
        statement: &PreparedStatement,
        values: Vec<Bound>,
    ) -> StoreResult<Vec<StoredRow>> {
        self.counters.call(verb);
        self.connection.execute(TABLE, statement, values).await
    }
}

/// The bytes of the key of a row.
fn key_bytes(table: &ParsedTable, row: &ParsedRow) -> usize {
    if table.key.is_empty() {
        return row.file.len();
    }
    let columns = table.columns.iter().zip(&row.values);
    let keys = columns.filter(|(column, _)| table.key.contains(&column.name));
    keys.map(|(_, value)| value_bytes(value)).sum()
}

/// The bytes of a value in a key: its own, and its length and end in a key of several columns.
fn value_bytes(value: &Value) -> usize {
    const AROUND: usize = 3;
    AROUND
        + match value {
            Value::Null => 0,
            Value::Integer(_) | Value::Real(_) => size_of::<i64>(),
            Value::Text(text) => text.len(),
            Value::Blob(bytes) => bytes.len(),
        }
}

/// The values of a row, in the order of [`parser_table::columns`].
fn bound_values(table: &ParsedTable, row: &ParsedRow) -> Vec<Bound> {
    let mut values: Vec<Bound> = Vec::with_capacity(row.values.len() + 3);
    if table.key.is_empty() {
        values.push(MaybeUnset::Set(Some(CqlValue::Text(row.file.clone()))));
        values.push(MaybeUnset::Set(Some(CqlValue::BigInt(
            row.line / LINES_PER_PART,
        ))));
        values.push(MaybeUnset::Set(Some(CqlValue::BigInt(row.line))));
    }
    // A row may replace another one with the same key, or the same line of a replaced file. A null clears its value.
    let set = |value: &Value| MaybeUnset::Set(cql_value(value));
    values.extend(row.values.iter().map(set));
    values
}

fn cql_value(value: &Value) -> Option<CqlValue> {
    Some(match value {
        Value::Null => return None,
        Value::Integer(number) => CqlValue::BigInt(*number),
        Value::Real(number) => CqlValue::Double(*number),
        Value::Text(text) => CqlValue::Text(text.clone()),
        Value::Blob(bytes) => CqlValue::Blob(bytes.clone()),
    })
}

fn values_of(table: &ParsedTable, row: StoredRow) -> StoreResult<Vec<Value>> {
    let mut found: BTreeMap<String, CqlValue> = row.into_values().collect();
    let columns = table.all_columns().into_iter();
    columns
        .map(|(name, _)| {
            Ok(match found.remove(name) {
                None => Value::Null,
                Some(CqlValue::Text(text) | CqlValue::Ascii(text)) => Value::Text(text),
                Some(CqlValue::BigInt(number)) => Value::Integer(number),
                Some(CqlValue::Double(number)) => Value::Real(number),
                Some(CqlValue::Blob(bytes)) => Value::Blob(bytes),
                Some(_) => return Err(StoreError::conflicting_parsed_table(table, name)),
            })
        })
        .collect()
}
