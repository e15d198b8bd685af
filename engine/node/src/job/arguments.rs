//! The arguments of a job, as its row has them.

use serde_json::{Map, Value};
use weft_lang::names;
use weft_model::Job;
use weft_model::SESSION_SCOPE;

use super::Check;

/// The arguments that a person wrote; what the session gave the job stands beside them (Fabric R60).
///
/// # Errors
/// They are no JSON object.
pub fn of(job: &Job) -> Result<Map<String, Value>, Check> {
    match serde_json::from_str(&job.arguments) {
        Ok(Value::Object(mut arguments)) => {
            arguments.shift_remove(SESSION_SCOPE);
            Ok(arguments)
        }
        Ok(_) | Err(_) => Err(Check {
            message: "ARGS is not a JSON object".to_owned(),
            hint: Some(r#"write ARGS='{"name":"value"}'"#.to_owned()),
        }),
    }
}

/// Refuses a name that is not among the known ones, with the nearest of them; `refusal` stands in front of the name.
///
/// # Errors
/// There is one.
pub fn check_names(refusal: &str, given: &Map<String, Value>, known: &[&str]) -> Result<(), Check> {
    match given.keys().find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(unknown) => Err(Check {
            message: format!("{refusal} `{unknown}`"),
            hint: Some(names::hint(unknown, known)),
        }),
    }
}
