//! A JSON parser that stops when the value exceeds a limit.

use std::cell::Cell;
use std::fmt;
use std::str::FromStr;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The only key of the map in which serde_json passes a number with all its digits.
const NUMBER: &str = "$serde_json::private::Number";
/// The bytes of a scalar, and the least of any value.
const VALUE_BYTES: usize = 8;

/// Parses JSON of at most `limit` bytes, as [`json_bytes`](super::value::json_bytes) counts them.
///
/// # Errors
/// It is not JSON, or it is too large.
pub(crate) fn bounded_json(text: &str, limit: usize) -> Result<Value, String> {
    let free = Cell::new(limit);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Bounded(&free).deserialize(&mut deserializer);
    let value = value.and_then(|value| deserializer.end().map(|()| value));
    value.map_err(|error| match error.is_data() {
        true => format!("it takes more than {limit} bytes"),
        false => format!("it is not JSON: {error}"),
    })
}

#[derive(Clone, Copy)]
struct Bounded<'a>(&'a Cell<usize>);

impl Bounded<'_> {
    fn take<E: Error>(self, bytes: usize) -> Result<(), E> {
        let free = self.0.get().checked_sub(bytes);
        self.0.set(free.ok_or_else(|| E::custom("too large"))?);
        Ok(())
    }

    fn scalar<E: Error>(self, value: impl Into<Value>) -> Result<Value, E> {
        self.take(VALUE_BYTES)?;
        Ok(value.into())
    }
}

impl<'de> DeserializeSeed<'de> for Bounded<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        self.scalar(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        self.scalar(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        self.scalar(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        self.scalar(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        self.scalar(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.take(value.len() + 2)?;
        Ok(Value::from(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        self.take(2)?;
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(self)? {
            self.take(1)?;
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        self.take(2)?;
        let mut values = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if key == NUMBER && values.is_empty() {
                let digits: String = map.next_value()?;
                let number = Number::from_str(&digits).map_err(Error::custom)?;
                return self.scalar(Value::Number(number));
            }
            self.take(key.len() + 4)?;
            values.insert(key, map.next_value_seed(self)?);
        }
        Ok(Value::Object(values))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_is_parsed_within_a_limit() {
        let text = r#"{"a": [1, -2, 2.5, "x", true, null], "b": {}}"#;
        let expected = json!({"a": [1, -2, 2.5, "x", true, null], "b": {}});
        assert_eq!(bounded_json(text, 1_000), Ok(expected));
        let digits = r#"[100000000000000000001,1.10,1e2,-0]"#;
        let kept = bounded_json(digits, 1_000).unwrap();
        assert_eq!(kept.to_string(), digits.replace("1e2", "1e+2"));
        assert_eq!(
            bounded_json(text, 60).unwrap_err(),
            "it takes more than 60 bytes"
        );
        let many = format!("[{}0]", "0,".repeat(1_000_000));
        assert_eq!(
            bounded_json(&many, 1_000).unwrap_err(),
            "it takes more than 1000 bytes"
        );
        let error = bounded_json("{\"a\": ", 1_000).unwrap_err();
        assert_eq!(
            error,
            "it is not JSON: EOF while parsing a value at line 1 column 6"
        );
        assert!(
            bounded_json("1 2", 1_000)
                .unwrap_err()
                .contains("trailing characters")
        );
        assert!(
            bounded_json(&"[".repeat(1_000), 100_000)
                .unwrap_err()
                .contains("recursion limit")
        );
    }
}
