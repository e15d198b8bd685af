//! One run of a flow: stages in order, the actors of a stage side by side.

mod row_loop;

use std::sync::Arc;

use futures::future::{BoxFuture, join_all};
use serde_json::{Map, Value, json};
use tokio::sync::{Mutex, Semaphore};
use tracing::{debug, info};
use uuid::Uuid;
use weft_node::flow::{FlowCall, FlowFailure, FlowName, Flows};
use weft_node::job::FailureKind;
use weft_project::Project;

use super::actor::{ActorRun, OUTPUT_BYTES};
use super::definition::{ActorCall, Body, ErrorHandler, Stage};
use super::expression::Lookup;
use super::input::Inputs;
use super::recovery::FlowCheckpoints;
use super::scope::{CountedBytes, KeptBytes, Scope};
use super::tools::Tools;
use super::value::json_bytes;

/// The most actors of a run that act at once, loops included: each may use its limit of memory.
const ACTING: usize = 32;

/// One run of a flow.
pub(super) struct Execution<'a> {
    flows: &'a dyn Flows,
    tools: &'a Tools,
    project: &'a Arc<Project>,
    name: &'a FlowName,
    call: &'a FlowCall,
    checkpoints: Mutex<FlowCheckpoints>,
    kept: &'a KeptBytes,
    acting: Semaphore,
}

/// The failure of a stage.
#[derive(Debug)]
struct StageFailure {
    failure: FlowFailure,
    /// The name of the stage.
    stage: String,
}

impl StageFailure {
    fn new(failure: FlowFailure, stage: &Stage) -> Self {
        Self {
            failure,
            stage: stage.name.clone(),
        }
    }

    /// A failure whose message begins with the name of the stage.
    fn within(
        stage: &Stage,
        kind: impl Into<FailureKind>,
        message: impl std::fmt::Display,
    ) -> Self {
        let message = format!("stage {}: {message}", stage.name);
        Self::new(FlowFailure::new(kind, message), stage)
    }

    fn stopped(stage: &Stage, message: String) -> Self {
        Self::new(FlowFailure::new(FailureKind::Stopped, message), stage)
    }
}

/// The position of a stage in a run.
#[derive(Clone, Debug)]
struct Location {
    /// Enclosing stages and rows, each followed by `/`.
    path: String,
    /// Not in a loop or an error handler, so finished stages are saved.
    is_recoverable: bool,
}

impl Location {
    fn inside(&self, part: &str, is_recoverable: bool) -> Self {
        Self {
            path: format!("{}{part}/", self.path),
            is_recoverable: self.is_recoverable && is_recoverable,
        }
    }
}

/// The outputs of a body, and its failure if it has not succeeded.
type BodyEnd = (Map<String, Value>, Option<StageFailure>);

impl<'a> Execution<'a> {
    pub(super) fn new(
        flows: &'a dyn Flows,
        tools: &'a Tools,
        project: &'a Arc<Project>,
        name: &'a FlowName,
        call: &'a FlowCall,
        checkpoints: FlowCheckpoints,
        kept: &'a KeptBytes,
    ) -> Self {
        Self {
            flows,
            tools,
            project,
            name,
            call,
            checkpoints: Mutex::new(checkpoints),
            kept,
            acting: Semaphore::new(ACTING),
        }
    }

    /// Runs the stages of the flow. `scope` receives their outputs.
    pub(super) async fn run(
        self,
        stages: &[Stage],
        scope: &mut Scope<'_>,
    ) -> Result<FlowCheckpoints, FlowFailure> {
        let location = Location {
            path: String::new(),
            is_recoverable: true,
        };
        let ran = self.stages(stages, scope, &location).await;
        ran.map_err(|failed| failed.failure)?;
        Ok(self.checkpoints.into_inner())
    }

