//! Tables of parsers: typed columns, rows replaced by key, pages and lookups.

use weft_model::ColumnType;
use weft_model::Value;
use weft_model::{ParsedColumn, ParsedRow, ParsedTable};
use weft_store::{SharedStore, StoreError};

use super::claims;
use super::fixture::*;

claims!(
    values_come_back_with_their_types,
    the_same_rows_twice_are_the_same_rows,
    a_row_with_a_known_key_replaces_the_one_there,
    without_a_key_file_and_line_tell_rows_apart,
    a_key_of_several_columns_tells_rows_apart,
    pages_show_every_row_once,
    rows_are_found_by_their_key,
    a_new_column_is_added_and_empty,
    another_type_or_key_is_named_in_the_error,
    a_table_that_is_not_there_says_what_to_do,
);

fn column(name: &str, kind: ColumnType) -> ParsedColumn {
    ParsedColumn {
        name: name.to_owned(),
        kind,
        from: name.to_owned(),
    }
}

/// A table of a new logical unit.
fn table(key: &[&str]) -> ParsedTable {
    let unit = own_text("LU").replace('-', "_");
    ParsedTable {
        // The names of keyspaces are limited in length.
        logical_unit: unit.chars().take(16).collect(),
        name: "Readings".to_owned(),
        columns: vec![
            column("id", ColumnType::Integer),
            column("Name", ColumnType::Text),
            column("amount", ColumnType::Real),
            column("raw", ColumnType::Blob),
        ],
        key: key.iter().map(|name| (*name).to_owned()).collect(),
    }
}

async fn made(store: &SharedStore, key: &[&str]) -> ParsedTable {
    let table = table(key);
    let units = [table.logical_unit.clone()];
    store
        .ensure_logical_units(&units)
        .await
        .expect("the store answers");
    ensure(store, &table).await;
    table
}

async fn ensure(store: &SharedStore, table: &ParsedTable) {
    store
        .ensure_parsed_tables(std::slice::from_ref(table))
        .await
        .expect("the store answers");
}

fn row(line: i64, id: i64, name: &str) -> ParsedRow {
    ParsedRow {
        file: "a/ü.csv".to_owned(),
        line,
        values: vec![
            Value::Integer(id),
            Value::Text(name.to_owned()),
            Value::Null,
            Value::Null,
        ],
    }
}

async fn put(store: &SharedStore, table: &ParsedTable, rows: &[ParsedRow]) {
    store
        .put_parsed_rows(table, rows)
        .await
        .expect("the store answers");
}

/// Reads all rows in pages of `limit` and sorts them by their debug text.
async fn all(store: &SharedStore, table: &ParsedTable, limit: usize) -> Vec<Vec<Value>> {
    let mut rows = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = store
            .parsed_rows(table, after.as_deref(), limit)
            .await
            .expect("the store answers");
        assert!(page.rows.len() <= limit);
        rows.extend(page.rows);
        after = page.next;
        if after.is_none() {
            rows.sort_by_key(|row| format!("{row:?}"));
            return rows;
        }
    }
}

async fn values_come_back_with_their_types(store: SharedStore) {
    let table = made(&store, &["id"]).await;
    let mut first = row(1, i64::MIN, "it's \"ü\"");
    first.values[2] = Value::Real(-0.5e-3);
    first.values[3] = Value::Blob(vec![0, 255, 7]);
    put(&store, &table, std::slice::from_ref(&first)).await;
    assert_eq!(all(&store, &table, 10).await, [first.values]);
}

async fn the_same_rows_twice_are_the_same_rows(store: SharedStore) {
    let table = made(&store, &["id"]).await;
    let rows: Vec<_> = (0..50).map(|id| row(id, id, "x")).collect();
    put(&store, &table, &rows).await;
    put(&store, &table, &rows[10..]).await;
    assert_eq!(all(&store, &table, 100).await.len(), 50);
}

async fn a_row_with_a_known_key_replaces_the_one_there(store: SharedStore) {
    let table = made(&store, &["id"]).await;
    let mut old = row(1, 7, "old");
    old.values[2] = Value::Real(1.0);
    put(&store, &table, &[old]).await;
    let new = row(9, 7, "new");
    put(&store, &table, std::slice::from_ref(&new)).await;
    // A column that the new row lacks is NULL.
    assert_eq!(all(&store, &table, 10).await, [new.values]);
}

