//! Runs flows: stages in order, the actors of a stage side by side.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use futures::future::{BoxFuture, join_all};
use futures::stream::{self, BoxStream, StreamExt};
use serde_json::{Map, Value, json};
use tokio::sync::{Mutex, Semaphore};
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, info};
use uuid::Uuid;
use weft_engine::flow::{FlowCall, FlowEnd, FlowFailure, FlowName, FlowPart, FlowRefusal, Flows};
use weft_engine::job::{CheckpointStore, FailureKind};
use weft_engine::node::NodeConfig;
use weft_engine::project::{Findings, LogicalUnit, Project, UnknownProjectName};

use super::actor::{ActorError, ActorRun, Inputs, OUTPUT_BYTES};
use super::definition::{ActorCall, Body, FlowDefinition, Handler, Repeat, RowSource, Stage};
use super::expression::{Lookup, json_bytes};
use super::points::Points;
use super::scope::{Held, Kept, Scope};
use super::sql::parameters_of;
use super::tools::Tools;
use crate::{DeployedProject, must_be_deployed};

/// Flows that call flows.
const NESTED: usize = 8;
/// Actors of a run that act at a time, loops and everything: each may hold its limit of memory.
const ACTING: usize = 32;

tokio::task_local! {
    /// How many flows are around this one, whichever way they call each other.
    static AROUND: usize;
}

/// Runs the flows of the deployed project. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct FlowRunner {
    projects: Arc<dyn DeployedProject>,
    config: Arc<NodeConfig>,
    checkpoints: CheckpointStore,
    /// What actors share.
    pub(super) tools: Arc<Tools>,
}

/// A flow that was found.
struct Found {
    project: Arc<Project>,
    name: FlowName,
    definition: FlowDefinition,
    /// What its file says.
    text: String,
}

impl FlowRunner {
    /// Runs flows of these projects.
    pub(crate) fn new(
        projects: Arc<dyn DeployedProject>,
        config: NodeConfig,
        checkpoints: CheckpointStore,
        tools: Tools,
    ) -> Self {
        Self {
            projects,
            config: Arc::new(config),
            checkpoints,
            tools: Arc::new(tools),
        }
    }

    async fn find(&self, name: &FlowName) -> Result<Found, FlowRefusal> {
        let whole = |message: String, hint: Option<String>| FlowRefusal {
            part: FlowPart::Call,
            message,
            hint,
        };
        let project = must_be_deployed(self.projects.project().await);
        let project = project.map_err(|refused| whole(refused.message, refused.hint))?;
        let unit = project.logical_unit(&name.logical_unit);
        let unit = unit.map_err(|error| {
            unknown(
                &error,
                FlowPart::LogicalUnit,
                "LIST LU shows the logical units",
            )
        })?;
        let flow = unit.flow(&name.flow);
        let (flow, file) = flow.map_err(|error| {
            let known: Vec<&str> = unit.flows.keys().map(String::as_str).collect();
            let hint = match known.as_slice() {
                [] => format!("{} has no flows", unit.name),
                known => format!("{} has {}", unit.name, known.join(", ")),
            };
            unknown(&error, FlowPart::Flow, &hint)
        })?;
        let name = FlowName {
            logical_unit: unit.name.clone(),
            flow: flow.to_owned(),
        };
        let text = file.text.clone();
        let findings = Findings::default();
        let definition = FlowDefinition::read(file, &findings);
        let errors = findings.into_errors();
        match (definition, errors.first()) {
            (Some(definition), None) => Ok(Found {
                project: Arc::clone(&project),
                name,
                definition,
                text,
            }),
            // It was looked at when it was deployed, by another version.
            (_, error) => {
                let why = error.map_or_else(String::new, |error| format!(": {error}"));
                let message = format!("flow {name} cannot be read by this version{why}");
                Err(whole(message, None))
            }
        }
    }

