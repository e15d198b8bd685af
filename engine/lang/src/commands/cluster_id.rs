//! CLUSTERID.

use super::{Chapter, CommandSpec};
use crate::ast::Command;

pub(super) static CLUSTERID: CommandSpec = CommandSpec {
    name: "CLUSTERID",
    chapter: Chapter::Cluster,
    summary: "shows the id of the cluster",
    syntax: &["CLUSTERID"],
    example: "CLUSTERID;",
    parse: |_, _| Ok(Command::ClusterId),
    ..CommandSpec::BLANK
};
