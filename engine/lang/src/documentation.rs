//! The page `docs/language.md`, generated from the tables of commands, options and job types.

use crate::commands::{COMMANDS, Chapter, CommandSpec, OptionTable};
use crate::help::{meaning, put};
use crate::job_types::JOB_TYPES;

/// The whole page.
pub fn document() -> String {
    let mut out = String::from(INTRODUCTION);
    for chapter in Chapter::ALL {
        document_chapter(&mut out, chapter);
    }
    out.push_str(SCHEDULES);
    document_job_types(&mut out);
    document_unavailable(&mut out);
    out
}

const INTRODUCTION: &str = "\
# The command language

This page is generated from the tables that the parser uses (`engine/lang/src/commands`, `engine/lang/src/options`).
`HELP <command>` shows the same on the console.

* A statement ends with `;`. If only one statement is sent, the `;` may be left out.
* Commands, options and job types are case-insensitive. Names of logical units, jobs and interfaces are not.
* Strings are `'…'` or `\"…\"`; a quote inside its own kind of string is doubled. Typographic quotes count as plain ones.
* `true` and `false` may be bare or quoted. Blanks around `=` and before `(` are ignored, and a line break is a blank.
* `--` begins a comment up to the end of the line; `/*` begins one that ends with `*/`.
* In a prepared statement, `?` stands for a value. In a FABRIC_COMMAND, each `?` is the entity id.
* A statement has at most 64 KiB, and brackets are nested at most 64 deep.
";

const SCHEDULES: &str = "
## Schedules

The forms of EXEC_INTERVAL:

| Form | Meaning |
|---|---|
| not given, `''`, `'00:00:00'` or `'0'` | once, immediately |
| `'yyyy-MM-dd HH:mm:ss'` | once, at this moment in TIME_ZONE |
| `'HH:MM:SS'`, `'D.HH:MM:SS'`, or a bare number of seconds such as `'300'` | immediately, and then this long after the end of each run |
| `'<minute> <hour> <day> <month> <weekday>'` | crontab; if both day and weekday are restricted, a day matches if either does |
| `'<second> <minute> <hour> <day> <month> <weekday> [<year>]'` | Quartz, with `?`, `L`, `L-n`, `W`, `#` |
| `'TZ=<zone> <schedule>'` | the same in this time zone instead of TIME_ZONE |
| `'<schedule>; <schedule> [OFF]; …'` | several schedules, each of which starts runs; OFF switches one off. One of them may be an interval, which counts from the end of every run. If all of them are OFF, no run starts |
| `''` in UPDATEJOB | removes the schedule; a run that is already planned is the last one |
";

fn document_chapter(out: &mut String, chapter: Chapter) {
    put(out, format_args!("\n## {}\n", chapter.title()));
    let specs = COMMANDS.iter().copied();
    let specs = specs.filter(|spec| spec.chapter == chapter && spec.available);
    let mut shared: Vec<OptionTable> = Vec::new();
    for spec in specs {
        document_command(out, spec);
        let title = spec.option_table.title;
        if title.is_some() && shared.iter().all(|table| table.title != title) {
            shared.push(spec.option_table);
        }
    }
    for table in shared {
        document_shared_options(out, table);
    }
}

fn document_command(out: &mut String, spec: &CommandSpec) {
    put(
        out,
        format_args!("\n### {}\n\n{} {}.", spec.name, spec.name, spec.summary),
    );
    if !spec.aliases.is_empty() {
        put(
            out,
            format_args!(" Also written {}.", spec.aliases.join(", ")),
        );
    }
    if let Some(title) = spec.option_table.title {
        let anchor = title.to_lowercase().replace(' ', "-");
        put(out, format_args!(" Options: [{title}](#{anchor})."));
    }
    put(
        out,
        format_args!("\n\n```text\n{}\n```\n", spec.syntax.join("\n")),
    );
    if spec.option_table.title.is_none() && !spec.option_table.options.is_empty() {
        out.push_str("\n| Option | Value | Default | Meaning |\n|---|---|---|---|\n");
        for option in spec.options() {
            let form = option.value_type.form();
            row(
                out,
                &[
                    &code(option.name),
                    &code(form),
                    option.default.unwrap_or_default(),
                    &meaning(option),
                ],
            );
        }
    }
    put(out, format_args!("\nExample: `{}`\n", spec.example));
}

/// The table of a family of commands, with the commands that take each option if not all of them do.
fn document_shared_options(out: &mut String, table: OptionTable) {
    put(
        out,
        format_args!("\n### {}\n", table.title.unwrap_or_default()),
    );
    let is_mixed = table.options.iter().any(|option| option.commands.is_some());
    out.push_str(match is_mixed {
        true => "\n| Option | Value | Default | Commands | Meaning |\n|---|---|---|---|---|\n",
        false => "\n| Option | Value | Default | Meaning |\n|---|---|---|---|\n",
    });
    for option in table.options {
        let (name, form) = (code(option.name), code(option.value_type.form()));
        let commands = option
            .commands
            .map_or("all".to_owned(), |names| names.join(", "));
        let (default, meaning) = (option.default.unwrap_or_default(), meaning(option));
        match is_mixed {
            true => row(out, &[&name, &form, default, &commands, &meaning]),
            false => row(out, &[&name, &form, default, &meaning]),
        }
    }
}

fn document_job_types(out: &mut String) {
    out.push_str(
        "
## Job types

These are the types that this version runs. Other types of Fabric are recognised and rejected. BATCH starts the job of
a batch.
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
            row(out, &[&code(name), meaning]);
        }
    }
}

fn document_unavailable(out: &mut String) {
    out.push_str(
        "
## Commands of later versions

These commands are known but not available in this version. `HELP <command>` shows their syntax and options.

| Command | Meaning |
|---|---|
",
    );
    for spec in COMMANDS.iter().filter(|spec| !spec.available) {
        row(out, &[&code(spec.name), spec.summary]);
    }
}

/// One row of a table. A bar would end the cell, even in code.
fn row(out: &mut String, cells: &[&str]) {
    for cell in cells {
        put(out, format_args!("| {} ", cell.replace('|', "\\|")));
    }
    out.push_str("|\n");
}

fn code(text: &str) -> String {
    format!("`{text}`")
}
