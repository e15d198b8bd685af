//! INTERFACE_LISTENER: runs a flow for each new file of a folder, or of a listing over HTTP.
//!
//! One file is handled at a time. The run id of its flow depends only on the file, and the result is saved before the next
//! file. Between the end of the flow and that write, the checkpoints of the flow keep its outputs, so a crash there does
//! not repeat a finished stage.

mod checkpoint;
mod definition;
mod run;
mod source;

use std::sync::Arc;

use async_trait::async_trait;
use checkpoint::Counts;
use definition::{Definition, IDEMPOTENCY_KEY, Location, MODIFIED, NAME, PATH, SIZE};
use run::ListenerRun;
use serde_json::{Map, Value, json};
use source::{FileVersion, Source};
use uuid::Uuid;
use weft_model::Job;
use weft_model::schedule::policy::Overlap;
use weft_node::flow::{FlowRefusal, Flows};
use weft_node::job::{
    CheckpointHolder, CheckpointStore, DefinitionError, JobKind, Run, RunEnd, RunFailure, RunOutput,
};
use weft_node::trace::Traces;

use crate::Parts;
use crate::arguments::refused;
use crate::broadway_job::flow_of;
use crate::file_roots::FileRoots;
use crate::http::Http;

/// Listens for files.
#[derive(Debug)]
pub struct Listener {
    flows: Arc<dyn Flows>,
    http: Arc<Http>,
    roots: FileRoots,
    checkpoints: CheckpointStore,
    traces: Traces,
}

impl Listener {
    pub(crate) fn new(parts: &Parts, flows: Arc<dyn Flows>) -> Self {
        let hosts = &parts.config.http_allowed_hosts;
        Self {
            flows,
            http: Arc::new(Http::new(hosts, parts.environment.clone())),
            roots: FileRoots::new(&parts.config.file_roots),
            checkpoints: parts.checkpoints.clone(),
            traces: parts.traces.clone(),
        }
    }

    fn check_location(&self, location: &Location) -> Result<(), DefinitionError> {
        match location {
            Location::Folder(path) => self.roots.check_folder(path).map_err(|message| {
                refused(
                    message,
                    "`[jobs] FILE_ROOTS` in config.ini names the folders",
                )
            }),
            Location::Listing { call, .. } => self.http.read(call).map(drop),
        }
    }

    async fn check_flow(&self, job: &Job, definition: &Definition) -> Result<(), DefinitionError> {
        let name = flow_of(job)?;
        let to_check = |refusal: FlowRefusal| DefinitionError {
            message: refusal.message,
            hint: refusal.hint,
        };
        let declared = self.flows.inputs(&name).await.map_err(to_check)?;
        if !declared.iter().any(|input| input == PATH) {
            let message = format!("flow {name} has no input `{PATH}`, which names the file");
            return Err(refused(message, "declare it: `inputs: {path: }`"));
        }
        let version = FileVersion {
            modified: Some("0".to_owned()),
            size: Some(0),
        };
        let file = ListedFile {
            path: "/file",
            name: "file",
            version: &version,
            key: Uuid::nil(),
        };
        let inputs = file.inputs(&declared, &definition.inputs);
        let checked = self.flows.check(&name, &inputs).await;
        checked.map(drop).map_err(to_check)
    }

    async fn listen(&self, run: &Run) -> Result<RunOutput, RunFailure> {
        let job = &run.job;
        let refused = |error: DefinitionError| RunFailure::new("Arguments", error.message);
        let definition = Definition::read(job).map_err(refused)?;
        self.check_location(&definition.location).map_err(refused)?;
        let flow = flow_of(job).map_err(refused)?;
        let scope = scope_of(job);
        let checkpoints = self
            .checkpoints
            .take(&scope, &CheckpointHolder::of_run(job))
            .await?;
        let first = checkpoints.items(None, 1).await?;
        let source = Source::new(
            &definition.location,
            &definition.pattern,
            &self.roots,
            &self.http,
            run.idempotency_key(),
        );
        let mut listener_run = ListenerRun {
            flows: self.flows.as_ref(),
            checkpoint_store: &self.checkpoints,
            traces: &self.traces,
            flow,
            source,
            run,
            definition,
            scope,
            checkpoints,
            counts: checkpoint::read_counts(&first),
            files: Default::default(),
            skipped: Default::default(),
            scans: Default::default(),
            tally: Default::default(),
        };
        let end = listener_run.run().await;
        let output = RunOutput::from_text(listener_run.output());
        match end {
            Ok(()) => Ok(output),
            Err(failure) => Err(failure.with_output(output)),
        }
    }
}

#[async_trait]
impl JobKind for Listener {
    fn uses_project(&self) -> bool {
        true
    }

    fn job_type(&self) -> &'static str {
        "INTERFACE_LISTENER"
    }

    async fn check(&self, job: &Job) -> Result<(), DefinitionError> {
        let definition = Definition::read(job)?;
        self.check_location(&definition.location)?;
        if Uuid::parse_str(&job.key.uid).is_ok() {
            return Err(refused(
                "a listener keeps the files it has handled under its UID, and none was given",
                "write UID='<what it listens to>'",
            ));
        }
        if job.policy.overlap == Overlap::Allow {
            return Err(refused(
                "an overlapping run has its own UID, and would handle all files again",
                "write OVERLAP=SKIP or OVERLAP=QUEUE",
            ));
        }
        self.check_flow(job, &definition).await
    }

    async fn describe_progress(&self, job: &Job) -> Option<String> {
        let first = self.checkpoints.peek(&scope_of(job), None, 1).await.ok()?;
        let Counts { handled, given_up } = checkpoint::read_counts(&first);
        Some(format!(
            "{handled} files handled so far, {given_up} given up"
        ))
    }

    async fn run(&self, run: Run) -> RunEnd {
        // Boxed because the future is large.
        Box::pin(self.listen(&run)).await.into()
    }
}

/// The checkpoint scope of a listener. Names of flows ignore case.
fn scope_of(job: &Job) -> String {
    let name = job.key.name.to_ascii_lowercase();
    format!("listener/{name}/{}", job.key.uid)
}

/// A file as its flow receives it.
#[derive(Debug)]
struct ListedFile<'a> {
    path: &'a str,
    name: &'a str,
    version: &'a FileVersion,
    key: Uuid,
}

impl ListedFile<'_> {
    /// The inputs of the job, and those about the file that the flow declares.
    fn inputs(&self, declared: &[String], given: &Map<String, Value>) -> Map<String, Value> {
        let about_file = [
            (PATH, Some(json!(self.path))),
            (NAME, Some(json!(self.name))),
            (SIZE, self.version.size.map(Value::from)),
            (MODIFIED, self.version.modified.clone().map(Value::from)),
            (IDEMPOTENCY_KEY, Some(json!(self.key.to_string()))),
        ];
        let mut inputs = given.clone();
        for (name, value) in about_file {
            if let Some(value) = value
                && declared.iter().any(|declared| declared == name)
            {
                inputs.insert(name.to_owned(), value);
            }
        }
        inputs
    }
}
