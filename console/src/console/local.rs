//! Statements that the console answers itself: SET OUTPUT and leaving.

use crate::output::Format;

/// A statement for the console.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Local {
    /// `SET OUTPUT = x`
    Output(Result<Format, String>),
    /// `EXIT` or `QUIT`
    Leave,
}

/// The statement as one for the console; none where it is for a node.
pub fn of(statement: &str) -> Option<Local> {
    let text = statement.trim().trim_end_matches(';').trim_end();
    if ["EXIT", "QUIT", "\\q"]
        .iter()
        .any(|word| word.eq_ignore_ascii_case(text))
    {
        return Some(Local::Leave);
    }
    let rest = after_word(text, "SET")?;
    let rest = after_word(rest, "OUTPUT")?;
    let value = rest.strip_prefix('=').unwrap_or(rest).trim();
    let value = value.trim_matches(['\'', '"']);
    Some(Local::Output(value.parse()))
}

/// What follows a word, without blanks before it.
fn after_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(word.len())?;
    let is_whole = rest.is_empty() || rest.starts_with(|c: char| c.is_whitespace() || c == '=');
    (head.eq_ignore_ascii_case(word) && is_whole).then(|| rest.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_output_and_leaving_are_the_consoles_own() {
        for text in [
            "SET OUTPUT = json;",
            "set output=JSON",
            "SET OUTPUT 'json' ;",
            "SET\nOUTPUT json",
        ] {
            assert_eq!(of(text), Some(Local::Output(Ok(Format::Json))), "{text}");
        }
        assert!(matches!(
            of("SET OUTPUT = xml;"),
            Some(Local::Output(Err(_)))
        ));
        assert!(matches!(of("SET OUTPUT;"), Some(Local::Output(Err(_)))));
        for text in ["exit", "QUIT;"] {
            assert_eq!(of(text), Some(Local::Leave), "{text}");
        }
        for text in [
            "SET OUTPUTS = json;",
            "SET sync = on;",
            "SETOUTPUT=json",
            "SET",
            "",
            "é",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
    }
}
