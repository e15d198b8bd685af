//! Triggers: the option AFTER starts runs at the ends of other jobs.
//!
//! `PROCESS load.sh SUCCEEDED AND USER_JOB 'C.check' c1 ENDED +00:05:00; PROCESS load.sh FAILED OFF` are two triggers.
//! Each starts runs independently. A trigger with several conditions waits for all of them.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use weft_lang::names::JOB_TYPE;

use crate::{JobKey, job_type};

/// The most triggers of a job, and the most conditions of a trigger.
const MAX_ITEMS: usize = 32;
/// The longest delay: ten years.
const LONGEST_DELAY_S: i64 = 3_650 * 86_400;
const AND: &str = "AND";
const OFF: &str = "OFF";

/// Starts a run of a job when its conditions are met.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Trigger {
    /// The conditions, at least one. All of them have to be met.
    pub conditions: Vec<Condition>,
    /// The delay of the run after the last condition is met, in seconds.
    pub delay_s: i64,
    /// Whether it starts runs. A disabled trigger is kept.
    pub enabled: bool,
}

/// A condition: the end of a run of another job.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Condition {
    /// The stored job type.
    pub job_type: String,
    /// The name of the job.
    pub name: String,
    /// The uid of the job; none = every job with the name.
    pub uid: Option<String>,
    /// The required outcome of the run.
    pub outcome: RunOutcome,
}

/// The outcome of a run after all its retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RunOutcome {
    /// The run succeeded.
    Succeeded,
    /// The run failed and had no retry left.
    Failed,
    /// Either of the two. A stopped run does not count as ended.
    Ended,
}

/// Why a text is not a list of triggers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TriggerError(String);

impl Condition {
    /// Whether the end of a run of this job meets the condition.
    pub fn is_met_by(&self, key: &JobKey, outcome: RunOutcome) -> bool {
        self.is_about(key) && (self.outcome == RunOutcome::Ended || self.outcome == outcome)
    }

    /// Whether the condition is about this job, regardless of the outcome.
    pub fn is_about(&self, key: &JobKey) -> bool {
        self.job_type == key.job_type
            && self.name == key.name
            && self.uid.as_ref().is_none_or(|uid| *uid == key.uid)
    }

    /// The condition as a clause: `PROCESS load.sh has succeeded`.
    pub fn in_words(&self) -> String {
        let outcome = match self.outcome {
            RunOutcome::Succeeded => "succeeded",
            RunOutcome::Failed => "failed",
            RunOutcome::Ended => "ended",
        };
        format!("{} has {outcome}", self.job())
    }

    /// The job of the condition: `PROCESS load.sh` or `PROCESS load.sh u1`.
    pub fn job(&self) -> String {
        match &self.uid {
            Some(uid) => format!("{} {} {uid}", self.job_type, self.name),
            None => format!("{} {}", self.job_type, self.name),
        }
    }
}

impl Trigger {
    /// Parses a list of triggers, which may be empty.
    ///
    /// # Errors
    /// A sentence that names the wrong part and what is expected there.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, TriggerError> {
        let tokens = tokens(text)?;
        let mut triggers = Vec::new();
        for group in tokens.split(|token| *token == Token::Semicolon) {
            if group.is_empty() {
                continue;
            }
            let trigger = Parser(group).trigger()?;
            if triggers.contains(&trigger) {
                return refused(format!("`{trigger}` is listed twice"));
            }
            triggers.push(trigger);
        }
        if triggers.len() > MAX_ITEMS {
            return refused(format!("a job has at most {MAX_ITEMS} triggers"));
        }
        Ok(triggers)
    }

    /// Writes triggers as [`parse_all`](Self::parse_all) parses them.
    pub fn write_all(triggers: &[Self]) -> String {
        let texts: Vec<String> = triggers.iter().map(ToString::to_string).collect();
        texts.join("; ")
    }

    /// Describes the trigger for users: `when PROCESS load.sh has succeeded, 00:05:00 later`.
    pub fn in_words(&self) -> String {
        let conditions: Vec<String> = self.conditions.iter().map(Condition::in_words).collect();
        let mut words = format!("when {}", conditions.join(" and "));
        if self.delay_s > 0 {
            words.push_str(&format!(", {} later", duration(self.delay_s)));
        }
        if !self.enabled {
            words.push_str(" (switched off)");
        }
        words
    }
}

