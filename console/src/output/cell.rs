//! One value of a table as text.

use std::borrow::Cow;

use serde_json::Value;
use unicode_width::UnicodeWidthStr;

/// A value as text: strings without quotes, everything else as JSON.
pub fn text_of(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        Value::Null => Cow::Borrowed("null"),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Cow::Owned(value.to_string())
        }
    }
}

/// The most characters of a cell in a table for people.
const MAX_CHARS: usize = 1_000;

/// A value in a table for people: long text is cut and marked.
pub(super) fn shortened(value: &Value) -> Cow<'_, str> {
    let text = text_of(value);
    let Some((end, _)) = text.char_indices().nth(MAX_CHARS) else {
        return text;
    };
    let more = text[end..].chars().count();
    let cut = &text[..end];
    Cow::Owned(format!(
        "{cut}… {more} more characters, whole with --output json"
    ))
}

/// Escapes control characters, which could move the cursor, break the line or change colours.
pub(super) fn escaped(text: &str) -> Cow<'_, str> {
    let is_unsafe = |c: char| c.is_control() || is_direction(c);
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            _ if is_unsafe(c) => out.extend(c.escape_default()),
            _ => out.push(c),
        }
    }
    Cow::Owned(out)
}

fn is_direction(c: char) -> bool {
    matches!(c, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// The width of a text on a terminal, in columns.
pub(super) fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}
