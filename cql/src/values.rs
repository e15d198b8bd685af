//! The values that a statement binds, by the names of its markers.

use std::collections::BTreeMap;

use scylla::serialize::SerializationError;
use scylla::serialize::row::{RowSerializationContext, SerializeRow};
use scylla::serialize::writers::RowWriter;
use scylla::value::{CqlTimestamp, CqlValue, MaybeUnset};
use serde::Serialize;
use uuid::Uuid;
use weft_model::clock::Timestamp;
use weft_model::{BatchId, Incarnation, JobKey, NodeId, Token};
use weft_store::{KEY_BYTES, StoreError};

/// The values of a statement's markers, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Values(BTreeMap<&'static str, MaybeUnset<Option<CqlValue>>>);

impl Values {
    /// No values.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Binds a value; `None` is null.
    pub(crate) fn set(mut self, marker: &'static str, value: impl IntoCql) -> Self {
        self.0.insert(marker, MaybeUnset::Set(value.into_cql()));
        self
    }

    /// Binds a value; `None` leaves the column unchanged.
    pub(crate) fn set_or_keep(mut self, marker: &'static str, value: Option<impl IntoCql>) -> Self {
        let bound = match value {
            Some(value) => MaybeUnset::Set(value.into_cql()),
            None => MaybeUnset::Unset,
        };
        self.0.insert(marker, bound);
        self
    }

    /// Binds null, or leaves the column unchanged.
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
    pub(crate) fn job_key(self, key: &JobKey) -> Self {
        self.set("type", key.job_type.as_str())
            .set("name", key.name.as_str())
            .set("uid", key.uid.as_str())
    }

    /// Binds the key of a chunk.
    pub(crate) fn chunk_key(self, batch: BatchId, number: i64) -> Self {
        self.set("bid", batch).set("chunk", number)
    }

    /// Binds the marker of a LIMIT.
    pub(crate) fn limit(self, rows: usize) -> Self {
        self.set("rows", i32::try_from(rows).unwrap_or(i32::MAX))
    }
}

impl SerializeRow for Values {
    fn serialize(
        &self,
        context: &RowSerializationContext<'_>,
        writer: &mut RowWriter,
    ) -> Result<(), SerializationError> {
        // In front of every statement: a server that does not refuse a longer key writes it with another length, and
        // destroys rows of its neighbours with it.
        let bytes = self
            .0
            .iter()
            .map(|(marker, value)| key_bytes(marker, value));
        check_key(bytes.sum()).map_err(SerializationError::new)?;
        self.0.serialize(context, writer)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Checks the bytes of all keys of a row together.
///
/// # Errors
/// A refusal for good.
pub(crate) fn check_key(bytes: usize) -> Result<(), StoreError> {
    match bytes > KEY_BYTES {
        true => Err(StoreError::Refused(format!(
            "keys of {bytes} bytes are over the limit of {KEY_BYTES}"
        ))),
        false => Ok(()),
    }
}

/// Markers of texts that are keys or parts of keys, in any table.
const KEYS: [&str; 16] = [
    "bid",
    "command_key",
    "entityid",
    "follower_name",
    "follower_type",
    "follower_uid",
    "guid",
    "hash",
    "id",
    "item",
    "name",
    "nodeid",
    "scope",
    "type",
    "uid",
    "after",
];

/// The bytes that a value adds to a key: its text, and its length and end in a key of several columns.
fn key_bytes(marker: &str, value: &MaybeUnset<Option<CqlValue>>) -> usize {
    const AROUND: usize = 3;
    match value {
        MaybeUnset::Set(Some(CqlValue::Text(text))) if KEYS.contains(&marker) => {
            text.len() + AROUND
        }
        _ => 0,
    }
}

/// A value as JSON text.
pub(crate) fn json_text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("maps with text keys, numbers and texts are valid JSON")
}

/// A type that can be bound to a marker.
pub(crate) trait IntoCql {
    /// The value for the driver; `None` is null.
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
    Incarnation, incarnation => CqlValue::Uuid(incarnation.0);
    BatchId, id => CqlValue::Text(id.to_string());
    &NodeId, node => CqlValue::Text(node.0.clone());
    Timestamp, time => CqlValue::Timestamp(CqlTimestamp(time.0));
    &[u8], bytes => CqlValue::Blob(bytes.to_vec());
    &[String], texts => CqlValue::List(texts.iter().cloned().map(CqlValue::Text).collect());
    CqlValue, value => value;
}

impl<T: IntoCql> IntoCql for Option<T> {
    fn into_cql(self) -> Option<CqlValue> {
        self.and_then(IntoCql::into_cql)
    }
}