fn refused<T>(message: impl Into<String>) -> Result<T, TriggerError> {
    Err(TriggerError(message.into()))
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Quoted(String),
    Semicolon,
}

impl Token {
    fn text(&self) -> &str {
        match self {
            Self::Word(text) | Self::Quoted(text) => text,
            Self::Semicolon => ";",
        }
    }

    fn is(&self, word: &str) -> bool {
        matches!(self, Self::Word(text) if text.eq_ignore_ascii_case(word))
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, TriggerError> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        rest = match first {
            ';' => {
                tokens.push(Token::Semicolon);
                &rest[1..]
            }
            '\'' | '"' => {
                let (quoted, behind) = quoted(rest, first)?;
                tokens.push(Token::Quoted(quoted));
                behind
            }
            _ => {
                let end = rest.find(|c: char| c.is_whitespace() || c == ';');
                let (word, behind) = rest.split_at(end.unwrap_or(rest.len()));
                tokens.push(Token::Word(word.to_owned()));
                behind
            }
        }
        .trim_start();
    }
    Ok(tokens)
}

/// Parses a quoted text, in which a doubled quote stands for one, and returns the rest behind it.
fn quoted(text: &str, quote: char) -> Result<(String, &str), TriggerError> {
    let mut inside = String::new();
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        if character != quote {
            inside.push(character);
        } else if characters.next_if(|(_, next)| *next == quote).is_some() {
            inside.push(quote);
        } else {
            return Ok((inside, &text[at + quote.len_utf8()..]));
        }
    }
    refused(format!("the quote in front of `{inside}` is not closed"))
}

struct Parser<'t>(&'t [Token]);

impl<'t> Parser<'t> {
    fn next(&mut self) -> Option<&'t Token> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    fn accept(&mut self, word: &str) -> bool {
        let is_there = self.0.first().is_some_and(|token| token.is(word));
        if is_there {
            self.0 = &self.0[1..];
        }
        is_there
    }

    fn trigger(&mut self) -> Result<Trigger, TriggerError> {
        let mut conditions = vec![self.condition()?];
        while self.accept(AND) {
            conditions.push(self.condition()?);
        }
        let distinct: BTreeSet<&Condition> = conditions.iter().collect();
        if distinct.len() < conditions.len() {
            return refused("one of the conditions is listed twice");
        }
        if conditions.len() > MAX_ITEMS {
            return refused(format!("a trigger has at most {MAX_ITEMS} conditions"));
        }
        let delay_s = match self.0.first() {
            Some(Token::Word(text)) if text.starts_with('+') => {
                self.next();
                delay(text)?
            }
            _ => 0,
        };
        let enabled = !self.accept(OFF);
        match self.next() {
            None => Ok(Trigger {
                conditions,
                delay_s,
                enabled,
            }),
            Some(token) => refused(format!(
                "`{}` is not expected here: write AND, +HH:MM:SS, OFF or `;`",
                token.text()
            )),
        }
    }

    fn condition(&mut self) -> Result<Condition, TriggerError> {
        const FORM: &str = "<type> <name> [<uid>] SUCCEEDED|FAILED|ENDED";
        let missing = || refused(format!("expected {FORM}"));
        let (Some(written), Some(name)) = (self.next(), self.next()) else {
            return missing();
        };
        let Some(canonical) = JOB_TYPE.canonical(written.text()) else {
            return refused(format!(
                "`{}` is not a job type; expected {FORM}",
                written.text()
            ));
        };
        if canonical == job_type::BATCH_PROCESS {
            return refused(
                "the job of one batch starts nothing; name the BATCH_SCHEDULE that submits it",
            );
        }
        if name.text().is_empty() {
            return refused("the name of a job is empty");
        }
        let Some(token) = self.next() else {
            return missing();
        };
        let (uid, outcome) = match outcome(token) {
            Some(outcome) => (None, Some(outcome)),
            None => (Some(token.text().to_owned()), self.next().and_then(outcome)),
        };
        let Some(outcome) = outcome else {
            return refused(format!(
                "`{} {}` needs SUCCEEDED, FAILED or ENDED behind it",
                written.text(),
                name.text()
            ));
        };
        Ok(Condition {
            job_type: canonical.to_owned(),
            name: name.text().to_owned(),
            uid,
            outcome,
        })
    }
}

