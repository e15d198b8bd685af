//! HELP and the generated documentation.

use std::fmt::Write;

use crate::job_types::{JOB_TYPES, JobType};
use crate::keywords::{COMMANDS, Chapter, CommandSpec, OptionSpec, Takes};

/// Name and summary of every command, by chapter, for HELP without a topic.
pub fn overview() -> Vec<(&'static str, &'static str)> {
    COMMANDS
        .iter()
        .map(|spec| (spec.name, spec.summary))
        .collect()
}

/// The text of HELP for one command: description, syntax, options, one example.
pub fn describe(spec: &CommandSpec) -> String {
    let mut out = format!("{} {}\n", spec.name, spec.summary);
    if !spec.available {
        out.push_str("It is known but not available in this version.\n");
    }
    if !spec.aliases.is_empty() {
        put(
            &mut out,
            format_args!("Also written {}.\n", spec.aliases.join(", ")),
        );
    }
    out.push_str("\nSyntax:\n");
    for line in spec.syntax {
        put(&mut out, format_args!("  {line}\n"));
    }
    if !spec.options.is_empty() {
        out.push_str("\nOptions:\n");
    }
    for option in spec.options {
        put(
            &mut out,
            format_args!(
                "  {}={}  {}\n",
                option.name,
                option.takes.form(),
                sentence(option)
            ),
        );
    }
    put(&mut out, format_args!("\nExample:\n  {}\n", spec.example));
    out
}

/// The text of HELP for a type of job: what it does, its name, its ARGS.
pub fn describe_job_type(known: &JobType) -> String {
    let mut out = format!(
        "A job of type {} {}.\nNAME is {}.\n",
        known.name, known.summary, known.job_name
    );
    if !known.arguments.is_empty() {
        out.push_str("\nARGS:\n");
    }
    for (name, meaning) in known.arguments {
        put(&mut out, format_args!("  {name}  {meaning}\n"));
    }
    out.push_str("\nHELP STARTJOB shows the other options.\n");
    out
}

/// The page `docs/language.md`.
pub fn document() -> String {
    let mut out = String::from(INTRODUCTION);
    for chapter in Chapter::ALL {
        put(&mut out, format_args!("\n## {}\n", chapter.title()));
        for spec in COMMANDS.iter().filter(|spec| spec.chapter == chapter) {
            document_command(&mut out, spec);
        }
    }
    out.push_str(SCHEDULES);
    document_job_types(&mut out);
    out
}

const SCHEDULES: &str = "
## Schedules

What EXEC_INTERVAL means, by its form:

| Form | Meaning |
|---|---|
| not given, `''`, `'00:00:00'` or `'0'` | once, at once |
| `'yyyy-MM-dd HH:mm:ss'` | once, then; in TIME_ZONE, UTC if not given |
| `'HH:MM:SS'`, `'D.HH:MM:SS'`, or a bare number of seconds such as `'300'` | at once, and so long after the end of each run |
| `'<minute> <hour> <day> <month> <weekday>'` | crontab; with day and weekday both restricted either of them counts |
| `'<second> <minute> <hour> <day> <month> <weekday> [<year>]'` | Quartz, with `?`, `L`, `L-n`, `W`, `#` |
| `'TZ=<zone> <schedule>'` | the same, in this zone instead of TIME_ZONE |
| `'<schedule>; <schedule> [OFF]; …'` | runs by each of them, whichever time comes first; OFF keeps one that starts nothing. One of them may be an interval, which counts from the end of every run. With all of them OFF the job stands still |
| `''` in UPDATEJOB | no schedule any more: a time that is still to come is the last run |
";

fn document_job_types(out: &mut String) {
    out.push_str(
        "
## Job types

What this version runs. Other types of Fabric are known by name and refused; the job of a batch is started by BATCH.
",
    );
    for known in JOB_TYPES {
        put(
            out,
            format_args!(
                "\n### {} jobs\n\nA job of type {} {}. NAME is {}.\n",
                known.name, known.name, known.summary, known.job_name
            ),
        );
        if !known.arguments.is_empty() {
            out.push_str("\n| ARGS | Meaning |\n|---|---|\n");
        }
        for (name, meaning) in known.arguments {
            put(out, format_args!("| `{name}` | {meaning} |\n"));
        }
    }
}

const INTRODUCTION: &str = "\
# The command language

This page is made from the table that the parser uses (`engine/lang/src/keywords`).

* A statement ends with `;`. Where only one is sent, the `;` may be left out.
* Commands, options and job types may be written in any case; names of logical units, jobs and interfaces keep theirs.
* Strings are `'…'` or `\"…\"`; a quote inside its own kind of string is written twice. Typographic quotes are read as plain ones.
* `true` and `false` may stand bare or in quotes. Blanks around `=` and before `(` do not matter, and a line break is a blank.
* `--` begins a comment up to the end of the line, `/*` one up to `*/`.
* In a prepared statement, `?` stands for a value. In a FABRIC_COMMAND, every `?` is the entity id.
* A statement may have 64 KiB, and brackets may be nested 64 deep.
";

fn document_command(out: &mut String, spec: &CommandSpec) {
    put(
        out,
        format_args!("\n### {}\n\n{} {}.", spec.name, spec.name, spec.summary),
    );
    if !spec.available {
        out.push_str(" Known, but not available in this version.");
    }
    if !spec.aliases.is_empty() {
        put(
            out,
            format_args!(" Also written {}.", spec.aliases.join(", ")),
        );
    }
    put(
        out,
        format_args!("\n\n```text\n{}\n```\n", spec.syntax.join("\n")),
    );
    if !spec.options.is_empty() {
        out.push_str("\n| Option | Value | Meaning |\n|---|---|---|\n");
    }
    for option in spec.options {
        // A bar would end the cell, even between backticks.
        let form = option.takes.form().replace('|', "\\|");
        let meaning = sentence(option).replace('|', "\\|");
        put(
            out,
            format_args!("| `{}` | `{form}` | {meaning} |\n", option.name),
        );
    }
    put(out, format_args!("\nExample: `{}`\n", spec.example));
}

/// The option's summary with its other names and values.
fn sentence(option: &OptionSpec) -> String {
    let mut out = option.summary.to_owned();
    if let Takes::Name(list) = option.takes {
        put(&mut out, format_args!(" ({})", list.names.join(", ")));
    }
    if !option.aliases.is_empty() {
        put(
            &mut out,
            format_args!("; also written {}", option.aliases.join(", ")),
        );
    }
    out
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a string takes every text");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_has_description_syntax_options_and_example() {
        let spec = CommandSpec::find("batch_retry").expect("it is in the table");
        let expected = "\
BATCH_RETRY goes on with a paused batch, or runs the failed entities of an ended one again
It is known but not available in this version.

Syntax:
  BATCH_RETRY ['<batch id>'] [ALLOW_CANCELLED=true|false]

Options:
  ALLOW_CANCELLED=true|false  true takes up a cancelled batch as well; the default is false

Example:
  BATCH_RETRY '35408af6-b26a-4243-bc95-f114335bfa5e' ALLOW_CANCELLED=true;
";
        assert_eq!(describe(spec), expected);
    }

    #[test]
    fn every_option_is_documented() {
        for spec in COMMANDS {
            let text = describe(spec);
            for option in spec.options {
                assert!(text.contains(option.name), "{} {}", spec.name, option.name);
            }
        }
    }
}