    async fn run_found(&self, found: Found, call: FlowCall) -> Result<FlowEnd, FlowFailure> {
        let accepted = found.definition.accept(&call.inputs);
        let inputs = accepted.map_err(|refused| FlowFailure::new("Inputs", refused.message))?;
        let mut points = match &call.recovery {
            None => Points::none(),
            Some(recovery) => {
                let of = run_of(call.run_id, &found, &inputs);
                Points::take(&self.checkpoints, &self.config, recovery, of).await?
            }
        };
        if let Some(outputs) = points.end() {
            info!(flow = %found.name, "Flow {} had ended before: its answer was kept", found.name);
            return Ok(FlowEnd { outputs });
        }
        let kept = Kept::default();
        let mut scope = Scope::new(&kept);
        scope.keep_all(inputs).map_err(too_much)?;
        let execution = Execution {
            runner: self,
            found: &found,
            call: &call,
            points: Mutex::new(points),
            kept: &kept,
            acting: Semaphore::new(ACTING),
        };
        let place = Place {
            trail: String::new(),
            is_recoverable: true,
        };
        let ran = execution
            .stages(&found.definition.stages, &mut scope, &place)
            .await;
        ran.map_err(Trouble::into_failure)?;
        let mut outputs = Map::new();
        for (name, value) in &found.definition.outputs {
            let value = value
                .value(&scope)
                .map_err(|error| FlowFailure::new("Outputs", format!("output {name}: {error}")))?;
            outputs.insert(name.clone(), value);
        }
        execution.points.into_inner().close(&outputs).await?;
        debug!(flow = %found.name, "Flow {} has ended", found.name);
        Ok(FlowEnd { outputs })
    }
}

#[async_trait]
impl Flows for FlowRunner {
    async fn check(
        &self,
        name: &FlowName,
        inputs: &Map<String, Value>,
    ) -> Result<FlowName, FlowRefusal> {
        let found = self.find(name).await?;
        match found.definition.accept(inputs) {
            Ok(_) => Ok(found.name),
            Err(refused) => Err(FlowRefusal {
                part: refused.input.map_or(FlowPart::Call, FlowPart::Input),
                message: refused.message,
                hint: refused.hint,
            }),
        }
    }

    async fn inputs(&self, name: &FlowName) -> Result<Vec<String>, FlowRefusal> {
        let inputs = self.find(name).await?.definition.inputs;
        Ok(inputs.into_iter().map(|input| input.name).collect())
    }

    async fn run(&self, call: FlowCall) -> Result<FlowEnd, FlowFailure> {
        let around = AROUND.try_with(|around| *around).unwrap_or(0);
        if around == NESTED {
            let message = format!("flows call each other more than {NESTED} deep");
            return Err(FlowFailure::new("Nested", message));
        }
        let found = self
            .find(&call.name)
            .await
            .map_err(|refusal| FlowFailure::new("Flow", refusal.message))?;
        if around == 0 {
            return AROUND.scope(1, self.run_found(found, call)).await;
        }
        // A task of its own has a stack of its own: flows within flows use no more of one than a flow.
        let runner = self.clone();
        let inner = async move { runner.run_found(found, call).await };
        #[allow(
            clippy::disallowed_methods,
            reason = "the task ends with this future, which aborts it when it is dropped"
        )]
        let inner = tokio::spawn(AROUND.scope(around + 1, inner));
        match AbortOnDropHandle::new(inner).await {
            Ok(ended) => ended,
            Err(_) => Err(FlowFailure::new(
                "Panic",
                "the flow broke off inside Weft; the log of the node says where",
            )),
        }
    }
}

fn unknown(error: &UnknownProjectName, part: FlowPart, hint: &str) -> FlowRefusal {
    let hint = match &error.nearest {
        Some(near) => format!("did you mean `{near}`?"),
        None => hint.to_owned(),
    };
    FlowRefusal {
        part,
        message: format!("there is no {} `{}`", error.what, error.name),
        hint: Some(hint),
    }
}

/// Names a run of this version of a flow with these inputs.
fn run_of(run_id: Uuid, found: &Found, inputs: &Map<String, Value>) -> Uuid {
    let inputs = Value::Object(inputs.clone()).to_string();
    let name = found.name.to_string();
    let parts = [name.as_str(), &found.text, &inputs];
    Uuid::new_v5(&run_id, parts.join("\0").as_bytes())
}

fn too_much(message: String) -> FlowFailure {
    FlowFailure::new("Memory", message)
}