async fn without_a_key_file_and_line_tell_rows_apart(store: SharedStore) {
    let table = made(&store, &[]).await;
    let mut rows = vec![row(1, 7, "a"), row(2, 7, "b"), row(25_000, 7, "c")];
    rows.push(ParsedRow {
        file: "b.csv".to_owned(),
        ..row(1, 7, "d")
    });
    put(&store, &table, &rows).await;
    put(&store, &table, &[row(2, 8, "again")]).await;
    let found = all(&store, &table, 2).await;
    assert_eq!(found.len(), 4);
    let expected = |file: &str, line: i64, id: i64, name: &str| {
        vec![
            Value::Text(file.to_owned()),
            Value::Integer(line),
            Value::Integer(id),
            Value::Text(name.to_owned()),
            Value::Null,
            Value::Null,
        ]
    };
    for row in [
        expected("a/ü.csv", 1, 7, "a"),
        expected("a/ü.csv", 2, 8, "again"),
        expected("a/ü.csv", 25_000, 7, "c"),
        expected("b.csv", 1, 7, "d"),
    ] {
        assert!(found.contains(&row), "{row:?} in {found:?}");
    }
}

async fn a_key_of_several_columns_tells_rows_apart(store: SharedStore) {
    let table = made(&store, &["id", "Name"]).await;
    put(
        &store,
        &table,
        &[row(1, 1, "a"), row(2, 1, "b"), row(3, 1, "a")],
    )
    .await;
    assert_eq!(all(&store, &table, 10).await.len(), 2);
}

async fn pages_show_every_row_once(store: SharedStore) {
    let table = made(&store, &["id"]).await;
    let rows: Vec<_> = (0..250).map(|id| row(id, id, "x")).collect();
    put(&store, &table, &rows).await;
    let mut expected: Vec<_> = rows.into_iter().map(|row| row.values).collect();
    expected.sort_by_key(|row| format!("{row:?}"));
    for limit in [1_000, 250, 100, 7] {
        assert_eq!(all(&store, &table, limit).await, expected, "{limit} a page");
    }
}

async fn rows_are_found_by_their_key(store: SharedStore) {
    let table = made(&store, &["Name"]).await;
    put(
        &store,
        &table,
        &[row(1, 1, "a"), row(2, 2, "b 'ü'"), row(3, 3, "c")],
    )
    .await;
    let keys = ["b 'ü'", "missing", "a"].map(|key| Value::Text(key.to_owned()));
    let found = store
        .parsed_rows_of(&table, &keys)
        .await
        .expect("the store answers");
    let ids: Vec<_> = found.iter().map(|row| row[0].clone()).collect();
    assert_eq!(ids, [Value::Integer(2), Value::Integer(1)]);
    assert!(
        store
            .parsed_rows_of(&table, &[])
            .await
            .expect("the store answers")
            .is_empty()
    );
}

async fn a_new_column_is_added_and_empty(store: SharedStore) {
    let mut table = made(&store, &["id"]).await;
    put(&store, &table, &[row(1, 1, "a")]).await;
    table.columns.push(column("later", ColumnType::Integer));
    ensure(&store, &table).await;
    ensure(&store, &table).await;
    let mut second = row(2, 2, "b");
    second.values.push(Value::Integer(5));
    put(&store, &table, std::slice::from_ref(&second)).await;
    let mut first = row(1, 1, "a").values;
    first.push(Value::Null);
    assert_eq!(all(&store, &table, 10).await, [first, second.values]);
}

async fn another_type_or_key_is_named_in_the_error(store: SharedStore) {
    let table = made(&store, &["id"]).await;
    let mut other = table.clone();
    other.columns[2].kind = ColumnType::Text;
    let mut keyless = table.clone();
    keyless.key = Vec::new();
    let mut wider = table.clone();
    wider.key.push("Name".to_owned());
    for (changed, named) in [(other, "`amount`"), (keyless, "`"), (wider, "`")] {
        let refused = store.ensure_parsed_tables(std::slice::from_ref(&changed));
        match refused.await {
            Err(StoreError::Refused(reason)) => {
                assert!(
                    reason.contains(named) && reason.contains(&table.label()),
                    "{reason}"
                );
            }
            other => panic!("{changed:?}: {other:?}"),
        }
    }
    // The table is unchanged.
    put(&store, &table, &[row(1, 1, "a")]).await;
}

async fn a_table_that_is_not_there_says_what_to_do(store: SharedStore) {
    let table = made(&store, &["id"]).await;
    let absent = ParsedTable {
        name: "Absent".to_owned(),
        ..table
    };
    let error = store.parsed_rows(&absent, None, 10).await;
    let error = error.expect_err("no table");
    assert!(error.to_string().contains("deploy a project"), "{error}");
}
