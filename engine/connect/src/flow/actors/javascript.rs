//! JavaScript: a function of the logical unit, or a few lines in the flow itself.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value};
use tokio::time::sleep;
use weft_engine::project::{LogicalUnit, Project, ProjectFile, UnknownProjectName, is_name};

use crate::flow::actor::{
    Actor, ActorError, ActorRun, ActorSpec, Checking, InputKind, Inputs, WrittenInputs, optional,
};
use crate::flow::expression::Expression;
use crate::javascript::{Call, Function, NodeHost, Returned};

#[derive(Debug)]
pub(super) struct JavaScript;

const DEFAULT_TIMEOUT_MS: u64 = 60_000;
const DAY_MS: u64 = 86_400_000;
/// What a function that was told to stop may still do.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// What the lines of a flow are a function of.
const SCRIPT: &str = "script";

const SPEC: ActorSpec = ActorSpec {
    name: "JavaScript",
    aliases: &[],
    summary: "calls a function of the project, or runs a few lines; both may use `fabric()`, `db()`, `log` and `isAborted()` as user jobs do",
    inputs: &[
        optional(
            "function",
            InputKind::Fixed,
            "the function, of this logical unit or as `LU.function`",
        ),
        optional(
            SCRIPT,
            InputKind::Code,
            "instead of a function: lines that end with `return …`, and see their arguments by name",
        ),
        optional("arguments", InputKind::Map, "arguments by name"),
        optional(
            "timeout_ms",
            InputKind::Whole(1, DAY_MS),
            "how long it may take; 60000 where it is left out",
        ),
    ],
    outputs: &[("result", "what it returned"), ("log", "what it logged")],
};

