//! Which events a trace writes: the parameters of TRACE.

use std::fmt;
use std::iter::Peekable;
use std::str::Chars;

use weft_lang::names::nearest;
use weft_model::JobKey;
use weft_model::{canonical_job_name, canonical_job_type};

/// The names of the parameters.
const KEYS: [&str; 3] = ["type", "name", "uid"];

/// The jobs whose events are written; all jobs if it is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    job_type: Option<String>,
    name: Option<String>,
    uid: Option<String>,
}

/// Parameters that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FilterError {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

impl Filter {
    /// Reads `key=value` pairs with commas or blanks between them; values may be in quotes.
    ///
    /// # Errors
    /// An unknown or repeated key, a key without a value, or an unclosed quote.
    pub fn read(text: &str) -> Result<Self, FilterError> {
        let mut filter = Self::default();
        let mut rest = text.chars().peekable();
        loop {
            skip(&mut rest, |c| c.is_whitespace() || c == ',');
            let Some(first) = rest.peek().copied() else {
                break;
            };
            let key = take(&mut rest, |c| {
                !c.is_whitespace() && !matches!(c, ',' | '=' | '\'' | '"')
            });
            skip(&mut rest, char::is_whitespace);
            if key.is_empty() {
                return Err(error(format!("`{first}` is not expected here")));
            }
            let parameter = match key.to_ascii_lowercase().as_str() {
                "type" => &mut filter.job_type,
                "name" => &mut filter.name,
                "uid" => &mut filter.uid,
                _ => return Err(unknown(&key)),
            };
            if rest.next_if_eq(&'=').is_none() {
                return Err(error(format!("`{key}` has no value")));
            }
            skip(&mut rest, char::is_whitespace);
            let value = read_value(&mut rest, &key)?;
            if value.is_empty() {
                return Err(error(format!("`{key}` has no value")));
            }
            if parameter.replace(value).is_some() {
                return Err(error(format!("`{key}` is given twice")));
            }
        }
        filter.job_type = filter.job_type.as_deref().map(canonical_job_type);
        let of_type = filter.job_type.as_deref().unwrap_or_default();
        let canonical = |name: String| canonical_job_name(of_type, &name).to_owned();
        filter.name = filter.name.map(canonical);
        Ok(filter)
    }

    /// Whether an event of this job is written.
    pub(super) fn admits(&self, key: &JobKey) -> bool {
        let is_it = |wanted: &Option<String>, found: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == found)
        };
        is_it(&self.job_type, &key.job_type)
            && is_it(&self.name, &key.name)
            && is_it(&self.uid, &key.uid)
    }
}

/// Writes the parameters so that they can be read again.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut blank = "";
        for (key, value) in KEYS.iter().zip([&self.job_type, &self.name, &self.uid]) {
            if let Some(value) = value {
                write!(f, "{blank}{key}='{}'", value.replace('\'', "''"))?;
                blank = " ";
            }
        }
        Ok(())
    }
}

/// Reads a value: in quotes, in which the quote itself is doubled, or up to the next separator.
fn read_value(rest: &mut Peekable<Chars<'_>>, key: &str) -> Result<String, FilterError> {
    let Some(quote) = rest.next_if(|c| matches!(c, '\'' | '"')) else {
        return Ok(take(rest, |c| !c.is_whitespace() && c != ','));
    };
    let mut value = String::new();
    while let Some(c) = rest.next() {
        if c == quote && rest.next_if_eq(&quote).is_none() {
            return Ok(value);
        }
        value.push(c);
    }
    Err(error(format!("the quote after `{key}=` is never closed")))
}

fn skip(rest: &mut Peekable<Chars<'_>>, skipped: impl Fn(char) -> bool) {
    while rest.next_if(|c| skipped(*c)).is_some() {}
}

fn take(rest: &mut Peekable<Chars<'_>>, taken: impl Fn(char) -> bool) -> String {
    std::iter::from_fn(|| rest.next_if(|c| taken(*c))).collect()
}

fn unknown(key: &str) -> FilterError {
    let refused = error(format!("`{key}` is not a parameter of a trace"));
    match nearest(key, KEYS) {
        Some(meant) => FilterError {
            hint: format!("did you mean `{meant}`?"),
            ..refused
        },
        None => refused,
    }
}

fn error(message: String) -> FilterError {
    FilterError {
        message,
        hint: "the parameters are `type=<type> name=<name> uid=<uid>`, any of them".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let read = Filter::read(text);
        let shown = match &read {
            Ok(filter) => filter.to_string(),
            Err(error) => format!("{} / {}", error.message, error.hint),
        };
        assert_eq!(shown, expected, "{text}");
        if let Ok(filter) = read {
            assert_eq!(Filter::read(&shown), Ok(filter), "{text}");
        }
    }

    #[test]
    fn parameters_are_read_with_and_without_quotes() {
        for nothing in ["", "  ", " , "] {
            check(nothing, "");
        }
        check("type=process", "type='PROCESS'");
        check("UID=u,type=BATCH_PROCESS", "type='BATCH PROCESS' uid='u'");
        check(
            "type='batch process', name = \"it's\" uid=a=b",
            "type='BATCH PROCESS' name='it''s' uid='a=b'",
        );
        check(
            "type=PROCESS name=scripts/a.sh",
            "type='PROCESS' name='a.sh'",
        );
        check("type=mine", "type='MINE'");
    }

    #[test]
    fn unreadable_parameters_are_refused() {
        const ALL: &str = "the parameters are `type=<type> name=<name> uid=<uid>`, any of them";
        check(
            "nmae='x'",
            "`nmae` is not a parameter of a trace / did you mean `name`?",
        );
        check(
            "level=debug",
            &format!("`level` is not a parameter of a trace / {ALL}"),
        );
        check("'x'", &format!("`'` is not expected here / {ALL}"));
        check("name", &format!("`name` has no value / {ALL}"));
        check("name=, uid=1", &format!("`name` has no value / {ALL}"));
        check("name=''", &format!("`name` has no value / {ALL}"));
        check("uid=1 uid=2", &format!("`uid` is given twice / {ALL}"));
        check(
            "uid='1",
            &format!("the quote after `uid=` is never closed / {ALL}"),
        );
    }

    #[test]
    fn events_of_other_jobs_are_not_admitted() {
        let key = JobKey {
            job_type: "PROCESS".to_owned(),
            name: "a.sh".to_owned(),
            uid: "u".to_owned(),
        };
        let admits = |text: &str| Filter::read(text).unwrap().admits(&key);
        assert!(admits("") && admits("type=process") && admits("name=a.sh uid=u"));
        assert!(!admits("type=parser") && !admits("name=A.sh") && !admits("name=a.sh uid=v"));
    }
}
