//! BATCH, BATCHF, MIGRATE and MIGRATEF.

use super::cursor::Cursor;
use super::options::Options;
use crate::ast::{Batch, BatchOptions, Command, EntitySource, Family, Text};
use crate::diagnostic::Diagnostic;
use crate::keywords::{CommandKind, CommandSpec};
use crate::lexer::TokenKind;
use crate::names::nearest;
use crate::scan;
use crate::span::{Span, Spanned};
use crate::template::EntityTemplate;

const FABRIC_COMMAND: &str = "FABRIC_COMMAND";
const EXAMPLE: &str = "FABRIC_COMMAND=\"sync_instance Customer.?\"";

pub(super) fn batch(
    cursor: &mut Cursor<'_>,
    spec: &'static CommandSpec,
) -> Result<Command, Diagnostic> {
    let family = match spec.kind {
        CommandKind::Migrate | CommandKind::Migratef => Family::Migrate,
        _ => Family::Batch,
    };
    let lu = cursor.name("a logical unit")?;
    let dc = match cursor.accept_symbol('@')? {
        true => Some(cursor.bare_until("a data centre", '.')?),
        false => None,
    };
    let function = match spec.kind {
        CommandKind::Batchf | CommandKind::Migratef => Some(function(cursor)?),
        _ => None,
    };
    let source = source(cursor, function.is_some())?;
    let (fabric_command, template) = match family {
        Family::Batch => fabric_command(cursor, spec)?,
        Family::Migrate => {
            refuse_fabric_command(cursor, spec)?;
            let command = Text::Literal(format!("sync_instance {}.?", lu.value));
            (
                Spanned::new(command, lu.span),
                Some(EntityTemplate::sync(lu.clone())),
            )
        }
    };
    let options = Options::parse(cursor, spec)?;
    check_bind_params(&options, &source)?;
    Ok(Command::Batch(Box::new(Batch {
        family,
        lu,
        dc,
        function,
        source,
        fabric_command,
        template,
        options: batch_options(&options),
    })))
}

/// `.function()`
fn function(cursor: &mut Cursor<'_>) -> Result<Spanned<String>, Diagnostic> {
    cursor.expect_symbol('.', "`.` and a function")?;
    let name = cursor.name("a function")?;
    cursor.expect_symbol('(', "`()`")?;
    cursor.expect_symbol(')', "`)`")?;
    Ok(name)
}

