//! SET_GLOBAL.

use std::fmt::{self, Formatter};

use super::{Chapter, CommandSpec, name_only};
use crate::ast::{Command, Text};
use crate::cursor::Cursor;
use crate::diagnostic::Diagnostic;
use crate::names::nearest;
use crate::span::Spanned;

pub(super) static SET_GLOBAL: CommandSpec = CommandSpec {
    name: "SET_GLOBAL",
    chapter: Chapter::Cluster,
    summary: "sets or removes the affinity rules of the cluster; other values of the cluster are known by name and refused",
    syntax: &[
        "SET_GLOBAL AFFINITY_RULES='<json>'",
        "SET_GLOBAL RESET_AFFINITY_RULES",
    ],
    example: "SET_GLOBAL AFFINITY_RULES='{\"DC1\":{\"blue\":{\"count\":1,\"affinities\":[{\"affinity\":\"heavy\",\"recommended\":2,\"max\":4}]}}}';",
    parse,
    ..CommandSpec::BLANK
};

/// The values of the cluster that can be set.
const GLOBALS: [&str; 2] = ["AFFINITY_RULES", "RESET_AFFINITY_RULES"];

/// Other values of the cluster are known by name only.
fn parse(cursor: &mut Cursor<'_>, spec: &'static CommandSpec) -> Result<Command, Diagnostic> {
    if cursor.accept_word("RESET_AFFINITY_RULES")?.is_some() {
        return Ok(Command::SetAffinityRules { rules: None });
    }
    if cursor.accept_word("AFFINITY_RULES")?.is_some() {
        let rules = match cursor.accept_symbol('=')? {
            true => cursor.assigned_value("rules as JSON")?,
            false => cursor.value("rules as JSON")?,
        };
        return Ok(Command::SetAffinityRules { rules: Some(rules) });
    }
    let meant = cursor.peek_word()?.map(|word| nearest(word, GLOBALS));
    if cursor.at_end()? || meant.flatten().is_some() {
        return Err(cursor.unexpected(&GLOBALS)?);
    }
    name_only::parse(cursor, spec)
}

pub(super) fn print(f: &mut Formatter<'_>, rules: Option<&Spanned<Text>>) -> fmt::Result {
    match rules {
        Some(rules) => write!(f, " AFFINITY_RULES={rules}"),
        None => f.write_str(" RESET_AFFINITY_RULES"),
    }
}
