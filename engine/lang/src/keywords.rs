//! The one table of commands and options.
//!
//! The parser checks options against it, HELP and `docs/language.md` print it, completion offers it.

mod commands;
mod options;

use crate::names::NameList;

pub use commands::COMMANDS;

/// Which rule of the parser reads a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the command of that name")]
pub enum CommandKind {
    Batch,
    Batchf,
    Migrate,
    Migratef,
    BatchList,
    BatchInfo,
    BatchSummary,
    BatchDetails,
    BatchInProcess,
    BatchCancel,
    CancelBatch,
    Kill,
    BatchPause,
    BatchRetry,
    BatchEdit,
    MigrateList,
    MigrateSummary,
    MigrateDetails,
    MigrateInProcess,
    MigrateResume,
    StartJob,
    StopJob,
    RestartJob,
    ResumeJob,
    UpdateJob,
    JobStatus,
    JobHistory,
    Ps,
    Deploy,
    ClusterStatus,
    ClusterId,
    Set,
    Help,
    Get,
    Use,
    Select,
    Release,
    ListInstanceGroups,
    ListLogicalUnits,
    ListInterfaces,
    ListAffinityRules,
    SetGlobal,
    Echo,
    SyncInstance,
    CdcRepublish,
    Broadway,
    Trace,
    Other,
}

/// The chapters of HELP and of the documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chapter {
    /// Running batches.
    Batches,
    /// Looking at batches.
    Monitoring,
    /// Jobs and tasks.
    Jobs,
    /// Instances and what can be done to one.
    Instances,
    /// Nodes, projects and rules.
    Cluster,
    /// The session itself.
    Session,
}

impl Chapter {
    /// All chapters, in the order they are shown.
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
            Self::Monitoring => "Looking at batches",
            Self::Jobs => "Jobs and tasks",
            Self::Instances => "Instances",
            Self::Cluster => "Cluster and project",
            Self::Session => "Session",
        }
    }
}

/// One command.
#[derive(Debug)]
pub struct CommandSpec {
    /// The name, in capitals; may be two words.
    pub name: &'static str,
    /// Other names that mean the same.
    pub aliases: &'static [&'static str],
    /// The rule that reads it.
    pub kind: CommandKind,
    /// Where it is described.
    pub chapter: Chapter,
    /// Whether this version can do it; if not, it is known by name only.
    pub available: bool,
    /// What it does, in one sentence.
    pub summary: &'static str,
    /// How it is written, one form a line.
    pub syntax: &'static [&'static str],
    /// One statement that does something useful.
    pub example: &'static str,
    /// What stands behind the name, for completion.
    pub places: &'static [Place],
    /// Whether the options want WITH before them.
    pub with: With,
    /// The options.
    pub options: &'static [&'static OptionSpec],
}

/// Whether options want WITH before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum With {
    /// They do, except for options marked [`OptionSpec::anywhere`].
    Required,
    /// WITH may be left out.
    Optional,
}

/// What can stand at a place behind a command's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A value that only a running cluster knows.
    Value(ValueKind),
    /// A word of the language.
    Word(&'static str),
    /// One of several words.
    Words(&'static [&'static str]),
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

/// One option of a command.
#[derive(Debug)]
pub struct OptionSpec {
    /// The name, in capitals.
    pub name: &'static str,
    /// Other spellings.
    pub aliases: &'static [&'static str],
    /// What it takes.
    pub takes: Takes,
    /// Whether it may be given before WITH as well.
    pub anywhere: bool,
    /// Whether the `=` may be left out.
    pub bare: bool,
    /// What it does, in one sentence.
    pub summary: &'static str,
}

