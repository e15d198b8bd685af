//! DEPLOY.

use std::fmt::{self, Formatter};

use super::given::GivenOptions;
use super::{Chapter, CommandSpec, Operand, OptionTable, ValueKind, Word};
use crate::ast::{Command, DeployTarget};
use crate::cursor::Cursor;
use crate::diagnostic::Diagnostic;
use crate::lexer::TokenKind;
use crate::options::{OptionSpec, ValueType};
use crate::print::{self, Quoted};
use crate::span::Spanned;

pub(super) static DEPLOY: CommandSpec = CommandSpec {
    name: "DEPLOY",
    chapter: Chapter::Cluster,
    summary: "deploys the project, one logical unit of it, or the project in a folder",
    syntax: &["DEPLOY [<LU> | '<folder>'] [SOFT_DEPLOY=true|false]"],
    example: "DEPLOY './project' SOFT_DEPLOY=true;",
    operand: Operand::Optional(Word::Value(ValueKind::LogicalUnit)),
    option_table: OptionTable::of_one(&[OptionSpec::new("SOFT_DEPLOY", ValueType::Boolean)
        .summary("`true` starts no user jobs, parsers or interface listeners.")
        .default("false")
        .equals_optional()]),
    parse,
    ..CommandSpec::BLANK
};

fn parse(cursor: &mut Cursor<'_>, spec: &'static CommandSpec) -> Result<Command, Diagnostic> {
    let is_option = |word: &str| spec.option(word).is_some() || word.eq_ignore_ascii_case("WITH");
    let token = cursor.peek()?;
    let target = match token.kind {
        TokenKind::String(folder) => {
            cursor.next()?;
            DeployTarget::Folder(Spanned::new(folder, token.span))
        }
        TokenKind::Word if !is_option(token.span.of(cursor.text())) => {
            DeployTarget::LogicalUnit(cursor.name("a logical unit")?)
        }
        TokenKind::Word | TokenKind::Symbol(_) | TokenKind::Json(_) | TokenKind::End => {
            DeployTarget::Project
        }
    };
    let options = GivenOptions::parse(cursor, spec)?;
    Ok(Command::Deploy {
        target,
        soft_deploy: options.get("SOFT_DEPLOY"),
    })
}

pub(super) fn print(
    f: &mut Formatter<'_>,
    target: &DeployTarget,
    soft_deploy: &Option<Spanned<bool>>,
) -> fmt::Result {
    match target {
        DeployTarget::Project => (),
        DeployTarget::LogicalUnit(lu) => write!(f, " {lu}")?,
        DeployTarget::Folder(folder) => write!(f, " {}", Quoted(&folder.value))?,
    }
    print::option(f, "SOFT_DEPLOY", soft_deploy)
}
