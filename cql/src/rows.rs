//! Values on their way into statements and out of rows, by name in both directions.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use scylla::response::query_result::QueryRowsResult;
use scylla::serialize::SerializationError;
use scylla::serialize::row::{RowSerializationContext, SerializeRow};
use scylla::serialize::writers::RowWriter;
use scylla::value::{CqlTimestamp, CqlValue, MaybeUnset, Row};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;
use weft_model::clock::Timestamp;
use weft_model::{BatchId, Incarnation, JobKey, NodeId, Token};
use weft_store::{StoreError, StoreResult};

/// What is bound to the markers of a statement, by their names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Values(BTreeMap<&'static str, MaybeUnset<Option<CqlValue>>>);

impl Values {
    /// Nothing bound yet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Binds a value; none is null.
    pub(crate) fn set(mut self, marker: &'static str, value: impl IntoCql) -> Self {
        self.0.insert(marker, MaybeUnset::Set(value.into_cql()));
        self
    }

    /// Binds a value where there is one; none leaves the column as it is.
    pub(crate) fn set_or_keep(mut self, marker: &'static str, value: Option<impl IntoCql>) -> Self {
        let bound = match value {
            Some(value) => MaybeUnset::Set(value.into_cql()),
            None => MaybeUnset::Unset,
        };
        self.0.insert(marker, bound);
        self
    }

    /// Binds null, or leaves the column as it is.
    pub(crate) fn clear_or_keep(mut self, marker: &'static str, clear: bool) -> Self {
        let bound = if clear {
            MaybeUnset::Set(None)
        } else {
            MaybeUnset::Unset
        };
        self.0.insert(marker, bound);
        self
    }

    /// Binds a value as JSON text.
    pub(crate) fn set_json(self, marker: &'static str, value: &impl Serialize) -> Self {
        self.set(marker, json_text(value))
    }

    /// Binds the key of a job.
    pub(crate) fn job(self, key: &JobKey) -> Self {
        self.set("type", key.job_type.as_str())
            .set("name", key.name.as_str())
            .set("uid", key.uid.as_str())
    }
}

impl SerializeRow for Values {
    fn serialize(
        &self,
        context: &RowSerializationContext<'_>,
        writer: &mut RowWriter,
    ) -> Result<(), SerializationError> {
        self.0.serialize(context, writer)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A value as JSON text; what we store as JSON is always serialisable.
pub(crate) fn json_text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("maps with text keys, numbers and texts are valid JSON")
}

/// What can be bound.
pub(crate) trait IntoCql {
    /// As the driver wants it; none is null.
    fn into_cql(self) -> Option<CqlValue>;
}

macro_rules! into_cql {
    ($($from:ty, $value:ident => $into:expr;)*) => {$(
        impl IntoCql for $from {
            fn into_cql(self) -> Option<CqlValue> {
                let $value = self;
                Some($into)
            }
        }
    )*};
}

into_cql! {
    &str, text => CqlValue::Text(text.to_owned());
    String, text => CqlValue::Text(text);
    &String, text => CqlValue::Text(text.clone());
    i64, number => CqlValue::BigInt(number);
    i32, number => CqlValue::Int(number);
    f64, number => CqlValue::Double(number);
    bool, yes => CqlValue::Boolean(yes);
    Uuid, id => CqlValue::Uuid(id);
    Token, token => CqlValue::Uuid(token.0);
    Incarnation, life => CqlValue::Uuid(life.0);
    BatchId, id => CqlValue::Text(id.to_string());
    &NodeId, node => CqlValue::Text(node.0.clone());
    Timestamp, moment => CqlValue::Timestamp(CqlTimestamp(moment.0));
    &[u8], bytes => CqlValue::Blob(bytes.to_vec());
    &[String], texts => CqlValue::List(texts.iter().cloned().map(CqlValue::Text).collect());
    CqlValue, value => value;
}

impl<T: IntoCql> IntoCql for Option<T> {
    fn into_cql(self) -> Option<CqlValue> {
        self.and_then(IntoCql::into_cql)
    }
}

/// What can be read out of a column.
pub(crate) trait FromCql: Sized {
    /// The value, or none where the column is of another type.
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
    Timestamp, CqlValue::Timestamp(moment) => Timestamp(moment.0), CqlValue::BigInt(millis) => Timestamp(millis);
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

/// A row that was read, its columns by name.
///
/// Columns are always asked for by name: an answer to a compare-and-set has other columns when it is refused,
/// and Scylla's has others than Cassandra's.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    table: &'static str,
    columns: Arc<[String]>,
    values: Vec<Option<CqlValue>>,
}

impl Found {
    /// The rows of an answer.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where the driver cannot read them.
    pub(crate) fn all(table: &'static str, answer: &QueryRowsResult) -> StoreResult<Vec<Self>> {
        let columns: Arc<[String]> = answer
            .column_specs()
            .iter()
            .map(|spec| spec.name().to_owned())
            .collect();
        let unreadable = |error: &dyn Display| StoreError::Refused(format!("{table}: {error}"));
        answer
            .rows::<Row>()
            .map_err(|error| unreadable(&error))?
            .map(|row| {
                let row = row.map_err(|error| unreadable(&error))?;
                Ok(Self::new(table, &columns, row))
            })
            .collect()
    }