/// Why a stage did not end well.
#[derive(Debug)]
enum Trouble {
    /// Something failed, and an error handler may see to it.
    Failed(Failed),
    /// The flow ends, whatever handlers there are: it was told to stop, or is somebody else's now.
    Over(FlowFailure),
}

#[derive(Debug)]
struct Failed {
    failure: FlowFailure,
    stage: String,
}

impl Trouble {
    fn into_failure(self) -> FlowFailure {
        match self {
            Self::Failed(failed) => failed.failure,
            Self::Over(failure) => failure,
        }
    }

    fn of(failure: FlowFailure, stage: &Stage) -> Self {
        if !failure.kind.can_be_handled() {
            return Self::Over(failure);
        }
        Self::Failed(Failed {
            failure,
            stage: stage.name.clone(),
        })
    }

    fn in_stage(
        stage: &Stage,
        kind: impl Into<FailureKind>,
        message: impl std::fmt::Display,
    ) -> Self {
        let message = format!("stage {}: {message}", stage.name);
        Self::of(FlowFailure::new(kind, message), stage)
    }
}

/// Where a run is.
#[derive(Clone, Debug)]
struct Place {
    /// Stages and rows around, each with a `/` behind.
    trail: String,
    /// Not inside a loop: what finishes is written down.
    is_recoverable: bool,
}

impl Place {
    fn inside(&self, part: &str, is_recoverable: bool) -> Self {
        Self {
            trail: format!("{}{part}/", self.trail),
            is_recoverable: self.is_recoverable && is_recoverable,
        }
    }
}

/// One run of a flow.
struct Execution<'a> {
    runner: &'a FlowRunner,
    found: &'a Found,
    call: &'a FlowCall,
    points: Mutex<Points>,
    kept: &'a Kept,
    acting: Semaphore,
}

/// What actors gave, and why some gave nothing.
#[derive(Default)]
struct Given {
    outputs: Map<String, Value>,
    trouble: Option<Trouble>,
}

