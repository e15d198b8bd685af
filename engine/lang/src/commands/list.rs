//! LIST LU, LIST INSTANCE_GROUPS, LIST INTERFACES and LIST AFFINITY_RULES.

use super::{Chapter, CommandSpec};
use crate::ast::{Command, ListTarget};

const LIST: CommandSpec = CommandSpec {
    chapter: Chapter::Cluster,
    ..CommandSpec::BLANK
};

pub(super) static LOGICAL_UNITS: CommandSpec = CommandSpec {
    name: "LIST LU",
    aliases: &["LIST LUS", "LIST LUT", "LIST LUTS"],
    summary: "lists the logical units",
    syntax: &["LIST LU"],
    example: "LIST LU;",
    parse: |_, _| Ok(Command::List(ListTarget::LogicalUnits)),
    ..LIST
};

pub(super) static INSTANCE_GROUPS: CommandSpec = CommandSpec {
    name: "LIST INSTANCE_GROUPS",
    aliases: &["LIST IGS"],
    summary: "lists the instance groups of all logical units",
    syntax: &["LIST INSTANCE_GROUPS"],
    example: "LIST INSTANCE_GROUPS;",
    parse: |_, _| Ok(Command::List(ListTarget::InstanceGroups)),
    ..LIST
};

pub(super) static INTERFACES: CommandSpec = CommandSpec {
    name: "LIST INTERFACES",
    summary: "lists the interfaces",
    syntax: &["LIST INTERFACES"],
    example: "LIST INTERFACES;",
    parse: |_, _| Ok(Command::List(ListTarget::Interfaces)),
    ..LIST
};

pub(super) static AFFINITY_RULES: CommandSpec = CommandSpec {
    name: "LIST AFFINITY_RULES",
    summary: "shows the affinity rules of the cluster, and which nodes are in which group",
    syntax: &["LIST AFFINITY_RULES"],
    example: "LIST AFFINITY_RULES;",
    parse: |_, _| Ok(Command::List(ListTarget::AffinityRules)),
    ..LIST
};
