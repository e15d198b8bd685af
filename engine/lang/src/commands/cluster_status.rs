//! CLUSTERSTATUS.

use std::fmt::{self, Formatter};

use super::{Chapter, CommandSpec, Operand, Word};
use crate::ast::Command;
use crate::cursor::Cursor;
use crate::diagnostic::Diagnostic;

const NODE_AFFINITY_STATUS: &str = "NODE_AFFINITY_STATUS";

pub(super) static CLUSTERSTATUS: CommandSpec = CommandSpec {
    name: "CLUSTERSTATUS",
    chapter: Chapter::Cluster,
    summary: "lists the nodes; with NODE_AFFINITY_STATUS, the logical ids of each node with their sizes",
    syntax: &["CLUSTERSTATUS [NODE_AFFINITY_STATUS]"],
    example: "CLUSTERSTATUS;",
    operand: Operand::Optional(Word::OneOf(&[NODE_AFFINITY_STATUS])),
    parse: |cursor, _| parse(cursor),
    ..CommandSpec::BLANK
};

fn parse(cursor: &mut Cursor<'_>) -> Result<Command, Diagnostic> {
    let node_affinity = cursor.accept_word(NODE_AFFINITY_STATUS)?.is_some();
    Ok(Command::ClusterStatus { node_affinity })
}

pub(super) fn print(f: &mut Formatter<'_>, node_affinity: bool) -> fmt::Result {
    match node_affinity {
        true => write!(f, " {NODE_AFFINITY_STATUS}"),
        false => Ok(()),
    }
}
