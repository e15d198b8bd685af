//! Tokens of the command language.
//!
//! The parser asks for tokens one at a time, because some places take more than a token: a bare value
//! such as `10.21.2.102` or `{a:10}` is one value, although its characters are tokens elsewhere.

use crate::diagnostic::Diagnostic;
use crate::scan::{self, Unclosed};
use crate::span::Span;

/// What a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// Letters, digits, `_` and `$`.
    Word,
    /// A string, with its content.
    String(String),
    /// Bare JSON behind a `=`, with its nesting. Only [`Tokens`] makes these.
    Json(usize),
    /// Any other character.
    Symbol(char),
    /// The end of the text.
    End,
}

/// A token and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) span: Span,
}

/// The first token at or behind `place`.
pub(crate) fn token(text: &str, place: usize) -> Result<Token, Diagnostic> {
    let start = scan::skip_blanks(text, place).map_err(unclosed)?;
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

/// The characters from `start` up to the next blank, quote, comment or one of `; , ( ) =`.
pub(crate) fn bare_run(text: &str, start: usize) -> Span {
    let ends = |(offset, c): (usize, char)| {
        let stops = scan::is_blank(c) || scan::is_quote(c) || ";,()=".contains(c);
        (stops || scan::is_comment(text, start + offset)).then_some(offset)
    };
    let length = text[start..].char_indices().find_map(ends);
    Span::new(start, start + length.unwrap_or(text.len() - start))
}

/// The bare JSON value that opens at `start`, and how deep it is nested.
pub(crate) fn json(text: &str, start: usize) -> Result<(Span, usize), Diagnostic> {
    let (end, depth) = scan::json(text, start).map_err(unclosed)?;
    Ok((Span::new(start, end), depth))
}

/// All tokens of a text, one after the other.
pub(crate) struct Tokens<'t> {
    text: &'t str,
    place: usize,
    behind_equals: bool,
}

impl<'t> Tokens<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self {
            text,
            place: 0,
            behind_equals: false,
        }
    }

    /// Where the next token is looked for.
    pub(crate) fn place_of_next(&self) -> usize {
        let rest = &self.text[self.place..];
        self.place + (rest.len() - rest.trim_start().len())
    }

    /// The next token; [`TokenKind::End`] for ever when there is none.
    pub(crate) fn next(&mut self) -> Result<Token, Diagnostic> {
        let mut token = token(self.text, self.place)?;
        if self.behind_equals && matches!(token.kind, TokenKind::Symbol('{' | '[')) {
            let (span, depth) = json(self.text, token.span.start)?;
            token = Token {
                kind: TokenKind::Json(depth),
                span,
            };
        }
        self.behind_equals = token.kind == TokenKind::Symbol('=');
        self.place = token.span.end;
        Ok(token)
    }
}

fn unclosed(unclosed: Unclosed) -> Diagnostic {
    match unclosed {
        Unclosed::String(span) => Diagnostic::new("this string is never closed", span)
            .hint("a quote is missing here or before"),
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
        let mut place = 0;
        let mut found = Vec::new();
        loop {
            let token = token(text, place).expect("every token is whole");
            place = token.span.end;
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
