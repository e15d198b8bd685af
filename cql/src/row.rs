//! Rows that were read, with their columns by name.

use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use scylla::response::query_result::QueryResult;
use scylla::value::{CqlValue, Row};
use serde::de::DeserializeOwned;
use uuid::Uuid;
use weft_model::clock::Timestamp;
use weft_model::{Incarnation, JobKey, NodeId, Token};
use weft_store::{StoreError, StoreResult};

/// A type that a column can be read as.
pub(crate) trait FromCql: Sized {
    /// The value, or `None` if the column has another type.
    fn from_cql(value: CqlValue) -> Option<Self>;
}

macro_rules! from_cql {
    ($($into:ty, $($pattern:pat => $value:expr),+;)*) => {$(
        impl FromCql for $into {
            fn from_cql(value: CqlValue) -> Option<Self> {
                match value { $($pattern => Some($value),)+ _ => None }
            }
        }
    )*};
}

from_cql! {
    String, CqlValue::Text(text) => text, CqlValue::Ascii(text) => text;
    i64, CqlValue::BigInt(number) => number;
    i32, CqlValue::Int(number) => number;
    f64, CqlValue::Double(number) => number;
    bool, CqlValue::Boolean(yes) => yes;
    Uuid, CqlValue::Uuid(id) => id;
    Token, CqlValue::Uuid(id) => Token(id);
    Incarnation, CqlValue::Uuid(id) => Incarnation(id);
    NodeId, CqlValue::Text(text) => NodeId(text);
    Timestamp, CqlValue::Timestamp(time) => Timestamp(time.0), CqlValue::BigInt(millis) => Timestamp(millis);
    Vec<u8>, CqlValue::Blob(bytes) => bytes;
}

impl FromCql for Vec<String> {
    fn from_cql(value: CqlValue) -> Option<Self> {
        value
            .into_vec()?
            .into_iter()
            .map(CqlValue::into_string)
            .collect()
    }
}

impl FromCql for Vec<(String, String)> {
    fn from_cql(value: CqlValue) -> Option<Self> {
        value
            .into_pair_vec()?
            .into_iter()
            .map(|(key, value)| key.into_string().zip(value.into_string()))
            .collect()
    }
}

/// A row that was read. Its columns are found by name, because the answer to a compare-and-set has other columns when
/// it is refused, and other ones on Scylla than on Cassandra.
#[derive(Clone, Debug)]
pub(crate) struct StoredRow {
    table: &'static str,
    columns: Arc<[String]>,
    values: Vec<Option<CqlValue>>,
}

impl StoredRow {
    /// The rows of an answer; an answer that returns no rows at all has none.
    ///
    /// # Errors
    /// [`StoreError::Refused`] if the driver cannot read them.
    pub(crate) fn all(table: &'static str, answer: QueryResult) -> StoreResult<Vec<Self>> {
        if !answer.is_rows() {
            return Ok(Vec::new());
        }
        let unreadable = |error: &dyn Display| StoreError::Refused(format!("{table}: {error}"));
        let answer = answer
            .into_rows_result()
            .map_err(|error| unreadable(&error))?;
        let columns: Arc<[String]> = answer
            .column_specs()
            .iter()
            .map(|spec| spec.name().to_owned())
            .collect();
        answer
            .rows::<Row>()
            .map_err(|error| unreadable(&error))?
            .map(|row| {
                let row = row.map_err(|error| unreadable(&error))?;
                Ok(Self::new(table, &columns, row))
            })
            .collect()
    }

    /// A row of the driver with the names of its columns.
    pub(crate) fn new(table: &'static str, columns: &Arc<[String]>, row: Row) -> Self {
        Self {
            table,
            columns: Arc::clone(columns),
            values: row.columns,
        }
    }

