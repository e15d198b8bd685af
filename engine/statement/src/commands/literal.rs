//! Single values of a statement: texts, batch ids, dates.

use std::time::Duration;

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use regex::{Regex, RegexBuilder};
use weft_lang::{Spanned, Text};
use weft_model::BatchId;
use weft_model::clock::Timestamp;

use crate::refusal::Refusal;

/// The size limit of a compiled regular expression.
const REGEX_BYTES: usize = 1 << 20;

/// The text, unless it is the `?` of a prepared statement.
pub(super) fn literal(text: &Spanned<Text>) -> Result<&str, Refusal> {
    text.value.literal().ok_or_else(|| {
        Refusal::usage("`?` stands for a value of a prepared statement, and there is none")
            .at(text.span)
            .hint("write the value")
    })
}

/// The id of a batch.
pub(super) fn batch_id(text: &Spanned<Text>) -> Result<BatchId, Refusal> {
    let id = literal(text)?;
    id.parse().map_err(|_| {
        let refusal = if id.trim().is_empty() {
            Refusal::usage("the batch id is empty")
        } else {
            Refusal::usage(format!("`{id}` is not a batch id"))
        };
        refusal
            .at(text.span)
            .hint("a batch id looks like 35408af6-b26a-4243-bc95-f114335bfa5e; BATCH_LIST STATUS='ALL' shows them")
    })
}

/// Which end of a day or second a date stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edge {
    /// Its first moment.
    Start,
    /// The first moment after it.
    End,
}

/// `yyyy-MM-dd` or `yyyy-MM-dd HH:mm:ss`, in UTC.
pub(super) fn moment(text: &Spanned<String>, edge: Edge) -> Result<Timestamp, Refusal> {
    let trimmed = text.value.trim();
    let day = NaiveDate::parse_from_str(trimmed, "%Y-%m-%d").map(|day| {
        (
            day.and_time(NaiveTime::MIN),
            Duration::from_secs(24 * 3_600),
        )
    });
    let second = || {
        NaiveDateTime::parse_from_str(trimmed, "%Y-%m-%d %H:%M:%S")
            .map(|second| (second, Duration::from_secs(1)))
    };
    let (start, length) = day.or_else(|_| second()).map_err(|_| {
        Refusal::usage(format!("`{}` is not a date", text.value))
            .at(text.span)
            .hint("write '2020-08-12' or '2020-08-12 12:20:07' (UTC)")
    })?;
    let start = Timestamp(start.and_utc().timestamp_millis());
    Ok(match edge {
        Edge::Start => start,
        Edge::End => start.plus(length),
    })
}

/// A regular expression to search for, with `prefix` in front of it.
pub(super) fn regex(text: &Spanned<String>, prefix: &str) -> Result<Regex, Refusal> {
    let pattern = format!("{prefix}{}", text.value);
    let compiled = RegexBuilder::new(&pattern).size_limit(REGEX_BYTES).build();
    compiled.map_err(|error| {
        let reason = match error {
            regex::Error::CompiledTooBig(_) => "it is too large".to_owned(),
            error => error
                .to_string()
                .lines()
                .last()
                .unwrap_or_default()
                .to_owned(),
        };
        Refusal::usage(format!("FILTER is not a regular expression: {reason}")).at(text.span)
    })
}

#[cfg(test)]
mod tests {
    use weft_lang::Span;

    use super::*;

    fn spanned(text: &str) -> Spanned<String> {
        Spanned::new(text.to_owned(), Span::new(0, text.len()))
    }

    #[test]
    fn a_day_ends_with_its_last_second() {
        let check = |text: &str, edge: Edge, expected: &str| {
            let moment = moment(&spanned(text), edge).unwrap();
            assert_eq!(moment.to_seconds_text(), expected, "{text} {edge:?}");
        };
        check("2020-08-12", Edge::Start, "2020-08-12 00:00:00");
        check("2020-08-12", Edge::End, "2020-08-13 00:00:00");
        check("2020-08-13 12:00:00", Edge::Start, "2020-08-13 12:00:00");
        check("2020-08-13 12:00:00", Edge::End, "2020-08-13 12:00:01");
        for wrong in ["", "yesterday", "2020-13-01", "12.08.2020"] {
            assert!(moment(&spanned(wrong), Edge::Start).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_malformed_batch_id_and_an_empty_one_have_their_own_errors() {
        let of = |id: &str| batch_id(&Spanned::unplaced(Text::from(id)));
        assert!(of("35408af6-b26a-4243-bc95-f114335bfa5e").is_ok());
        assert_eq!(
            of("35408af6").unwrap_err().message(),
            "`35408af6` is not a batch id"
        );
        assert_eq!(of("").unwrap_err().message(), "the batch id is empty");
    }
}
