//! Tokens of the command language.
//!
//! The parser requests one token at a time, because a bare value such as `10.21.2.102` or `{a:10}` is one value in some
//! positions and several tokens in others.

use crate::diagnostic::Diagnostic;
use crate::scan::{self, Unclosed};
use crate::span::Span;

/// The kind of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// Letters, digits, `_` and `$`.
    Word,
    /// A string, with its content.
    String(String),
    /// Bare JSON after a `=`, with the depth of its nesting. Only [`Tokens`] produces it.
    Json(usize),
    /// Any other character.
    Symbol(char),
    /// The end of the text.
    End,
}

/// A token and its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) span: Span,
}

/// The first token at or after `offset`.
pub(crate) fn token(text: &str, offset: usize) -> Result<Token, Diagnostic> {
    let start = scan::skip_blanks(text, offset).map_err(unclosed)?;
    let Some(first) = text[start..].chars().next() else {
        return Ok(Token {
            kind: TokenKind::End,
            span: Span::at(start),
        });
    };
    if scan::is_quote(first) {
        let (value, end) = scan::string(text, start).map_err(unclosed)?;
        return Ok(Token {
            kind: TokenKind::String(value),
            span: Span::new(start, end),
        });
    }
    if scan::is_word(first) {
        let rest = &text[start..];
        let length = rest.find(|c| !scan::is_word(c)).unwrap_or(rest.len());
        return Ok(Token {
            kind: TokenKind::Word,
            span: Span::new(start, start + length),
        });
    }
    let span = Span::new(start, start + first.len_utf8());
    Ok(Token {
        kind: TokenKind::Symbol(first),
        span,
    })
}

/// The characters from `start` to the next blank, quote, comment or one of `; , ( ) =`.
pub(crate) fn bare_run(text: &str, start: usize) -> Span {
    let ends = |(offset, c): (usize, char)| {
        let stops = scan::is_blank(c) || scan::is_quote(c) || ";,()=".contains(c);
        (stops || scan::is_comment(text, start + offset)).then_some(offset)
    };
    let length = text[start..].char_indices().find_map(ends);
    Span::new(start, start + length.unwrap_or(text.len() - start))
}

/// The bare JSON value that begins at `start`, and how deeply it is nested.
pub(crate) fn json(text: &str, start: usize) -> Result<(Span, usize), Diagnostic> {
    let (end, depth) = scan::json(text, start).map_err(unclosed)?;
    Ok((Span::new(start, end), depth))
}

/// Iterates over the tokens of a text.
pub(crate) struct Tokens<'t> {
    text: &'t str,
    offset: usize,
    after_equals: bool,
}

impl<'t> Tokens<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self {
            text,
            offset: 0,
            after_equals: false,
        }
    }

    /// Where the next token begins, unless a comment comes before it.
    pub(crate) fn offset_of_next(&self) -> usize {
        let rest = &self.text[self.offset..];
        self.offset + (rest.len() - rest.trim_start().len())
    }

    /// The next token; [`TokenKind::End`] if there is none.
    pub(crate) fn next(&mut self) -> Result<Token, Diagnostic> {
        let mut token = token(self.text, self.offset)?;
        if self.after_equals && matches!(token.kind, TokenKind::Symbol('{' | '[')) {
            let (span, depth) = json(self.text, token.span.start)?;
            token = Token {
                kind: TokenKind::Json(depth),
                span,
            };
        }
        self.after_equals = token.kind == TokenKind::Symbol('=');
        self.offset = token.span.end;
        Ok(token)
    }
}

fn unclosed(unclosed: Unclosed) -> Diagnostic {
    match unclosed {
        Unclosed::String(span) => Diagnostic::new("this string is never closed", span)
            .hint("a quote is missing here or earlier"),
        Unclosed::Comment(span) => {
            Diagnostic::new("this comment is never closed", span).hint("close it with `*/`")
        }
        Unclosed::Json(span) => Diagnostic::new("this bracket is never closed", span),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_words_strings_and_symbols() {
        let text = "BATCH LU.('a') -- rest";
        let mut offset = 0;
        let mut found = Vec::new();
        loop {
            let token = token(text, offset).expect("every token is whole");
            offset = token.span.end;
            match token.kind {
                TokenKind::End => break,
                TokenKind::String(value) => found.push(value),
                TokenKind::Word | TokenKind::Symbol(_) | TokenKind::Json(_) => {
                    found.push(token.span.of(text).to_owned())
                }
            }
        }
        assert_eq!(found, ["BATCH", "LU", ".", "(", "a", ")"]);
    }

    #[test]
    fn bare_runs_end_at_separators_and_comments() {
        let cases = [
            ("10.21.2.102 x", "10.21.2.102"),
            ("a;b", "a"),
            ("-1)", "-1"),
            (
                "7da16985-a8ac-4ea1-8e93-3118a225edd7--c",
                "7da16985-a8ac-4ea1-8e93-3118a225edd7",
            ),
            ("x'y'", "x"),
        ];
        for (text, expected) in cases {
            assert_eq!(bare_run(text, 0).of(text), expected);
        }
    }
}