fn source(cursor: &mut Cursor<'_>, has_function: bool) -> Result<EntitySource, Diagnostic> {
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
            return Err(Diagnostic::new("a function needs BATCHF or MIGRATEF", span)
                .hint("without `()` it is the name of an instance group"));
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

/// What stands behind FROM.
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
            .hint("the query behind USING is one string, as in ('select id from ids')"));
    }
    let query = cursor.value("a query")?;
    if cursor.accept_symbol(')')? {
        return Ok(query);
    }
    let diagnostic = cursor.unexpected(&["`)`"])?;
    Err(match token.kind {
        TokenKind::String(_) => {
            let hint = "the query ends at its quote: write a quote inside it twice, or look for a missing one";
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

/// The text from the word BROADWAY on, if it begins with it.
fn flow_command(text: &str) -> Option<String> {
    let text = text.trim();
    let word = text.split(char::is_whitespace).next()?;
    word.eq_ignore_ascii_case("BROADWAY")
        .then(|| text.to_owned())
}

fn fabric_command(
    cursor: &mut Cursor<'_>,
    spec: &CommandSpec,
) -> Result<(Spanned<Text>, Option<EntityTemplate>), Diagnostic> {
    let token = cursor.peek()?;
    if cursor.accept_word(FABRIC_COMMAND)?.is_none() {
        let missing = Diagnostic::new(format!("{} needs a FABRIC_COMMAND", spec.name), token.span)
            .expecting([FABRIC_COMMAND]);
        let word = token.span.of(cursor.text());
        let near = token.kind == TokenKind::Word && nearest(word, [FABRIC_COMMAND]).is_some();
        if near {
            return Err(
                Diagnostic::new(format!("`{word}` is not expected here"), token.span)
                    .expecting([FABRIC_COMMAND])
                    .hint("did you mean `FABRIC_COMMAND`?"),
            );
        }
        let is_known = matches!(token.kind, TokenKind::End | TokenKind::Symbol(';'))
            || cursor.is_word("WITH")?
            || spec.option(word).is_some();
        if is_known {
            return Err(missing.hint(format!("write `{EXAMPLE}`, before WITH")));
        }
        return Err(cursor.unexpected(&[FABRIC_COMMAND])?);
    }
    if !cursor.accept_symbol('=')? {
        return Err(cursor
            .unexpected(&["="])?
            .hint(format!("write `{EXAMPLE}`")));
    }
    let value = cursor.value("a command")?;
    let template = match &value.value {
        Text::Parameter(_) => None,
        Text::Literal(command) => {
            let text = cursor.text();
            let template = EntityTemplate::parse(command)
                .map_err(|diagnostic| into_statement(diagnostic, text, value.span))?;
            Some(template)
        }
    };
    Ok((value, template))
}

/// Moves an error inside a FABRIC_COMMAND to where it is in the statement.
fn into_statement(diagnostic: Diagnostic, text: &str, value: Span) -> Diagnostic {
    let is_string = text[value.start..]
        .chars()
        .next()
        .is_some_and(scan::is_quote);
    let Span { start, end } = diagnostic.span;
    let span = if is_string {
        let place = |inner| scan::place_in_string(text, value.start, inner);
        Span::new(place(start), place(end))
    } else {
        // A bare word, or the value of a parameter: the mark itself is all there is to show.
        value
    };
    Diagnostic { span, ..diagnostic }
}

fn refuse_fabric_command(cursor: &Cursor<'_>, spec: &CommandSpec) -> Result<(), Diagnostic> {
    if !cursor.is_word(FABRIC_COMMAND)? {
        return Ok(());
    }
    let span = cursor.peek()?.span;
    let batch = if spec.kind == CommandKind::Migratef {
        "BATCHF"
    } else {
        "BATCH"
    };
    let hint = format!("it always runs `sync_instance`; {batch} runs other commands");
    Err(Diagnostic::new(format!("{} takes no FABRIC_COMMAND", spec.name), span).hint(hint))
}

fn check_bind_params(options: &Options, source: &EntitySource) -> Result<(), Diagnostic> {
    let has_query = match source {
        EntitySource::Query { .. }
        | EntitySource::FabricQuery { .. }
        | EntitySource::FabricFlow { .. } => true,
        EntitySource::LogicalUnit
        | EntitySource::InstanceGroup(_)
        | EntitySource::Ids(_)
        | EntitySource::Fabric => false,
    };
    let params = options.name_span("BIND_PARAMS");
    let json = options.name_span("BIND_PARAMS_JSON");
    let separator = options.name_span("BIND_PARAMS_SEPARATOR");
    match (params, json, separator) {
        (Some(_), Some(json), _) => Err(Diagnostic::new(
            "BIND_PARAMS and BIND_PARAMS_JSON exclude each other",
            json,
        )),
        (None, _, Some(separator)) => Err(Diagnostic::new(
            "BIND_PARAMS_SEPARATOR needs BIND_PARAMS",
            separator,
        )),
        (Some(span), None, _) | (None, Some(span), None) if !has_query => {
            Err(Diagnostic::new("values can be bound to a query only", span)
                .hint("this batch has no query behind USING"))
        }
        (Some(_) | None, Some(_) | None, Some(_) | None) => Ok(()),
    }
}

fn batch_options(options: &Options) -> BatchOptions {
    BatchOptions {
        affinity: options.text("AFFINITY"),
        job_affinity: options.text("JOB_AFFINITY"),
        run_async: options.boolean("ASYNC"),
        generate_entities_first: options.boolean("GENERATE_ENTITIES_FIRST"),
        allow_multiple: options.boolean("ALLOW_MULTIPLE"),
        max_nodes: options.count("MAX_NODES"),
        max_workers_per_node: options.count("MAX_WORKERS_PER_NODE"),
        estimated_entities_count: options.count("ESTIMATED_ENTITIES_COUNT"),
        max_attempts: options.count("MAX_ATTEMPTS"),
        entity_timeout_ms: options.count("ENTITY_TIMEOUT_MS"),
        retry_delay_ms: options.count("RETRY_DELAY_MS"),
        bind_params: options.text("BIND_PARAMS"),
        bind_params_separator: options.text("BIND_PARAMS_SEPARATOR"),
        bind_params_json: options.text("BIND_PARAMS_JSON"),
    }
}
