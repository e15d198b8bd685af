//! JSON values of flows: how messages name their kind, how they read as text, how large they are.

use serde_json::Value;

/// The kind of a value, for messages.
pub(crate) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

/// A value as part of a text: null is empty, lists and maps are JSON.
pub(crate) fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// The approximate length of a value as JSON. Characters that JSON escapes count once.
pub(crate) fn json_bytes(value: &Value) -> usize {
    const SCALAR: usize = 8;
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => SCALAR,
        Value::String(text) => text.len() + 2,
        Value::Array(list) => list.iter().map(json_bytes).sum::<usize>() + list.len() + 2,
        Value::Object(map) => {
            map.iter()
                .map(|(key, value)| key.len() + 4 + json_bytes(value))
                .sum::<usize>()
                + 2
        }
    }
}
