//! The rules for characters: quotes, blanks, comments and bare JSON.
//!
//! The lexer and the splitter share these rules, so that they agree on where a string ends.

use crate::span::Span;

/// The maximum nesting of brackets.
pub const MAX_NESTING: usize = 64;

/// The two families of quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quote {
    Single,
    Double,
}

fn quote(c: char) -> Option<Quote> {
    match c {
        '\'' | '\u{2018}' | '\u{2019}' => Some(Quote::Single),
        '"' | '\u{201C}' | '\u{201D}' => Some(Quote::Double),
        _ => None,
    }
}

/// Whether a string begins with this character.
pub(crate) fn is_quote(c: char) -> bool {
    quote(c).is_some()
}

/// Whether this character separates tokens. The byte order mark does.
pub(crate) fn is_blank(c: char) -> bool {
    c.is_whitespace() || c == '\u{FEFF}'
}

/// Whether this character may be part of a name.
pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// Whether a text can be written as a name, without quotes.
pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_word)
}

/// An unclosed string, comment or JSON value, from where it was opened to the end of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unclosed {
    String(Span),
    Comment(Span),
    Json(Span),
}

/// Walks over the content of the string that begins at `start`, calling `each` with every character and its offset.
/// Returns the offset after the closing quote, or `None` if there is none.
///
/// A plain quote is closed only by the same plain quote, so that typographic quotes inside are content. A typographic
/// quote is closed by any quote of its family, because Fabric's documentation mixes them. A doubled closing quote is one
/// character of content.
fn walk_string(text: &str, start: usize, mut each: impl FnMut(usize, char)) -> Option<usize> {
    let mut chars = text[start..].char_indices().peekable();
    let (_, open) = chars.next()?;
    while let Some((offset, c)) = chars.next() {
        let closes = if open.is_ascii() {
            c == open
        } else {
            quote(c) == quote(open)
        };
        let is_escape = closes && chars.next_if(|(_, next)| *next == c).is_some();
        if closes && !is_escape {
            return Some(start + offset + c.len_utf8());
        }
        each(start + offset, c);
    }
    None
}

/// The content of the string that begins at `start`, and the offset after its closing quote.
pub(crate) fn string(text: &str, start: usize) -> Result<(String, usize), Unclosed> {
    let mut value = String::new();
    match walk_string(text, start, |_, c| value.push(c)) {
        Some(end) => Ok((value, end)),
        None => Err(Unclosed::String(Span::new(start, text.len()))),
    }
}

/// The offset in `text` of byte `inner` of the content of the string that begins at `start`.
pub(crate) fn offset_in_string(text: &str, start: usize, inner: usize) -> usize {
    let mut passed = 0;
    let mut found = None;
    let end = walk_string(text, start, |offset, c| {
        if found.is_none() && passed >= inner {
            found = Some(offset);
        }
        passed += c.len_utf8();
    });
    let closing_quote = || {
        let end = end.unwrap_or(text.len());
        let width = text[..end].chars().next_back().map_or(0, char::len_utf8);
        end - width
    };
    found.unwrap_or_else(closing_quote)
}

/// The offset of the first character at or after `start` that is neither a blank nor a comment.
pub(crate) fn skip_blanks(text: &str, start: usize) -> Result<usize, Unclosed> {
    let mut offset = start;
    loop {
        let rest = &text[offset..];
        let Some(first) = rest.chars().next() else {
            return Ok(offset);
        };
        if is_blank(first) {
            offset += first.len_utf8();
        } else if rest.starts_with("--") {
            offset += rest.find('\n').unwrap_or(rest.len());
        } else if let Some(comment) = rest.strip_prefix("/*") {
            match comment.find("*/") {
                Some(length) => offset += length + 4,
                None => return Err(Unclosed::Comment(Span::new(offset, text.len()))),
            }
        } else {
            return Ok(offset);
        }
    }
}

/// Whether a comment begins at `offset`.
pub(crate) fn is_comment(text: &str, offset: usize) -> bool {
    text[offset..].starts_with("--") || text[offset..].starts_with("/*")
}

/// The offset after the bare JSON value (an object or array) that begins at `start`, and how deeply it is nested. Its
/// strings may have backslash escapes. Keys and values without quotes are not checked.
pub(crate) fn json(text: &str, start: usize) -> Result<(usize, usize), Unclosed> {
    let mut depth = 0_usize;
    let mut deepest = 0;
    let mut in_string = None;
    let mut escaped = false;
    for (offset, c) in text[start..].char_indices() {
        match (in_string, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), _) if c == open => in_string = None,
            (Some(_), _) => (),
            (None, '"' | '\'') => in_string = Some(c),
            (None, '{' | '[') => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            (None, '}' | ']') => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Ok((start + offset + 1, deepest));
                }
            }
            (None, _) => (),
        }
    }
    Err(Unclosed::Json(Span::new(start, text.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_keep_their_content() {
        let cases = [
            ("'a''b' x", Ok(("a'b", 6))),
            ("''", Ok(("", 2))),
            ("''''", Ok(("'", 4))),
            ("'it\u{2019}s'", Ok(("it\u{2019}s", 8))),
            ("\u{2019}true\u{2019}", Ok(("true", 10))),
            ("\u{2019}true'", Ok(("true", 8))),
            ("\u{201C}a\u{201D}", Ok(("a", 7))),
            ("\"a\"\"b\"", Ok(("a\"b", 6))),
            (
                "'two  blanks\nand a line'",
                Ok(("two  blanks\nand a line", 24)),
            ),
            ("'open", Err(Unclosed::String(Span::new(0, 5)))),
        ];
        for (text, expected) in cases {
            let found = string(text, 0);
            let expected = expected.map(|(value, end)| (value.to_owned(), end));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn offsets_in_strings_count_escapes() {
        let text = "x='a''bc'";
        let offsets: Vec<_> = (0..=4)
            .map(|inner| offset_in_string(text, 2, inner))
            .collect();
        assert_eq!(offsets, [3, 4, 6, 7, 8]);
    }

    #[test]
    fn comments_are_blanks() {
        let cases = [
            ("  -- one\n /* two */ x", Ok(20)),
            ("-- only", Ok(7)),
            (" /* open", Err(Unclosed::Comment(Span::new(1, 8)))),
        ];
        for (text, expected) in cases {
            assert_eq!(skip_blanks(text, 0), expected, "{text}");
        }
    }

    #[test]
    fn bare_json_ends_at_its_bracket() {
        let cases = [
            (r#"{"a":"}\"}"} x"#, Ok((12, 1))),
            ("{a:10,b:[1,2]} x", Ok((14, 2))),
            ("{a", Err(Unclosed::Json(Span::new(0, 2)))),
        ];
        for (text, expected) in cases {
            assert_eq!(json(text, 0), expected, "{text}");
        }
    }
}
