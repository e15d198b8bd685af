//! Single values: texts, batch ids, moments, values of the session.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use serde::Deserialize;
use weft_lang::{Assignment, Spanned, Text};
use weft_model::BatchId;
use weft_model::clock::Timestamp;
use weft_project::sync::SyncMode;

use super::super::request::{InstanceName, Request, SetRequest};
use super::{Refusal, Surroundings, node_group, unknown};

/// Names and values of a session, by number and bytes: it travels with every statement.
const NODE_AFFINITY: &str = "NODE_AFFINITY";
const SESSION_VALUES: usize = 200;
const SESSION_VALUE_BYTES: usize = 4 * 1024;

/// A text that is there.
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

/// Which end of a day or second a moment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edge {
    First,
    /// The first moment that no longer belongs to it.
    Behind,
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
        Edge::First => start,
        Edge::Behind => start.plus(length),
    })
}

/// SET.
pub(super) async fn set(
    assignments: &[Assignment],
    surroundings: Surroundings<'_>,
) -> Result<Request, Refusal> {
    // This one is about the node, not about the session.
    if let [Assignment { name, value }] = assignments
        && name.value.eq_ignore_ascii_case(NODE_AFFINITY)
    {
        return node_group::node_affinity(value);
    }
    let mut request = SetRequest::default();
    for Assignment { name, value } in assignments {
        let text = literal(value)?;
        if name.value.eq_ignore_ascii_case("FROM") {
            set_from(text, value, &mut request, surroundings).await?;
            continue;
        }
        check(name, text, surroundings)?;
        request.values.push((name.value.clone(), text.to_owned()));
    }
    Ok(Request::Set(request))
}

fn check(
    name: &Spanned<String>,
    text: &str,
    surroundings: Surroundings<'_>,
) -> Result<(), Refusal> {
    let upper = name.value.to_ascii_uppercase();
    if upper == "SYNC" && !text.is_empty() {
        let scope = BTreeMap::from([(upper, text.to_owned())]);
        SyncMode::from_session_scope(&scope)
            .map_err(|reason| Refusal::usage(reason).at(name.span))?;
    } else if upper == NODE_AFFINITY {
        let message = "SET NODE_AFFINITY is a statement of its own: it is about the node, not about the session";
        return Err(Refusal::usage(message).at(name.span));
    } else if upper == "CLUSTER_DISTRIBUTE_AFFINITY" {
        return Err(super::not_available(&format!("SET {upper}")).at(name.span));
    }
    if text.len() > SESSION_VALUE_BYTES {
        let message = format!("a value of the session has at most {SESSION_VALUE_BYTES} bytes");
        return Err(Refusal::usage(message).at(name.span));
    }
    if surroundings.session.scope.len() >= SESSION_VALUES {
        let message = format!("a session has at most {SESSION_VALUES} values");
        return Err(Refusal::usage(message).at(name.span));
    }
    Ok(())
}

/// `set from '{"scope": {…}, "attached": {…}}'`
async fn set_from(
    text: &str,
    place: &Spanned<Text>,
    request: &mut SetRequest,
    surroundings: Surroundings<'_>,
) -> Result<(), Refusal> {
    #[derive(Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct From {
        scope: BTreeMap<String, String>,
        attached: BTreeMap<String, String>,
    }
    let from: From = serde_json::from_str(text).map_err(|error| {
        Refusal::usage(format!("SET FROM cannot be read: {error}"))
            .at(place.span)
            .hint(r#"write '{"scope": {"sync": "on"}, "attached": {"Customer": "1"}}'"#)
    })?;
    for (name, value) in from.scope {
        check(
            &Spanned::new(name.clone(), place.span),
            &value,
            surroundings,
        )?;
        request.values.push((name, value));
    }
    if !from.attached.is_empty() {
        let project = super::project(surroundings.catalogue).await?;
        for (lu, id) in from.attached {
            let known = project.logical_unit(&lu);
            let known = known.map_err(|error| unknown(&error).at(place.span))?;
            request.attached.push(InstanceName {
                logical_unit: known.name.clone(),
                id,
            });
        }
    }
    Ok(())
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
        check("2020-08-12", Edge::First, "2020-08-12 00:00:00");
        check("2020-08-12", Edge::Behind, "2020-08-13 00:00:00");
        check("2020-08-13 12:00:00", Edge::First, "2020-08-13 12:00:00");
        check("2020-08-13 12:00:00", Edge::Behind, "2020-08-13 12:00:01");
        for wrong in ["", "yesterday", "2020-13-01", "12.08.2020"] {
            assert!(moment(&spanned(wrong), Edge::First).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_malformed_batch_id_is_told_from_an_empty_one() {
        let of = |id: &str| batch_id(&Spanned::unplaced(Text::from(id)));
        assert!(of("35408af6-b26a-4243-bc95-f114335bfa5e").is_ok());
        assert_eq!(
            of("35408af6").unwrap_err().message(),
            "`35408af6` is not a batch id"
        );
        assert_eq!(of("").unwrap_err().message(), "the batch id is empty");
    }
}
