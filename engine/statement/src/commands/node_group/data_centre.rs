//! The data centre that a coordinator job is about.

use serde_json::Value;
use weft_model::Job;
use weft_node::job::DefinitionError;
use weft_node::job::arguments::{self, check_names};

const DC: &str = "dc";
const EXAMPLE: &str =
    r#"ARGS='{"dc":"DC1"}'; without it, the data centre of the node that runs it"#;

/// The data centre in ARGS, where one is named.
pub(crate) fn dc_of(job: &Job) -> Result<Option<String>, DefinitionError> {
    let arguments = arguments::read(job)?;
    let refusal = format!("{} has no argument", job.key.job_type);
    check_names(&refusal, &arguments, &[DC])?;
    match arguments.get(DC) {
        None => Ok(None),
        Some(Value::String(dc)) if !dc.trim().is_empty() => Ok(Some(dc.trim().to_owned())),
        Some(other) => Err(DefinitionError {
            message: format!("`{DC}` is the name of a data centre, not {other}"),
            hint: Some(EXAMPLE.to_owned()),
        }),
    }
}