    /// One row with the names of its columns.
    pub(crate) fn new(table: &'static str, columns: &Arc<[String]>, row: Row) -> Self {
        Self {
            table,
            columns: Arc::clone(columns),
            values: row.columns,
        }
    }

    /// All columns that are not null, by name: for tables whose columns are not known here.
    pub(crate) fn into_values(self) -> impl Iterator<Item = (String, CqlValue)> {
        let columns = self.columns;
        self.values
            .into_iter()
            .enumerate()
            .filter_map(move |(at, value)| Some((columns[at].clone(), value?)))
    }

    /// Takes a column that may be null or absent.
    pub(crate) fn take<T: FromCql>(&mut self, column: &'static str) -> StoreResult<Option<T>> {
        let position = self.columns.iter().position(|name| name == column);
        let value = position.and_then(|position| self.values[position].take());
        match value {
            None => Ok(None),
            Some(value) => match T::from_cql(value) {
                Some(value) => Ok(Some(value)),
                None => Err(self.corrupt(column, &"it is of another type")),
            },
        }
    }

    /// A column is null or absent.
    pub(crate) fn peek_is_null(&self, column: &str) -> bool {
        let position = self.columns.iter().position(|name| name == column);
        position.is_none_or(|position| self.values[position].is_none())
    }

    /// Takes a column that every row has.
    pub(crate) fn need<T: FromCql>(&mut self, column: &'static str) -> StoreResult<T> {
        match self.take(column)? {
            Some(value) => Ok(value),
            None => Err(self.corrupt(column, &"it is null")),
        }
    }

    /// Takes a column whose text is a name or an id.
    pub(crate) fn parse<T: FromStr<Err: Display>>(
        &mut self,
        column: &'static str,
    ) -> StoreResult<T> {
        let text: String = self.need(column)?;
        text.parse()
            .map_err(|error: T::Err| self.corrupt(column, &error))
    }

    /// Takes a column whose text is JSON.
    pub(crate) fn json<T: DeserializeOwned>(
        &mut self,
        column: &'static str,
    ) -> StoreResult<Option<T>> {
        let text: Option<String> = self.take(column)?;
        text.map(|text| serde_json::from_str(&text))
            .transpose()
            .map_err(|error| self.corrupt(column, &error))
    }

    /// Takes the columns of a job's key.
    pub(crate) fn job_key(&mut self) -> StoreResult<JobKey> {
        Ok(JobKey {
            job_type: self.need("type")?,
            name: self.need("name")?,
            uid: self.need("uid")?,
        })
    }

    /// Says that a column of this row cannot be read.
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

    fn found(name: &str, value: Option<CqlValue>) -> Found {
        let columns: Arc<[String]> = Arc::from([name.to_owned()]);
        Found::new(
            "t",
            &columns,
            Row {
                columns: vec![value],
            },
        )
    }

    #[test]
    fn null_and_absent_read_as_none() {
        assert_eq!(found("a", None).take::<i64>("a").ok(), Some(None));
        assert_eq!(found("a", None).take::<i64>("b").ok(), Some(None));
        assert!(found("a", None).need::<i64>("a").is_err());
    }

    #[test]
    fn another_type_is_named() {
        let error = found("a", Some(CqlValue::Int(1)))
            .need::<String>("a")
            .expect_err("an int is no text");
        assert!(error.to_string().contains("t "), "{error}");
        assert!(error.to_string().contains('a'), "{error}");
    }

    #[test]
    fn lists_of_text_come_back() {
        let ids = ["1".to_owned(), "2".to_owned()];
        let value = ids.as_slice().into_cql();
        assert_eq!(
            found("a", value).need::<Vec<String>>("a").ok(),
            Some(ids.to_vec())
        );
    }
}
