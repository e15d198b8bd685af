//! JOBHISTORY.

use std::fmt::{self, Formatter};

use super::given::GivenOptions;
use super::job_status::print_uid;
use super::{CommandSpec, OptionTable, job_type};
use crate::ast::{Command, Text};
use crate::cursor::Cursor;
use crate::diagnostic::Diagnostic;
use crate::options::{OptionSpec, ValueType};
use crate::print::{self, Name};
use crate::span::Spanned;

pub(super) static JOBHISTORY: CommandSpec = CommandSpec {
    name: "JOBHISTORY",
    summary: "lists the runs of a job, the latest first",
    syntax: &["JOBHISTORY <type> '<name>' [with UID='<uid>'] [LIMIT=<n>]"],
    example: "JOBHISTORY PROCESS 'sync_first.sh' with UID='1_2' LIMIT=20;",
    option_table: OptionTable::of_one(&[
        OptionSpec::new("UID", ValueType::Text).summary("Only the job with this UID."),
        OptionSpec::new("LIMIT", ValueType::Integer(1, u32::MAX as i64))
            .summary("Maximum number of runs.")
            .equals_optional(),
    ]),
    parse,
    ..job_type::JOBS
};

fn parse(cursor: &mut Cursor<'_>, spec: &'static CommandSpec) -> Result<Command, Diagnostic> {
    if cursor.is_option()? {
        return Err(cursor
            .unexpected(&["a job type"])?
            .hint("write `JOBHISTORY USER_JOB '<name>'`"));
    }
    let job_type = job_type::parse(cursor)?;
    let name = job_type::job_name(cursor, spec)?;
    let options = GivenOptions::parse(cursor, spec)?;
    Ok(Command::JobHistory {
        job_type,
        name,
        uid: options.get("UID"),
        limit: options.get("LIMIT"),
    })
}

pub(super) fn print(
    f: &mut Formatter<'_>,
    job_type: &Spanned<String>,
    name: &Spanned<Text>,
    uid: &Option<Spanned<String>>,
    limit: &Option<Spanned<u64>>,
) -> fmt::Result {
    write!(f, " {} {name}", Name(&job_type.value))?;
    print_uid(f, uid)?;
    print::option(f, "LIMIT", limit)
}
