//! HELP: what the console shows about a command or a job type.

use std::fmt::Write;

use crate::commands::{COMMANDS, CommandSpec};
use crate::job_types::JobType;
use crate::options::{OptionSpec, ValueType};

/// Name and summary of every command, for HELP without a topic.
pub fn overview() -> Vec<(&'static str, &'static str)> {
    COMMANDS
        .iter()
        .map(|spec| (spec.name, spec.summary))
        .collect()
}

/// The text of HELP for one command: what it does, its syntax, its options and an example.
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
    if spec.options().next().is_some() {
        out.push_str("\nOptions:\n");
    }
    for option in spec.options() {
        let form = option.value_type.form();
        put(
            &mut out,
            format_args!("  {}={form}  {}", option.name, meaning(option)),
        );
        if let Some(default) = option.default {
            put(&mut out, format_args!(" Default: {default}."));
        }
        out.push('\n');
    }
    put(&mut out, format_args!("\nExample:\n  {}\n", spec.example));
    out
}

/// The text of HELP for a job type: what it does, its name, its ARGS.
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

/// The option's summary, with its values and aliases.
pub(crate) fn meaning(option: &OptionSpec) -> String {
    let mut out = option.summary.to_owned();
    if let ValueType::Name(list) = option.value_type {
        put(&mut out, format_args!(" One of {}.", list.names.join(", ")));
    }
    if !option.aliases.is_empty() {
        put(
            &mut out,
            format_args!(" Also written {}.", option.aliases.join(", ")),
        );
    }
    out
}

/// Appends a formatted text.
pub(crate) fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text)
        .expect("writing to a string never fails");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_has_description_syntax_options_and_example() {
        let spec = CommandSpec::find("batch_retry").expect("it is in the table");
        let expected = "\
BATCH_RETRY resumes a paused batch, or runs the failed entities of an ended one again
It is known but not available in this version.

Syntax:
  BATCH_RETRY ['<batch id>'] [ALLOW_CANCELLED=true|false]

Options:
  ALLOW_CANCELLED=true|false  `true` resumes a cancelled batch as well. Default: false.

Example:
  BATCH_RETRY '35408af6-b26a-4243-bc95-f114335bfa5e' ALLOW_CANCELLED=true;
";
        assert_eq!(describe(spec), expected);
    }

    #[test]
    fn every_option_is_documented() {
        for spec in COMMANDS {
            let text = describe(spec);
            for option in spec.options() {
                let line = format!("  {}={}  ", option.name, option.value_type.form());
                assert!(text.contains(&line), "{} {}", spec.name, option.name);
                assert!(!option.summary.is_empty(), "{} {}", spec.name, option.name);
            }
        }
    }
}
