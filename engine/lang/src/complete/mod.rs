//! What could be written at the cursor.

mod before;

use crate::commands::{COMMANDS, CommandSpec, Operand, ValueKind, With, Word};
use crate::names::{JOB_TYPE, MISFIRE, NameList};
use crate::options::{OptionSpec, ValueType};
use crate::scan;
use crate::span::Span;
use crate::split::split_statements;
use before::Before;

/// Provides the values that only a running cluster knows.
pub trait ValueSource {
    /// The values of a kind. For instance groups, `lu` is their logical unit.
    fn values(&self, kind: ValueKind, lu: Option<&str>) -> Vec<String>;
}

/// No values, for completion without a connection.
impl ValueSource for () {
    fn values(&self, _kind: ValueKind, _lu: Option<&str>) -> Vec<String> {
        Vec::new()
    }
}

/// One text that could be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The text that replaces [`Completions::replace`].
    pub text: String,
    /// What it is, for display next to it.
    pub about: String,
}

/// Everything that could be written at a position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Completions {
    /// The part of the text that the chosen candidate replaces.
    pub replace: Span,
    /// The candidates, in the order of the table.
    pub candidates: Vec<Candidate>,
}

/// What could be written at byte `cursor` of `text`.
pub fn complete(text: &str, cursor: usize, values: &dyn ValueSource) -> Completions {
    let mut cursor = cursor.min(text.len());
    while !text.is_char_boundary(cursor) {
        cursor -= 1;
    }
    let start = statement_start(&text[..cursor]);
    let before = Before::read(&text[start..cursor], start);
    Finder {
        before,
        values,
        is_entity: false,
    }
    .find()
}

/// Where the last statement of `text` begins.
fn statement_start(text: &str) -> usize {
    match split_statements(text).last() {
        Some(last) if !last.of(text).ends_with(';') => last.start,
        Some(_) | None => text.len() - unfinished(text).len(),
    }
}

/// The word at the end of a text.
fn unfinished(text: &str) -> &str {
    let start = text
        .char_indices()
        .rev()
        .take_while(|(_, c)| scan::is_word(*c))
        .last();
    start.map_or("", |(start, _)| &text[start..])
}

struct Finder<'a> {
    before: Before<'a>,
    values: &'a dyn ValueSource,
    /// Whether this is the inside of a FABRIC_COMMAND.
    is_entity: bool,
}

