//! MIGRATE as a job: each of its runs syncs instances of a logical unit by a batch of its own.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Map, Value};
use weft_model::{Job, SESSION_SCOPE, job_type};
use weft_node::job::{DefinitionError, JobKind, Run, RunEnd, RunFailure};

use super::BatchSchedule;
use crate::refusal::Refusal;

const SOURCES: [&str; 3] = ["instances", "instance_group", "from"];

const EXAMPLE: &str = r#"ARGS='{"instances":["1","2"],"max_workers_per_node":4}'"#;

/// The kind MIGRATE. Name and arguments of the job become a statement MIGRATE, which is submitted as BATCH_SCHEDULE does.
#[derive(Debug)]
pub struct Migrate(Arc<BatchSchedule>);

impl Migrate {
    /// Submits through `schedule`.
    pub fn new(schedule: Arc<BatchSchedule>) -> Self {
        Self(schedule)
    }
}

/// The statement of a job. Its values are literals, so none of them can become a word of the language.
fn statement_of(name: &str, arguments: &Map<String, Value>) -> Result<String, Refusal> {
    check_word(name, "the name of a logical unit")?;
    let source = source_of(arguments)?;
    let mut text = format!("MIGRATE {name}");
    match source {
        Some("instances") => {
            let ids = ids_of(&arguments["instances"])?;
            let ids: Vec<String> = ids.iter().map(|id| quoted(id)).collect();
            text.push_str(&format!(".({})", ids.join(",")));
        }
        Some("instance_group") => {
            let group = text_of("instance_group", &arguments["instance_group"])?;
            check_word(&group, "the name of an instance group")?;
            text.push_str(&format!(".{group}"));
        }
        Some(_) => {
            let from = text_of("from", &arguments["from"])?;
            check_word(&from, "the name of an interface")?;
            text.push_str(&format!(" FROM {from}"));
        }
        None => (),
    }
    if let Some(using) = arguments.get("using") {
        if source != Some("from") {
            return Err(Refusal::usage(
                "`using` needs `from`: the interface of the query",
            ));
        }
        text.push_str(&format!(" USING ({})", quoted(&text_of("using", using)?)));
    }
    let options = options_of(arguments)?;
    if !options.is_empty() {
        text.push_str(" WITH");
        text.push_str(&options);
    }
    text.push(';');
    Ok(text)
}

/// The argument that says where the ids come from.
fn source_of(arguments: &Map<String, Value>) -> Result<Option<&'static str>, Refusal> {
    let given: Vec<&str> = SOURCES
        .into_iter()
        .filter(|source| arguments.contains_key(*source))
        .collect();
    if let [first, second, ..] = given[..] {
        let message = format!("`{first}` and `{second}` both say where the ids come from");
        return Err(Refusal::usage(message).hint("give one of them"));
    }
    Ok(given.first().copied())
}

fn options_of(arguments: &Map<String, Value>) -> Result<String, Refusal> {
    let mut options = String::new();
    for (name, value) in arguments {
        let is_option =
            !SOURCES.contains(&name.as_str()) && name != "using" && name != SESSION_SCOPE;
        if !is_option {
            continue;
        }
        check_word(name, "an argument of MIGRATE").map_err(|refusal| refusal.hint(EXAMPLE))?;
        let value = quoted(&text_of(name, value)?);
        options.push_str(&format!(" {}={value}", name.to_ascii_uppercase()));
    }
    Ok(options)
}

