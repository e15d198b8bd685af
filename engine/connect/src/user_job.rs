//! USER_JOB: calls a JavaScript function of a logical unit (Fabric F.1, R61, R82).

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Map, Value};
use weft_lang::names::nearest;
use weft_model::Job;
use weft_model::{Principal, Session};
use weft_node::job::{DefinitionError, JobKind, Run, RunEnd, RunFailure, RunOutput};
use weft_project::interface::Environment;
use weft_project::{Project, UnknownProjectName};
use weft_statement::{LateStatements, is_secret};

use crate::arguments::{self, refused};
use crate::capture::Capture;
use crate::deployed::{DeployedProject, must_be_deployed, wait_until_readable};
use crate::http::OWN_VARIABLES;
use crate::javascript::{Call, CallEnd, Failure, Function, JavaScript, Limits, NodeHost, Returned};

/// The most functions that run at once: each may use its limit of memory. Functions that wait for a batch lend their job
/// slots, so there may be more functions than slots.
const THREADS: usize = 64;

/// Calls functions of the deployed project, in `functions/<name>.js` of a logical unit.
#[derive(Debug)]
pub struct UserJob {
    projects: Arc<dyn DeployedProject>,
    statements: LateStatements,
    environment: Environment,
    java_script: JavaScript,
}

/// A function with its arguments.
struct FunctionCall {
    project: Arc<Project>,
    function: Function,
    arguments: Map<String, Value>,
}

impl UserJob {
    pub(crate) fn new(
        projects: Arc<dyn DeployedProject>,
        statements: LateStatements,
        environment: Environment,
    ) -> Self {
        Self {
            projects,
            statements,
            environment,
            java_script: JavaScript::new(Limits::default(), THREADS),
        }
    }

    async fn read(&self, job: &Job) -> Result<FunctionCall, DefinitionError> {
        let arguments = arguments::read(job)?;
        let Some((unit, name)) = job.key.name.split_once('.') else {
            let message = format!("`{}` does not name a function", job.key.name);
            return Err(refused(message, "write NAME='<logical unit>.<function>'"));
        };
        let project = must_be_deployed(self.projects.project().await)?;
        let unit = project.logical_unit(unit).map_err(|error| {
            let known = project.logical_units().map(|unit| unit.name.as_str());
            unknown(&error, String::new(), &known.collect::<Vec<_>>())
        })?;
        let (name, file) = unit.function(name).map_err(|error| {
            let known: Vec<&str> = unit.functions.keys().map(String::as_str).collect();
            unknown(&error, format!(" in {}", unit.name), &known)
        })?;
        let function = Function::read(&file.path, name, file.text.as_bytes()).await;
        // It was checked at deployment, perhaps by another version.
        let function = function.map_err(|finding| DefinitionError {
            message: format!("{}:{}: {}", file.path, finding.line, finding.message),
            hint: None,
        })?;
        check_arguments(&function, &arguments)?;
        Ok(FunctionCall {
            project,
            function,
            arguments,
        })
    }
}

#[async_trait]
impl JobKind for UserJob {
    fn uses_project(&self) -> bool {
        true
    }

    fn job_type(&self) -> &'static str {
        "USER_JOB"
    }

    async fn check(&self, job: &Job) -> Result<(), DefinitionError> {
        self.read(job).await.map(drop)
    }

    async fn run(&self, run: Run) -> RunEnd {
        wait_until_readable(self.projects.as_ref(), &run.stop).await;
        let read = self.read(&run.job).await.and_then(|call| {
            let arguments = resolve_secrets(&self.environment, call.arguments)?;
            Ok(FunctionCall { arguments, ..call })
        });
        let FunctionCall {
            project,
            function,
            arguments,
        } = match read {
            Ok(call) => call,
            Err(error) => return RunEnd::Failed(RunFailure::new("Function", error.message)),
        };
        let principal = Principal {
            name: run.job.created_by.clone(),
        };
        let host = NodeHost::new(
            project,
            self.statements.clone(),
            principal,
            Session::for_job(&run.job),
            run.stop.clone(),
            run.slot,
        );
        let call = Call {
            function: Arc::new(function),
            arguments,
            stop: run.stop,
        };
        end_of(self.java_script.call(call, Arc::new(host)).await)
    }
}

