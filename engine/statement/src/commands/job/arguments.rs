//! ARGS of a job: as typed, as allowed, and as the row keeps them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use weft_lang::Spanned;
use weft_model::SESSION_SCOPE;

use crate::refusal::Refusal;
use crate::secret::{is_secret, without_secrets};

/// Marks the name of an environment variable in ARGS, where the value itself is a secret.
const BY_REFERENCE: &str = "env:";
const ARGUMENT_BYTES: usize = 64 * 1_024;

/// ARGS as a JSON object; relaxed forms are `{a:10,b:20}` and `A=10, B=20` (as in Fabric).
pub(super) fn read_typed(text: &Spanned<String>) -> Result<Map<String, Value>, Refusal> {
    let trimmed = text.value.trim();
    if trimmed.is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_str(trimmed).or_else(|error| {
        read_relaxed(trimmed).ok_or_else(|| {
            Refusal::usage(format!("ARGS is not a JSON object: {error}"))
                .at(text.span)
                .hint(r#"write ARGS='{"name":"value"}'"#)
        })
    })
}

/// `{a:10,b:20}` and `A=10, B=20`, without nesting, quotes or blanks in values.
fn read_relaxed(text: &str) -> Option<Map<String, Value>> {
    let (inner, separator) = match text
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
    {
        Some(inner) => (inner, ':'),
        None => (text, '='),
    };
    if inner.contains(['{', '}', '[', ']', '"']) {
        return None;
    }
    let mut map = Map::new();
    for pair in inner.split(',').filter(|pair| !pair.trim().is_empty()) {
        let (name, value) = pair.split_once(separator)?;
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty()
            || !name
                .chars()
                .all(|c| c.is_alphanumeric() || "_.-".contains(c))
        {
            return None;
        }
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
        map.insert(name.to_owned(), value);
    }
    Some(map)
}

/// Refuses secrets in plain text, and ARGS that are too large.
pub(super) fn check_arguments(arguments: &Map<String, Value>) -> Result<(), Refusal> {
    let refused = |message: String| Refusal::usage(message).about("ARGS");
    // Serialization fails only for maps whose keys are not texts, and these have none.
    let bytes = serde_json::to_string(arguments).map_or(0, |text| text.len());
    if bytes > ARGUMENT_BYTES {
        return Err(refused(format!("ARGS has at most {ARGUMENT_BYTES} bytes")));
    }
    let in_plain = arguments.iter().find(|(name, value)| {
        let by_reference = value
            .as_str()
            .is_some_and(|text| text.starts_with(BY_REFERENCE) || text.is_empty());
        is_secret(name) && !by_reference
    });
    match in_plain {
        None => Ok(()),
        Some((name, _)) => Err(refused(format!(
            "`{name}` in ARGS would be stored in plain text, readable for everyone"
        ))
        .hint(format!(
            "write \"{name}\":\"{BY_REFERENCE}NAME\" and set the variable NAME where the nodes run"
        ))),
    }
}

/// ARGS and the values of the session, as the row keeps them.
pub(super) fn stored(
    mut arguments: Map<String, Value>,
    scope: &BTreeMap<String, String>,
) -> String {
    if !scope.is_empty() {
        let scope = json!({ "scope": without_secrets(scope) });
        arguments.insert(SESSION_SCOPE.to_owned(), Value::from(scope.to_string()));
    }
    Value::Object(arguments).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_too_much_are_no_arguments() {
        let check = |arguments: Value, expected: Option<&'static str>| {
            let Value::Object(arguments) = arguments else {
                panic!("an object")
            };
            let refusal = check_arguments(&arguments).err();
            assert_eq!(refusal.and_then(|refusal| refusal.option()), expected);
        };
        check(json!({ "a": [1, { "b": 2 }] }), None);
        check(json!({ "password": "env:DB" }), None);
        check(json!({ "password": "hunter2" }), Some("ARGS"));
        check(json!({ "password": 2 }), Some("ARGS"));
        check(json!({ "a": "x".repeat(64 * 1_024) }), Some("ARGS"));
    }
}
