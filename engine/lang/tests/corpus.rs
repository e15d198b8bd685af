//! Commands that people really write: from documentation, training and client code.

use weft_lang::{Completeness, Statement, is_complete, split_statements};

const ACCEPTED: &str = include_str!("corpus/accepted.txt");
const TOLERATED: &str = include_str!("corpus/tolerated.txt");
const REJECTED: &str = include_str!("corpus/rejected.txt");

fn parse(line: &str) -> Statement {
    Statement::parse(line).unwrap_or_else(|diagnostic| panic!("{}", diagnostic.render(line)))
}

/// Parses, prints and parses again.
fn check_stable(line: &str, statement: &Statement) {
    let printed = statement.to_string();
    let again = parse(&printed);
    assert_eq!(*statement, again, "{line}\n{printed}");
    assert_eq!(printed, again.to_string(), "{line}");
}

#[test]
fn every_documented_line_parses_and_prints_stably() {
    for line in ACCEPTED.lines() {
        let statement = parse(line);
        assert_eq!(statement.source, line);
        check_stable(line, &statement);
    }
}

#[test]
fn every_documented_line_is_one_statement() {
    for line in ACCEPTED.lines() {
        let spans = split_statements(line);
        assert_eq!(spans.len(), 1, "{line}");
        assert_eq!(spans[0].of(line), line.trim());
        let complete = if line.trim_end().ends_with(';') {
            Completeness::Complete
        } else {
            Completeness::NeedsMore
        };
        assert_eq!(is_complete(line), complete, "{line}");
    }
}

#[test]
fn wrong_lines_are_rejected() {
    for line in REJECTED.lines() {
        let statement = Statement::parse(line);
        assert!(statement.is_err(), "{line}");
    }
}

/// What becomes of each blemished line: `None` parses, else the message.
#[test]
fn blemished_lines_parse_or_say_what_is_wrong() {
    let expected: &[Option<&str>] = &[
        None,
        Some("this string is never closed"),
        None,
        None,
        None,
        Some("the parameter has no value"),
        None,
        Some("`>` is not expected here"),
        None,
        None,
        Some("the query is not followed by `)`"),
        None,
        None,
    ];
    assert_eq!(TOLERATED.lines().count(), expected.len());
    for (line, expected) in TOLERATED.lines().zip(expected) {
        match (Statement::parse(line), expected) {
            (Ok(statement), None) => check_stable(line, &statement),
            (Err(diagnostic), Some(expected)) => {
                assert_eq!(diagnostic.message, *expected, "{line}")
            }
            (Ok(_), Some(expected)) => panic!("{line}\nparses instead of: {expected}"),
            (Err(diagnostic), None) => panic!("{}", diagnostic.render(line)),
        }
    }
}

#[test]
fn the_line_that_must_always_work_is_printed_character_for_character() {
    let line = r#"BATCH AUTODATA_DELTA FROM idsFile USING ('select id from ids  limit 100') FABRIC_COMMAND="sync_instance AUTODATA_DELTA.?" with JOB_AFFINITY='10.21.2.102' ASYNC='true';"#;
    let statement = parse(line);
    assert_eq!(statement.to_string(), line);
    assert_eq!(statement.source, line);
}
