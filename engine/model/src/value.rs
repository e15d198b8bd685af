//! Values of source rows, and the types of columns.

use std::fmt;

use serde_json::Value as Json;

use crate::number::written_value;

/// A value of a source row.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// SQL NULL.
    #[default]
    Null,
    /// A whole number.
    Integer(i64),
    /// A floating-point number.
    Real(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

impl Value {
    /// The value as JSON. Bytes are lower-case hex. JSON has no infinite numbers: they are the texts `Infinity` and
    /// `-Infinity`.
    pub fn into_json(self) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Integer(number) => Json::from(number),
            Self::Real(number) => real_to_json(number),
            Self::Text(text) => Json::from(text),
            Self::Blob(_) => Json::from(self.to_string()),
        }
    }

    /// The value of a JSON number without a stated type: see [`written_value`](crate::number::written_value).
    pub fn of_json_number(number: &serde_json::Number) -> Self {
        written_value(number.as_str())
    }
}

/// A double as JSON; infinite numbers are the texts `Infinity` and `-Infinity`.
pub fn real_to_json(number: f64) -> Json {
    match number {
        f64::INFINITY => Json::from("Infinity"),
        f64::NEG_INFINITY => Json::from("-Infinity"),
        number => Json::from(number),
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::Integer(number) => number.fmt(f),
            Self::Real(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
            Self::Blob(bytes) => bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
        }
    }
}

/// The type of a column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ColumnType {
    /// Text.
    #[default]
    Text,
    /// A whole number.
    Integer,
    /// A floating-point number.
    Real,
    /// Bytes.
    Blob,
    /// A value of any type.
    Any,
}

impl ColumnType {
    /// Every type with its name.
    pub const NAMES: [(&str, Self); 5] = [
        ("TEXT", Self::Text),
        ("INTEGER", Self::Integer),
        ("REAL", Self::Real),
        ("BLOB", Self::Blob),
        ("ANY", Self::Any),
    ];

    /// The type with this name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES
            .into_iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, kind)| kind)
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = Self::NAMES.iter().find(|(_, kind)| kind == self);
        f.write_str(found.map_or("TEXT", |(name, _)| name))
    }
}
