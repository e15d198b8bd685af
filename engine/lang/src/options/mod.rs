//! The options of commands: names, types of values, defaults and help texts.
//!
//! The options of one noun are in one table. It drives the parser, the printer, HELP, `docs/language.md` and
//! completion, and is public for everything else that needs names, ranges and defaults.

mod batch;
mod job;
mod table;
mod value;

pub use batch::BatchOptions;
pub use job::JobOptions;
pub use value::{OptionValue, ValueType};

pub(crate) use value::OptionField;

/// One option of a command.
#[derive(Clone, Copy, Debug)]
pub struct OptionSpec {
    /// The name, in capitals.
    pub name: &'static str,
    /// Other spellings of the name.
    pub aliases: &'static [&'static str],
    /// What values it takes.
    pub value_type: ValueType,
    /// What applies when the option is not given, as it would be written or in words (`no limit`). `None` if the option
    /// is required or has no effect until it is given.
    pub default: Option<&'static str>,
    /// The commands that take it, if not all commands with the table do.
    pub commands: Option<&'static [&'static str]>,
    /// Whether it may be given before WITH as well.
    pub is_allowed_before_with: bool,
    /// Whether the `=` may be left out.
    pub is_equals_optional: bool,
    /// What it does, in sentences.
    pub summary: &'static str,
}

impl OptionSpec {
    /// An option without aliases, default and help text.
    pub(crate) const fn new(name: &'static str, value_type: ValueType) -> Self {
        Self {
            name,
            aliases: &[],
            value_type,
            default: None,
            commands: None,
            is_allowed_before_with: false,
            is_equals_optional: false,
            summary: "",
        }
    }

    pub(crate) const fn summary(self, summary: &'static str) -> Self {
        Self { summary, ..self }
    }

    pub(crate) const fn default(self, default: &'static str) -> Self {
        Self {
            default: Some(default),
            ..self
        }
    }

    pub(crate) const fn aliases(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    pub(crate) const fn only_for(self, commands: &'static [&'static str]) -> Self {
        Self {
            commands: Some(commands),
            ..self
        }
    }

    pub(crate) const fn allowed_before_with(self) -> Self {
        Self {
            is_allowed_before_with: true,
            ..self
        }
    }

    pub(crate) const fn equals_optional(self) -> Self {
        Self {
            is_equals_optional: true,
            ..self
        }
    }

    /// The name and its aliases.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// Whether `name` is its name or an alias, in any case.
    pub fn is_named(&self, name: &str) -> bool {
        self.names().any(|known| known.eq_ignore_ascii_case(name))
    }

    /// Whether this command takes it, given that the command has the table.
    pub fn applies_to(&self, command: &str) -> bool {
        self.commands
            .is_none_or(|commands| commands.contains(&command))
    }
}
