//! The part of a statement before the cursor.

use crate::lexer::{TokenKind, Tokens};
use crate::scan;

/// The part of a statement before the cursor.
pub(super) struct Before<'t> {
    /// Whole tokens, as written.
    pub(super) tokens: Vec<&'t str>,
    /// The beginning of the word that is being written.
    pub(super) prefix: &'t str,
    /// Whether the prefix is inside a string.
    pub(super) in_string: bool,
    /// Where the prefix ends in the whole text.
    pub(super) end: usize,
}

impl<'t> Before<'t> {
    /// Reads the text up to the cursor, which begins at `offset` of the whole text.
    pub(super) fn read(text: &'t str, offset: usize) -> Self {
        let mut tokens = Vec::new();
        let mut walk = Tokens::new(text);
        let end = offset + text.len();
        loop {
            let next = walk.offset_of_next();
            match walk.next() {
                Ok(token) if token.kind == TokenKind::End => break,
                Ok(token) if token.kind == TokenKind::Word && token.span.end == text.len() => {
                    let prefix = token.span.of(text);
                    return Self {
                        tokens,
                        prefix,
                        in_string: false,
                        end,
                    };
                }
                Ok(token) => tokens.push(token.span.of(text)),
                Err(unclosed) => {
                    let start = unclosed.span.start.max(next);
                    let quote = text[start..].chars().next().filter(|c| scan::is_quote(*c));
                    let prefix = quote.map_or("", |quote| &text[start + quote.len_utf8()..]);
                    return Self {
                        tokens,
                        prefix,
                        in_string: quote.is_some(),
                        end,
                    };
                }
            }
        }
        Self {
            tokens,
            prefix: "",
            in_string: false,
            end,
        }
    }
}
