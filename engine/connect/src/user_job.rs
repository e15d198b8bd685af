//! USER_JOB: a JavaScript function of a logical unit (R61, R82).

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Map, Value};
use weft_lang::names::nearest;
use weft_model::Job;
use weft_model::{Principal, Session};
use weft_node::job::{Check, JobKind, Run, RunEnd, RunFailure, RunOutput};
use weft_project::interface::Environment;
use weft_project::{Project, UnknownProjectName};
use weft_statement::{LateStatements, is_secret};

use crate::capture::Capture;
use crate::http::OWN_VARIABLES;
use crate::javascript::{Call, Ended, Failure, Function, JavaScript, Limits, NodeHost, Returned};
use crate::{DeployedProject, arguments, must_be_deployed};

/// Functions that run at a time. Each may hold its limit of memory; those that wait for a batch have lent their slots, so
/// there may be more of them than slots.
const THREADS: usize = 64;

/// Calls functions `functions/<name>.js` of the deployed project.
#[derive(Debug)]
pub struct UserJob {
    projects: Arc<dyn DeployedProject>,
    statements: LateStatements,
    environment: Environment,
    java_script: JavaScript,
}

/// A function with what it is called with.
struct Defined {
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

    async fn defined(&self, job: &Job) -> Result<Defined, Check> {
        let arguments = arguments::of(job)?;
        let Some((unit, name)) = job.key.name.split_once('.') else {
            return Err(Check {
                message: format!("`{}` does not name a function", job.key.name),
                hint: Some("write NAME='<logical unit>.<function>'".to_owned()),
            });
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
        // It was checked when it was deployed, by another version perhaps.
        let function = function.map_err(|finding| Check {
            message: format!("{}:{}: {}", file.path, finding.line, finding.message),
            hint: None,
        })?;
        check_arguments(&function, &arguments)?;
        Ok(Defined {
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

    async fn check(&self, job: &Job) -> Result<(), Check> {
        self.defined(job).await.map(drop)
    }

    async fn run(&self, run: Run) -> RunEnd {
        let defined = self.defined(&run.job).await.and_then(|defined| {
            let arguments = secrets(&self.environment, defined.arguments)?;
            Ok(Defined {
                arguments,
                ..defined
            })
        });
        let defined = match defined {
            Ok(defined) => defined,
            Err(check) => return RunEnd::Failed(RunFailure::new("Function", check.message)),
        };
        let principal = Principal {
            name: run.job.created_by.clone(),
        };
        let host = NodeHost::new(
            defined.project,
            self.statements.clone(),
            principal,
            Session::for_job(&run.job),
            run.stop.clone(),
            run.slot,
        );
        let call = Call {
            function: Arc::new(defined.function),
            arguments: defined.arguments,
            stop: run.stop,
        };
        end_of(self.java_script.call(call, Arc::new(host)).await)
    }
}

/// A name that the project does not have; where none is near, the known ones.
fn unknown(error: &UnknownProjectName, place: String, known: &[&str]) -> Check {
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
    Check {
        message: format!("there is no {} `{}`{place}", error.what, error.name),
        hint,
    }
}

fn check_arguments(function: &Function, arguments: &Map<String, Value>) -> Result<(), Check> {
    let parameters = || function.parameters().iter().map(String::as_str);
    let Some(strange) = arguments
        .keys()
        .find(|key| !parameters().any(|name| name == *key))
    else {
        return Ok(());
    };
    let name = function.name();
    let hint = match (nearest(strange, parameters()), function.parameters()) {
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, []) => format!("{name} has no parameters"),
        (None, parameters) => format!("its parameters are {}", parameters.join(", ")),
    };
    Err(Check {
        message: format!("the function {name} has no parameter `{strange}`"),
        hint: Some(hint),
    })
}

/// The arguments with the values of secrets, which stand in the row as the names of variables of the node.
fn secrets(
    environment: &Environment,
    arguments: Map<String, Value>,
) -> Result<Map<String, Value>, Check> {
    let resolved = arguments.into_iter().map(|(name, value)| {
        let variable = value.as_str().and_then(|text| text.strip_prefix("env:"));
        let Some(variable) = variable.filter(|_| is_secret(&name)) else {
            return Ok((name, value));
        };
        let refused = |what: &str| Check {
            message: format!("the argument `{name}` names {variable}, which {what}"),
            hint: None,
        };
        if variable.to_ascii_uppercase().starts_with(OWN_VARIABLES) {
            return Err(refused("belongs to the node"));
        }
        let secret = environment
            .get(variable)
            .ok_or_else(|| refused("is not set on this node"))?;
        Ok((name, Value::from(secret)))
    });
    resolved.collect()
}

/// What it logged stands before what it returned, as a script would write it.
fn end_of(ended: Ended) -> RunEnd {
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
        exception_type: failure.name.clone(),
        message: failure.to_string(),
        output: output(log, None),
        retry: failure.retry,
    }
}

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
    RunOutput {
        text,
        exit_code: None,
    }
}

#[cfg(test)]
mod tests {
    use weft_node::job::OUTPUT_BYTES;

    use super::*;

    #[test]
    fn what_is_returned_stands_behind_what_was_logged() {
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