fn outcome(token: &Token) -> Option<RunOutcome> {
    let words = [
        ("SUCCEEDED", RunOutcome::Succeeded),
        ("FAILED", RunOutcome::Failed),
        ("ENDED", RunOutcome::Ended),
    ];
    let found = words.iter().find(|(word, _)| token.is(word));
    found.map(|(_, outcome)| *outcome)
}

/// `+HH:MM:SS` or `+D.HH:MM:SS`, in seconds.
fn delay(text: &str) -> Result<i64, TriggerError> {
    let wrong = || {
        TriggerError(format!(
            "`{text}` is not a delay: write +HH:MM:SS or +D.HH:MM:SS"
        ))
    };
    let written = text.strip_prefix('+').ok_or_else(wrong)?;
    let (days, time) = written.split_once('.').unwrap_or(("0", written));
    let mut seconds: i64 = number(days, 3_650).ok_or_else(wrong)?;
    let parts: Vec<&str> = time.split(':').collect();
    if parts.len() != 3 {
        return Err(wrong());
    }
    for (part, (limit, factor)) in parts.iter().zip([(23, 24), (59, 60), (59, 60)]) {
        let part = number(part, limit).ok_or_else(wrong)?;
        seconds = seconds * factor + part;
    }
    if seconds > LONGEST_DELAY_S {
        return Err(wrong());
    }
    Ok(seconds)
}

fn number(text: &str, most: i64) -> Option<i64> {
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number: i64 = text.parse().ok().filter(|_| is_digits)?;
    (number <= most).then_some(number)
}

fn duration(seconds: i64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let time = format!("{:02}:{:02}:{:02}", rest / 3_600, rest / 60 % 60, rest % 60);
    match days {
        0 => time,
        days => format!("{days}.{time}"),
    }
}

impl fmt::Display for RunOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Ended => "ENDED",
        })
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.job_type, Word(&self.name))?;
        if let Some(uid) = &self.uid {
            write!(f, "{} ", Word(uid))?;
        }
        self.outcome.fmt(f)
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, condition) in self.conditions.iter().enumerate() {
            if number > 0 {
                write!(f, " {AND} ")?;
            }
            condition.fmt(f)?;
        }
        if self.delay_s > 0 {
            write!(f, " +{}", duration(self.delay_s))?;
        }
        if !self.enabled {
            write!(f, " {OFF}")?;
        }
        Ok(())
    }
}

/// A name or a uid, in quotes if it would be parsed as something else without them.
struct Word<'t>(&'t str);

impl fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_plain = |c: char| !c.is_whitespace() && !matches!(c, ';' | '\'' | '"');
        let as_word = Token::Word(self.0.to_owned());
        let reads_otherwise = self.0.is_empty() || outcome(&as_word).is_some();
        if self.0.chars().all(is_plain) && !reads_otherwise {
            f.write_str(self.0)
        } else {
            write!(f, "'{}'", self.0.replace('\'', "''"))
        }
    }
}

impl FromStr for Trigger {
    type Err = TriggerError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut triggers = Self::parse_all(text)?;
        match (triggers.pop(), triggers.is_empty()) {
            (Some(trigger), true) => Ok(trigger),
            _ => refused("expected one trigger"),
        }
    }
}

