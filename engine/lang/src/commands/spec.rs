//! What the language knows about one command.

use crate::ast::Command;
use crate::cursor::Cursor;
use crate::diagnostic::Diagnostic;
use crate::options::OptionSpec;

/// One command.
#[derive(Debug)]
pub struct CommandSpec {
    /// The name, in capitals; may be two words.
    pub name: &'static str,
    /// Other names of the same command.
    pub aliases: &'static [&'static str],
    /// The chapter of HELP and of the documentation.
    pub chapter: Chapter,
    /// Whether this version can run it. If not, it is only known by name.
    pub available: bool,
    /// Whether a batch can run it for each entity.
    pub for_each_entity: bool,
    /// What it does: a predicate whose subject is the name, without a full stop.
    pub summary: &'static str,
    /// How it is written, one form a line.
    pub syntax: &'static [&'static str],
    /// One useful statement.
    pub example: &'static str,
    /// What follows the name, for completion.
    pub operand: Operand,
    /// Whether options need WITH before them.
    pub with: With,
    /// The table of its options. It may have options of other commands; see [`CommandSpec::options`].
    pub option_table: OptionTable,
    /// Reads what follows the name.
    pub(crate) parse: fn(&mut Cursor<'_>, &'static CommandSpec) -> Result<Command, Diagnostic>,
}

impl CommandSpec {
    /// The name and its aliases.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// The options that the command takes.
    pub fn options(&self) -> impl Iterator<Item = &'static OptionSpec> + use<> {
        let name = self.name;
        let table = self.option_table.options.iter();
        table.filter(move |option| option.applies_to(name))
    }

    /// The option of this name or alias, in any case.
    pub fn option(&self, name: &str) -> Option<&'static OptionSpec> {
        self.options().find(|option| option.is_named(name))
    }
}

/// The options of a command, or of several commands that share them.
#[derive(Clone, Copy, Debug)]
pub struct OptionTable {
    /// The heading of the table, if commands share it.
    pub title: Option<&'static str>,
    /// The options, in the order of HELP.
    pub options: &'static [OptionSpec],
}

impl OptionTable {
    pub(crate) const NONE: Self = Self::of_one(&[]);

    /// The options of one command or of one pair of commands.
    pub(crate) const fn of_one(options: &'static [OptionSpec]) -> Self {
        Self {
            title: None,
            options,
        }
    }

    /// The options of a family of commands.
    pub(crate) const fn shared(title: &'static str, options: &'static [OptionSpec]) -> Self {
        Self {
            title: Some(title),
            options,
        }
    }
}

/// The chapters of HELP and of the documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chapter {
    /// Running and changing batches.
    Batches,
    /// Reading about batches.
    Monitoring,
    /// Jobs and tasks.
    Jobs,
    /// Instances, and what a batch can do with one.
    Instances,
    /// Nodes, projects and rules.
    Cluster,
    /// The session itself.
    Session,
}

impl Chapter {
    /// All chapters, in the order in which they are shown.
    pub const ALL: [Self; 6] = [
        Self::Batches,
        Self::Monitoring,
        Self::Jobs,
        Self::Instances,
        Self::Cluster,
        Self::Session,
    ];

    /// The chapter's heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Batches => "Batches",
            Self::Monitoring => "Monitoring batches",
            Self::Jobs => "Jobs and tasks",
            Self::Instances => "Instances",
            Self::Cluster => "Cluster and project",
            Self::Session => "Session",
        }
    }
}

/// Whether options need WITH before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum With {
    /// They do, except for those with [`OptionSpec::is_allowed_before_with`].
    Required,
    /// WITH may be left out.
    Optional,
}

/// What follows a command's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// Nothing that completion can offer.
    None,
    /// One thing, before which options may already follow.
    Optional(Word),
    /// One thing, before the options.
    Required(Word),
    /// Several things with commas between them, before the options.
    List(Word),
    /// The entities of a batch, with or without a FABRIC_COMMAND.
    Entities {
        /// Whether a FABRIC_COMMAND follows them.
        has_command: bool,
    },
}

/// A word that completion can offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// A value that only a running cluster knows.
    Value(ValueKind),
    /// One of these words of the language.
    OneOf(&'static [&'static str]),
    /// A job type.
    JobType,
    /// The name of a command.
    Command,
}

/// Kinds of values that only a running cluster knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ValueKind {
    /// Names of logical units.
    LogicalUnit,
    /// Names of interfaces.
    Interface,
    /// Names of the instance groups of a logical unit.
    InstanceGroup,
    /// Ids of batches.
    BatchId,
    /// Ids, addresses, data centres and logical ids of nodes.
    Node,
}
