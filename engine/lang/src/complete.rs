//! What could be written at the cursor.

use crate::keywords::{
    COMMANDS, CommandKind, CommandSpec, OptionSpec, Place, Takes, ValueKind, With,
};
use crate::lexer::{TokenKind, Tokens};
use crate::names::{JOB_TYPE, MISFIRE, NameList};
use crate::scan;
use crate::span::Span;
use crate::split::split_statements;

/// The commands that can run for each entity.
const ENTITY_COMMANDS: &[CommandKind] = &[
    CommandKind::SyncInstance,
    CommandKind::Broadway,
    CommandKind::CdcRepublish,
    CommandKind::Get,
    CommandKind::Echo,
];

/// Where completion gets values that only a running cluster knows.
pub trait ValueSource {
    /// The values of a kind; `lu` is the logical unit they belong to, for instance groups.
    fn values(&self, kind: ValueKind, lu: Option<&str>) -> Vec<String>;
}

/// A cluster that knows nothing, for completion without a connection.
impl ValueSource for () {
    fn values(&self, _kind: ValueKind, _lu: Option<&str>) -> Vec<String> {
        Vec::new()
    }
}

/// One thing that could be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The text that replaces [`Completions::replace`].
    pub text: String,
    /// What it is, in a few words.
    pub about: String,
}

/// All that could be written at a place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Completions {
    /// The part of the text that a candidate replaces.
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

/// Where the statement begins that is being written at the end of `text`.
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

/// What stands before the cursor in its statement.
struct Before<'t> {
    /// Whole tokens, as written.
    tokens: Vec<&'t str>,
    /// The beginning of what is being written.
    prefix: &'t str,
    /// Whether the prefix is inside a string.
    in_string: bool,
    /// Where the prefix ends in the whole text.
    end: usize,
}

impl<'t> Before<'t> {
    fn read(text: &'t str, offset: usize) -> Self {
        let mut tokens = Vec::new();
        let mut walk = Tokens::new(text);
        let end = offset + text.len();
        loop {
            let place = walk.place_of_next();
            match walk.next() {
                Ok(token) if token.kind == TokenKind::End => break,
                Ok(token) if token.kind == TokenKind::Word && token.span.end == text.len() => {
                    let prefix = token.span.of(text);
                    return Self {
                        tokens,
                        prefix,
                        in_string: false,
                        end,
                    };
                }
                Ok(token) => tokens.push(token.span.of(text)),
                Err(unclosed) => {
                    let start = unclosed.span.start.max(place);
                    let quote = text[start..].chars().next().filter(|c| scan::is_quote(*c));
                    let prefix = quote.map_or("", |quote| &text[start + quote.len_utf8()..]);
                    return Self {
                        tokens,
                        prefix,
                        in_string: quote.is_some(),
                        end,
                    };
                }
            }
        }
        Self {
            tokens,
            prefix: "",
            in_string: false,
            end,
        }
    }
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
        let mut found = match spec.kind {
            CommandKind::Batch
            | CommandKind::Batchf
            | CommandKind::Migrate
            | CommandKind::Migratef => self.batch(spec, arguments),
            _ => self.other(spec, arguments),
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
        let fits = |spec: &&CommandSpec| !self.is_entity || ENTITY_COMMANDS.contains(&spec.kind);
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
        match option.takes {
            Takes::Boolean => {
                self.completions(["true", "false"].map(|value| candidate(value, "")).to_vec())
            }
            Takes::Name(list) => self.names(list),
            Takes::Misfire => self.names(&MISFIRE),
            Takes::Nodes => self.nodes(),
            Takes::Integer(..)
            | Takes::IntegerOrUnlimited(..)
            | Takes::Decimal(_)
            | Takes::Text
            | Takes::Schedule => self.completions(Vec::new()),
        }
    }

    fn names(&self, list: &NameList) -> Completions {
        let names = list
            .names
            .iter()
            .map(|name| candidate(&self.quoted(name), list.what));
        self.completions(names.collect())
    }

    /// Completes inside the string of a FABRIC_COMMAND as at the beginning of a statement.
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

    /// A list of nodes in one string: only the last of them is being written.
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

    fn batch(&self, spec: &CommandSpec, arguments: &[&str]) -> Completions {
        let is_batch = matches!(spec.kind, CommandKind::Batch | CommandKind::Batchf);
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
        next.push(if is_batch { fabric_command() } else { with() });
        self.completions(next)
    }