impl Finder<'_> {
    fn find(self) -> Completions {
        let tokens = self.before.tokens.as_slice();
        let Some((spec, arguments)) = named_command(tokens) else {
            return self.command_names(tokens);
        };
        if let [.., name, "="] = arguments {
            return self.option_value(spec, name);
        }
        let mut found = match spec.operand {
            Operand::Entities { has_command } => self.batch(spec, arguments, has_command),
            Operand::None | Operand::Optional(_) | Operand::Required(_) | Operand::List(_) => {
                self.other(spec, arguments)
            }
        };
        if let ([], Some(second_words)) = (arguments, second_words(tokens)) {
            let second_words = self.keep(second_words);
            found.candidates.extend(second_words);
        }
        found
    }

    /// The names of commands, of which `tokens` may be the first half.
    fn command_names(&self, tokens: &[&str]) -> Completions {
        if !tokens.is_empty() {
            return self.completions(second_words(tokens).unwrap_or_default());
        }
        let fits = |spec: &&&CommandSpec| !self.is_entity || spec.for_each_entity;
        let names = COMMANDS
            .iter()
            .filter(fits)
            .map(|spec| candidate(spec.name, spec.summary));
        self.completions(names.collect())
    }

    fn option_value(&self, spec: &CommandSpec, name: &str) -> Completions {
        if name.eq_ignore_ascii_case("FABRIC_COMMAND") {
            return self.entity_command();
        }
        let Some(option) = spec.option(name) else {
            return self.completions(Vec::new());
        };
        match option.value_type {
            ValueType::Boolean => {
                self.completions(["true", "false"].map(|value| candidate(value, "")).to_vec())
            }
            ValueType::Name(list) => self.names(list),
            ValueType::Misfire => self.names(&MISFIRE),
            ValueType::Nodes => self.nodes(),
            ValueType::Integer(..)
            | ValueType::IntegerOrUnlimited(..)
            | ValueType::Decimal(_)
            | ValueType::Text
            | ValueType::Moment
            | ValueType::Schedule => self.completions(Vec::new()),
        }
    }

    fn names(&self, list: &NameList) -> Completions {
        let names = list
            .names
            .iter()
            .map(|name| candidate(&self.quoted(name), list.what));
        self.completions(names.collect())
    }

    /// Completes inside the string of a FABRIC_COMMAND like at the beginning of a statement.
    fn entity_command(&self) -> Completions {
        if !self.before.in_string {
            let lus = self.values.values(ValueKind::LogicalUnit, None);
            let command =
                |lu: &String| candidate(&format!("\"sync_instance {lu}.?\""), "entity command");
            return self.completions(lus.iter().map(command).collect());
        }
        let Before { prefix, end, .. } = self.before;
        let inner = Finder {
            before: Before::read(prefix, end - prefix.len()),
            values: self.values,
            is_entity: true,
        };
        inner.find()
    }

    /// Nodes in one string with commas between them, of which the last is being written.
    fn nodes(&self) -> Completions {
        let Before {
            prefix,
            end,
            in_string,
            ..
        } = self.before;
        let last = if in_string {
            prefix.rsplit(',').next().unwrap_or(prefix)
        } else {
            prefix
        };
        let last = last.trim_start();
        let nodes = self.values.values(ValueKind::Node, None);
        let fits = nodes.into_iter().filter(|node| starts_with(node, last));
        Completions {
            replace: Span::new(end - last.len(), end),
            candidates: fits
                .map(|node| candidate(&self.quoted(&node), "node"))
                .collect(),
        }
    }

    fn batch(&self, spec: &CommandSpec, arguments: &[&str], has_command: bool) -> Completions {
        let has = |word: &str| {
            arguments
                .iter()
                .any(|argument| argument.eq_ignore_ascii_case(word))
        };
        let last = arguments.last().copied().unwrap_or_default();
        let fabric_command = || candidate("FABRIC_COMMAND=", "the command for each entity");
        let with = || candidate("with", "options follow");
        match arguments {
            [] => return self.dynamic(ValueKind::LogicalUnit, None),
            [lu, .., "."] if !has("FROM") && !has("FABRIC_COMMAND") => {
                return self.dynamic(ValueKind::InstanceGroup, Some(lu));
            }
            [_, "@"] => return self.dynamic(ValueKind::Node, None),
            _ => (),
        }
        if last.eq_ignore_ascii_case("FROM") {
            let mut found = self.dynamic(ValueKind::Interface, None);
            found.candidates.extend(self.keep(vec![candidate(
                "fabric",
                "instances that are stored already",
            )]));
            return found;
        }
        if self.before.in_string {
            return self.completions(Vec::new());
        }
        if has("WITH") {
            return self.options(spec, arguments);
        }
        if has("FABRIC_COMMAND") {
            return self.completions(vec![with()]);
        }
        let mut next = Vec::new();
        let has_source = has("FROM") || arguments.contains(&".") || arguments.contains(&"(");
        if !has_source {
            next.push(candidate("FROM", "an interface, or fabric"));
        }
        if has("FROM") && !has("USING") {
            next.push(candidate("USING ('", "the query"));
        }
        next.push(if has_command {
            fabric_command()
        } else {
            with()
        });
        self.completions(next)
    }

    fn other(&self, spec: &CommandSpec, arguments: &[&str]) -> Completions {
        let last = arguments.last().copied();
        let word = match spec.operand {
            Operand::Optional(word) | Operand::Required(word) if last.is_none() => Some(word),
            Operand::List(word) if matches!(last, None | Some(",")) => Some(word),
            Operand::None
            | Operand::Optional(_)
            | Operand::Required(_)
            | Operand::List(_)
            | Operand::Entities { .. } => None,
        };
        let mut found = match word {
            Some(word) => self.word(word),
            None => self.completions(Vec::new()),
        };
        let is_required = matches!(spec.operand, Operand::Required(_) | Operand::List(_));
        let is_name_unfinished = matches!(last, Some("." | ","));
        if self.before.in_string || is_name_unfinished || (word.is_some() && is_required) {
            return found;
        }
        let has_with = arguments
            .iter()
            .any(|argument| argument.eq_ignore_ascii_case("WITH"));
        let options = if spec.with == With::Required && !has_with {
            let has_options = arguments.len() > 1 && spec.options().next().is_some();
            let with = has_options.then(|| candidate("with", "options follow"));
            self.completions(with.into_iter().collect())
        } else {
            self.options(spec, arguments)
        };
        found.replace = options.replace;
        found.candidates.extend(options.candidates);
        found
    }

    fn word(&self, word: Word) -> Completions {
        let candidates = match word {
            Word::Value(kind) => return self.dynamic(kind, None),
            Word::OneOf(words) => words.iter().map(|word| candidate(word, "")).collect(),
            Word::JobType => JOB_TYPE
                .names
                .iter()
                .map(|name| self.job_type(name))
                .collect(),
            Word::Command => COMMANDS
                .iter()
                .map(|spec| candidate(spec.name, spec.summary))
                .collect(),
        };
        self.completions(candidates)
    }

    fn job_type(&self, name: &str) -> Candidate {
        if name.contains(' ') {
            candidate(&self.quoted(name), "job type")
        } else {
            candidate(name, "job type")
        }
    }

    fn dynamic(&self, kind: ValueKind, lu: Option<&str>) -> Completions {
        let about = match kind {
            ValueKind::LogicalUnit => "logical unit",
            ValueKind::Interface => "interface",
            ValueKind::InstanceGroup => "instance group",
            ValueKind::BatchId => "batch",
            ValueKind::Node => "node",
        };
        let values = self.values.values(kind, lu);
        let values = values.iter().map(|value| match kind {
            ValueKind::BatchId => candidate(&self.quoted(value), about),
            ValueKind::LogicalUnit
            | ValueKind::Interface
            | ValueKind::InstanceGroup
            | ValueKind::Node => candidate(value, about),
        });
        self.completions(values.collect())
    }

    /// The options that are not given yet.
    fn options(&self, spec: &CommandSpec, arguments: &[&str]) -> Completions {
        let given = |option: &OptionSpec| arguments.iter().any(|word| option.is_named(word));
        let left = spec.options().filter(|option| !given(option));
        let left = left.map(|option| candidate(&format!("{}=", option.name), option.summary));
        self.completions(left.collect())
    }

    /// A value, in quotes unless the cursor is already inside a string.
    fn quoted(&self, value: &str) -> String {
        if self.before.in_string {
            value.to_owned()
        } else {
            format!("'{value}'")
        }
    }

    fn completions(&self, candidates: Vec<Candidate>) -> Completions {
        let Before { prefix, end, .. } = self.before;
        Completions {
            replace: Span::new(end - prefix.len(), end),
            candidates: self.keep(candidates),
        }
    }

    /// The candidates that begin with the prefix. Keywords become lower-case if the prefix is.
    fn keep(&self, candidates: Vec<Candidate>) -> Vec<Candidate> {
        let prefix = self.before.prefix;
        let is_small =
            prefix.chars().any(char::is_lowercase) && !prefix.chars().any(char::is_uppercase);
        let fits = candidates
            .into_iter()
            .filter(|candidate| starts_with(candidate.text.trim_start_matches('\''), prefix));
        let fitting = |candidate: Candidate| {
            let is_keyword = candidate
                .text
                .chars()
                .all(|c| c.is_ascii_uppercase() || "_= ('".contains(c));
            match is_small && is_keyword && !candidate.text.starts_with('\'') {
                true => Candidate {
                    text: candidate.text.to_lowercase(),
                    ..candidate
                },
                false => candidate,
            }
        };
        fits.map(fitting).collect()
    }
}

