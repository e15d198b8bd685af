//! One value of a table as text.

use std::borrow::Cow;

use serde_json::Value;
use unicode_width::UnicodeWidthStr;

/// A value as people read it: text without quotes, `null`, the rest as JSON.
pub fn text_of(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        Value::Null => Cow::Borrowed("null"),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Cow::Owned(value.to_string())
        }
    }
}

/// Characters of a cell that a table for people shows.
const SHOWN: usize = 1_000;

/// A value as a table for people shows it: what is long is cut, and says so.
pub(super) fn shown(value: &Value) -> Cow<'_, str> {
    let text = text_of(value);
    let Some((end, _)) = text.char_indices().nth(SHOWN) else {
        return text;
    };
    let more = text[end..].chars().count();
    let cut = &text[..end];
    Cow::Owned(format!(
        "{cut}… {more} more characters, whole with --output json"
    ))
}

/// A text that cannot move the cursor, break a line or change colours: control characters are spelled out.
pub(super) fn on_one_line(text: &str) -> Cow<'_, str> {
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

/// The columns that a text takes on a terminal.
pub(super) fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}
