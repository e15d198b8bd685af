//! Reads the rows of the instances of a chunk with as few queries as possible.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::{FutureExt, StreamExt};
use weft_model::Value;
use weft_store::Outage;

use super::row::Row;
use crate::source::{Parameters, RowLimits, Rows, SharedInterface, SourceError};
use crate::{QueryParameter, Table, TableLink};

/// The most values of one set query.
const SET_SIZE: usize = 500;
/// The most queries per chunk and table that search for the values with which a set query fails.
const MAX_SEARCHES: usize = 64;
/// The number of single-value queries that run in parallel.
const PARALLEL_QUERIES: usize = 4;

/// The rows or the failure of each requested value.
#[derive(Debug, Default)]
pub(super) struct RowsByValue {
    rows: BTreeMap<String, Vec<Row>>,
    failures: BTreeMap<String, String>,
}

impl RowsByValue {
    /// Takes the rows of one value, for the only instance that has it.
    pub(super) fn take(&mut self, value: &str) -> Result<Vec<Row>, String> {
        match self.failures.get(value) {
            Some(failure) => Err(failure.clone()),
            None => Ok(self.rows.remove(value).unwrap_or_default()),
        }
    }

    /// Copies the rows of one value, which other instances may have too.
    fn get(&self, value: &str) -> Result<Vec<Row>, String> {
        match self.failures.get(value) {
            Some(failure) => Err(failure.clone()),
            None => Ok(self.rows.get(value).cloned().unwrap_or_default()),
        }
    }

    fn fail(&mut self, table: &Table, values: &[Value], reason: &str) {
        for value in values {
            let failure = format!("table {}: {reason}", table.name);
            self.failures.insert(value.to_string(), failure);
        }
    }
}

/// Reads the rows of a table for `values`, which are ids or values of a column of the parent. Fails as a whole only if the
/// table is in the node's own store, which did not answer.
pub(super) async fn find(
    table: &Table,
    interface: &Result<SharedInterface, String>,
    values: &[Value],
) -> Result<RowsByValue, Outage> {
    let mut found = RowsByValue::default();
    let interface = match interface {
        Ok(interface) => interface,
        Err(reason) => {
            found.fail(table, values, reason);
            return Ok(found);
        }
    };
    match table.parameter {
        QueryParameter::Set => find_sets(table, interface, values, &mut found).await?,
        QueryParameter::Single => find_each(table, interface, values, &mut found).await?,
    }
    Ok(found)
}

async fn find_sets(
    table: &Table,
    interface: &SharedInterface,
    values: &[Value],
    found: &mut RowsByValue,
) -> Result<(), Outage> {
    let mut searches = 0;
    let mut sets: Vec<&[Value]> = values.chunks(SET_SIZE).rev().collect();
    while let Some(set) = sets.pop() {
        let parameters = Parameters::Set {
            name: table.parameter.name().to_owned(),
            values: set.iter().flat_map(spellings).collect(),
        };
        let limits = RowLimits {
            bad_rows: true,
            ..RowLimits::default()
        };
        let answer = interface.query_within(&table.query.sql, parameters, limits);
        match answer.await {
            Ok(rows) => {
                if let Err(reason) = assign_rows(table, rows, set, found) {
                    found.fail(table, set, &reason);
                }
            }
            // One bad row makes the whole query fail: halve the set until its value is alone.
            Err(SourceError::Query { .. }) if set.len() > 1 && searches < MAX_SEARCHES => {
                searches += 1;
                let (left, right) = set.split_at(set.len() / 2);
                sets.extend([right, left]);
            }
            Err(error) => {
                let error = error_of_source(error)?;
                found.fail(table, set, &error.to_string());
            }
        }
    }
    Ok(())
}

/// An error of the source, which fails the instances that need it. An outage of the node's own store is returned as the
/// error.
fn error_of_source(error: SourceError) -> Result<SourceError, Outage> {
    match error.into_outage() {
        Ok(outage) => Err(outage),
        Err(error) => Ok(error),
    }
}