fn candidate(text: &str, about: &str) -> Candidate {
    Candidate {
        text: text.to_owned(),
        about: about.to_owned(),
    }
}

fn starts_with(text: &str, prefix: &str) -> bool {
    let mut text = text.chars().flat_map(char::to_lowercase);
    prefix
        .chars()
        .flat_map(char::to_lowercase)
        .all(|c| text.next() == Some(c))
}

/// The command that the tokens begin with, and the tokens after its name.
fn named_command<'t, 's>(tokens: &'s [&'t str]) -> Option<(&'static CommandSpec, &'s [&'t str])> {
    let (first, rest) = tokens.split_first()?;
    if let Some((second, rest)) = rest.split_first()
        && let Some(spec) = CommandSpec::find(&format!("{first} {second}"))
    {
        return Some((spec, rest));
    }
    CommandSpec::find(first).map(|spec| (spec, rest))
}

/// The second words of commands whose first word is the only token.
fn second_words(tokens: &[&str]) -> Option<Vec<Candidate>> {
    let [first] = tokens else {
        return None;
    };
    let seconds = COMMANDS.iter().filter_map(|spec| {
        let (word, second) = spec.name.split_once(' ')?;
        word.eq_ignore_ascii_case(first)
            .then(|| candidate(second, spec.summary))
    });
    Some(seconds.collect())
}

#[cfg(test)]
mod tests;
