//! Where the entities of a batch come from: all, an instance group, a list of ids, or a query.

use std::fmt::{self, Formatter};

use crate::ast::{EntitySource, Text};
use crate::cursor::Cursor;
use crate::diagnostic::Diagnostic;
use crate::lexer::TokenKind;
use crate::print::Quoted;
use crate::span::Spanned;

/// The source, up to FABRIC_COMMAND or WITH.
pub(super) fn parse(
    cursor: &mut Cursor<'_>,
    has_function: bool,
) -> Result<EntitySource, Diagnostic> {
    if cursor.is_symbol('(')? {
        return ids(cursor);
    }
    if cursor.accept_symbol('.')? {
        if cursor.is_symbol('(')? {
            return ids(cursor);
        }
        let group = cursor.name("an instance group or a list of ids")?;
        if cursor.is_symbol('(')? && !has_function {
            let span = group.span;
            return Err(
                Diagnostic::new("only BATCHF and MIGRATEF take a function", span)
                    .hint("without `()` it is the name of an instance group"),
            );
        }
        return Ok(EntitySource::InstanceGroup(group));
    }
    if cursor.accept_word("FROM")?.is_some() {
        return from(cursor);
    }
    if cursor.is_word("USING")? {
        let span = cursor.peek()?.span;
        return Err(Diagnostic::new("USING needs an interface before it", span)
            .hint("write `FROM <interface> USING ('…')`"));
    }
    Ok(EntitySource::LogicalUnit)
}

/// `('a', 'b')`, also `(1;2;3)`.
fn ids(cursor: &mut Cursor<'_>) -> Result<EntitySource, Diagnostic> {
    let open = cursor.expect_symbol('(', "`(`")?;
    let mut ids = Vec::new();
    loop {
        let token = cursor.peek()?;
        match token.kind {
            TokenKind::Symbol(')') if ids.is_empty() => {
                return Err(Diagnostic::new(
                    "the list of ids is empty",
                    open.to(token.span),
                ));
            }
            TokenKind::End => {
                return Err(Diagnostic::new("this list of ids is never closed", open));
            }
            TokenKind::Word | TokenKind::String(_) | TokenKind::Symbol(_) | TokenKind::Json(_) => {}
        }
        ids.push(cursor.value("an id")?);
        let token = cursor.next()?;
        match token.kind {
            TokenKind::Symbol(',' | ';') => (),
            TokenKind::Symbol(')') => {
                let span = open.to(token.span);
                return Ok(EntitySource::Ids(Spanned::new(ids, span)));
            }
            TokenKind::End => {
                return Err(Diagnostic::new("this list of ids is never closed", open));
            }
            TokenKind::Word | TokenKind::String(_) | TokenKind::Symbol(_) | TokenKind::Json(_) => {
                return Err(
                    Diagnostic::new("two ids need a comma between them", token.span)
                        .expecting(["`,`", "`)`"]),
                );
            }
        }
    }
}

/// The source after FROM.
fn from(cursor: &mut Cursor<'_>) -> Result<EntitySource, Diagnostic> {
    let interface = cursor.name("an interface")?;
    let is_fabric = interface.value.eq_ignore_ascii_case("fabric");
    if cursor.accept_word("USING")?.is_none() {
        if is_fabric {
            return Ok(EntitySource::Fabric);
        }
        return Err(cursor
            .unexpected(&["USING"])?
            .hint(format!("write `FROM {} USING ('…')`", interface.value)));
    }
    let query = query(cursor)?;
    if !is_fabric {
        return Ok(EntitySource::Query { interface, query });
    }
    match query.value.literal().and_then(flow_command) {
        Some(command) => Ok(EntitySource::FabricFlow {
            command: Spanned::new(command, query.span),
        }),
        None => Ok(EntitySource::FabricQuery { query }),
    }
}

/// `('select …')`
fn query(cursor: &mut Cursor<'_>) -> Result<Spanned<Text>, Diagnostic> {
    let open = cursor.expect_symbol('(', "`(`")?;
    let token = cursor.peek()?;
    let is_query = match token.kind {
        TokenKind::String(_) | TokenKind::Symbol('?') => true,
        TokenKind::Word | TokenKind::Symbol(_) | TokenKind::Json(_) | TokenKind::End => false,
    };
    if !is_query {
        return Err(cursor
            .unexpected(&["a string"])?
            .hint("the query after USING is one string, as in ('select id from ids')"));
    }
    let query = cursor.value("a query")?;
    if cursor.accept_symbol(')')? {
        return Ok(query);
    }
    let diagnostic = cursor.unexpected(&["`)`"])?;
    Err(match token.kind {
        TokenKind::String(_) => {
            let hint =
                "the query ends at its quote: double a quote inside it, or look for a missing one";
            Diagnostic::new("the query is not followed by `)`", token.span).hint(hint)
        }
        TokenKind::Word | TokenKind::Symbol(_) | TokenKind::Json(_) | TokenKind::End => {
            Diagnostic {
                span: open.to(diagnostic.span),
                ..diagnostic
            }
        }
    })
}

/// A text that begins with the word BROADWAY, without blanks around it.
fn flow_command(text: &str) -> Option<String> {
    let text = text.trim();
    let word = text.split(char::is_whitespace).next()?;
    word.eq_ignore_ascii_case("BROADWAY")
        .then(|| text.to_owned())
}

pub(super) fn print(f: &mut Formatter<'_>, source: &EntitySource) -> fmt::Result {
    match source {
        EntitySource::LogicalUnit => Ok(()),
        EntitySource::InstanceGroup(group) => write!(f, ".{group}"),
        EntitySource::Ids(ids) => {
            f.write_str(".(")?;
            for (index, id) in ids.value.iter().enumerate() {
                let comma = if index == 0 { "" } else { "," };
                write!(f, "{comma}{id}")?;
            }
            f.write_str(")")
        }
        EntitySource::Query { interface, query } => {
            write!(f, " FROM {interface} USING ({query})")
        }
        EntitySource::Fabric => f.write_str(" FROM fabric"),
        EntitySource::FabricQuery { query } => write!(f, " FROM fabric USING ({query})"),
        EntitySource::FabricFlow { command } => {
            write!(f, " FROM fabric USING ({})", Quoted(&command.value))
        }
    }
}