impl Execution<'_> {
    /// One stage after the other; each sees what those before gave.
    fn stages<'a>(
        &'a self,
        stages: &'a [Stage],
        scope: &'a mut Scope<'_>,
        place: &'a Place,
    ) -> BoxFuture<'a, Result<(), Trouble>> {
        Box::pin(async move {
            for stage in stages {
                if self.call.stop.is_cancelled() {
                    let message = format!("it was told to stop before stage {}", stage.name);
                    return Err(Trouble::Over(FlowFailure::new(
                        FailureKind::Stopped,
                        message,
                    )));
                }
                let given = self.stage(stage, scope, place).await?;
                scope
                    .keep_all(given)
                    .map_err(|error| Trouble::in_stage(stage, "Memory", error))?;
            }
            Ok(())
        })
    }

    /// What a stage gives: what it gave before, or what it gives now.
    async fn stage(
        &self,
        stage: &Stage,
        scope: &Scope<'_>,
        place: &Place,
    ) -> Result<Map<String, Value>, Trouble> {
        let path = format!("{}{}", place.trail, stage.name);
        if place.is_recoverable
            && let Some(given) = self.points.lock().await.of_stage(&path)
        {
            info!(
                flow = %self.found.name,
                stage = path,
                "Stage {path} of {} has finished before and is not repeated",
                self.found.name
            );
            return Ok(given);
        }
        if let Some(condition) = &stage.condition {
            let holds = condition.holds(scope);
            let holds = holds.map_err(|error| Trouble::in_stage(stage, "Condition", error))?;
            if !holds {
                return Ok(Map::new());
            }
        }
        let given = match &stage.repeat {
            Some(repeat) => self.rows(stage, repeat, scope, place).await?,
            None => self.pass(stage, scope, place).await?,
        };
        if place.is_recoverable {
            let mut points = self.points.lock().await;
            let finished = points.finish(&path, &given).await;
            finished.map_err(Trouble::Over)?;
        }
        Ok(given)
    }

    /// The body once, with its error handler.
    async fn pass(
        &self,
        stage: &Stage,
        scope: &Scope<'_>,
        place: &Place,
    ) -> Result<Map<String, Value>, Trouble> {
        let given = match &stage.body {
            Body::Actors(actors) => self.together(stage, actors, scope, place).await,
            Body::Stages(stages) => {
                let mut inner = Scope::within(scope);
                // A loop has its name in the trail already, with the number of its row.
                let place = match stage.repeat {
                    Some(_) => place.clone(),
                    None => place.inside(&stage.name, true),
                };
                let ran = self.stages(stages, &mut inner, &place).await;
                Given {
                    outputs: inner.take(),
                    trouble: ran.err(),
                }
            }
        };
        match (given.trouble, &stage.on_error) {
            (None, _) => Ok(given.outputs),
            (Some(Trouble::Failed(failed)), Some(handler)) => {
                self.handle(stage, handler, failed, scope, place).await?;
                Ok(given.outputs)
            }
            (Some(trouble), _) => Err(trouble),
        }
    }

    /// All actors at once. All of them end, whatever becomes of the others.
    async fn together(
        &self,
        stage: &Stage,
        actors: &[ActorCall],
        scope: &Scope<'_>,
        place: &Place,
    ) -> Given {
        let acts = actors.iter().map(|call| self.act(call, scope, place));
        let ended = join_all(acts).await;
        let mut given = Given::default();
        let mut failures = Vec::new();
        let mut all_held = Vec::new();
        for (call, ended) in actors.iter().zip(ended) {
            match ended {
                Ok((outputs, held)) => {
                    all_held.push(held);
                    given
                        .outputs
                        .insert(call.name.clone(), Value::Object(outputs));
                }
                Err(error) => failures.push((call, error)),
            }
        }
        given.trouble = trouble_of(stage, failures);
        given
    }

    async fn act(
        &self,
        call: &ActorCall,
        scope: &dyn Lookup,
        place: &Place,
    ) -> Result<(Map<String, Value>, Held<'_>), ActorError> {
        // It is never closed.
        let _acting = self.acting.acquire().await;
        let mut given = Map::new();
        for input in &call.inputs {
            let value = input.value.value(scope);
            let value = value.map_err(|error| {
                ActorError::new("Input", format!("the input `{}`: {error}", input.name))
            })?;
            given.insert(input.name.to_owned(), value);
        }
        let spec = call.actor.spec();
        let inputs = Inputs::of(spec, given).map_err(|error| ActorError::new("Input", error))?;
        let place = format!("{}{}", place.trail, call.name);
        let run = ActorRun {
            runner: self.runner,
            project: &self.found.project,
            flow: &self.found.name,
            principal: &self.call.principal,
            session: &self.call.session,
            stop: &self.call.stop,
            slot: &self.call.slot,
            key: Uuid::new_v5(&self.call.run_id, place.as_bytes()),
            place: &place,
        };
        let outputs = call.actor.act(inputs, run).await?;
        let bytes: usize = outputs.values().map(json_bytes).sum();
        if bytes > OUTPUT_BYTES {
            let message = format!(
                "its outputs have {bytes} bytes, and {} MiB are kept of one actor; ask for less at a time",
                OUTPUT_BYTES / 1024 / 1024
            );
            return Err(ActorError::new("Memory", message));
        }
        let (held, fits) = self.kept.hold(bytes);
        fits.map_err(|error| ActorError::new("Memory", error))?;
        Ok((outputs, held))
    }

    /// Runs an error handler; answers where the flow goes on.
    async fn handle(
        &self,
        stage: &Stage,
        handler: &Handler,
        failed: Failed,
        scope: &Scope<'_>,
        place: &Place,
    ) -> Result<(), Trouble> {
        let Failed {
            failure,
            stage: failed_in,
        } = failed;
        debug!(flow = %self.found.name, "Handling: {}", failure.message);
        let mut inner = Scope::within(scope);
        let error = json!({
            "message": failure.message,
            "type": failure.exception_type(),
            "stage": failed_in,
        });
        let place = place.inside(&format!("{}.on_error", stage.name), false);
        let both = |own: &str| {
            let message = format!("{}; and its error handler failed: {own}", failure.message);
            Trouble::of(FlowFailure::new(failure.kind.clone(), message), stage)
        };
        inner.keep("error", error).map_err(|error| both(&error))?;
        for call in &handler.actors {
            if self.call.stop.is_cancelled() {
                let message = format!("it was told to stop after: {}", failure.message);
                return Err(Trouble::Over(FlowFailure::new(
                    FailureKind::Stopped,
                    message,
                )));
            }
            match self.act(call, &inner, &place).await {
                Ok((outputs, _)) => inner
                    .keep(&call.name, Value::Object(outputs))
                    .map_err(|error| both(&error))?,
                Err(error) if error.kind == FailureKind::Stopped => {
                    let message = format!("{}; after: {}", error.message, failure.message);
                    return Err(Trouble::Over(FlowFailure::new(
                        FailureKind::Stopped,
                        message,
                    )));
                }
                Err(error) => return Err(both(&format!("{}: {}", call.name, error.message))),
            }
        }
        match handler.goes_on {
            true => Ok(()),
            false => Err(Trouble::Failed(Failed {
                failure,
                stage: failed_in,
            })),
        }
    }

    /// The body once for each row, several at a time. After a failure no further row is begun.
    async fn rows(
        &self,
        stage: &Stage,
        repeat: &Repeat,
        scope: &Scope<'_>,
        place: &Place,
    ) -> Result<Map<String, Value>, Trouble> {
        let rows = self.source(stage, repeat, scope).await?;
        let is_over = AtomicBool::new(false);
        let room = AtomicUsize::new(OUTPUT_BYTES);
        let (is_over, room) = (&is_over, &room);
        let stop = &self.call.stop;
        let goes_on = move |_: &_| {
            let goes_on = !is_over.load(Ordering::Relaxed) && !stop.is_cancelled();
            std::future::ready(goes_on)
        };
        let mut passes = rows
            .take_while(goes_on)
            .enumerate()
            .map(|(number, row)| -> BoxFuture<'_, _> {
                Box::pin(async move {
                    let passed = match row {
                        Ok(row) => {
                            let row = Row { number, row };
                            self.row(stage, repeat, row, scope, place).await
                        }
                        Err(error) => Err(Trouble::in_stage(stage, "Rows", error)),
                    };
                    is_over.fetch_or(passed.is_err(), Ordering::Relaxed);
                    passed.map(|collected| (number, collected))
                })
            })
            .buffer_unordered(repeat.parallel);
        let mut trouble: Option<Trouble> = None;
        let mut count = 0_u64;
        let mut collected: Vec<(usize, Vec<Value>)> = Vec::new();
        while let Some(passed) = passes.next().await {
            match passed {
                Ok((number, values)) => {
                    count += 1;
                    if values.is_empty() {
                        continue;
                    }
                    let bytes = values.iter().map(json_bytes).sum();
                    let took = room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| {
                        room.checked_sub(bytes)
                    });
                    if took.is_err() {
                        is_over.store(true, Ordering::Relaxed);
                        let message = format!(
                            "what it collects has more than {} MiB",
                            OUTPUT_BYTES / 1024 / 1024
                        );
                        trouble.get_or_insert(Trouble::in_stage(stage, "Memory", message));
                        continue;
                    }
                    collected.push((number, values));
                }
                // An end is more than a failure.
                Err(other @ Trouble::Over(_)) => trouble = Some(other),
                Err(other) => {
                    trouble.get_or_insert(other);
                }
            }
        }
        if let Some(trouble) = trouble {
            return Err(trouble);
        }
        if stop.is_cancelled() {
            let message = format!(
                "it was told to stop after {count} rows of stage {}",
                stage.name
            );
            return Err(Trouble::Over(FlowFailure::new(
                FailureKind::Stopped,
                message,
            )));
        }
        collected.sort_by_key(|(number, _)| *number);
        let mut outputs = Map::new();
        outputs.insert("count".to_owned(), Value::from(count));
        for (at, (name, _)) in repeat.collect.iter().enumerate() {
            let values = collected
                .iter_mut()
                .map(|(_, values)| values[at].take())
                .collect();
            outputs.insert(name.clone(), Value::Array(values));
        }
        Ok(Map::from_iter([(
            stage.name.clone(),
            Value::Object(outputs),
        )]))
    }

    /// One pass of a loop; what it collects.
    async fn row(
        &self,
        stage: &Stage,
        repeat: &Repeat,
        row: Row,
        scope: &Scope<'_>,
        place: &Place,
    ) -> Result<Vec<Value>, Trouble> {
        let Row { number, row } = row;
        let wrong = |error: String| {
            Trouble::in_stage(stage, "Memory", format!("row {}: {error}", number + 1))
        };
        let mut inner = Scope::within(scope);
        inner.keep(&repeat.variable, row).map_err(wrong)?;
        let place = place.inside(&format!("{}[{number}]", stage.name), false);
        let given = self.pass(stage, &inner, &place).await?;
        let mut known = Scope::within(&inner);
        known.keep_all(given).map_err(wrong)?;
        let collected = repeat.collect.iter().map(|(name, value)| {
            let value = value.value(&known);
            value.map_err(|error| {
                Trouble::in_stage(stage, "Collect", format!("collect.{name}: {error}"))
            })
        });
        collected.collect()
    }

    async fn source<'s>(
        &self,
        stage: &Stage,
        repeat: &'s Repeat,
        scope: &Scope<'_>,
    ) -> Result<BoxStream<'s, Result<Value, String>>, Trouble> {
        let wrong = |error: String| Trouble::in_stage(stage, "Rows", error);
        match &repeat.rows {
            RowSource::List(expression) => match expression.value(scope).map_err(wrong)? {
                Value::Array(rows) => Ok(stream::iter(rows.into_iter().map(Ok)).boxed()),
                Value::Null => Ok(stream::empty().boxed()),
                other => {
                    let what = super::condition::kind_of(&other);
                    Err(wrong(format!("`over` must be a list, not {what}")))
                }
            },
            RowSource::Query {
                interface,
                sql,
                parameters,
                ..
            } => {
                let interface = self.found.project.interface(interface).map_err(wrong)?;
                let parameters = parameters.value(scope).map_err(wrong)?;
                let parameters = match parameters {
                    Value::Array(list) => list.iter().map(parameters_of).collect(),
                    _ => Err("`parameters` must be a list".to_owned()),
                };
                let ids = interface.ids(sql, parameters.map_err(wrong)?, None).await;
                let ids = ids.map_err(|error| wrong(error.to_string()))?;
                // Pages are taken as rows are needed: the source waits meanwhile.
                let pages = stream::unfold(ids, |mut ids| async {
                    ids.recv().await.map(|page| (page, ids))
                });
                let rows = pages.flat_map(|page| {
                    let rows: Vec<Result<Value, String>> = match page {
                        Ok(page) => page.ids.into_iter().map(|id| Ok(Value::from(id))).collect(),
                        Err(error) => vec![Err(error.to_string())],
                    };
                    stream::iter(rows)
                });
                Ok(rows.boxed())
            }
        }
    }
}

