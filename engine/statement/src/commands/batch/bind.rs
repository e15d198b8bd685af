//! BIND_PARAMS and BIND_PARAMS_JSON: values for the `?` of a query.

use serde_json::Value;
use weft_lang::{BatchOptions, Span, Spanned};

use crate::refusal::Refusal;

/// The values for a query with its `?`.
///
/// # Errors
/// There are more or fewer values than `?`, or the JSON is not a list of plain values.
pub(super) fn values(
    options: &BatchOptions,
    query: &Spanned<String>,
) -> Result<Vec<String>, Refusal> {
    let wanted = marks(&query.value);
    let (values, place) = match (&options.bind_params, &options.bind_params_json) {
        (Some(list), _) => {
            let separator = options
                .bind_params_separator
                .as_ref()
                .map(|text| text.value.as_str());
            (split(&list.value, separator.unwrap_or(",")), list.span)
        }
        (None, Some(json)) => (of_json(json)?, json.span),
        (None, None) if wanted == 0 => return Ok(Vec::new()),
        (None, None) => {
            return Err(Refusal::usage(format!(
                "the query has {wanted} `?` and no values for them"
            ))
            .at(query.span)
            .hint("give them with BIND_PARAMS='…' or BIND_PARAMS_JSON='[…]'"));
        }
    };
    match values.len() == wanted {
        true => Ok(values),
        false => Err(wrong_number(values.len(), wanted, place)),
    }
}

fn wrong_number(given: usize, wanted: usize, place: Span) -> Refusal {
    Refusal::usage(format!(
        "there are {given} values, and the query has {wanted} `?`"
    ))
    .at(place)
}

fn split(list: &str, separator: &str) -> Vec<String> {
    if list.is_empty() {
        return Vec::new();
    }
    if separator.is_empty() {
        return vec![list.to_owned()];
    }
    list.split(separator)
        .map(|value| value.trim().to_owned())
        .collect()
}

fn of_json(json: &Spanned<String>) -> Result<Vec<String>, Refusal> {
    let wrong = |reason: String| {
        Refusal::usage(format!(
            "BIND_PARAMS_JSON is not a list of values: {reason}"
        ))
        .at(json.span)
        .hint(r#"write '["1000","10"]'"#)
    };
    let values: Vec<Value> =
        serde_json::from_str(&json.value).map_err(|error| wrong(error.to_string()))?;
    let texts = values.into_iter().map(|value| match value {
        Value::String(text) => Ok(text),
        Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            Err(wrong(format!("{value} is neither a text nor a number")))
        }
    });
    texts.collect()
}

/// How many `?` a query has outside texts, quoted names and comments.
fn marks(sql: &str) -> usize {
    let mut count = 0;
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let after = &rest[first.len_utf8()..];
        rest = match first {
            '?' => {
                count += 1;
                after
            }
            '\'' | '"' | '`' => behind(after, &first.to_string()),
            '-' if after.starts_with('-') => behind(after, "\n"),
            '/' if after.starts_with('*') => behind(&after[1..], "*/"),
            _ => after,
        };
    }
    count
}

/// What follows the next `end`. A doubled quote ends one text and begins the next: the count is the same.
fn behind<'t>(text: &'t str, end: &str) -> &'t str {
    text.find(end).map_or("", |at| &text[at + end.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_in_texts_and_comments_are_not_counted() {
        let check = |sql: &str, expected: usize| assert_eq!(marks(sql), expected, "{sql}");
        check("select 1", 0);
        check("where a <= ? and b > ?", 2);
        check("where a = '?' and b = ?", 1);
        check("where a = 'it''s ?' and b = ?", 1);
        check("select \"?\", `?` from t -- ?\nwhere ? /* ? */ = ?", 2);
        check("where a = '?", 0);
    }

    fn of(
        params: Option<&str>,
        separator: Option<&str>,
        json: Option<&str>,
        sql: &str,
    ) -> Result<Vec<String>, String> {
        let option = |text: Option<&str>| text.map(|text| Spanned::unplaced(text.to_owned()));
        let options = BatchOptions {
            bind_params: option(params),
            bind_params_separator: option(separator),
            bind_params_json: option(json),
            ..BatchOptions::default()
        };
        let query = Spanned::unplaced(sql.to_owned());
        values(&options, &query).map_err(|refusal| refusal.message().to_owned())
    }

    #[test]
    fn values_fill_the_marks_in_order() {
        let sql = "where a <= ? and b > ?";
        let two = Ok(vec!["1000".to_owned(), "10".to_owned()]);
        assert_eq!(of(Some("1000|10"), Some("|"), None, sql), two);
        assert_eq!(of(Some("1000, 10"), None, None, sql), two);
        assert_eq!(of(None, None, Some(r#"["1000", 10]"#), sql), two);
        assert_eq!(of(None, None, None, "select 1"), Ok(Vec::new()));
    }

    #[test]
    fn a_wrong_number_of_values_is_refused() {
        let sql = "where a = ?";
        let refused = |text: &str| Err(text.to_owned());
        assert_eq!(
            of(None, None, None, sql),
            refused("the query has 1 `?` and no values for them")
        );
        assert_eq!(
            of(Some("1,2"), None, None, sql),
            refused("there are 2 values, and the query has 1 `?`")
        );
        assert!(of(None, None, Some("{}"), sql).is_err());
        assert!(of(None, None, Some("[[1]]"), sql).is_err());
    }
}