    fn other(&self, spec: &CommandSpec, arguments: &[&str]) -> Completions {
        let many = matches!(spec.kind, CommandKind::Get | CommandKind::Use);
        let at_place = arguments.is_empty() || (many && arguments.last() == Some(&","));
        let mut found = match spec.places {
            [place, ..] if at_place => self.place(*place),
            [_, ..] | [] => self.completions(Vec::new()),
        };
        let ends_name = matches!(arguments.last(), Some(&("." | ",")));
        let wants_place = at_place
            && matches!(
                spec.kind,
                CommandKind::Get | CommandKind::Use | CommandKind::SyncInstance
            );
        if self.before.in_string || ends_name || wants_place {
            return found;
        }
        let has_with = arguments
            .iter()
            .any(|argument| argument.eq_ignore_ascii_case("WITH"));
        let options = if spec.with == With::Required && !has_with {
            let worth_it = arguments.len() > 1 && !spec.options.is_empty();
            let with = worth_it.then(|| candidate("with", "options follow"));
            self.completions(with.into_iter().collect())
        } else {
            self.options(spec, arguments)
        };
        found.replace = options.replace;
        found.candidates.extend(options.candidates);
        found
    }

    fn place(&self, place: Place) -> Completions {
        match place {
            Place::Value(kind) => self.dynamic(kind, None),
            Place::Word(word) => self.completions(vec![candidate(word, "")]),
            Place::Words(words) => {
                self.completions(words.iter().map(|word| candidate(word, "")).collect())
            }
            Place::JobType => self.completions(
                JOB_TYPE
                    .names
                    .iter()
                    .map(|name| self.job_type(name))
                    .collect(),
            ),
            Place::Command => {
                let names = COMMANDS
                    .iter()
                    .map(|spec| candidate(spec.name, spec.summary));
                self.completions(names.collect())
            }
        }
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

    /// The options that were not given yet.
    fn options(&self, spec: &CommandSpec, arguments: &[&str]) -> Completions {
        let given = |option: &OptionSpec| {
            let is_it = |word: &&str| option.names().any(|name| name.eq_ignore_ascii_case(word));
            arguments.iter().any(is_it)
        };
        let left = spec.options.iter().filter(|option| !given(option));
        let left = left.map(|option| candidate(&format!("{}=", option.name), option.summary));
        self.completions(left.collect())
    }

    /// A value with the quotes that it still needs.
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

    /// Those that begin as the prefix does, written small if it is.
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

/// The command that the tokens begin with, and the tokens behind its name.
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
mod tests {
    use super::*;

    struct Cluster;

    impl ValueSource for Cluster {
        fn values(&self, kind: ValueKind, lu: Option<&str>) -> Vec<String> {
            let values: &[&str] = match kind {
                ValueKind::LogicalUnit => &["CRM", "Customer"],
                ValueKind::Interface => &["CRM_DB", "idsFile"],
                ValueKind::InstanceGroup if lu == Some("Customer") => &["ig10"],
                ValueKind::InstanceGroup => &[],
                ValueKind::BatchId => &["35408af6-b26a"],
                ValueKind::Node => &["10.21.2.102", "DC1"],
            };
            values.iter().map(|value| (*value).to_owned()).collect()
        }
    }

    /// `|` is the cursor; every expected text must be offered, and `!text` must not.
    fn check(marked: &str, replaced: &str, expected: &[&str]) {
        let cursor = marked.find('|').expect("the cursor is marked");
        let text = marked.replacen('|', "", 1);
        let completions = complete(&text, cursor, &Cluster);
        assert_eq!(completions.replace.of(&text), replaced, "{marked}");
        let offered: Vec<_> = completions
            .candidates
            .iter()
            .map(|candidate| candidate.text.as_str())
            .collect();
        for expected in expected {
            match expected.strip_prefix('!') {
                Some(unwanted) => assert!(!offered.contains(&unwanted), "{marked}: {offered:?}"),
                None => assert!(
                    offered.contains(expected),
                    "{marked}: {expected} in {offered:?}"
                ),
            }
        }
    }

    #[test]
    fn commands_are_offered_where_a_statement_begins() {
        check("|", "", &["BATCH", "LIST LU", "SET"]);
        check("BAT|", "BAT", &["BATCH", "BATCH_LIST", "!SET"]);
        check("bat|", "bat", &["batch", "batch_list"]);
        check("PS; cl|", "cl", &["clusterid", "clusterstatus"]);
        check("LIST |", "", &["LU", "INTERFACES"]);
        check("list in|", "in", &["interfaces", "instance_groups", "!lu"]);
        check("HELP BA|", "BA", &["BATCH"]);
        check("TRACE |", "", &["OPS", "global_scope", "jobExecutor"]);
        check("TRACE S|", "S", &["STATUS", "!OFF"]);
    }

    #[test]
    fn a_batch_is_led_from_word_to_word() {
        check("BATCH |", "", &["Customer", "CRM"]);
        check("BATCH cu|", "cu", &["Customer", "!CRM"]);
        check("BATCH Customer.|", "", &["ig10"]);
        check("BATCH Customer.i|", "i", &["ig10"]);
        check(
            "BATCH Customer |",
            "",
            &["FROM", "FABRIC_COMMAND=", "!with"],
        );
        check(
            "BATCH Customer FROM |",
            "",
            &["CRM_DB", "idsFile", "fabric"],
        );
        check("BATCH Customer FROM i|", "i", &["idsFile", "!CRM_DB"]);
        check(
            "BATCH Customer FROM idsFile |",
            "",
            &["USING ('", "FABRIC_COMMAND="],
        );
        check(
            "MIGRATE Customer |",
            "",
            &["FROM", "with", "!FABRIC_COMMAND="],
        );
        check(
            "BATCH Customer FABRIC_COMMAND=|",
            "",
            &["\"sync_instance Customer.?\""],
        );
        check(
            "BATCH Customer FABRIC_COMMAND=\"sy|",
            "sy",
            &["sync_instance", "!set"],
        );
        check(
            "BATCH Customer FABRIC_COMMAND=\"sync_instance |",
            "",
            &["Customer"],
        );
        check("BATCH Customer FABRIC_COMMAND='echo ?' |", "", &["with"]);
    }

    #[test]
    fn options_and_their_values_come_from_the_table() {
        let batch = "BATCH Customer FABRIC_COMMAND='echo ?' with ";
        check(&format!("{batch}|"), "", &["ASYNC=", "MAX_NODES="]);
        check(
            &format!("{batch}ASYNC=true A|"),
            "A",
            &["AFFINITY=", "!ASYNC=", "!MAX_NODES="],
        );
        check(&format!("{batch}ASYNC=|"), "", &["true", "false"]);
        check(
            &format!("{batch}AFFINITY=|"),
            "",
            &["'DC1'", "'10.21.2.102'"],
        );
        check(
            &format!("{batch}AFFINITY='DC1,10|"),
            "10",
            &["10.21.2.102", "!DC1"],
        );
        check("BATCH_LIST |", "", &["STATUS=", "FILTER="]);
        check("BATCH_LIST STATUS='D|", "D", &["DONE", "!NEW"]);
        check("BATCH_LIST STATUS=|", "", &["'DONE'"]);
        check("BATCH_INFO |", "", &["'35408af6-b26a'"]);
        check("BATCH_INFO '35|", "35", &["35408af6-b26a"]);
        check("GET Customer.1, |", "", &["CRM", "!STOP_ON_ERROR="]);
        check("JOBSTATUS us|", "us", &["user_job"]);
    }

    #[test]
    fn the_options_of_jobs_are_offered_with_their_values() {
        let start = "STARTJOB USER_JOB NAME='x' ";
        check(
            &format!("{start}|"),
            "",
            &["START_AT=", "TIME_ZONE=", "AFTER=", "!RESET_END_TIME="],
        );
        check(
            &format!("{start}RETRY_DELAY_MS=5 RETRY_|"),
            "RETRY_",
            &["RETRY_FACTOR=", "RETRY_MAX_DELAY_MS=", "!RETRY_DELAY_MS="],
        );
        check(
            "UPDATEJOB USER_JOB NAME='x' pa|",
            "pa",
            &["paused=", "!name="],
        );
        check(
            "STOPJOB USER_JOB NAME='x' |",
            "",
            &["UID=", "!PAUSED=", "!MAX_RUNS="],
        );
        check(
            &format!("{start}OVERLAP=|"),
            "",
            &["'SKIP'", "'QUEUE'", "'ALLOW'"],
        );
        check(&format!("{start}MISFIRE='S|"), "S", &["SKIP", "!ALL"]);
        check(&format!("{start}RELOCATE=|"), "", &["true", "false"]);
        check("JOBH|", "JOBH", &["JOBHISTORY", "!JOBSTATUS"]);
        check("JOBHISTORY h|", "h", &["http"]);
        check("JOBHISTORY HTTP 'x' |", "", &["UID=", "LIMIT="]);
        check("PS a|", "a", &["all"]);
    }

    #[test]
    fn the_cursor_may_be_anywhere() {
        let text = "BATCH Customer FROM idsFile USING ('é\u{2019}') FABRIC_COMMAND=\"echo ?\" with AFFINITY='DC1'; /*";
        for cursor in 0..=text.len() + 1 {
            complete(text, cursor, &Cluster);
        }
    }
}
