//! JavaScript: calls a function of the project, or runs a script in the flow.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value};
use tokio::time::sleep;
use weft_node::flow::FlowFailure;
use weft_node::job::FailureKind;
use weft_project::{LogicalUnit, Project, ProjectFile, Spot, UnknownProjectName, is_name, nearest};

use crate::flow::actor::{Actor, ActorResult, ActorRun, ActorSpec, CheckContext, WrittenInputs};
use crate::flow::input::{InputKind, Inputs, optional};
use crate::javascript::{Call, Finding, Function, NodeHost, Returned};

#[derive(Debug)]
pub(super) struct JavaScript;

const DEFAULT_TIMEOUT_MS: u64 = 60_000;
const DAY_MS: u64 = 86_400_000;
/// How long a function may run on after a stop was requested.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// The name of the input, and of the function that wraps the script.
const SCRIPT: &str = "script";

const SPEC: ActorSpec = ActorSpec {
    name: "JavaScript",
    aliases: &[],
    summary: "calls a function of the project, or runs a script; both may use `fabric()`, `db()`, `log` and `isAborted()` as user jobs do",
    inputs: &[
        optional(
            "function",
            InputKind::Fixed,
            "the function, of this logical unit or as `LU.function`",
        ),
        optional(
            SCRIPT,
            InputKind::Code,
            "instead of a function: lines that end with `return …` and use the arguments by name",
        ),
        optional("arguments", InputKind::Map, "arguments by name"),
        optional(
            "timeout_ms",
            InputKind::Whole(1, DAY_MS),
            "how long it may take; 60000 by default",
        ),
    ],
    outputs: &[
        ("result", "the returned value"),
        ("log", "the logged lines"),
    ],
};

#[async_trait]
impl Actor for JavaScript {
    fn spec(&self) -> &'static ActorSpec {
        &SPEC
    }

    async fn check(&self, inputs: WrittenInputs<'_>, context: CheckContext<'_>) {
        // None if the names are known only when the flow runs.
        let names = match inputs.value("arguments") {
            None => Some(Vec::new()),
            Some(map) => map.keys(),
        };
        let read = match (inputs.text("function"), inputs.text(SCRIPT)) {
            (Some((written, spot)), None) => {
                Some((read_function(written, spot, context).await, spot))
            }
            (None, Some((script, spot))) => Some((
                read_script(script, spot, names.as_deref(), context).await,
                spot,
            )),
            (Some((_, spot)), Some(_)) => {
                context
                    .findings
                    .add(spot, "a function or a script, not both");
                None
            }
            (None, None) => {
                let message = "JavaScript needs the input `function` or `script`";
                context.findings.add(context.spot, message);
                None
            }
        };
        let Some((Some(function), spot)) = read else {
            return;
        };
        let parameters = || function.parameters().iter().map(String::as_str);
        for name in names.into_iter().flatten() {
            if !parameters().any(|known| known == name) {
                let message = format!("the function {} has no parameter `{name}`", function.name());
                let near = nearest(name, parameters());
                context.findings.add_near(spot, message, near);
            }
        }
    }

    async fn act(&self, inputs: Inputs, run: ActorRun<'_>) -> ActorResult {
        let function = function_of(&inputs, run).await.map_err(failed)?;
        let host = NodeHost::new(
            Arc::clone(run.project),
            run.tools.statements.clone(),
            run.principal.clone(),
            run.session.clone(),
            run.stop.clone(),
            run.slot.clone(),
        );
        let call = Call {
            function: Arc::new(function),
            arguments: inputs.map("arguments"),
            stop: run.stop.clone(),
        };
        let millis = inputs.whole("timeout_ms").unwrap_or(DEFAULT_TIMEOUT_MS);
        let stopped = async {
            run.stop.cancelled().await;
            sleep(STOP_GRACE).await;
        };
        // A dropped call ends at once, even in an endless loop.
        let ended = tokio::select! {
            biased;
            ended = run.tools.java_script.call(call, Arc::new(host)) => ended,
            () = stopped => {
                let message = "it was stopped while a function ran";
                return Err(FlowFailure::new(FailureKind::Stopped, message));
            }
            () = sleep(Duration::from_millis(millis)) => {
                let message = format!("it took longer than timeout_ms={millis}");
                return Err(FlowFailure::new("Timeout", message));
            }
        };
        let returned = ended.result.map_err(|failure| {
            let message = failure.to_string();
            match run.stop.is_cancelled() {
                true => FlowFailure::new(FailureKind::Stopped, message),
                false => FlowFailure::new(failure.kind, message),
            }
        })?;
        let result = match returned {
            None => Value::Null,
            Some(Returned::Text(text)) => Value::from(text),
            Some(Returned::Json(text)) => serde_json::from_str(&text)
                .map_err(|error| failed(format!("the returned value is not JSON: {error}")))?,
        };
        Ok(Map::from_iter([
            ("result".to_owned(), result),
            ("log".to_owned(), Value::from(ended.log)),
        ]))
    }
}