    /// All columns that are not null, by name, for tables whose columns vary.
    pub(crate) fn into_values(self) -> impl Iterator<Item = (String, CqlValue)> {
        let columns = self.columns;
        self.values
            .into_iter()
            .enumerate()
            .filter_map(move |(at, value)| Some((columns[at].clone(), value?)))
    }

    /// Takes a column, `None` if it is null or absent.
    pub(crate) fn take<T: FromCql>(&mut self, column: &'static str) -> StoreResult<Option<T>> {
        let position = self.columns.iter().position(|name| name == column);
        let value = position.and_then(|position| self.values[position].take());
        match value {
            None => Ok(None),
            Some(value) => match T::from_cql(value) {
                Some(value) => Ok(Some(value)),
                None => Err(self.corrupt(column, &"it has another type")),
            },
        }
    }

    /// Whether a column is null or absent.
    pub(crate) fn is_null(&self, column: &str) -> bool {
        let position = self.columns.iter().position(|name| name == column);
        position.is_none_or(|position| self.values[position].is_none())
    }

    /// Takes a column that must not be null.
    pub(crate) fn require<T: FromCql>(&mut self, column: &'static str) -> StoreResult<T> {
        match self.take(column)? {
            Some(value) => Ok(value),
            None => Err(self.corrupt(column, &"it is null")),
        }
    }

    /// Takes a column whose text must parse as a `T`.
    pub(crate) fn take_parsed<T: FromStr<Err: Display>>(
        &mut self,
        column: &'static str,
    ) -> StoreResult<T> {
        let text: String = self.require(column)?;
        text.parse()
            .map_err(|error: T::Err| self.corrupt(column, &error))
    }

    /// Takes a column whose text is JSON, `None` if it is null or absent.
    pub(crate) fn take_json<T: DeserializeOwned>(
        &mut self,
        column: &'static str,
    ) -> StoreResult<Option<T>> {
        let text: Option<String> = self.take(column)?;
        text.map(|text| serde_json::from_str(&text))
            .transpose()
            .map_err(|error| self.corrupt(column, &error))
    }

    /// Takes the columns of a job's key.
    pub(crate) fn take_job_key(&mut self) -> StoreResult<JobKey> {
        Ok(JobKey {
            job_type: self.require("type")?,
            name: self.require("name")?,
            uid: self.require("uid")?,
        })
    }

    /// The error that a column of this row cannot be read.
    pub(crate) fn corrupt(&self, column: &'static str, reason: &dyn Display) -> StoreError {
        let key: Vec<String> = self
            .values
            .iter()
            .take(3)
            .flatten()
            .map(ToString::to_string)
            .collect();
        StoreError::Corrupt {
            row: format!("{} {}", self.table, key.join(" ")),
            column,
            reason: reason.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::IntoCql;

    fn row(name: &str, value: Option<CqlValue>) -> StoredRow {
        let columns: Arc<[String]> = Arc::from([name.to_owned()]);
        StoredRow::new(
            "t",
            &columns,
            Row {
                columns: vec![value],
            },
        )
    }

    #[test]
    fn null_and_absent_read_as_none() {
        assert_eq!(row("a", None).take::<i64>("a").ok(), Some(None));
        assert_eq!(row("a", None).take::<i64>("b").ok(), Some(None));
        assert!(row("a", None).require::<i64>("a").is_err());
    }

    #[test]
    fn the_error_of_another_type_names_the_column() {
        let error = row("a", Some(CqlValue::Int(1)))
            .require::<String>("a")
            .expect_err("an int is no text");
        assert!(error.to_string().contains("t "), "{error}");
        assert!(error.to_string().contains('a'), "{error}");
    }

    #[test]
    fn a_list_of_texts_is_read_as_it_was_bound() {
        let ids = ["1".to_owned(), "2".to_owned()];
        let value = ids.as_slice().into_cql();
        assert_eq!(
            row("a", value).require::<Vec<String>>("a").ok(),
            Some(ids.to_vec())
        );
    }
}