/// What an option takes.
#[derive(Clone, Copy, Debug)]
pub enum Takes {
    /// `true` or `false`.
    Boolean,
    /// A whole number, from the first up to the last.
    Integer(i64, i64),
    /// The same, or -1 for no limit.
    IntegerOrUnlimited(i64, i64),
    /// A number, with or without decimal places, from this one up.
    Decimal(i64),
    /// Any text.
    Text,
    /// Node ids, addresses and data centres, separated by commas.
    Nodes,
    /// One of a list of names.
    Name(&'static NameList),
    /// When a job runs: a moment, an interval or a cron expression.
    Schedule,
    /// One of [`MISFIRE`](crate::names::MISFIRE), or `ALL:` and a number of runs.
    Misfire,
}

impl Takes {
    /// The form of the value in a line of syntax.
    pub fn form(self) -> &'static str {
        match self {
            Self::Boolean => "true|false",
            Self::Integer(..) | Self::IntegerOrUnlimited(..) => "<n>",
            Self::Decimal(_) => "<number>",
            Self::Text => "'<text>'",
            Self::Nodes => "'<nodes>'",
            Self::Name(_) => "'<name>'",
            Self::Schedule => "'<schedule>'",
            Self::Misfire => "ONCE|SKIP|ALL|ALL:<n>",
        }
    }
}

impl Takes {
    /// Whether it takes this number.
    pub fn admits(self, number: i64) -> bool {
        match self {
            Self::Integer(least, most) => (least..=most).contains(&number),
            Self::IntegerOrUnlimited(least, most) => {
                number == -1 || (least..=most).contains(&number)
            }
            Self::Boolean
            | Self::Decimal(_)
            | Self::Text
            | Self::Nodes
            | Self::Name(_)
            | Self::Schedule
            | Self::Misfire => false,
        }
    }

    /// What it takes, for an error about what it does not.
    pub fn in_words(self) -> String {
        match self {
            Self::Integer(least, most) if most >= i64::from(u32::MAX) => {
                format!("a whole number from {least} up")
            }
            Self::Integer(least, most) => format!("a whole number from {least} to {most}"),
            Self::IntegerOrUnlimited(least, most) => {
                format!("-1 or a whole number from {least} to {most}")
            }
            Self::Boolean
            | Self::Decimal(_)
            | Self::Text
            | Self::Nodes
            | Self::Name(_)
            | Self::Schedule
            | Self::Misfire => self.form().to_owned(),
        }
    }
}

impl CommandSpec {
    /// The command of this name or alias, whatever its case and blanks.
    pub fn find(name: &str) -> Option<&'static Self> {
        let name: Vec<_> = name.split_whitespace().collect();
        let name = name.join(" ");
        COMMANDS
            .iter()
            .find(|spec| spec.names().any(|known| known.eq_ignore_ascii_case(&name)))
    }

    /// The name and its aliases.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// The option of this name or alias.
    pub fn option(&self, name: &str) -> Option<&'static OptionSpec> {
        let is_it =
            |spec: &&&OptionSpec| spec.names().any(|known| known.eq_ignore_ascii_case(name));
        self.options.iter().find(is_it).copied()
    }
}

impl OptionSpec {
    /// The name and its aliases.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Statement;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = COMMANDS.iter().flat_map(CommandSpec::names).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        for spec in COMMANDS {
            let mut names: Vec<_> = spec
                .options
                .iter()
                .flat_map(|option| option.names())
                .collect();
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "options of {}", spec.name);
        }
    }

    #[test]
    fn every_example_is_a_statement_of_its_command() {
        for spec in COMMANDS {
            match Statement::parse(spec.example) {
                Ok(statement) => assert_eq!(statement.keyword(), spec.name, "{}", spec.example),
                Err(diagnostic) => panic!("{}", diagnostic.render(spec.example)),
            }
        }
    }

    #[test]
    fn sentences_have_no_full_stop() {
        for spec in COMMANDS {
            assert!(!spec.summary.ends_with('.'), "{}", spec.name);
            for option in spec.options {
                assert!(
                    !option.summary.ends_with('.'),
                    "{} {}",
                    spec.name,
                    option.name
                );
            }
        }
    }
}