async fn find_each(
    table: &Table,
    interface: &SharedInterface,
    values: &[Value],
    found: &mut RowsByValue,
) -> Result<(), Outage> {
    let query = |value: &Value| {
        let (interface, sql) = (Arc::clone(interface), table.query.sql.clone());
        let (name, value) = (table.parameter.name(), value.clone());
        async move {
            let mut answer = Ok(Rows::default());
            for spelling in spellings(&value) {
                let named = Parameters::Named(vec![(name.to_owned(), spelling)]);
                answer = interface.query(&sql, named).await;
                if answer.as_ref().map_or(true, |rows| !rows.rows.is_empty()) {
                    break;
                }
            }
            (value, answer)
        }
        .boxed()
    };
    let queries: Vec<_> = values.iter().map(query).collect();
    let mut answers = futures::stream::iter(queries).buffered(PARALLEL_QUERIES);
    while let Some((value, answer)) = answers.next().await {
        let value = std::slice::from_ref(&value);
        let assigned = match answer {
            Ok(rows) => assign_rows(table, rows, value, found),
            Err(error) => Err(error_of_source(error)?.to_string()),
        };
        if let Err(reason) = assigned {
            found.fail(table, value, &reason);
        }
    }
    Ok(())
}

/// The values with which a query finds an id or a link: the text, and the number that is written like it. A column without a
/// type, such as an expression, compares a text with no number.
fn spellings(value: &Value) -> Vec<Value> {
    let text = match value {
        Value::Text(text) => text,
        Value::Integer(_) | Value::Real(_) => &value.to_string(),
        Value::Null | Value::Blob(_) => return vec![value.clone()],
    };
    let number = Value::of_number(text);
    let mut spellings = vec![value.clone()];
    for spelling in [Value::Text(text.clone()), number] {
        if !spellings.contains(&spelling) {
            spellings.push(spelling);
        }
    }
    spellings
}

/// Assigns each row to the value in its linking column.
fn assign_rows(
    table: &Table,
    rows: Rows,
    set: &[Value],
    found: &mut RowsByValue,
) -> Result<(), String> {
    let positions = positions(table, &rows)?;
    let link = position(&rows, table.link.column())?;
    for value in set {
        found.rows.insert(value.to_string(), Vec::new());
    }
    let mut bad = rows.bad;
    for (index, row) in rows.rows.into_iter().enumerate() {
        // A query may return more rows than requested: `017` also matches a row with the number 17.
        let value = row[link].to_string();
        let Some(rows) = found.rows.get_mut(&value) else {
            continue;
        };
        match bad.remove(&index) {
            Some(reason) => found.fail(table, &[Value::Text(value)], &reason),
            None => rows.push(pick(row, &positions)),
        }
    }
    Ok(())
}

fn positions(table: &Table, rows: &Rows) -> Result<Vec<usize>, String> {
    let columns = table.columns.iter();
    columns.map(|column| position(rows, &column.name)).collect()
}

fn position(rows: &Rows, name: &str) -> Result<usize, String> {
    let found = rows.columns.iter().position(|column| column == name);
    found.ok_or_else(|| format!("the query does not return column `{name}`"))
}

fn pick(mut row: Vec<Value>, positions: &[usize]) -> Row {
    let in_order = positions.iter().copied().eq(0..row.len());
    if in_order {
        return row;
    }
    // Column names are unique, so that each cell is taken once.
    let cell = |&at: &usize| row.get_mut(at).map_or(Value::Null, std::mem::take);
    positions.iter().map(cell).collect()
}

/// Reads a table whose rows refer to a column of its parent, and assigns the rows to instances.
///
/// `parents` has the rows of the parent by instance, without the instances whose parent failed.
pub(super) async fn find_children(
    table: &Table,
    parent: &Table,
    interface: &Result<SharedInterface, String>,
    parents: &BTreeMap<String, Vec<Row>>,
) -> Result<BTreeMap<String, Result<Vec<Row>, String>>, Outage> {
    let TableLink::Parent { parent_column, .. } = &table.link else {
        return Ok(BTreeMap::new());
    };
    let at = parent
        .columns
        .iter()
        .position(|column| column.name == *parent_column);
    let links = |rows: &[Row]| -> BTreeMap<String, Value> {
        let values = rows.iter().filter_map(|row| row.get(at?));
        let values = values.filter(|value| **value != Value::Null);
        values
            .map(|value| (value.to_string(), value.clone()))
            .collect()
    };
    let by_instance: BTreeMap<&String, BTreeMap<String, Value>> =
        parents.iter().map(|(id, rows)| (id, links(rows))).collect();
    let mut seen = BTreeSet::new();
    let wanted: Vec<Value> = by_instance
        .values()
        .flatten()
        .filter(|(text, _)| seen.insert(text.as_str()))
        .map(|(_, value)| value.clone())
        .collect();
    let found = find(table, interface, &wanted).await?;
    let rows = by_instance
        .into_iter()
        .map(|(id, links)| {
            let rows: Result<Vec<Vec<Row>>, String> =
                links.keys().map(|link| found.get(link)).collect();
            (
                id.clone(),
                rows.map(|rows| rows.into_iter().flatten().collect()),
            )
        })
        .collect();
    Ok(rows)
}
