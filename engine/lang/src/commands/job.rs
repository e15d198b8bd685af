//! STARTJOB, STOPJOB, RESTARTJOB, RESUMEJOB and UPDATEJOB.

use std::fmt::{self, Formatter};

use super::given::GivenOptions;
use super::{CommandSpec, OptionTable, job_type};
use crate::ast::{Command, JobCommand, JobVerb};
use crate::cursor::Cursor;
use crate::diagnostic::Diagnostic;
use crate::options::JobOptions;
use crate::print::{self, Booleans, Name, Quoted};

const FAMILY: CommandSpec = CommandSpec {
    option_table: OptionTable::shared("Job options", JobOptions::TABLE),
    ..job_type::JOBS
};

pub(super) static STARTJOB: CommandSpec = CommandSpec {
    name: "STARTJOB",
    summary: "starts a job, once or on a schedule",
    syntax: &[
        "STARTJOB <type> NAME='<name>' [UID='<uid>'] [AFFINITY='<nodes>'] [ARGS='<json>'] [EXEC_INTERVAL='<schedule>'] [<options>]",
        "STARTJOB cdc_republish_instance_job <LU>.<id> [TABLES='<table>,<table>'] ARGS='{\"sink\":…}' [<options>]",
    ],
    example: "STARTJOB PROCESS NAME='sync_first.sh' UID='1_2' ARGS='{\"0\":\"100\"}' EXEC_INTERVAL='0 2 * * *' TIME_ZONE='Europe/Berlin';",
    parse: |cursor, spec| parse(cursor, spec, JobVerb::Start),
    ..FAMILY
};

pub(super) static STOPJOB: CommandSpec = CommandSpec {
    name: "STOPJOB",
    summary: "stops the jobs of a type and name; with UID, one of them",
    syntax: &["STOPJOB <type> NAME='<name>' [UID='<uid>']"],
    example: "STOPJOB PROCESS NAME='sync_first.sh' UID='1_2';",
    parse: |cursor, spec| parse(cursor, spec, JobVerb::Stop),
    ..FAMILY
};

pub(super) static RESTARTJOB: CommandSpec = CommandSpec {
    name: "RESTARTJOB",
    summary: "stops the jobs of a type and name and runs them again; with UID, one of them",
    syntax: &["RESTARTJOB <type> NAME='<name>' [UID='<uid>']"],
    example: "RESTARTJOB PROCESS NAME='sync_first.sh' UID='1_2';",
    parse: |cursor, spec| parse(cursor, spec, JobVerb::Restart),
    ..FAMILY
};

pub(super) static RESUMEJOB: CommandSpec = CommandSpec {
    name: "RESUMEJOB",
    summary: "resumes the archived jobs of a type and name; with UID, one of them",
    syntax: &["RESUMEJOB <type> NAME='<name>' [UID='<uid>']"],
    example: "RESUMEJOB PROCESS NAME='sync_first.sh' UID='1_2';",
    parse: |cursor, spec| parse(cursor, spec, JobVerb::Resume),
    ..FAMILY
};

pub(super) static UPDATEJOB: CommandSpec = CommandSpec {
    name: "UPDATEJOB",
    summary: "changes the given options of the jobs of a type and name, and keeps the others; with UID, of one of them",
    syntax: &[
        "UPDATEJOB <type> NAME='<name>' [UID='<uid>'] [AFFINITY='<nodes>'] [ARGS='<json>'] [EXEC_INTERVAL='<schedule>'] [RESET_END_TIME=true|false] [<options>]",
    ],
    example: "UPDATEJOB PROCESS NAME='sync_first.sh' UID='1_2' EXEC_INTERVAL='30 4-16/3 5 11 *' RESET_END_TIME=true;",
    parse: |cursor, spec| parse(cursor, spec, JobVerb::Update),
    ..FAMILY
};

/// The only type of job that names an instance instead of a job.
const REPUBLISH: &str = "cdc_republish_instance_job";

fn parse(
    cursor: &mut Cursor<'_>,
    spec: &'static CommandSpec,
    verb: JobVerb,
) -> Result<Command, Diagnostic> {
    if cursor.is_option()? {
        return Err(cursor
            .unexpected(&["a job type"])?
            .hint(format!("write `{} USER_JOB NAME='…'`", spec.name)));
    }
    let job_type = job_type::parse(cursor)?;
    let takes_target = verb == JobVerb::Start && job_type.value.eq_ignore_ascii_case(REPUBLISH);
    let target = match takes_target && !cursor.at_end()? && !cursor.is_option()? {
        true => Some(cursor.literal("an instance")?),
        false => None,
    };
    let given = GivenOptions::parse(cursor, spec)?;
    let options = JobOptions::collect(|name| given.value(name));
    if options.name.is_none() && target.is_none() {
        let end = cursor.peek()?.span;
        let message = format!("{} needs the job's NAME", spec.name);
        return Err(Diagnostic::new(message, end)
            .expecting(["NAME"])
            .hint("write `NAME='…'`"));
    }
    Ok(Command::Job(Box::new(JobCommand {
        verb,
        job_type,
        target,
        options,
    })))
}

pub(super) fn print(f: &mut Formatter<'_>, job: &JobCommand) -> fmt::Result {
    let JobCommand {
        verb: _,
        job_type,
        target,
        options,
    } = job;
    write!(f, " {}", Name(&job_type.value))?;
    print::argument(
        f,
        target.as_ref().map(|target| Quoted(&target.value)).as_ref(),
    )?;
    print::options(f, options.given(), Booleans::Bare)
}