struct Row {
    number: usize,
    row: Value,
}

/// What several failures are as one; being told to stop is more than any of them.
fn trouble_of(stage: &Stage, failures: Vec<(&ActorCall, ActorError)>) -> Option<Trouble> {
    let is_over = |(_, error): &&(_, ActorError)| !error.kind.can_be_handled();
    let over = failures.iter().find(is_over);
    let first = over.or(failures.first()).map(|(_, error)| error);
    let kind = first?.kind.clone();
    let messages: Vec<String> = failures
        .iter()
        .map(|(call, error)| format!("{}: {}", call.name, error.message))
        .collect();
    Some(Trouble::in_stage(stage, kind, messages.join("; and ")))
}

/// The logical unit that a flow's name says, and the flow in it.
pub(super) fn target<'p>(
    project: &'p Project,
    around: &'p LogicalUnit,
    written: &str,
) -> Result<(&'p LogicalUnit, FlowName), UnknownProjectName> {
    let (unit, flow) = match written.split_once('.') {
        Some((unit, flow)) => (project.logical_unit(unit.trim())?, flow.trim()),
        None => (around, written.trim()),
    };
    let (flow, _) = unit.flow(flow)?;
    let name = FlowName {
        logical_unit: unit.name.clone(),
        flow: flow.to_owned(),
    };
    Ok((unit, name))
}
