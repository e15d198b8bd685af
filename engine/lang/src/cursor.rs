//! The parser's position in a text, and reading tokens and values from there.

use crate::ast::Text;
use crate::diagnostic::{Diagnostic, one_of};
use crate::lexer::{self, Token, TokenKind};
use crate::span::{Span, Spanned};

/// What a `?` means in place of a value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Placeholders<'t> {
    /// A parameter of a prepared statement whose value comes later.
    Open,
    /// A parameter of a prepared statement; these are the values, in order.
    Given(&'t [String]),
    /// The entity id of a template.
    EntityId,
}

/// A position in a text. A clone reads ahead without moving the original.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'t> {
    text: &'t str,
    offset: usize,
    placeholders: Placeholders<'t>,
    placeholders_seen: usize,
}

impl<'t> Cursor<'t> {
    pub(crate) fn new(text: &'t str, placeholders: Placeholders<'t>) -> Self {
        Self {
            text,
            offset: 0,
            placeholders,
            placeholders_seen: 0,
        }
    }

    pub(crate) fn text(&self) -> &'t str {
        self.text
    }

    pub(crate) fn offset(&self) -> usize {
        self.offset
    }

    pub(crate) fn seek(&mut self, offset: usize) {
        self.offset = offset;
    }

    pub(crate) fn peek(&self) -> Result<Token, Diagnostic> {
        lexer::token(self.text, self.offset)
    }

    pub(crate) fn next(&mut self) -> Result<Token, Diagnostic> {
        let token = self.peek()?;
        self.offset = token.span.end;
        Ok(token)
    }

    /// Whether the statement ends here.
    pub(crate) fn at_end(&self) -> Result<bool, Diagnostic> {
        Ok(matches!(
            self.peek()?.kind,
            TokenKind::End | TokenKind::Symbol(';')
        ))
    }

    /// Checks that nothing but a `;` follows.
    pub(crate) fn finish(&mut self) -> Result<(), Diagnostic> {
        if !self.at_end()? {
            return Err(self.unexpected(&[])?);
        }
        self.next()?;
        let after = self.peek()?;
        match after.kind {
            TokenKind::End => self.check_parameters(),
            TokenKind::Symbol(_) | TokenKind::Word | TokenKind::String(_) | TokenKind::Json(_) => {
                Err(Diagnostic::new("a statement ends at its `;`", after.span)
                    .hint("send one statement at a time"))
            }
        }
    }

    fn check_parameters(&self) -> Result<(), Diagnostic> {
        match self.placeholders {
            Placeholders::Given(values) if values.len() > self.placeholders_seen => {
                let message = format!(
                    "{} values were given for {} `?`",
                    values.len(),
                    self.placeholders_seen
                );
                Err(Diagnostic::new(message, Span::at(self.offset)))
            }
            Placeholders::Given(_) | Placeholders::Open | Placeholders::EntityId => Ok(()),
        }
    }

    /// The error about the next token, or about the end of the statement.
    pub(crate) fn unexpected(&self, expected: &[&str]) -> Result<Diagnostic, Diagnostic> {
        let token = self.peek()?;
        let found = token.span.of(self.text);
        let message = match (&token.kind, expected) {
            (TokenKind::End | TokenKind::Symbol(';'), []) => {
                "the statement ends too early".to_owned()
            }
            (TokenKind::End | TokenKind::Symbol(';'), _) => {
                format!("the statement ends where {} is expected", one_of(expected))
            }
            (TokenKind::Word | TokenKind::Json(_), _) => format!("`{found}` is not expected here"),
            (TokenKind::String(_), _) => "a string is not expected here".to_owned(),
            (TokenKind::Symbol(symbol), _) => format!("`{symbol}` is not expected here"),
        };
        Ok(Diagnostic::new(message, token.span).expecting(expected.iter().copied()))
    }

    pub(crate) fn is_symbol(&self, symbol: char) -> Result<bool, Diagnostic> {
        Ok(self.peek()?.kind == TokenKind::Symbol(symbol))
    }

    pub(crate) fn accept_symbol(&mut self, symbol: char) -> Result<bool, Diagnostic> {
        let found = self.is_symbol(symbol)?;
        if found {
            self.next()?;
        }
        Ok(found)
    }

    pub(crate) fn expect_symbol(&mut self, symbol: char, form: &str) -> Result<Span, Diagnostic> {
        if self.is_symbol(symbol)? {
            return Ok(self.next()?.span);
        }
        Err(self.unexpected(&[form])?)
    }

    /// The next token, if it is a word.
    pub(crate) fn peek_word(&self) -> Result<Option<&'t str>, Diagnostic> {
        let token = self.peek()?;
        Ok((token.kind == TokenKind::Word).then(|| token.span.of(self.text)))
    }

    pub(crate) fn is_word(&self, word: &str) -> Result<bool, Diagnostic> {
        Ok(self
            .peek_word()?
            .is_some_and(|found| found.eq_ignore_ascii_case(word)))
    }

    pub(crate) fn accept_word(&mut self, word: &str) -> Result<Option<Span>, Diagnostic> {
        if self.is_word(word)? {
            Ok(Some(self.next()?.span))
        } else {
            Ok(None)
        }
    }

    pub(crate) fn expect_word(&mut self, word: &str) -> Result<Span, Diagnostic> {
        match self.accept_word(word)? {
            Some(span) => Ok(span),
            None => Err(self.unexpected(&[word])?),
        }
    }

    /// A name of letters, digits and `_`. `what` names it in the error.
    pub(crate) fn name(&mut self, what: &str) -> Result<Spanned<String>, Diagnostic> {
        match self.peek_word()? {
            Some(word) => Ok(Spanned::new(word.to_owned(), self.next()?.span)),
            None => Err(self.unexpected(&[what])?),
        }
    }

    /// Whether `name =` follows.
    pub(crate) fn is_option(&self) -> Result<bool, Diagnostic> {
        let mut ahead = self.clone();
        Ok(ahead.next()?.kind == TokenKind::Word && ahead.is_symbol('=')?)
    }

    /// The value after a `=`, which may be bare JSON.
    pub(crate) fn assigned_value(&mut self, what: &str) -> Result<Spanned<Text>, Diagnostic> {
        let token = self.peek()?;
        if !matches!(token.kind, TokenKind::Symbol('{' | '[')) {
            return self.value(what);
        }
        let (span, _) = lexer::json(self.text, token.span.start)?;
        self.offset = span.end;
        Ok(Spanned::new(span.of(self.text).into(), span))
    }

    /// A value: a string, a parameter or a bare run of characters.
    pub(crate) fn value(&mut self, what: &str) -> Result<Spanned<Text>, Diagnostic> {
        let token = self.peek()?;
        match token.kind {
            TokenKind::String(value) => {
                self.offset = token.span.end;
                Ok(Spanned::new(Text::Literal(value), token.span))
            }
            TokenKind::End | TokenKind::Symbol(';' | ',' | '(' | ')' | '=') => {
                Err(self.unexpected(&[what])?)
            }
            TokenKind::Word | TokenKind::Symbol(_) | TokenKind::Json(_) => {
                self.bare_value(token.span.start)
            }
        }
    }

    fn bare_value(&mut self, start: usize) -> Result<Spanned<Text>, Diagnostic> {
        let span = lexer::bare_run(self.text, start);
        self.offset = span.end;
        let run = span.of(self.text);
        let text = if run == "?" {
            self.placeholder(span)?
        } else {
            run.into()
        };
        Ok(Spanned::new(text, span))
    }

    /// The value of the `?` at `span`.
    fn placeholder(&mut self, span: Span) -> Result<Text, Diagnostic> {
        let number = self.placeholders_seen;
        self.placeholders_seen += 1;
        match self.placeholders {
            Placeholders::Open => Ok(Text::Parameter(number)),
            Placeholders::EntityId => Ok("?".into()),
            Placeholders::Given(values) => match values.get(number) {
                Some(value) => Ok(Text::Literal(value.clone())),
                None => Err(Diagnostic::new(
                    format!("this `?` has no value: only {} given", values.len()),
                    span,
                )),
            },
        }
    }

    /// A value that may not be an open parameter.
    pub(crate) fn literal(&mut self, what: &str) -> Result<Spanned<String>, Diagnostic> {
        let text = self.value(what)?;
        without_parameter(text)
    }

    /// The value after a `=`, which may not be an open parameter.
    pub(crate) fn assigned_literal(&mut self, what: &str) -> Result<Spanned<String>, Diagnostic> {
        let text = self.assigned_value(what)?;
        without_parameter(text)
    }

    /// A string, or a bare run of characters that ends before `stop`.
    pub(crate) fn bare_until(
        &mut self,
        what: &str,
        stop: char,
    ) -> Result<Spanned<String>, Diagnostic> {
        let token = self.peek()?;
        if let TokenKind::String(value) = token.kind {
            self.offset = token.span.end;
            return Ok(Spanned::new(value, token.span));
        }
        let run = lexer::bare_run(self.text, token.span.start);
        let length = run.of(self.text).find(stop).unwrap_or(run.end - run.start);
        if length == 0 {
            return Err(self.unexpected(&[what])?);
        }
        let span = Span::new(run.start, run.start + length);
        self.offset = span.end;
        Ok(Spanned::new(span.of(self.text).to_owned(), span))
    }
}

fn without_parameter(text: Spanned<Text>) -> Result<Spanned<String>, Diagnostic> {
    let Spanned { value, span } = text;
    match value {
        Text::Literal(value) => Ok(Spanned::new(value, span)),
        Text::Parameter(_) => Err(Diagnostic::new("this `?` needs its value now", span)
            .hint("a parameter without a value may only be an id, a query or the FABRIC_COMMAND")),
    }
}
