//! Jobs and tasks.

use super::cursor::Cursor;
use super::options::Options;
use crate::ast::{Command, JobCommand, JobFilter, JobPolicyOptions, JobVerb, Text};
use crate::diagnostic::Diagnostic;
use crate::keywords::{CommandKind, CommandSpec};
use crate::lexer::TokenKind;
use crate::names::JOB_TYPE;
use crate::span::{Span, Spanned};

/// The one type of job that is about an instance instead of a name.
const REPUBLISH: &str = "cdc_republish_instance_job";

pub(super) fn job(
    cursor: &mut Cursor<'_>,
    spec: &'static CommandSpec,
) -> Result<Command, Diagnostic> {
    let verb = match spec.kind {
        CommandKind::StopJob => JobVerb::Stop,
        CommandKind::RestartJob => JobVerb::Restart,
        CommandKind::ResumeJob => JobVerb::Resume,
        CommandKind::UpdateJob => JobVerb::Update,
        _ => JobVerb::Start,
    };
    if cursor.is_option()? {
        return Err(cursor
            .unexpected(&["a job type"])?
            .hint(format!("write `{} USER_JOB NAME='…'`", spec.name)));
    }
    let job_type = job_type(cursor)?;
    let wants_target = verb == JobVerb::Start && job_type.value.eq_ignore_ascii_case(REPUBLISH);
    let target = match wants_target && !cursor.at_end()? && !cursor.is_option()? {
        true => Some(cursor.literal("an instance")?),
        false => None,
    };
    let options = Options::parse(cursor, spec)?;
    let name = options.text("NAME");
    if name.is_none() && target.is_none() {
        let end = cursor.peek()?.span;
        let message = format!("{} needs the job's NAME", spec.name);
        return Err(Diagnostic::new(message, end)
            .expecting(["NAME"])
            .hint("write `NAME='…'`"));
    }
    let is_start = verb == JobVerb::Start;
    let is_change = is_start || verb == JobVerb::Update;
    let text = |name, has_it: bool| if has_it { options.text(name) } else { None };
    Ok(Command::Job(Box::new(JobCommand {
        verb,
        job_type,
        target,
        name,
        uid: options.text("UID"),
        affinity: text("AFFINITY", is_change),
        args: text("ARGS", is_change),
        exec_interval: text("EXEC_INTERVAL", is_change),
        reset_end_time: if verb == JobVerb::Update {
            options.boolean("RESET_END_TIME")
        } else {
            None
        },
        policy: if is_change {
            policy(&options)
        } else {
            JobPolicyOptions::default()
        },
        tables: text("TABLES", is_start),
    })))
}

fn policy(options: &Options) -> JobPolicyOptions {
    JobPolicyOptions {
        start_at: options.text("START_AT"),
        end_at: options.text("END_AT"),
        time_zone: options.text("TIME_ZONE"),
        misfire: options.text("MISFIRE"),
        overlap: options.text("OVERLAP"),
        max_runs: options.count("MAX_RUNS"),
        jitter_ms: options.count("JITTER_MS"),
        max_attempts: options.integer("MAX_ATTEMPTS"),
        retry_delay_ms: options.count("RETRY_DELAY_MS"),
        retry_factor: options.text("RETRY_FACTOR"),
        retry_max_delay_ms: options.count("RETRY_MAX_DELAY_MS"),
        timeout_ms: options.count("TIMEOUT_MS"),
        relocate: options.boolean("RELOCATE"),
        paused: options.boolean("PAUSED"),
        after: options.text("AFTER"),
    }
}

/// A job type; one that has a blank in it may stand bare as two words.
fn job_type(cursor: &mut Cursor<'_>) -> Result<Spanned<String>, Diagnostic> {
    let is_bare = cursor.peek_word()?.is_some();
    let first = cursor.bare_until("a job type", ' ')?;
    if !is_bare || cursor.peek_word()?.is_none() || cursor.is_option()? {
        return Ok(first);
    }
    let mut look = cursor.clone();
    let second = look.bare_until("a word", ' ')?;
    let both = format!("{} {}", first.value, second.value);
    let mut names = JOB_TYPE.names.iter();
    if !names.any(|name| name.eq_ignore_ascii_case(&both)) {
        return Ok(first);
    }
    *cursor = look;
    Ok(Spanned::new(both, first.span.to(second.span)))
}

/// The name behind a job type.
fn job_name(
    cursor: &mut Cursor<'_>,
    spec: &'static CommandSpec,
) -> Result<Spanned<Text>, Diagnostic> {
    if cursor.at_end()? || cursor.is_word("WITH")? || cursor.is_option()? {
        return Err(cursor.unexpected(&["a job name"])?.hint(format!(
            "write `{} <type> '<name>' WITH UID='<uid>'`",
            spec.name
        )));
    }
    cursor.value("a job name")
}

pub(super) fn status(
    cursor: &mut Cursor<'_>,
    spec: &'static CommandSpec,
) -> Result<Command, Diagnostic> {
    if cursor.at_end()? {
        return Ok(Command::JobStatus(JobFilter::Active));
    }
    if let Some(word) = cursor.peek_word()?
        && word.chars().all(|c| c.is_ascii_digit())
    {
        return days_ago(cursor);
    }
    let job_type = job_type(cursor)?;
    if cursor.at_end()? {
        return Ok(Command::JobStatus(JobFilter::Type(job_type)));
    }
    let name = job_name(cursor, spec)?;
    let options = Options::parse(cursor, spec)?;
    Ok(Command::JobStatus(JobFilter::Name {
        job_type,
        name,
        uid: options.text("UID"),
    }))
}

pub(super) fn history(
    cursor: &mut Cursor<'_>,
    spec: &'static CommandSpec,
) -> Result<Command, Diagnostic> {
    if cursor.is_option()? {
        return Err(cursor
            .unexpected(&["a job type"])?
            .hint("write `JOBHISTORY USER_JOB '<name>'`"));
    }
    let job_type = job_type(cursor)?;
    let name = job_name(cursor, spec)?;
    let options = Options::parse(cursor, spec)?;
    Ok(Command::JobHistory {
        job_type,
        name,
        uid: options.text("UID"),
        limit: options.count("LIMIT"),
    })
}

/// `2 days ago`; the plural is part of the language, even for one day.
fn days_ago(cursor: &mut Cursor<'_>) -> Result<Command, Diagnostic> {
    let number = cursor.next()?.span;
    let Ok(days) = number.of(cursor.text()).parse::<u32>() else {
        return Err(Diagnostic::new("that many days never were", number));
    };
    let unit = cursor.peek()?;
    if cursor.accept_word("DAYS")?.is_none() {
        let span = if unit.kind == TokenKind::Word {
            unit.span
        } else {
            Span::at(number.end)
        };
        return Err(Diagnostic::new("JOBSTATUS counts in `days ago`", span)
            .hint(format!("write `JOBSTATUS {days} days ago`")));
    }
    cursor.expect_word("AGO")?;
    Ok(Command::JobStatus(JobFilter::DaysAgo(Spanned::new(
        days, number,
    ))))
}

pub(super) fn ps(cursor: &mut Cursor<'_>) -> Result<Command, Diagnostic> {
    if cursor.at_end()? {
        return Ok(Command::Ps {
            all: false,
            task: None,
        });
    }
    if cursor.accept_word("ALL")?.is_some() {
        return Ok(Command::Ps {
            all: true,
            task: None,
        });
    }
    let task = cursor.value("a task id")?;
    Ok(Command::Ps {
        all: false,
        task: Some(task),
    })
}
