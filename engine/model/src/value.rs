//! Values of source rows, and the types of columns.

use std::fmt;

use serde_json::Value as Json;

use crate::number::{nearest_real, written_integer};

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

    /// The value of a number without a stated type: an integer or a double if it is written exactly like this text, else the
    /// text.
    pub fn of_number(text: &str) -> Self {
        if let Some(integer) = written_integer(text) {
            return Self::Integer(integer);
        }
        match nearest_real(text) {
            // A minus of zero is lost on the way through databases.
            Some(real) if real != 0.0 && Self::Real(real).to_string() == text => Self::Real(real),
            _ => Self::Text(text.to_owned()),
        }
    }

    /// The value of a JSON number without a stated type.
    pub fn of_json_number(number: &serde_json::Number) -> Self {
        Self::of_number(number.as_str())
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_value_without_a_type_is_written_as_it_was() {
        let check = |text: &str, expected: Value| {
            assert_eq!(Value::of_number(text), expected, "{text}");
            assert_eq!(Value::of_number(text).to_string(), text);
        };
        check("7", Value::Integer(7));
        check("-12", Value::Integer(-12));
        check("1.5", Value::Real(1.5));
        for kept in [
            "007",
            "+7",
            "-0",
            "1.0",
            "1.10",
            "1e2",
            "100000000000000000001",
            "101E010031",
            "1e999",
        ] {
            check(kept, Value::Text(kept.to_owned()));
        }
    }

    proptest! {
        #[test]
        fn any_text_is_kept(text in r"[+-]?[0-9]{0,25}(\.[0-9]{0,9})?([eE][+-]?[0-9]{1,6})?") {
            prop_assert_eq!(Value::of_number(&text).to_string(), text);
        }
    }
}