impl TryFrom<String> for Trigger {
    type Error = TriggerError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Trigger> for String {
    fn from(trigger: Trigger) -> Self {
        trigger.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: &str) {
        let triggers = Trigger::parse_all(text).unwrap();
        assert_eq!(Trigger::write_all(&triggers), expected, "{text}");
        assert_eq!(Trigger::parse_all(expected).unwrap(), triggers, "{text}");
    }

    #[test]
    fn triggers_are_read_in_any_case_and_written_in_one_way() {
        check("", "");
        check(" ; ", "");
        check("process load.sh succeeded", "PROCESS load.sh SUCCEEDED");
        check("USERJOB C.f u1 ended off", "USER_JOB C.f u1 ENDED OFF");
        check(
            "PROCESS a.sh FAILED +00:05:00;PROCESS b.sh ENDED and PROCESS c.sh SUCCEEDED +1.00:00:01 OFF",
            "PROCESS a.sh FAILED +00:05:00; PROCESS b.sh ENDED AND PROCESS c.sh SUCCEEDED +1.00:00:01 OFF",
        );
        check(
            r#"PROCESS 'it''s; "x".sh' "failed" FAILED"#,
            r#"PROCESS 'it''s; "x".sh' 'failed' FAILED"#,
        );
        check("PROCESS a.sh ENDED +00:00:00", "PROCESS a.sh ENDED");
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_what_was_expected() {
        let check = |text: &str, expected: &str| {
            let error = Trigger::parse_all(text).unwrap_err();
            assert!(error.to_string().contains(expected), "{text}: {error}");
        };
        check("PROCESS", "expected <type> <name>");
        check("PROCESS a.sh", "expected <type> <name>");
        check("PROCESS a.sh u", "needs SUCCEEDED, FAILED or ENDED");
        check("PROCES a.sh ENDED", "`PROCES` is not a job type");
        check("PROCESS a.sh ENDED +5", "`+5` is not a delay");
        check("PROCESS a.sh ENDED +24:00:00", "is not a delay");
        check("PROCESS a.sh ENDED +99999.00:00:00", "is not a delay");
        check("PROCESS a.sh ENDED later", "`later` is not expected here");
        check("PROCESS 'a.sh ENDED", "is not closed");
        check("PROCESS '' ENDED", "is empty");
        check("PROCESS a.sh ENDED AND PROCESS a.sh ENDED", "listed twice");
        check("PROCESS a.sh ENDED; PROCESS a.sh ENDED", "listed twice");
        check("'BATCH PROCESS' x ENDED", "BATCH_SCHEDULE");
    }

    #[test]
    fn a_condition_without_a_uid_is_about_every_job_of_the_name() {
        let key = |uid: &str| JobKey {
            job_type: "PROCESS".to_owned(),
            name: "a.sh".to_owned(),
            uid: uid.to_owned(),
        };
        let is_met = |text: &str, uid: &str, outcome| {
            let trigger: Trigger = text.parse().unwrap();
            trigger.conditions[0].is_met_by(&key(uid), outcome)
        };
        assert!(is_met("PROCESS a.sh SUCCEEDED", "1", RunOutcome::Succeeded));
        assert!(!is_met("PROCESS a.sh SUCCEEDED", "1", RunOutcome::Failed));
        assert!(is_met("PROCESS a.sh 1 ENDED", "1", RunOutcome::Failed));
        assert!(!is_met("PROCESS a.sh 1 ENDED", "2", RunOutcome::Failed));
        assert!(!is_met("PROCESS b.sh ENDED", "1", RunOutcome::Failed));
        assert!(!is_met("USER_JOB a.sh ENDED", "1", RunOutcome::Failed));
    }

    #[test]
    fn triggers_are_described_in_words() {
        let trigger: Trigger = "PROCESS a.sh ENDED AND PROCESS b.sh u FAILED +00:05:00 OFF"
            .parse()
            .unwrap();
        assert_eq!(
            trigger.in_words(),
            "when PROCESS a.sh has ended and PROCESS b.sh u has failed, 00:05:00 later (switched off)"
        );
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read_again(
            name in ".{1,12}", uid in proptest::option::of(".{0,8}"), delay_s in 0..LONGEST_DELAY_S, enabled: bool,
        ) {
            let condition = Condition { job_type: "PROCESS".to_owned(), name, uid, outcome: RunOutcome::Failed };
            let trigger = Trigger { conditions: vec![condition], delay_s, enabled };
            prop_assert_eq!(trigger.to_string().parse::<Trigger>().unwrap(), trigger);
        }

        #[test]
        fn no_text_is_too_much(text in ".{0,80}") {
            if let Ok(triggers) = Trigger::parse_all(&text) {
                let written = Trigger::write_all(&triggers);
                prop_assert_eq!(Trigger::parse_all(&written).unwrap(), triggers);
            }
        }
    }
}