    /// Runs stages in order; each sees the outputs of those before it.
    fn stages<'s>(
        &'s self,
        stages: &'s [Stage],
        scope: &'s mut Scope<'_>,
        location: &'s Location,
    ) -> BoxFuture<'s, Result<(), StageFailure>> {
        Box::pin(async move {
            for stage in stages {
                if self.call.stop.is_cancelled() {
                    let message = format!("it was stopped before stage {}", stage.name);
                    return Err(StageFailure::stopped(stage, message));
                }
                let outputs = self.stage(stage, scope, location).await?;
                scope
                    .keep_all(outputs)
                    .map_err(|error| StageFailure::within(stage, "Memory", error))?;
            }
            Ok(())
        })
    }

    /// The outputs of a stage: saved by an earlier try, or of a run of it.
    async fn stage(
        &self,
        stage: &Stage,
        scope: &Scope<'_>,
        location: &Location,
    ) -> Result<Map<String, Value>, StageFailure> {
        let path = format!("{}{}", location.path, stage.name);
        if location.is_recoverable
            && let Some(outputs) = self.checkpoints.lock().await.take_stage(&path)
        {
            info!(
                flow = %self.name,
                stage = path,
                "Stage {path} of {} has finished before and is not repeated",
                self.name
            );
            return Ok(outputs);
        }
        if let Some(condition) = &stage.condition {
            let holds = condition.holds(scope);
            let holds = holds.map_err(|error| StageFailure::within(stage, "Condition", error))?;
            if !holds {
                return Ok(Map::new());
            }
        }
        let outputs = match &stage.repeat {
            Some(repeat) => self.row_loop(stage, repeat, scope, location).await?,
            None => self.pass(stage, scope, location).await?,
        };
        if location.is_recoverable {
            let mut checkpoints = self.checkpoints.lock().await;
            let saved = checkpoints.save_stage(&path, &outputs).await;
            saved.map_err(|failure| StageFailure::new(failure, stage))?;
        }
        Ok(outputs)
    }

    /// Runs the body of a stage once, and its error handler if it fails.
    async fn pass(
        &self,
        stage: &Stage,
        scope: &Scope<'_>,
        location: &Location,
    ) -> Result<Map<String, Value>, StageFailure> {
        let (outputs, failed) = match &stage.body {
            Body::Actors(actors) => self.actors(stage, actors, scope, location).await,
            Body::Stages(stages) => {
                let mut inner = Scope::within(scope);
                // The path of a loop has the name of its stage already, with the number of the row.
                let location = match stage.repeat {
                    Some(_) => location.clone(),
                    None => location.inside(&stage.name, true),
                };
                let ran = self.stages(stages, &mut inner, &location).await;
                (inner.take(), ran.err())
            }
        };
        match (failed, &stage.on_error) {
            (None, _) => Ok(outputs),
            (Some(failed), Some(handler)) if failed.failure.kind.can_be_handled() => {
                self.handle(stage, handler, failed, scope, location).await?;
                Ok(outputs)
            }
            (Some(failed), _) => Err(failed),
        }
    }

    /// Runs actors side by side. All of them end, even if one fails.
    async fn actors(
        &self,
        stage: &Stage,
        actors: &[ActorCall],
        scope: &Scope<'_>,
        location: &Location,
    ) -> BodyEnd {
        let acts = actors.iter().map(|call| self.act(call, scope, location));
        let ended = join_all(acts).await;
        let mut outputs = Map::new();
        let mut failures = Vec::new();
        // Counted until all outputs are handed over.
        let mut counted = Vec::new();
        for (call, ended) in actors.iter().zip(ended) {
            match ended {
                Ok((given, bytes)) => {
                    counted.push(bytes);
                    outputs.insert(call.name.clone(), Value::Object(given));
                }
                Err(failure) => failures.push((call, failure)),
            }
        }
        (outputs, join_failures(stage, &failures))
    }

    async fn act(
        &self,
        call: &ActorCall,
        scope: &dyn Lookup,
        location: &Location,
    ) -> Result<(Map<String, Value>, CountedBytes<'_>), FlowFailure> {
        // The semaphore is never closed.
        let _acting = self.acting.acquire().await;
        let mut given = Map::new();
        for input in &call.inputs {
            let value = input.value.value(scope);
            let value = value.map_err(|error| {
                FlowFailure::new("Input", format!("the input `{}`: {error}", input.name))
            })?;
            given.insert(input.name.to_owned(), value);
        }
        let inputs = Inputs::accept(call.actor.spec().inputs, given)
            .map_err(|error| FlowFailure::new("Input", error))?;
        let path = format!("{}{}", location.path, call.name);
        let run = ActorRun {
            flows: self.flows,
            tools: self.tools,
            project: self.project,
            flow: self.name,
            principal: &self.call.principal,
            session: &self.call.session,
            stop: &self.call.stop,
            slot: &self.call.slot,
            key: Uuid::new_v5(&self.call.run_id, path.as_bytes()),
            path: &path,
        };
        let outputs = call.actor.act(inputs, run).await?;
        let bytes: usize = outputs.values().map(json_bytes).sum();
        if bytes > OUTPUT_BYTES {
            let message = format!(
                "its outputs have {bytes} bytes, and an actor may return at most {} MiB; request less at a time",
                OUTPUT_BYTES / 1024 / 1024
            );
            return Err(FlowFailure::new("Memory", message));
        }
        let (counted, fits) = self.kept.count(bytes);
        fits.map_err(|error| FlowFailure::new("Memory", error))?;
        Ok((outputs, counted))
    }

    /// Runs an error handler. Returns Ok if the flow continues.
    async fn handle(
        &self,
        stage: &Stage,
        handler: &ErrorHandler,
        failed: StageFailure,
        scope: &Scope<'_>,
        location: &Location,
    ) -> Result<(), StageFailure> {
        let failure = &failed.failure;
        debug!(flow = %self.name, "Handling: {}", failure.message);
        let mut inner = Scope::within(scope);
        let error = json!({
            "message": failure.message,
            "type": failure.exception_type(),
            "stage": failed.stage,
        });
        let location = location.inside(&format!("{}.on_error", stage.name), false);
        let handler_failed = |error: &str| {
            let message = format!("{}; and its error handler failed: {error}", failure.message);
            StageFailure::new(FlowFailure::new(failure.kind.clone(), message), stage)
        };
        inner
            .keep("error", error)
            .map_err(|error| handler_failed(&error))?;
        for call in &handler.actors {
            if self.call.stop.is_cancelled() {
                let message = format!("it was stopped after: {}", failure.message);
                return Err(StageFailure::stopped(stage, message));
            }
            match self.act(call, &inner, &location).await {
                Ok((outputs, _)) => inner
                    .keep(&call.name, Value::Object(outputs))
                    .map_err(|error| handler_failed(&error))?,
                Err(own) if !own.kind.can_be_handled() => {
                    let message = format!("{}; after: {}", own.message, failure.message);
                    return Err(StageFailure::new(
                        FlowFailure::new(own.kind, message),
                        stage,
                    ));
                }
                Err(own) => {
                    return Err(handler_failed(&format!("{}: {}", call.name, own.message)));
                }
            }
        }
        match handler.continues {
            true => Ok(()),
            false => Err(failed),
        }
    }
}

/// One failure for all of them. A failure that ends the flow takes precedence.
fn join_failures(stage: &Stage, failures: &[(&ActorCall, FlowFailure)]) -> Option<StageFailure> {
    let ends_flow = failures
        .iter()
        .find(|(_, failure)| !failure.kind.can_be_handled());
    let (_, decisive) = ends_flow.or(failures.first())?;
    let messages: Vec<String> = failures
        .iter()
        .map(|(call, failure)| format!("{}: {}", call.name, failure.message))
        .collect();
    let message = messages.join("; and ");
    Some(StageFailure::within(stage, decisive.kind.clone(), message))
}
