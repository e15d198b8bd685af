//! What a request says about one option.

use serde::{Deserialize, Deserializer};

/// What a request says about one option of an object that may exist already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Patch<T> {
    /// Nothing: the option keeps its value, or its default.
    #[default]
    Keep,
    /// The option gets its default.
    Reset,
    /// The option gets this value.
    Set(T),
}

impl<T> From<Option<T>> for Patch<T> {
    fn from(given: Option<T>) -> Self {
        given.map_or(Self::Keep, Self::Set)
    }
}

/// In JSON an absent field is `Keep`, and null is `Reset`. Fields need `#[serde(default)]`.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let given = Option::deserialize(deserializer)?;
        Ok(given.map_or(Self::Reset, Self::Set))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Form {
        #[serde(default)]
        number: Patch<i64>,
    }

    #[test]
    fn an_absent_field_keeps_and_null_resets() {
        let read = |text: &str| serde_json::from_str::<Form>(text).unwrap().number;
        assert_eq!(read("{}"), Patch::Keep);
        assert_eq!(read(r#"{"number":null}"#), Patch::Reset);
        assert_eq!(read(r#"{"number":3}"#), Patch::Set(3));
    }
}
