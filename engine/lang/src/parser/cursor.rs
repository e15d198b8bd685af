//! Where the parser is in the text, and what it takes from there.

use crate::ast::Text;
use crate::diagnostic::Diagnostic;
use crate::lexer::{self, Token, TokenKind};
use crate::span::{Span, Spanned};

/// What a `?` means where a value stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum Marks<'t> {
    /// A parameter of a prepared statement, whose value comes later.
    Open,
    /// A parameter of a prepared statement, whose value is here.
    Given(&'t [String]),
    /// The entity id of a template.
    EntityId,
}

#[derive(Clone, Debug)]
pub(super) struct Cursor<'t> {
    text: &'t str,
    place: usize,
    marks: Marks<'t>,
    marks_seen: usize,
}

impl<'t> Cursor<'t> {
    pub(super) fn new(text: &'t str, marks: Marks<'t>) -> Self {
        Self {
            text,
            place: 0,
            marks,
            marks_seen: 0,
        }
    }

    pub(super) fn text(&self) -> &'t str {
        self.text
    }

    pub(super) fn place(&self) -> usize {
        self.place
    }

    pub(super) fn go_to(&mut self, place: usize) {
        self.place = place;
    }

    pub(super) fn peek(&self) -> Result<Token, Diagnostic> {
        lexer::token(self.text, self.place)
    }

    pub(super) fn next(&mut self) -> Result<Token, Diagnostic> {
        let token = self.peek()?;
        self.place = token.span.end;
        Ok(token)
    }

    /// Whether the statement ends here.
    pub(super) fn at_end(&self) -> Result<bool, Diagnostic> {
        Ok(matches!(
            self.peek()?.kind,
            TokenKind::End | TokenKind::Symbol(';')
        ))
    }

    /// Checks that nothing but a `;` follows.
    pub(super) fn finish(&mut self) -> Result<(), Diagnostic> {
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
        match self.marks {
            Marks::Given(values) if values.len() > self.marks_seen => {
                let message = format!(
                    "{} values were given for {} `?`",
                    values.len(),
                    self.marks_seen
                );
                Err(Diagnostic::new(message, Span::at(self.place)))
            }
            Marks::Given(_) | Marks::Open | Marks::EntityId => Ok(()),
        }
    }

    /// The error for what stands here.
    pub(super) fn unexpected(&self, expected: &[&str]) -> Result<Diagnostic, Diagnostic> {
        let token = self.peek()?;
        let found = token.span.of(self.text);
        let message = match (&token.kind, expected) {
            (TokenKind::End | TokenKind::Symbol(';'), []) => {
                "the statement ends too early".to_owned()
            }
            (TokenKind::End | TokenKind::Symbol(';'), _) => {
                format!(
                    "the statement ends where {} is missing",
                    crate::diagnostic::one_of(expected)
                )
            }
            (TokenKind::Word | TokenKind::Json(_), _) => format!("`{found}` is not expected here"),
            (TokenKind::String(_), _) => "a string is not expected here".to_owned(),
            (TokenKind::Symbol(symbol), _) => format!("`{symbol}` is not expected here"),
        };
        Ok(Diagnostic::new(message, token.span).expecting(expected.iter().copied()))
    }

    pub(super) fn is_symbol(&self, symbol: char) -> Result<bool, Diagnostic> {
        Ok(self.peek()?.kind == TokenKind::Symbol(symbol))
    }

    pub(super) fn accept_symbol(&mut self, symbol: char) -> Result<bool, Diagnostic> {
        let found = self.is_symbol(symbol)?;
        if found {
            self.next()?;
        }
        Ok(found)
    }

    pub(super) fn expect_symbol(&mut self, symbol: char, form: &str) -> Result<Span, Diagnostic> {
        if self.is_symbol(symbol)? {
            return Ok(self.next()?.span);
        }
        Err(self.unexpected(&[form])?)
    }

    /// The word that stands here.
    pub(super) fn peek_word(&self) -> Result<Option<&'t str>, Diagnostic> {
        let token = self.peek()?;
        Ok((token.kind == TokenKind::Word).then(|| token.span.of(self.text)))
    }

    pub(super) fn is_word(&self, word: &str) -> Result<bool, Diagnostic> {
        Ok(self
            .peek_word()?
            .is_some_and(|found| found.eq_ignore_ascii_case(word)))
    }

    pub(super) fn accept_word(&mut self, word: &str) -> Result<Option<Span>, Diagnostic> {
        if self.is_word(word)? {
            Ok(Some(self.next()?.span))
        } else {
            Ok(None)
        }
    }

    pub(super) fn expect_word(&mut self, word: &str) -> Result<Span, Diagnostic> {
        match self.accept_word(word)? {
            Some(span) => Ok(span),
            None => Err(self.unexpected(&[word])?),
        }
    }

    /// A name of letters, digits and `_`; `what` says of what.
    pub(super) fn name(&mut self, what: &str) -> Result<Spanned<String>, Diagnostic> {
        match self.peek_word()? {
            Some(word) => Ok(Spanned::new(word.to_owned(), self.next()?.span)),
            None => Err(self.unexpected(&[what])?),
        }
    }

    /// Whether `name =` stands here.
    pub(super) fn is_option(&self) -> Result<bool, Diagnostic> {
        let mut look = self.clone();
        Ok(look.next()?.kind == TokenKind::Word && look.is_symbol('=')?)
    }

    /// The value behind a `=`, which may be bare JSON.
    pub(super) fn assigned_value(&mut self, what: &str) -> Result<Spanned<Text>, Diagnostic> {
        let token = self.peek()?;
        if !matches!(token.kind, TokenKind::Symbol('{' | '[')) {
            return self.value(what);
        }
        let (span, _) = lexer::json(self.text, token.span.start)?;
        self.place = span.end;
        Ok(Spanned::new(span.of(self.text).into(), span))
    }

    /// A value: a string, a parameter or a bare run of characters.
    pub(super) fn value(&mut self, what: &str) -> Result<Spanned<Text>, Diagnostic> {
        let token = self.peek()?;
        match token.kind {
            TokenKind::String(value) => {
                self.place = token.span.end;
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
        self.place = span.end;
        let run = span.of(self.text);
        let text = if run == "?" {
            self.mark(span)?
        } else {
            run.into()
        };
        Ok(Spanned::new(text, span))
    }

    /// What the `?` at `span` stands for.
    fn mark(&mut self, span: Span) -> Result<Text, Diagnostic> {
        let number = self.marks_seen;
        self.marks_seen += 1;
        match self.marks {
            Marks::Open => Ok(Text::Parameter(number)),
            Marks::EntityId => Ok("?".into()),
            Marks::Given(values) => match values.get(number) {
                Some(value) => Ok(Text::Literal(value.clone())),
                None => Err(Diagnostic::new(
                    format!(
                        "there is no value for this `?`, only {} were given",
                        values.len()
                    ),
                    span,
                )),
            },
        }
    }

    /// A value that must be known now.
    pub(super) fn literal(&mut self, what: &str) -> Result<Spanned<String>, Diagnostic> {
        let text = self.value(what)?;
        known(text)
    }

    /// The value behind a `=`, which must be known now.
    pub(super) fn assigned_literal(&mut self, what: &str) -> Result<Spanned<String>, Diagnostic> {
        let text = self.assigned_value(what)?;
        known(text)
    }

    /// A bare run of characters, or a string.
    pub(super) fn bare_until(
        &mut self,
        what: &str,
        stop: char,
    ) -> Result<Spanned<String>, Diagnostic> {
        let token = self.peek()?;
        if let TokenKind::String(value) = token.kind {
            self.place = token.span.end;
            return Ok(Spanned::new(value, token.span));
        }
        let run = lexer::bare_run(self.text, token.span.start);
        let length = run.of(self.text).find(stop).unwrap_or(run.end - run.start);
        if length == 0 {
            return Err(self.unexpected(&[what])?);
        }
        let span = Span::new(run.start, run.start + length);
        self.place = span.end;
        Ok(Spanned::new(span.of(self.text).to_owned(), span))
    }
}

fn known(text: Spanned<Text>) -> Result<Spanned<String>, Diagnostic> {
    let Spanned { value, span } = text;
    match value {
        Text::Literal(value) => Ok(Spanned::new(value, span)),
        Text::Parameter(_) => Err(Diagnostic::new("this `?` needs its value now", span)
            .hint("a parameter without a value may only be an id, a query or the FABRIC_COMMAND")),
    }
}
