//! Tables that parsers fill.

use std::collections::BTreeMap;

use weft_model::{ParsedPage, ParsedRow, ParsedTable, Value};
use weft_store::{StoreError, StoreResult};

use super::tables::Tables;

/// A parsed table and its rows, by key.
#[derive(Clone, Debug)]
pub struct StoredTable {
    table: ParsedTable,
    rows: BTreeMap<String, Vec<Value>>,
}

impl Tables {
    pub(super) fn ensure_parsed_table(&mut self, table: &ParsedTable) -> StoreResult<()> {
        let found = self.parsed_table(table);
        if found.table.key != table.key {
            let column = table.key_columns()[0];
            return Err(StoreError::conflicting_parsed_table(table, column));
        }
        for column in &table.columns {
            let columns = &found.table.columns;
            let known = columns.iter().find(|known| known.name == column.name);
            if known.is_some_and(|known| known.kind != column.kind) {
                return Err(StoreError::conflicting_parsed_table(table, &column.name));
            }
        }
        found.table = table.clone();
        Ok(())
    }

    pub(super) fn put_parsed_rows(&mut self, table: &ParsedTable, rows: &[ParsedRow]) {
        let stored = self.parsed_table(table);
        for row in rows {
            let row = table.to_stored_row(row);
            stored.rows.insert(key_text(table, &row), row);
        }
    }

    pub(super) fn parsed_page(
        &self,
        table: &ParsedTable,
        after: Option<&str>,
        limit: usize,
    ) -> StoreResult<ParsedPage> {
        let rest = self
            .parsed_rows(table)?
            .iter()
            .filter(|(key, _)| after.is_none_or(|after| key.as_str() > after));
        let found: Vec<_> = rest.take(limit).collect();
        let next = found.last().filter(|_| found.len() == limit);
        Ok(ParsedPage {
            next: next.map(|(key, _)| (*key).clone()),
            rows: found.iter().map(|(_, row)| whole(table, row)).collect(),
        })
    }

    pub(super) fn parsed_rows_of(
        &self,
        table: &ParsedTable,
        keys: &[Value],
    ) -> StoreResult<Vec<Vec<Value>>> {
        let rows = self.parsed_rows(table)?;
        let found = keys.iter().filter_map(|key| rows.get(&format!("{key:?}")));
        Ok(found.map(|row| whole(table, row)).collect())
    }

    fn parsed_table(&mut self, table: &ParsedTable) -> &mut StoredTable {
        self.parsed
            .entry(table.label())
            .or_insert_with(|| StoredTable {
                table: table.clone(),
                rows: BTreeMap::new(),
            })
    }

    fn parsed_rows(&self, table: &ParsedTable) -> StoreResult<&BTreeMap<String, Vec<Value>>> {
        let stored = self.parsed.get(&table.label());
        stored
            .map(|stored| &stored.rows)
            .ok_or_else(|| StoreError::missing_parsed_table(table))
    }
}

/// A row that was written before its table got more columns.
fn whole(table: &ParsedTable, row: &[Value]) -> Vec<Value> {
    let mut row = row.to_vec();
    row.resize(table.all_columns().len(), Value::Null);
    row
}

/// The key of a row of a parsed table as one text.
fn key_text(table: &ParsedTable, row: &[Value]) -> String {
    let columns = table.all_columns();
    let values = table.key_columns().into_iter().map(|key| {
        let at = columns.iter().position(|(name, _)| *name == key);
        &row[at.expect("a key is a column")]
    });
    values
        .map(|value| format!("{value:?}"))
        .collect::<Vec<_>>()
        .join("\0")
}
