//! A scanner for SQL that finds parameters and the ends of statements. SQLite does the rest.

use weft_model::Value;

/// A piece of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// Keywords, names, literals.
    Code(&'a str),
    /// White space and comments.
    Quiet(&'a str),
    /// `?`, `?3`, `:name`, `@name` or `$name`.
    Parameter(&'a str),
    /// The end of a statement.
    Semicolon,
}

/// Splits a text into pieces. Never fails: a quote or comment that is not closed extends to the end.
pub(crate) fn pieces(sql: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let (length, make): (usize, fn(&str) -> Piece<'_>) = match first {
            ';' => (1, |_| Piece::Semicolon),
            '\'' | '"' | '`' => (quoted(rest, first), |text| Piece::Code(text)),
            '[' => (until(rest, "]"), |text| Piece::Code(text)),
            '-' if rest.starts_with("--") => (until(rest, "\n"), |text| Piece::Quiet(text)),
            '/' if rest.starts_with("/*") => {
                (2 + until(&rest[2..], "*/"), |text| Piece::Quiet(text))
            }
            '?' => (1 + word(&rest[1..]), |text| Piece::Parameter(text)),
            ':' if rest.starts_with("::") => (2, |text| Piece::Code(text)),
            ':' | '@' | '$' if word(&rest[1..]) > 0 => {
                (1 + word(&rest[1..]), |text| Piece::Parameter(text))
            }
            space if space.is_whitespace() => (space.len_utf8(), |text| Piece::Quiet(text)),
            _ => (word(rest).max(first.len_utf8()), |text| Piece::Code(text)),
        };
        let (piece, behind) = rest.split_at(length);
        pieces.push(make(piece));
        rest = behind;
    }
    pieces
}

/// The names of the `:name` parameters, in order and without repetition.
pub(crate) fn named_parameters(sql: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for piece in pieces(sql) {
        if let Piece::Parameter(text) = piece
            && let Some(name) = text.strip_prefix(':')
            && !names.iter().any(|known| known == name)
        {
            names.push(name.to_owned());
        }
    }
    names
}

/// Whether more than white space and comments follows the first statement.
pub(crate) fn has_second_statement(sql: &str) -> bool {
    pieces(sql)
        .into_iter()
        .skip_while(|piece| *piece != Piece::Semicolon)
        .any(|piece| matches!(piece, Piece::Code(_) | Piece::Parameter(_)))
}

/// Replaces `:name` by a list of numbered parameters for the values. The list is padded to a power of two, so that
/// there are few different statements and prepared ones are reused.
pub(crate) fn expand_set(sql: &str, name: &str, mut values: Vec<Value>) -> (String, Vec<Value>) {
    // `in (null)` is never true, as for an empty set.
    let filler = values.last().cloned().unwrap_or(Value::Null);
    values.resize(values.len().max(1).next_power_of_two(), filler);
    let numbered: Vec<String> = (1..=values.len()).map(|n| format!("?{n}")).collect();
    let numbered = numbered.join(",");
    let expanded = pieces(sql)
        .into_iter()
        .map(|piece| match piece {
            Piece::Parameter(text) if text.strip_prefix(':') == Some(name) => numbered.as_str(),
            Piece::Code(text) | Piece::Quiet(text) | Piece::Parameter(text) => text,
            Piece::Semicolon => ";",
        })
        .collect();
    (expanded, values)
}

fn quoted(text: &str, quote: char) -> usize {
    // A doubled quote is scanned as two adjacent literals, with the same result.
    text[1..].find(quote).map_or(text.len(), |at| at + 2)
}

fn until(text: &str, end: &str) -> usize {
    text.find(end).map_or(text.len(), |at| at + end.len())
}

fn word(text: &str) -> usize {
    text.find(|c: char| !(c.is_alphanumeric() || c == '_'))
        .unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(count: usize) -> Vec<Value> {
        (0..count).map(|n| Value::Text(n.to_string())).collect()
    }

    #[test]
    fn parameters_are_found_outside_of_literals_and_comments() {
        let check = |sql: &str, names: &[&str]| assert_eq!(named_parameters(sql), names, "{sql}");
        check("select * from t where id in (:ids)", &["ids"]);
        check(
            "select ':no', \":no\", [:no], `:no` -- :no\n, :yes",
            &["yes"],
        );
        check("/* :no */ select :a, :b, :a", &["a", "b"]);
        check("select x::int, 'it''s :no' from t where a = :a", &["a"]);
        check("select 'open :no", &[]);
        check("select 'ü' || :ü", &["ü"]);
    }

    #[test]
    fn a_second_statement_is_seen() {
        let check = |sql: &str, second| assert_eq!(has_second_statement(sql), second, "{sql}");
        check("select 1", false);
        check("select 1;", false);
        check("select 1; -- done\n /* really */ ;", false);
        check("select ';' ; ", false);
        check("select 1; select 2", true);
        check("select 1;;drop table t", true);
        check("select 1 --;\n; attach 'x' as y", true);
    }

    #[test]
    fn a_set_is_written_out_in_powers_of_two() {
        let check = |count, sql: &str| {
            let (expanded, values) =
                expand_set("select ':ids' where x in (:ids)", "ids", texts(count));
            assert_eq!(expanded, sql);
            assert_eq!(values.len(), count.max(1).next_power_of_two());
        };
        check(0, "select ':ids' where x in (?1)");
        check(1, "select ':ids' where x in (?1)");
        check(3, "select ':ids' where x in (?1,?2,?3,?4)");
        let (_, values) = expand_set("(:ids)", "ids", texts(3));
        assert_eq!(values[3], Value::Text("2".into()));
    }
}
