//! Columns that hold JSON as text.

use serde_json::Value;

/// The JSON of a column; text that is not JSON is shown as it is.
pub(crate) fn json_or_text(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_not_json_is_shown_as_it_is() {
        assert_eq!(json_or_text("{\"a\":1}"), serde_json::json!({ "a": 1 }));
        assert_eq!(json_or_text("cut off {"), Value::from("cut off {"));
    }
}