fn check_word(text: &str, what: &str) -> Result<(), Refusal> {
    let is_word_char = |c: char| c.is_alphanumeric() || c == '_';
    match !text.is_empty() && text.chars().all(is_word_char) {
        true => Ok(()),
        false => Err(Refusal::usage(format!("`{text}` is not {what}"))),
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn ids_of(value: &Value) -> Result<Vec<String>, Refusal> {
    let ids: Vec<String> = match value {
        Value::Array(ids) => ids
            .iter()
            .map(|id| text_of("instances", id))
            .collect::<Result<_, _>>()?,
        Value::String(text) => text.split(',').map(|id| id.trim().to_owned()).collect(),
        Value::Number(id) => vec![id.to_string()],
        Value::Null | Value::Bool(_) | Value::Object(_) => Vec::new(),
    };
    match ids.is_empty() || ids.iter().any(String::is_empty) {
        true => Err(Refusal::usage(
            "`instances` is a list of ids, or a text with ids separated by commas",
        )
        .hint(EXAMPLE)),
        false => Ok(ids),
    }
}

fn text_of(name: &str, value: &Value) -> Result<String, Refusal> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            let message = format!("`{name}` is a text, a number, true or false, not {value}");
            Err(Refusal::usage(message).hint(EXAMPLE))
        }
    }
}

fn statement(job: &Job) -> Result<String, Refusal> {
    let arguments: Map<String, Value> = serde_json::from_str(&job.arguments)
        .map_err(|error| Refusal::failed(format!("its arguments cannot be read: {error}")))?;
    statement_of(&job.key.name, &arguments)
}

#[async_trait]
impl JobKind for Migrate {
    fn job_type(&self) -> &'static str {
        job_type::MIGRATE
    }

    fn takes_slot(&self) -> bool {
        false
    }

    async fn check(&self, job: &Job) -> Result<(), DefinitionError> {
        let checked = async { self.0.check_statement(job, &statement(job)?).await };
        checked.await.map_err(|refusal| DefinitionError {
            message: refusal.to_string(),
            hint: refusal.advice().map(str::to_owned),
        })
    }

    async fn run(&self, run: Run) -> RunEnd {
        match statement(&run.job) {
            Ok(text) => self.0.run_statement(&run, &text).await,
            Err(refusal) => RunEnd::Failed(RunFailure::new("Refused", refusal.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(arguments: &str, expected: &str) {
        let arguments = serde_json::from_str(arguments).unwrap();
        let found = statement_of("Customer", &arguments);
        assert_eq!(
            found.unwrap_or_else(|refusal| refusal.to_string()),
            expected
        );
    }

    #[test]
    fn a_job_is_the_statement_that_it_means() {
        check("{}", "MIGRATE Customer;");
        check(
            r#"{"instances":["1","o'neil",3]}"#,
            "MIGRATE Customer.('1','o''neil','3');",
        );
        check(r#"{"instances":"1, 2"}"#, "MIGRATE Customer.('1','2');");
        check(r#"{"instance_group":"small"}"#, "MIGRATE Customer.small;");
        check(r#"{"from":"fabric"}"#, "MIGRATE Customer FROM fabric;");
        check(
            r#"{"from":"crm","using":"select 'x'","async":true,"MAX_NODES":2}"#,
            "MIGRATE Customer FROM crm USING ('select ''x''') WITH ASYNC='true' MAX_NODES='2';",
        );
        check(r#"{"session_scope":"{\"scope\":{}}"}"#, "MIGRATE Customer;");
    }

    #[test]
    fn arguments_that_make_no_statement_are_named_in_the_error() {
        check(
            r#"{"instances":"1","from":"fabric"}"#,
            "`instances` and `from` both say where the ids come from",
        );
        check(
            r#"{"using":"select 1"}"#,
            "`using` needs `from`: the interface of the query",
        );
        check(
            r#"{"instances":[]}"#,
            "`instances` is a list of ids, or a text with ids separated by commas",
        );
        check(
            r#"{"instances":[["1"]]}"#,
            "`instances` is a text, a number, true or false, not [\"1\"]",
        );
        check(
            r#"{"from":"x USING ('y')"}"#,
            "`x USING ('y')` is not the name of an interface",
        );
        check(r#"{"a b":"c"}"#, "`a b` is not an argument of MIGRATE");
        let refusal = statement_of("Customer WITH", &Map::new()).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "`Customer WITH` is not the name of a logical unit"
        );
    }
}