#[async_trait]
impl Actor for JavaScript {
    fn spec(&self) -> &'static ActorSpec {
        &SPEC
    }

    async fn check(&self, inputs: WrittenInputs<'_>, at: Checking<'_>) {
        let arguments = inputs.get("arguments");
        let names = match arguments.map(|input| &input.value) {
            None => Some(Vec::new()),
            Some(Expression::Literal(Value::Object(map))) => Some(map.keys().cloned().collect()),
            Some(Expression::Map(entries)) => {
                Some(entries.iter().map(|(name, _)| name.clone()).collect())
            }
            Some(_) => None,
        };
        let (read, spot) = match (inputs.text("function"), inputs.text(SCRIPT)) {
            (Some((written, spot)), None) => match target(at.project, at.logical_unit, written) {
                Ok((name, file)) => (
                    Function::read(&file.path, name, file.text.as_bytes()).await,
                    spot,
                ),
                Err(unknown) => {
                    let message = format!("there is no {} `{}`", unknown.what, unknown.name);
                    at.findings.add_near(spot, message, unknown.nearest);
                    return;
                }
            },
            (None, Some((script, spot))) => {
                let Some(names) = &names else {
                    let message = "a script needs its arguments by name: a map, not a link";
                    at.findings.add(spot, message);
                    return;
                };
                match wrapped(script, names.iter().map(String::as_str)) {
                    Ok(text) => (
                        Function::read(&spot.file, SCRIPT, text.as_bytes()).await,
                        spot,
                    ),
                    Err(error) => {
                        at.findings.add(spot, error);
                        return;
                    }
                }
            }
            (Some((_, spot)), Some(_)) => {
                at.findings.add(spot, "a function or a script, not both");
                return;
            }
            (None, None) => {
                at.findings
                    .add(at.spot, "JavaScript needs the input `function` or `script`");
                return;
            }
        };
        match read {
            Ok(function) => {
                let parameters = || function.parameters().iter().map(String::as_str);
                for name in names.into_iter().flatten() {
                    if !parameters().any(|known| known == name) {
                        let near = weft_engine::project::nearest(&name, parameters());
                        let message =
                            format!("the function {} has no parameter `{name}`", function.name());
                        at.findings.add_near(spot, message, near);
                    }
                }
            }
            // A function's own file tells the same where it stands.
            Err(finding) => {
                let message = format!("line {}: {}", finding.line, finding.message);
                at.findings.add(spot, message);
            }
        }
    }

    async fn act(
        &self,
        inputs: Inputs,
        run: ActorRun<'_>,
    ) -> Result<Map<String, Value>, ActorError> {
        let failed = |message: String| ActorError::new("Function", message);
        let arguments = inputs.value("arguments").as_object().cloned();
        let arguments = arguments.unwrap_or_default();
        let function = match inputs.optional_text(SCRIPT) {
            Some(script) => {
                let names = arguments.keys().map(String::as_str);
                let text = wrapped(script, names).map_err(failed)?;
                let label = format!("{} {}", run.flow, run.place);
                Function::read(&label, SCRIPT, text.as_bytes()).await
            }
            None => {
                let unit = run.project.logical_unit(&run.flow.logical_unit);
                let unit = unit.map_err(|error| failed(error.to_string()))?;
                let (name, file) = target(run.project, unit, inputs.text("function"))
                    .map_err(|error| failed(error.to_string()))?;
                Function::read(&file.path, name, file.text.as_bytes()).await
            }
        };
        let function = function
            .map_err(|finding| failed(format!("line {}: {}", finding.line, finding.message)))?;
        let host = NodeHost::new(
            Arc::clone(run.project),
            run.runner.tools.statements.clone(),
            run.principal.clone(),
            run.session.clone(),
            run.stop.clone(),
            run.slot.clone(),
        );
        let call = Call {
            function: Arc::new(function),
            arguments,
            stop: run.stop.clone(),
        };
        let millis = inputs.whole("timeout_ms").unwrap_or(DEFAULT_TIMEOUT_MS);
        let told = async {
            run.stop.cancelled().await;
            sleep(STOP_GRACE).await;
        };
        // A call that is dropped ends at once, endless loops included.
        let ended = tokio::select! {
            biased;
            ended = run.runner.tools.java_script.call(call, Arc::new(host)) => ended,
            () = told => return Err(ActorError::stopped("it was told to stop while a function ran")),
            () = sleep(Duration::from_millis(millis)) => {
                let message = format!("it took longer than timeout_ms={millis}");
                return Err(ActorError::new("Timeout", message));
            }
        };
        let returned = ended.result.map_err(|failure| {
            let message = failure.to_string();
            match run.stop.is_cancelled() {
                true => ActorError::stopped(message),
                false => ActorError::new(failure.name.as_str(), message),
            }
        })?;
        let result = match returned {
            None => Value::Null,
            Some(Returned::Text(text)) => Value::from(text),
            Some(Returned::Json(text)) => serde_json::from_str(&text)
                .map_err(|error| failed(format!("what it returned is no JSON: {error}")))?,
        };
        Ok(Map::from_iter([
            ("result".to_owned(), result),
            ("log".to_owned(), Value::from(ended.log)),
        ]))
    }
}

/// The function that a name means.
fn target<'p>(
    project: &'p Project,
    around: &'p LogicalUnit,
    written: &str,
) -> Result<(&'p str, &'p ProjectFile), UnknownProjectName> {
    match written.split_once('.') {
        Some((unit, name)) => project.logical_unit(unit.trim())?.function(name.trim()),
        None => around.function(written.trim()),
    }
}

/// The lines as a function of their arguments; its first line is theirs.
fn wrapped<'n>(script: &str, names: impl Iterator<Item = &'n str>) -> Result<String, String> {
    let names: Vec<&str> = names.collect();
    // The names of arguments may be data, and data never becomes code.
    if let Some(name) = names.iter().find(|name| !is_name(name)) {
        return Err(format!("`{name}` cannot be the name of an argument"));
    }
    Ok(format!(
        "function {SCRIPT}({}) {{{script}\n}}",
        names.join(", ")
    ))
}
