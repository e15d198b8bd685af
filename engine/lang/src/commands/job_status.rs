//! JOBSTATUS.

use std::fmt::{self, Display, Formatter};

use super::given::GivenOptions;
use super::{CommandSpec, Operand, OptionTable, With, Word, job_type};
use crate::ast::{Command, JobFilter};
use crate::cursor::Cursor;
use crate::diagnostic::Diagnostic;
use crate::lexer::TokenKind;
use crate::options::{OptionSpec, ValueType};
use crate::print::{Name, Quoted};
use crate::span::{Span, Spanned};

pub(super) static JOBSTATUS: CommandSpec = CommandSpec {
    name: "JOBSTATUS",
    summary: "lists jobs; without arguments, those that are not archived",
    syntax: &[
        "JOBSTATUS",
        "JOBSTATUS <n> days ago",
        "JOBSTATUS <type>",
        "JOBSTATUS <type> '<name>' [with UID='<uid>']",
    ],
    example: "JOBSTATUS PROCESS 'sync_first.sh' with UID='1_2';",
    operand: Operand::Optional(Word::JobType),
    with: With::Required,
    option_table: OptionTable::of_one(&[
        OptionSpec::new("UID", ValueType::Text).summary("Only the job with this UID.")
    ]),
    parse,
    ..job_type::JOBS
};

fn parse(cursor: &mut Cursor<'_>, spec: &'static CommandSpec) -> Result<Command, Diagnostic> {
    if cursor.at_end()? {
        return Ok(Command::JobStatus(JobFilter::Active));
    }
    if let Some(word) = cursor.peek_word()?
        && word.chars().all(|c| c.is_ascii_digit())
    {
        return days_ago(cursor);
    }
    let job_type = job_type::parse(cursor)?;
    if cursor.at_end()? {
        return Ok(Command::JobStatus(JobFilter::Type(job_type)));
    }
    let name = job_type::job_name(cursor, spec)?;
    let options = GivenOptions::parse(cursor, spec)?;
    Ok(Command::JobStatus(JobFilter::Name {
        job_type,
        name,
        uid: options.get("UID"),
    }))
}

/// `2 days ago`. Fabric's language has the plural for one day as well.
fn days_ago(cursor: &mut Cursor<'_>) -> Result<Command, Diagnostic> {
    let number = cursor.next()?.span;
    let Ok(days) = number.of(cursor.text()).parse::<u32>() else {
        return Err(Diagnostic::new("the number of days is too large", number));
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
    let days = Spanned::new(days, number);
    Ok(Command::JobStatus(JobFilter::DaysAgo(days)))
}

pub(super) fn print(f: &mut Formatter<'_>, filter: &JobFilter) -> fmt::Result {
    match filter {
        JobFilter::Active => Ok(()),
        JobFilter::DaysAgo(days) => write!(f, " {days} days ago"),
        JobFilter::Type(job_type) => write!(f, " {}", JobType(&job_type.value)),
        JobFilter::Name {
            job_type,
            name,
            uid,
        } => {
            write!(f, " {} {name}", JobType(&job_type.value))?;
            print_uid(f, uid)
        }
    }
}

/// ` with UID='…'`, if it was given.
pub(super) fn print_uid(f: &mut Formatter<'_>, uid: &Option<Spanned<String>>) -> fmt::Result {
    match uid {
        Some(uid) => write!(f, " with UID={}", Quoted(&uid.value)),
        None => Ok(()),
    }
}

/// A type, quoted if it begins with a digit, because it would be read as a number of days.
struct JobType<'a>(&'a str);

impl Display for JobType<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0.starts_with(|c: char| c.is_ascii_digit()) {
            true => Quoted(self.0).fmt(f),
            false => Name(self.0).fmt(f),
        }
    }
}
