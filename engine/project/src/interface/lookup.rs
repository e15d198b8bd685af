//! Lookups by key: the constraint of a query that an index answers, and the keys to look up.

use std::collections::BTreeSet;
use std::ffi::c_int;

use rusqlite::Result;
use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::types::{Value as Sql, ValueRef};
use rusqlite::vtab::{Filters, IndexConstraintOp, IndexInfo};
use weft_model::{ColumnType, Value};

/// A key of an index. Only texts and whole numbers have indexes.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Integer(i64),
    Text(String),
}

impl Key {
    /// The key for an argument of a query, where SQLite's comparison with the argument means equality of stored values.
    fn from_argument(argument: &Sql, kind: ColumnType) -> Option<Self> {
        match (kind, argument) {
            (ColumnType::Text, Sql::Text(text)) => Some(Self::Text(text.clone())),
            // A TEXT column compares an integer as its digits.
            (ColumnType::Text, Sql::Integer(integer)) => Some(Self::Text(integer.to_string())),
            (ColumnType::Integer, Sql::Integer(integer)) => Some(Self::Integer(*integer)),
            (ColumnType::Integer, Sql::Text(text)) => text.trim().parse().ok().map(Self::Integer),
            _ => None,
        }
    }

    pub(super) fn as_sqlite(&self) -> ValueRef<'_> {
        match self {
            Self::Integer(integer) => ValueRef::Integer(*integer),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
        }
    }

    pub(super) fn into_value(self) -> Value {
        match self {
            Self::Integer(integer) => Value::Integer(integer),
            Self::Text(text) => Value::Text(text),
        }
    }
}

/// The keys for the arguments of a query. None where only SQLite can compare, so that every row has to be read.
///
/// NULL equals nothing and has no key.
pub(super) fn keys(arguments: &[Sql], kind: ColumnType) -> Option<BTreeSet<Key>> {
    arguments
        .iter()
        .filter(|argument| **argument != Sql::Null)
        .map(|argument| Key::from_argument(argument, kind))
        .collect()
}

/// The first equality on an indexed column, as the numbers of the constraint and of the column.
pub(super) fn equality(
    info: &IndexInfo,
    is_indexed: impl Fn(c_int) -> bool,
) -> Result<Option<(usize, c_int)>> {
    for (number, constraint) in info.constraints().enumerate() {
        if is_indexed(constraint.column())
            && constraint.is_usable()
            && constraint.operator() == IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_EQ
            && info.collation(number)?.eq_ignore_ascii_case("BINARY")
        {
            return Ok(Some((number, constraint.column())));
        }
    }
    Ok(None)
}

/// The members of the set that the only argument stands for.
pub(super) fn set_members(arguments: &Filters<'_>) -> Result<Vec<Sql>> {
    let members = arguments.in_values(0)?;
    members.map(|member| Ok(Sql::try_from(member)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_one_key_in_each_of_its_spellings() {
        let both = [Sql::Text("7".to_owned()), Sql::Integer(7)];
        let check = |kind, expected: Option<Key>| {
            assert_eq!(keys(&both, kind), expected.map(|key| [key].into()));
        };
        check(ColumnType::Text, Some(Key::Text("7".to_owned())));
        check(ColumnType::Integer, Some(Key::Integer(7)));
        // Only SQLite compares values without a type.
        check(ColumnType::Any, None);
    }
}