/// The error about an unknown name, with the nearest known name or all of them.
fn unknown(error: &UnknownProjectName, within: String, known: &[&str]) -> DefinitionError {
    const SHOWN: usize = 5;
    let hint = match (&error.nearest, known) {
        (Some(near), _) => Some(format!("did you mean `{near}`?")),
        (None, []) => None,
        (None, [only]) => Some(format!("there is {only}")),
        (None, known) => {
            let shown = known[..known.len().min(SHOWN)].join(", ");
            let more = if known.len() > SHOWN { ", …" } else { "" };
            Some(format!("there are {shown}{more}"))
        }
    };
    DefinitionError {
        message: format!("there is no {} `{}`{within}", error.what, error.name),
        hint,
    }
}

fn check_arguments(
    function: &Function,
    arguments: &Map<String, Value>,
) -> Result<(), DefinitionError> {
    let parameters = || function.parameters().iter().map(String::as_str);
    let Some(unknown) = arguments
        .keys()
        .find(|key| !parameters().any(|name| name == *key))
    else {
        return Ok(());
    };
    let name = function.name();
    let hint = match (nearest(unknown, parameters()), function.parameters()) {
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, []) => format!("{name} has no parameters"),
        (None, parameters) => format!("its parameters are {}", parameters.join(", ")),
    };
    let message = format!("the function {name} has no parameter `{unknown}`");
    Err(refused(message, hint))
}

/// Replaces secrets by their values. The row has them as `env:NAME`, which refers to a variable of the node.
fn resolve_secrets(
    environment: &Environment,
    arguments: Map<String, Value>,
) -> Result<Map<String, Value>, DefinitionError> {
    let resolved = arguments.into_iter().map(|(name, value)| {
        let variable = value.as_str().and_then(|text| text.strip_prefix("env:"));
        let Some(variable) = variable.filter(|_| is_secret(&name)) else {
            return Ok((name, value));
        };
        let unusable = |what: &str| DefinitionError {
            message: format!("the argument `{name}` names {variable}, which {what}"),
            hint: None,
        };
        if variable.to_ascii_uppercase().starts_with(OWN_VARIABLES) {
            return Err(unusable("belongs to the node"));
        }
        let secret = environment
            .get(variable)
            .ok_or_else(|| unusable("is not set on this node"))?;
        Ok((name, Value::from(secret)))
    });
    resolved.collect()
}

fn end_of(ended: CallEnd) -> RunEnd {
    match ended.result {
        Ok(returned) => {
            let value = returned.map(|returned| match returned {
                Returned::Text(text) | Returned::Json(text) => text,
            });
            RunEnd::Succeeded(output(&ended.log, value.as_deref()))
        }
        Err(failure) => RunEnd::Failed(failed(&failure, &ended.log)),
    }
}

fn failed(failure: &Failure, log: &str) -> RunFailure {
    RunFailure {
        kind: failure.kind.clone(),
        message: failure.to_string(),
        output: output(log, None),
        retry: failure.retry,
    }
}

/// The output of a run: the log, then the returned value, as a script would print them.
fn output(log: &str, value: Option<&str>) -> RunOutput {
    let text = match (log, value) {
        ("", None) => None,
        (log, value) => {
            let mut kept = Capture::default();
            kept.push(log.as_bytes());
            if let Some(value) = value {
                if !log.is_empty() {
                    kept.push(b"\n");
                }
                kept.push(value.as_bytes());
            }
            Some(kept.text())
        }
    };
    RunOutput::from_text(text)
}

#[cfg(test)]
mod tests {
    use weft_node::job::OUTPUT_BYTES;

    use super::*;

    #[test]
    fn the_returned_value_follows_the_log() {
        let check = |log: &str, value: Option<&str>, expected: Option<&str>| {
            assert_eq!(output(log, value).text.as_deref(), expected);
        };
        check("", None, None);
        check("", Some("1000"), Some("1000"));
        check("", Some(""), Some(""));
        check("INFO a", None, Some("INFO a"));
        check("INFO a\nWARN b", Some("7"), Some("INFO a\nWARN b\n7"));
        let long = output(&"l".repeat(OUTPUT_BYTES), Some("7")).text.unwrap();
        assert!(long.len() <= OUTPUT_BYTES && long.ends_with("l\n7"));
    }
}
