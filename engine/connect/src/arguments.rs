//! The arguments of a job, as its row has them.

use serde_json::Value;
use weft_model::Job;
use weft_node::job::Check;
pub(crate) use weft_node::job::arguments::{check_names, of};

/// The arguments by position, where they are called `0`, `1` and so on.
pub(crate) fn positional(job: &Job) -> Result<Vec<String>, Check> {
    let arguments = of(job)?;
    let mut numbered = Vec::with_capacity(arguments.len());
    for (key, value) in &arguments {
        let position = position(key).ok_or_else(|| Check {
            message: format!("the argument `{key}` has no number for a name"),
            hint: Some(r#"write ARGS='{"0":"first","1":"second"}'"#.to_owned()),
        })?;
        numbered.push((position, text(key, value)?));
    }
    numbered.sort_unstable();
    let gap = (0..).zip(&numbered).find(|(at, (found, _))| at != found);
    if let Some((missing, (found, _))) = gap {
        return Err(Check {
            message: format!("the argument `{missing}` is missing: there is `{found}`"),
            hint: Some("number the arguments from 0 without gaps".to_owned()),
        });
    }
    Ok(numbered.into_iter().map(|(_, text)| text).collect())
}

/// `0`, `1`, `10`, but not `01`: two names would mean one position.
fn position(key: &str) -> Option<usize> {
    let position: usize = key.parse().ok()?;
    (position.to_string() == key).then_some(position)
}

fn text(key: &str, value: &Value) -> Result<String, Check> {
    let refused = |what: &str| {
        Err(Check {
            message: format!("the argument `{key}` {what}"),
            hint: Some("give a text, a number, true or false".to_owned()),
        })
    };
    match value {
        Value::String(text) if text.contains('\0') => refused("contains a NUL character"),
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Null => refused("is null"),
        Value::Array(_) => refused("is a list"),
        Value::Object(_) => refused("is an object"),
    }
}

#[cfg(test)]
mod tests {
    use weft_model::JobKey;
    use weft_model::clock::Timestamp;

    use super::*;

    fn job(arguments: &str) -> Job {
        let key = JobKey {
            job_type: "PROCESS".to_owned(),
            name: "x.sh".to_owned(),
            uid: "1".to_owned(),
        };
        Job {
            arguments: arguments.to_owned(),
            ..Job::waiting(key, Timestamp(0))
        }
    }

    #[test]
    fn positions_decide_the_order_and_values_keep_their_text() {
        let check = |arguments: &str, expected: &[&str]| {
            assert_eq!(
                positional(&job(arguments)).unwrap(),
                expected,
                "{arguments}"
            );
        };
        check("{}", &[]);
        check(r#"{"1":"b","0":"a b; rm *"}"#, &["a b; rm *", "b"]);
        check(
            r#"{"0":1,"1":-2.5,"2":true,"3":false,"4":""}"#,
            &["1", "-2.5", "true", "false", ""],
        );
        check(r#"{"0":"x","session_scope":"{\"scope\":{}}"}"#, &["x"]);
        let many: Vec<String> = (0..12).map(|at| format!(r#""{at}":"v{at}""#)).collect();
        let values: Vec<String> = (0..12).map(|at| format!("v{at}")).collect();
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        check(&format!("{{{}}}", many.join(",")), &values);
    }

    #[test]
    fn what_has_no_place_is_refused_by_name() {
        let check = |arguments: &str, expected: &str| {
            let check = positional(&job(arguments)).unwrap_err();
            assert_eq!(check.message, expected, "{arguments}");
            assert!(check.hint.is_some());
        };
        check(r#"{"a":"x"}"#, "the argument `a` has no number for a name");
        check(
            r#"{"01":"x"}"#,
            "the argument `01` has no number for a name",
        );
        check(
            r#"{"-1":"x"}"#,
            "the argument `-1` has no number for a name",
        );
        check(
            r#"{"+0":"x"}"#,
            "the argument `+0` has no number for a name",
        );
        check(r#"{"1":"x"}"#, "the argument `0` is missing: there is `1`");
        check(
            r#"{"0":"x","3":"y"}"#,
            "the argument `1` is missing: there is `3`",
        );
        check(r#"{"0":null}"#, "the argument `0` is null");
        check(r#"{"0":[1]}"#, "the argument `0` is a list");
        check(r#"{"0":{"a":1}}"#, "the argument `0` is an object");
        check(
            r#"{"0":"a\u0000b"}"#,
            "the argument `0` contains a NUL character",
        );
        check("[]", "ARGS is not a JSON object");
        check("", "ARGS is not a JSON object");
    }
}
