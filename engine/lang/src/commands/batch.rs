//! BATCH, BATCHF, MIGRATE and MIGRATEF.

use std::fmt::{self, Formatter};

use super::given::GivenOptions;
use super::{Chapter, CommandSpec, Operand, OptionTable, With, entity_source};
use crate::ast::{Batch, Command, EntitySource, EntityTemplate, Family, Text};
use crate::cursor::Cursor;
use crate::diagnostic::Diagnostic;
use crate::lexer::TokenKind;
use crate::names::nearest;
use crate::options::BatchOptions;
use crate::print::{self, Booleans, Name};
use crate::scan;
use crate::span::{Span, Spanned};

const FAMILY: CommandSpec = CommandSpec {
    chapter: Chapter::Batches,
    operand: Operand::Entities { has_command: true },
    with: With::Required,
    option_table: OptionTable::shared("Batch options", BatchOptions::TABLE),
    ..CommandSpec::BLANK
};

pub(super) static BATCH: CommandSpec = CommandSpec {
    name: "BATCH",
    summary: "runs a command for each entity of a list, on all nodes",
    syntax: &[
        "BATCH <LU>[@<DC>] FABRIC_COMMAND=\"<command with ?>\" [with <options>]",
        "BATCH <LU>[@<DC>].<instance group> FABRIC_COMMAND=\"…\" [with <options>]",
        "BATCH <LU>[@<DC>].('<id>','<id>',…) FABRIC_COMMAND=\"…\" [with <options>]",
        "BATCH <LU>[@<DC>] FROM <interface> USING ('<query or topic>') FABRIC_COMMAND=\"…\" [with <options>]",
        "BATCH <LU>[@<DC>] FROM fabric [USING ('<query>' | 'BROADWAY <LU>.<flow> …')] FABRIC_COMMAND=\"…\" [with <options>]",
    ],
    example: "BATCH Customer FROM CRM_DB USING ('select customer_id from customer') FABRIC_COMMAND=\"sync_instance Customer.?\" with ASYNC='true';",
    parse: |cursor, spec| parse(cursor, spec, Family::Batch, Function::None),
    ..FAMILY
};

pub(super) static BATCHF: CommandSpec = CommandSpec {
    name: "BATCHF",
    available: false,
    summary: "is BATCH with a function that makes the entity id from each raw id",
    syntax: &[
        "BATCHF <LU>[@<DC>].<function>() FABRIC_COMMAND=\"<command with ?>\" [with <options>]",
        "BATCHF <LU>[@<DC>].<function>().<instance group> FABRIC_COMMAND=\"…\" [with <options>]",
        "BATCHF <LU>[@<DC>].<function>().('<id>','<id>',…) FABRIC_COMMAND=\"…\" [with <options>]",
        "BATCHF <LU>[@<DC>].<function>() FROM <interface> USING ('<query>') FABRIC_COMMAND=\"…\" [with <options>]",
    ],
    example: "BATCHF Customer.addEnvironment().ig20 FABRIC_COMMAND=\"sync_instance Customer.?\";",
    parse: |cursor, spec| parse(cursor, spec, Family::Batch, Function::Required),
    ..FAMILY
};

pub(super) static MIGRATE: CommandSpec = CommandSpec {
    name: "MIGRATE",
    summary: "is BATCH with `sync_instance <LU>.?` as its command",
    syntax: &["MIGRATE <entities as in BATCH> [with <options>]"],
    example: "MIGRATE Customer.('1','2','3') with ASYNC='true';",
    operand: Operand::Entities { has_command: false },
    parse: |cursor, spec| parse(cursor, spec, Family::Migrate, Function::None),
    ..FAMILY
};

pub(super) static MIGRATEF: CommandSpec = CommandSpec {
    name: "MIGRATEF",
    available: false,
    summary: "is BATCHF with `sync_instance <LU>.?` as its command",
    syntax: &["MIGRATEF <entities as in BATCHF> [with <options>]"],
    example: "MIGRATEF Customer.addEnvironment().ig20;",
    operand: Operand::Entities { has_command: false },
    parse: |cursor, spec| parse(cursor, spec, Family::Migrate, Function::Required),
    ..FAMILY
};

const FABRIC_COMMAND: &str = "FABRIC_COMMAND";
const EXAMPLE: &str = "FABRIC_COMMAND=\"sync_instance Customer.?\"";

/// Whether a function follows the logical unit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Function {
    None,
    Required,
}

