//! Binding values to the `?` of a statement, as literals in its text.

use crate::diagnostic::Diagnostic;
use crate::lexer::{TokenKind, Tokens};
use crate::scan;
use crate::span::Span;

/// A value for a `?`.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// NULL.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A floating-point number.
    Real(f64),
    /// A text with any characters except NUL.
    Text(String),
}

/// Replaces each `?` of `text` by one of `values`, in order. A `?` in a string or a comment is not a placeholder. A text
/// value becomes one string literal, whatever it contains.
///
/// # Errors
/// The number of values is wrong, a value cannot be written as a literal, or a placeholder is in a quoted name.
pub fn bind(text: &str, values: &[Literal]) -> Result<String, Diagnostic> {
    let placeholders = placeholders(text)?;
    if placeholders.len() != values.len() {
        let message = format!(
            "the statement has {} `?`, and {} values were given",
            placeholders.len(),
            values.len()
        );
        let span = placeholders.get(values.len()).copied();
        return Err(Diagnostic::new(message, span.unwrap_or_default()));
    }
    let mut bound = String::with_capacity(text.len());
    let mut from = 0;
    for (span, value) in placeholders.into_iter().zip(values) {
        bound.push_str(&text[from..span.start]);
        // The literal must not join its neighbours: `'a'?` is not a doubled quote, and `1-?` not a comment.
        if bound.chars().next_back().is_some_and(joins) {
            bound.push(' ');
        }
        bound.push_str(&literal(value, span)?);
        if text[span.end..].chars().next().is_some_and(joins) {
            bound.push(' ');
        }
        from = span.end;
    }
    bound.push_str(&text[from..]);
    Ok(bound)
}

/// Whether a literal next to this character would become part of another token.
fn joins(c: char) -> bool {
    scan::is_quote(c) || scan::is_word(c) || matches!(c, '-' | '/' | '?')
}

fn placeholders(text: &str) -> Result<Vec<Span>, Diagnostic> {
    let mut tokens = Tokens::new(text);
    let mut spans = Vec::new();
    let mut in_backticks = false;
    let mut brackets = 0_usize;
    loop {
        let token = tokens.next()?;
        match token.kind {
            TokenKind::End => return Ok(spans),
            TokenKind::Symbol('`') => in_backticks = !in_backticks,
            TokenKind::Symbol('[') => brackets += 1,
            TokenKind::Symbol(']') => brackets = brackets.saturating_sub(1),
            TokenKind::Symbol('?') if in_backticks || brackets > 0 => {
                return Err(Diagnostic::new(
                    "a value cannot be inside a quoted name",
                    token.span,
                ));
            }
            TokenKind::Symbol('?') => spans.push(token.span),
            TokenKind::Symbol(_) | TokenKind::Word | TokenKind::String(_) | TokenKind::Json(_) => {}
        }
    }
}

fn literal(value: &Literal, span: Span) -> Result<String, Diagnostic> {
    match value {
        Literal::Null => Ok("NULL".to_owned()),
        Literal::Bool(value) => Ok(value.to_string()),
        Literal::Integer(number) => Ok(number.to_string()),
        Literal::Real(number) if number.is_finite() => Ok(number.to_string()),
        Literal::Real(number) => Err(Diagnostic::new(
            format!("{number} cannot be written into a statement"),
            span,
        )),
        Literal::Text(text) if text.contains('\0') => Err(Diagnostic::new(
            "a text with a NUL character cannot be written into a statement",
            span,
        )),
        Literal::Text(text) => Ok(format!("'{}'", text.replace('\'', "''"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Literal {
        Literal::Text(text.to_owned())
    }

    #[test]
    fn values_stand_where_the_marks_stood() {
        let check = |statement: &str, values: &[Literal], expected: &str| {
            assert_eq!(bind(statement, values).as_deref(), Ok(expected));
        };
        check("select 1", &[], "select 1");
        check(
            "sync_instance LU.?;",
            &[text("1' or '1'='1")],
            "sync_instance LU.'1'' or ''1''=''1';",
        );
        check(
            "select ?, ? , ?, ? from t",
            &[
                Literal::Null,
                Literal::Bool(true),
                Literal::Integer(-7),
                Literal::Real(2.5),
            ],
            "select NULL, true , -7, 2.5 from t",
        );
        check("select 1-?", &[Literal::Integer(-5)], "select 1- -5");
        check("select 'a'?'b'", &[text("x")], "select 'a' 'x' 'b'");
        check("select ??", &[text("x"), text("y")], "select 'x' 'y'");
        check(
            "BATCH LU FABRIC_COMMAND=\"sync_instance LU.?\" with MAX_NODES=?",
            &[Literal::Integer(2)],
            "BATCH LU FABRIC_COMMAND=\"sync_instance LU.?\" with MAX_NODES=2",
        );
        check(
            "select '?' -- ?\n, ? /* ? */",
            &[text("\u{2019}; drop")],
            "select '?' -- ?\n, '\u{2019}; drop' /* ? */",
        );
    }

    #[test]
    fn what_cannot_be_written_is_refused() {
        let check = |statement: &str, values: &[Literal], expected: &str| {
            let refused = bind(statement, values).expect_err("it cannot be written");
            assert_eq!(refused.message, expected);
        };
        check(
            "select ?",
            &[],
            "the statement has 1 `?`, and 0 values were given",
        );
        check(
            "select 1",
            &[Literal::Null],
            "the statement has 0 `?`, and 1 values were given",
        );
        check(
            "select ?",
            &[text("a\0b")],
            "a text with a NUL character cannot be written into a statement",
        );
        check(
            "select ?",
            &[Literal::Real(f64::NAN)],
            "NaN cannot be written into a statement",
        );
        for quoted in ["select `a?`", "select [a?] from t"] {
            check(
                quoted,
                &[text("x")],
                "a value cannot be inside a quoted name",
            );
        }
        check("select 'a", &[], "this string is never closed");
    }

    proptest::proptest! {
        #[test]
        fn a_text_comes_back_as_one_string(value in "[^\\x00]{0,40}") {
            let bound = bind("echo ?", &[text(&value)]).expect("a text has a literal");
            let mut tokens = Tokens::new(&bound);
            let mut kinds = Vec::new();
            loop {
                match tokens.next().expect("it is whole").kind {
                    TokenKind::End => break,
                    kind => kinds.push(kind),
                }
            }
            proptest::prop_assert_eq!(kinds, [TokenKind::Word, TokenKind::String(value)]);
        }
    }
}
