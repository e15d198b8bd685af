//! The arguments of a job, as stored in its row.

use serde_json::{Map, Value};
use weft_model::Job;
use weft_node::job::DefinitionError;
pub(crate) use weft_node::job::arguments::{check_names, read};

/// The arguments by position; their names are `0`, `1` and so on.
pub(crate) fn positional(job: &Job) -> Result<Vec<String>, DefinitionError> {
    let arguments = read(job)?;
    let mut numbered = Vec::with_capacity(arguments.len());
    for (key, value) in &arguments {
        let position = position(key).ok_or_else(|| {
            refused(
                format!("the name of the argument `{key}` is not a number"),
                r#"write ARGS='{"0":"first","1":"second"}'"#,
            )
        })?;
        numbered.push((position, text(key, value)?));
    }
    numbered.sort_unstable();
    let gap = (0..).zip(&numbered).find(|(at, (found, _))| at != found);
    if let Some((missing, (found, _))) = gap {
        return Err(refused(
            format!("the argument `{missing}` is missing: the next one is `{found}`"),
            "number the arguments from 0 without gaps",
        ));
    }
    Ok(numbered.into_iter().map(|(_, text)| text).collect())
}

/// Parses `0`, `1`, `10`, but not `01`, which would be another name of the same position.
fn position(key: &str) -> Option<usize> {
    let position: usize = key.parse().ok()?;
    (position.to_string() == key).then_some(position)
}

/// True or false; false if the argument is omitted.
pub(crate) fn flag(arguments: &Map<String, Value>, name: &str) -> Result<bool, DefinitionError> {
    match arguments.get(name) {
        None => Ok(false),
        Some(Value::Bool(value)) => Ok(*value),
        Some(Value::String(text)) if text.eq_ignore_ascii_case("true") => Ok(true),
        Some(Value::String(text)) if text.eq_ignore_ascii_case("false") => Ok(false),
        Some(_) => Err(wrong(name, "true or false")),
    }
}

/// An error about an argument that must be something else.
pub(crate) fn wrong(argument: &str, expected: &str) -> DefinitionError {
    DefinitionError {
        message: format!("the argument `{argument}` must be {expected}"),
        hint: None,
    }
}

/// An error with a hint.
pub(crate) fn refused(message: impl Into<String>, hint: impl Into<String>) -> DefinitionError {
    DefinitionError {
        message: message.into(),
        hint: Some(hint.into()),
    }
}

fn text(key: &str, value: &Value) -> Result<String, DefinitionError> {
    let refuse = |what: &str| {
        Err(refused(
            format!("the argument `{key}` {what}"),
            "give a text, a number, true or false",
        ))
    };
    match value {
        Value::String(text) if text.contains('\0') => refuse("contains a NUL character"),
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Null => refuse("is null"),
        Value::Array(_) => refuse("is a list"),
        Value::Object(_) => refuse("is an object"),
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
    fn arguments_without_a_position_are_refused() {
        let check = |arguments: &str, expected: &str| {
            let check = positional(&job(arguments)).unwrap_err();
            assert_eq!(check.message, expected, "{arguments}");
            assert!(check.hint.is_some());
        };
        check(
            r#"{"a":"x"}"#,
            "the name of the argument `a` is not a number",
        );
        check(
            r#"{"01":"x"}"#,
            "the name of the argument `01` is not a number",
        );
        check(
            r#"{"-1":"x"}"#,
            "the name of the argument `-1` is not a number",
        );
        check(
            r#"{"+0":"x"}"#,
            "the name of the argument `+0` is not a number",
        );
        check(
            r#"{"1":"x"}"#,
            "the argument `0` is missing: the next one is `1`",
        );
        check(
            r#"{"0":"x","3":"y"}"#,
            "the argument `1` is missing: the next one is `3`",
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
