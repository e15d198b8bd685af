//! The arguments of a job, as its row has them.

use serde_json::{Map, Value};
use weft_lang::names;
use weft_model::Job;
use weft_model::SESSION_SCOPE;

use super::DefinitionError;

/// Reads the arguments that the user wrote, without the session settings that are stored next to them (Fabric R60).
///
/// # Errors
/// They are not a JSON object.
pub fn read(job: &Job) -> Result<Map<String, Value>, DefinitionError> {
    match serde_json::from_str(&job.arguments) {
        Ok(Value::Object(mut arguments)) => {
            arguments.shift_remove(SESSION_SCOPE);
            Ok(arguments)
        }
        Ok(_) | Err(_) => Err(DefinitionError {
            message: "ARGS is not a JSON object".to_owned(),
            hint: Some(r#"write ARGS='{"name":"value"}'"#.to_owned()),
        }),
    }
}

/// Rejects a name that is not `known`. The message is `refusal` followed by the name; the hint has the nearest known name.
///
/// # Errors
/// A name is not known.
pub fn check_names(
    refusal: &str,
    given: &Map<String, Value>,
    known: &[&str],
) -> Result<(), DefinitionError> {
    match given.keys().find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(unknown) => Err(DefinitionError {
            message: format!("{refusal} `{unknown}`"),
            hint: Some(names::hint(unknown, known)),
        }),
    }
}
