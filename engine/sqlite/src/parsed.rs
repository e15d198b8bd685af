//! Tables that parsers fill: each a table of the file, under the name that Cassandra gives it.

use rusqlite::types::{Value as Sql, ValueRef};
use rusqlite::{Connection, Row, params_from_iter};
use weft_model::ColumnType;
use weft_model::Value;
use weft_model::{ParsedPage, ParsedRow, ParsedTable};
use weft_store::StoreError;

use super::failure::Failure;
use super::queue::Writing;
use super::rows::sql_limit;

/// The table with its quotes. Names of logical units and tables are letters, digits and `_`.
fn quoted_name(table: &ParsedTable) -> String {
    let logical_unit = table.logical_unit.to_ascii_lowercase();
    quoted(&format!("k2view_{logical_unit}.{}", table.name))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn list<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    let names: Vec<String> = names.into_iter().map(quoted).collect();
    names.join(", ")
}

/// Creates a table, or adds the columns that it lacks.
pub(super) fn ensure(writing: &Writing<'_>, table: &ParsedTable) -> Result<(), Failure> {
    let name = quoted_name(table);
    let key = table.key_columns();
    let wanted = table.all_columns();
    let definition = |(column, kind): &(&str, ColumnType)| {
        let needed = if key.contains(column) {
            " NOT NULL"
        } else {
            ""
        };
        format!("{} {kind}{needed}", quoted(column))
    };
    let found = columns_of(writing.connection, table)?;
    if found.is_empty() {
        let columns: Vec<String> = wanted.iter().map(definition).collect();
        return Ok(writing.connection.execute_batch(&format!(
            "CREATE TABLE {name} ({}, PRIMARY KEY ({}))",
            columns.join(", "),
            list(key.iter().copied()),
        ))?);
    }
    let same_key = found.iter().filter(|column| column.is_key).count() == key.len();
    for column in &wanted {
        let is_key = key.contains(&column.0);
        match found.iter().find(|found| found.name == column.0) {
            Some(found) if found.kind == column.1.to_string() && found.is_key == is_key => {}
            None if !is_key && same_key => {
                let definition = definition(column);
                let add = format!("ALTER TABLE {name} ADD COLUMN {definition}");
                writing.connection.execute_batch(&add)?;
            }
            _ => {
                return Err(Failure::Store(StoreError::conflicting_parsed_table(
                    table, column.0,
                )));
            }
        }
    }
    match same_key {
        true => Ok(()),
        false => Err(Failure::Store(StoreError::conflicting_parsed_table(
            table, key[0],
        ))),
    }
}

struct FoundColumn {
    name: String,
    kind: String,
    is_key: bool,
}

fn columns_of(connection: &Connection, table: &ParsedTable) -> Result<Vec<FoundColumn>, Failure> {
    let mut statement =
        connection.prepare(&format!("PRAGMA table_info({})", quoted_name(table)))?;
    let mut found = statement.query([])?;
    let mut columns = Vec::new();
    while let Some(row) = found.next()? {
        columns.push(FoundColumn {
            name: row.get("name")?,
            kind: row.get("type")?,
            is_key: row.get::<_, i64>("pk")? > 0,
        });
    }
    Ok(columns)
}

/// Writes rows; a row with a known key replaces the stored one, in its place.
pub(super) fn put(
    writing: &Writing<'_>,
    table: &ParsedTable,
    rows: &[ParsedRow],
) -> Result<(), Failure> {
    let columns = table.all_columns();
    let key = table.key_columns();
    let names = || columns.iter().map(|(name, _)| *name);
    let places: Vec<String> = (1..=columns.len()).map(|at| format!("?{at}")).collect();
    let set: Vec<String> = names()
        .filter(|name| !key.contains(name))
        .map(|name| format!("{0} = excluded.{0}", quoted(name)))
        .collect();
    let known = match set.is_empty() {
        true => "NOTHING".to_owned(),
        false => format!("UPDATE SET {}", set.join(", ")),
    };
    let mut statement = prepare(
        writing.connection,
        table,
        &format!(
            "INSERT INTO {} ({}) VALUES ({}) ON CONFLICT ({}) DO {known}",
            quoted_name(table),
            list(names()),
            places.join(", "),
            list(key.iter().copied()),
        ),
    )?;
    for row in rows {
        let values = table.to_stored_row(row).into_iter().map(sql_value);
        statement.execute(params_from_iter(values))?;
    }
    Ok(())
}

/// A page in the order in which rows were written.
pub(super) fn page(
    connection: &Connection,
    table: &ParsedTable,
    after: Option<&str>,
    limit: usize,
) -> Result<ParsedPage, Failure> {
    let columns = table.all_columns();
    // An integer key is the rowid, so the first one may be any number.
    let (comparison, after): (&str, i64) = match after.map(str::parse) {
        None => (">=", i64::MIN),
        Some(Ok(after)) => (">", after),
        Some(Err(_)) => {
            let reason = "a page of another store was asked for".to_owned();
            return Err(Failure::Store(StoreError::Refused(reason)));
        }
    };
    let mut statement = prepare(
        connection,
        table,
        &format!(
            "SELECT {}, rowid FROM {} WHERE rowid {comparison} ?1 ORDER BY rowid LIMIT ?2",
            list(columns.iter().map(|(name, _)| *name)),
            quoted_name(table),
        ),
    )?;
    let mut found = statement.query((after, sql_limit(limit)))?;
    let mut page = ParsedPage::default();
    let mut last: i64 = after;
    while let Some(row) = found.next()? {
        page.rows.push(values_of(row, columns.len())?);
        last = row.get(columns.len())?;
    }
    if page.rows.len() == limit {
        page.next = Some(last.to_string());
    }
    Ok(page)
}

/// The rows with these keys.
pub(super) fn of_keys(
    connection: &Connection,
    table: &ParsedTable,
    keys: &[Value],
) -> Result<Vec<Vec<Value>>, Failure> {
    let columns = table.all_columns();
    let mut statement = prepare(
        connection,
        table,
        &format!(
            "SELECT {} FROM {} WHERE {} = ?1",
            list(columns.iter().map(|(name, _)| *name)),
            quoted_name(table),
            list(table.key_columns()),
        ),
    )?;
    let mut rows = Vec::new();
    for key in keys {
        let mut found = statement.query([sql_value(key.clone())])?;
        while let Some(row) = found.next()? {
            rows.push(values_of(row, columns.len())?);
        }
    }
    Ok(rows)
}

fn prepare<'c>(
    connection: &'c Connection,
    table: &ParsedTable,
    sql: &str,
) -> Result<rusqlite::CachedStatement<'c>, Failure> {
    connection.prepare_cached(sql).map_err(|error| {
        if error.to_string().contains("no such table") {
            return Failure::Store(StoreError::missing_parsed_table(table));
        }
        Failure::Sqlite(error)
    })
}

fn values_of(row: &Row<'_>, count: usize) -> Result<Vec<Value>, Failure> {
    let values = (0..count).map(|at| {
        Ok(match row.get_ref(at)? {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(number) => Value::Integer(number),
            ValueRef::Real(number) => Value::Real(number),
            ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
            ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
        })
    });
    values.collect()
}

fn sql_value(value: Value) -> Sql {
    match value {
        Value::Null => Sql::Null,
        Value::Integer(number) => Sql::Integer(number),
        Value::Real(number) => Sql::Real(number),
        Value::Text(text) => Sql::Text(text),
        Value::Blob(bytes) => Sql::Blob(bytes),
    }
}