fn parse(
    cursor: &mut Cursor<'_>,
    spec: &'static CommandSpec,
    family: Family,
    function: Function,
) -> Result<Command, Diagnostic> {
    let lu = cursor.name("a logical unit")?;
    let dc = match cursor.accept_symbol('@')? {
        true => Some(cursor.bare_until("a data centre", '.')?),
        false => None,
    };
    let function = match function {
        Function::Required => Some(function_name(cursor)?),
        Function::None => None,
    };
    let source = entity_source::parse(cursor, function.is_some())?;
    let (fabric_command, template) = match family {
        Family::Batch => fabric_command(cursor, spec)?,
        Family::Migrate => {
            refuse_fabric_command(cursor, spec, function.is_some())?;
            let command = Text::Literal(format!("sync_instance {}.?", lu.value));
            (
                Spanned::new(command, lu.span),
                Some(EntityTemplate::sync(lu.clone())),
            )
        }
    };
    let options = GivenOptions::parse(cursor, spec)?;
    check_bind_params(&options, &source)?;
    Ok(Command::Batch(Box::new(Batch {
        family,
        lu,
        dc,
        function,
        source,
        fabric_command,
        template,
        options: BatchOptions::collect(|name| options.value(name)),
    })))
}

/// `.function()`
fn function_name(cursor: &mut Cursor<'_>) -> Result<Spanned<String>, Diagnostic> {
    cursor.expect_symbol('.', "`.` and a function")?;
    let name = cursor.name("a function")?;
    cursor.expect_symbol('(', "`()`")?;
    cursor.expect_symbol(')', "`)`")?;
    Ok(name)
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

/// Moves an error inside a FABRIC_COMMAND to its place in the statement.
fn into_statement(diagnostic: Diagnostic, text: &str, value: Span) -> Diagnostic {
    let is_string = text[value.start..]
        .chars()
        .next()
        .is_some_and(scan::is_quote);
    let Span { start, end } = diagnostic.span;
    let span = if is_string {
        let offset = |inner| scan::offset_in_string(text, value.start, inner);
        Span::new(offset(start), offset(end))
    } else {
        // A bare word, or the `?` of a parameter, whose value is not part of the text.
        value
    };
    Diagnostic { span, ..diagnostic }
}

fn refuse_fabric_command(
    cursor: &Cursor<'_>,
    spec: &CommandSpec,
    has_function: bool,
) -> Result<(), Diagnostic> {
    if !cursor.is_word(FABRIC_COMMAND)? {
        return Ok(());
    }
    let span = cursor.peek()?.span;
    let batch = if has_function { "BATCHF" } else { "BATCH" };
    let hint = format!("it always runs `sync_instance`; {batch} runs other commands");
    Err(Diagnostic::new(format!("{} takes no FABRIC_COMMAND", spec.name), span).hint(hint))
}

fn check_bind_params(options: &GivenOptions, source: &EntitySource) -> Result<(), Diagnostic> {
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
            "BIND_PARAMS and BIND_PARAMS_JSON cannot be combined",
            json,
        )),
        (None, _, Some(separator)) => Err(Diagnostic::new(
            "BIND_PARAMS_SEPARATOR needs BIND_PARAMS",
            separator,
        )),
        (Some(span), None, _) | (None, Some(span), None) if !has_query => {
            Err(Diagnostic::new("values can only be bound to a query", span)
                .hint("this batch has no query after USING"))
        }
        (Some(_) | None, Some(_) | None, Some(_) | None) => Ok(()),
    }
}

pub(super) fn print(f: &mut Formatter<'_>, batch: &Batch) -> fmt::Result {
    let Batch {
        family,
        lu,
        dc,
        function,
        source,
        fabric_command,
        template: _,
        options,
    } = batch;
    write!(f, " {lu}")?;
    if let Some(dc) = dc {
        write!(f, "@{}", Name(&dc.value))?;
    }
    if let Some(function) = function {
        write!(f, ".{function}()")?;
    }
    entity_source::print(f, source)?;
    match family {
        Family::Batch => print_fabric_command(f, &fabric_command.value)?,
        Family::Migrate => (),
    }
    if *options == BatchOptions::default() {
        return Ok(());
    }
    f.write_str(" with")?;
    print::options(f, options.given(), Booleans::Quoted)
}

/// The command is in double quotes where possible, so that its own strings are not doubled.
fn print_fabric_command(f: &mut Formatter<'_>, command: &Text) -> fmt::Result {
    match command {
        Text::Literal(command) if !command.contains('"') => {
            write!(f, " FABRIC_COMMAND=\"{command}\"")
        }
        text => write!(f, " FABRIC_COMMAND={text}"),
    }
}
