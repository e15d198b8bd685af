//! Statements that the console runs itself: SET OUTPUT, EXIT and QUIT.

use crate::output::Format;

/// A statement that the console runs itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocalStatement {
    /// `SET OUTPUT = x`
    Output(Result<Format, String>),
    /// `EXIT` or `QUIT`
    Leave,
}

/// Parses a statement of the console; `None` if the statement is for a node.
pub fn parse(statement: &str) -> Option<LocalStatement> {
    let text = statement.trim().trim_end_matches(';').trim_end();
    if ["EXIT", "QUIT", "\\q"]
        .iter()
        .any(|word| word.eq_ignore_ascii_case(text))
    {
        return Some(LocalStatement::Leave);
    }
    let rest = after_word(text, "SET")?;
    let rest = after_word(rest, "OUTPUT")?;
    let value = rest.strip_prefix('=').unwrap_or(rest).trim();
    let value = value.trim_matches(['\'', '"']);
    Some(LocalStatement::Output(value.parse()))
}

/// What follows `word`, without leading blanks.
fn after_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(word.len())?;
    let is_whole = rest.is_empty() || rest.starts_with(|c: char| c.is_whitespace() || c == '=');
    (head.eq_ignore_ascii_case(word) && is_whole).then(|| rest.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_output_and_leaving_are_local() {
        for text in [
            "SET OUTPUT = json;",
            "set output=JSON",
            "SET OUTPUT 'json' ;",
            "SET\nOUTPUT json",
        ] {
            assert_eq!(
                parse(text),
                Some(LocalStatement::Output(Ok(Format::Json))),
                "{text}"
            );
        }
        assert!(matches!(
            parse("SET OUTPUT = xml;"),
            Some(LocalStatement::Output(Err(_)))
        ));
        assert!(matches!(
            parse("SET OUTPUT;"),
            Some(LocalStatement::Output(Err(_)))
        ));
        for text in ["exit", "QUIT;"] {
            assert_eq!(parse(text), Some(LocalStatement::Leave), "{text}");
        }
        for text in [
            "SET OUTPUTS = json;",
            "SET sync = on;",
            "SETOUTPUT=json",
            "SET",
            "",
            "é",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
