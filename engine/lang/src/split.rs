//! Where statements end, in what is typed on a console and in files.

use crate::commands::{CommandSpec, Operand};
use crate::lexer::{TokenKind, Tokens};
use crate::span::Span;

/// Whether a text can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// Every statement in it has its `;`.
    Complete,
    /// The last statement is incomplete.
    NeedsMore,
    /// It has nothing but blanks and comments.
    Empty,
}

/// The spans of all statements of a text, each with its `;`, which the last one may lack. Comments and blanks between
/// statements belong to none of them.
pub fn split_statements(text: &str) -> Vec<Span> {
    split(text).statements
}

/// Whether all statements of a text are complete.
pub fn is_complete(text: &str) -> Completeness {
    let split = split(text);
    match (split.is_open, split.statements.is_empty()) {
        (true, _) => Completeness::NeedsMore,
        (false, true) => Completeness::Empty,
        (false, false) => Completeness::Complete,
    }
}

struct Split {
    statements: Vec<Span>,
    is_open: bool,
}

fn split(text: &str) -> Split {
    let mut statements = Vec::new();
    let mut tokens = Tokens::new(text);
    let mut start = None;
    let mut end = 0;
    let mut has_id_list = false;
    let mut depth = 0_usize;
    loop {
        let Ok(token) = tokens.next() else {
            // An unclosed string, comment or bracket extends to the end of the text.
            let from = start.unwrap_or_else(|| tokens.offset_of_next());
            statements.push(Span::new(from, text.trim_end().len().max(from)));
            return Split {
                statements,
                is_open: true,
            };
        };
        match token.kind {
            TokenKind::End => {
                statements.extend(start.map(|start| Span::new(start, end)));
                return Split {
                    statements,
                    is_open: start.is_some(),
                };
            }
            TokenKind::Symbol(';') if depth == 0 => {
                statements.extend(start.map(|start| Span::new(start, token.span.end)));
                start = None;
                continue;
            }
            // Ids in a list may be separated by `;`. In other commands a stray bracket must not hide the `;`.
            TokenKind::Symbol('(') if has_id_list => depth += 1,
            TokenKind::Symbol(')') => depth = depth.saturating_sub(1),
            TokenKind::Symbol(_) | TokenKind::Word | TokenKind::String(_) | TokenKind::Json(_) => {}
        }
        if start.is_none() {
            start = Some(token.span.start);
            depth = 0;
            let spec = CommandSpec::find(token.span.of(text));
            has_id_list = spec.is_some_and(|spec| matches!(spec.operand, Operand::Entities { .. }));
        }
        end = token.span.end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_at_their_semicolons() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            (" ; ;\n", &[]),
            ("-- only a comment;\n/* ; */", &[]),
            ("CLUSTERID", &["CLUSTERID"]),
            (
                "CLUSTERID; CLUSTERSTATUS ;",
                &["CLUSTERID;", "CLUSTERSTATUS ;"],
            ),
            ("ECHO ';'; ECHO \";\";", &["ECHO ';';", "ECHO \";\";"]),
            ("ECHO 'it''s;'; PS", &["ECHO 'it''s;';", "PS"]),
            (
                "ECHO \u{2018};\u{2019}; PS",
                &["ECHO \u{2018};\u{2019};", "PS"],
            ),
            (
                "-- a;\nPS; -- b;\nPS /* ; */ ALL;",
                &["PS;", "PS /* ; */ ALL;"],
            ),
            ("MIGRATE A.(1;2;3); PS;", &["MIGRATE A.(1;2;3);", "PS;"]),
            ("ECHO :(; PS;", &["ECHO :(;", "PS;"]),
            (
                r#"STARTJOB A NAME='x' ARGS={"a":"\";"}; PS;"#,
                &[r#"STARTJOB A NAME='x' ARGS={"a":"\";"};"#, "PS;"],
            ),
            ("SET a='two\n;lines';\nPS", &["SET a='two\n;lines';", "PS"]),
            ("PS; ECHO 'open; PS;", &["PS;", "ECHO 'open; PS;"]),
        ];
        for (text, expected) in cases {
            let found: Vec<_> = split_statements(text)
                .into_iter()
                .map(|span| span.of(text))
                .collect();
            assert_eq!(found, *expected, "{text}");
        }
    }

    #[test]
    fn a_console_knows_when_to_send() {
        let cases = [
            ("", Completeness::Empty),
            (" \n-- comment", Completeness::Empty),
            (";", Completeness::Empty),
            ("PS", Completeness::NeedsMore),
            ("PS;", Completeness::Complete),
            ("PS; -- done", Completeness::Complete),
            ("PS; PS", Completeness::NeedsMore),
            ("ECHO 'a;", Completeness::NeedsMore),
            ("PS; /* a", Completeness::NeedsMore),
            ("BATCH A.(1;2;", Completeness::NeedsMore),
            ("SET a={b:1;", Completeness::NeedsMore),
        ];
        for (text, expected) in cases {
            assert_eq!(is_complete(text), expected, "{text}");
        }
    }
}