/// Reads a function of the project; reports why it cannot be called.
async fn read_function(written: &str, spot: &Spot, context: CheckContext<'_>) -> Option<Function> {
    match resolve(context.project, context.logical_unit, written) {
        Ok((name, file)) => {
            let read = Function::read(&file.path, name, file.text.as_bytes()).await;
            report(read, spot, context)
        }
        Err(unknown) => {
            context.report_unknown(spot, unknown);
            None
        }
    }
}

/// Reads a script with arguments of these names; reports why it cannot run.
async fn read_script(
    script: &str,
    spot: &Spot,
    names: Option<&[&str]>,
    context: CheckContext<'_>,
) -> Option<Function> {
    let Some(names) = names else {
        let message = "a script needs its arguments by name: a map, not a link";
        context.findings.add(spot, message);
        return None;
    };
    match wrap(script, names.iter().copied()) {
        Ok(text) => {
            let read = Function::read(&spot.file, SCRIPT, text.as_bytes()).await;
            report(read, spot, context)
        }
        Err(error) => {
            context.findings.add(spot, error);
            None
        }
    }
}

fn report(
    read: Result<Function, Finding>,
    spot: &Spot,
    context: CheckContext<'_>,
) -> Option<Function> {
    read.map_err(|finding| context.findings.add(spot, with_line(&finding)))
        .ok()
}

/// Reads the function or the script of a call.
async fn function_of(inputs: &Inputs, run: ActorRun<'_>) -> Result<Function, String> {
    let read = match inputs.optional_text(SCRIPT) {
        Some(script) => {
            let arguments = inputs.map("arguments");
            let text = wrap(script, arguments.keys().map(String::as_str))?;
            let label = format!("{} {}", run.flow, run.path);
            Function::read(&label, SCRIPT, text.as_bytes()).await
        }
        None => {
            let unit = run.logical_unit().map_err(|error| error.to_string())?;
            let (name, file) = resolve(run.project, unit, inputs.text("function"))
                .map_err(|error| error.to_string())?;
            Function::read(&file.path, name, file.text.as_bytes()).await
        }
    };
    read.map_err(|finding| with_line(&finding))
}

fn failed(message: String) -> FlowFailure {
    FlowFailure::new("Function", message)
}

fn with_line(finding: &Finding) -> String {
    format!("line {}: {}", finding.line, finding.message)
}

/// Resolves `LU.function`, or `function` of the logical unit `around`.
fn resolve<'p>(
    project: &'p Project,
    around: &'p LogicalUnit,
    written: &str,
) -> Result<(&'p str, &'p ProjectFile), UnknownProjectName> {
    match written.split_once('.') {
        Some((unit, name)) => project.logical_unit(unit.trim())?.function(name.trim()),
        None => around.function(written.trim()),
    }
}

/// Makes a function of a script. The first line of the script stays the first line.
fn wrap<'n>(script: &str, names: impl Iterator<Item = &'n str>) -> Result<String, String> {
    let names: Vec<&str> = names.collect();
    // The names may be data, and data must not become code.
    if let Some(name) = names.iter().find(|name| !is_name(name)) {
        return Err(format!("`{name}` cannot be the name of an argument"));
    }
    Ok(format!(
        "function {SCRIPT}({}) {{{script}\n}}",
        names.join(", ")
    ))
}
