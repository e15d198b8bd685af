//! A JSON object of a file or record, whose numbers and nested values keep their text.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A member of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JsonCell {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number as it is written.
    Number(String),
    /// The text of a string.
    Text(String),
    /// A list or an object as it is written.
    Nested(String),
}

/// The members of an object, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JsonObject(pub Vec<(String, JsonCell)>);

impl JsonObject {
    /// Parses one object.
    ///
    /// # Errors
    /// A reason that continues the name of the text: it is not a JSON object, or it has a key twice.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        match serde_json::from_slice(text) {
            Ok(members) => Ok(members),
            Err(error) if !error.is_data() => Err(format!("is not JSON: {error}")),
            Err(error) => match repeated_key(&error) {
                Some(reason) => Err(reason),
                None => Err("is not a JSON object".to_owned()),
            },
        }
    }
}

const TWICE: &str = "has a key twice: ";

fn repeated_key(error: &serde_json::Error) -> Option<String> {
    let message = error.to_string();
    let reason = message.strip_prefix(TWICE)?;
    // serde_json adds its line and column.
    let key = reason
        .rsplit_once(" at line ")
        .map_or(reason, |(key, _)| key);
    Some(format!("{TWICE}{key}"))
}

impl<'de> Deserialize<'de> for JsonObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = JsonObject;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JsonObject, A::Error> {
        let mut members: Vec<(String, JsonCell)> = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            let raw: &RawValue = map.next_value()?;
            members.push((key, cell(raw).map_err(Error::custom)?));
        }
        let mut keys: Vec<&str> = members.iter().map(|(key, _)| key.as_str()).collect();
        keys.sort_unstable();
        match keys.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(Error::custom(format!("{TWICE}`{}`", pair[0]))),
            None => Ok(JsonObject(members)),
        }
    }
}

fn cell(raw: &RawValue) -> Result<JsonCell, serde_json::Error> {
    let text = raw.get();
    Ok(match text.as_bytes().first() {
        Some(b'n') => JsonCell::Null,
        Some(b't') => JsonCell::Bool(true),
        Some(b'f') => JsonCell::Bool(false),
        Some(b'"') => JsonCell::Text(serde_json::from_str(text)?),
        Some(b'[' | b'{') => JsonCell::Nested(text.to_owned()),
        _ => JsonCell::Number(text.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_order_and_text() {
        let text = r#" {"b":1e2, "a": 100000000000000000001,"n":-0, "t":"x\u00e9", "l":[1.10, 2 ],"o":{"x": 1.0},
            "z":null,"y":true,"f":false}"#;
        let number = |text: &str| JsonCell::Number(text.to_owned());
        let expected = [
            ("b", number("1e2")),
            ("a", number("100000000000000000001")),
            ("n", number("-0")),
            ("t", JsonCell::Text("xé".to_owned())),
            ("l", JsonCell::Nested("[1.10, 2 ]".to_owned())),
            ("o", JsonCell::Nested(r#"{"x": 1.0}"#.to_owned())),
            ("z", JsonCell::Null),
            ("y", JsonCell::Bool(true)),
            ("f", JsonCell::Bool(false)),
        ];
        let expected = expected.map(|(key, cell)| (key.to_owned(), cell));
        assert_eq!(JsonObject::parse(text.as_bytes()).unwrap().0, expected);
    }

    #[test]
    fn anything_else_is_refused() {
        let check = |text: &str, part: &str| {
            let error = JsonObject::parse(text.as_bytes()).unwrap_err();
            assert!(error.starts_with(part), "{text}: {error}");
        };
        check("[1]", "is not a JSON object");
        check("1", "is not a JSON object");
        check("{\"a\":1", "is not JSON: EOF");
        check("{\"a\":01}", "is not JSON: ");
        check("{\"a\":1} 2", "is not JSON: trailing");
        check("{\"a\":1,\"b\":2,\"a\":1}", "has a key twice: `a`");
        let deep = format!("{{\"a\":{}}}", "[".repeat(10_000));
        check(&deep, "is not JSON: ");
        let error = JsonObject::parse(b"{\"a\":\"\xff\"}").unwrap_err();
        assert!(error.starts_with("is not JSON: "), "{error}");
    }
}
