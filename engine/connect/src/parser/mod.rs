//! PARSER: stores the records of files, or of a query, as typed rows of a table.
//!
//! Rows are stored before the position after them, so another try resumes an interrupted run, and stores the rows of at
//! most one second again, under the same keys.

mod definition;
mod reading;
mod rejects;
mod rows;
mod run;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tracing::info;
use weft_model::Job;
use weft_node::job::{
    CheckpointHolder, CheckpointStore, DefinitionError, JobKind, Run, RunEnd, RunFailure, RunOutput,
};
use weft_project::interface::Environment;
use weft_project::{Project, UnknownProjectName};
use weft_store::SharedStore;

use crate::deployed::{DeployedProject, must_be_deployed, wait_until_readable};
use crate::file_roots::{FileRoots, Listing};
use crate::on_thread::on_thread;
use crate::{Parts, arguments};

pub(crate) use definition::ParserFiles;
use definition::{Definition, RecordSource};
use reading::FileReader;
use rejects::RejectFile;
use run::ParserRun;

const THREAD: &str = "weft-parser";

/// Runs parsers of the deployed project.
#[derive(Debug)]
pub struct Parser {
    projects: Arc<dyn DeployedProject>,
    environment: Environment,
    roots: FileRoots,
    data: PathBuf,
    store: SharedStore,
    checkpoints: CheckpointStore,
}

impl Parser {
    pub(crate) fn new(parts: &Parts) -> Self {
        Self {
            projects: Arc::clone(&parts.projects),
            environment: parts.environment.clone(),
            roots: FileRoots::new(&parts.config.file_roots),
            data: parts.config.data.clone(),
            store: Arc::clone(&parts.store),
            checkpoints: parts.checkpoints.clone(),
        }
    }

    /// Finds the parser of a job; also returns the project and the full name of the parser.
    async fn find(&self, job: &Job) -> Result<(Arc<Project>, String, Definition), DefinitionError> {
        let refused = |message: String| DefinitionError {
            message,
            hint: None,
        };
        let project = must_be_deployed(self.projects.project().await)?;
        let (unit, name) = job.key.name.split_once('.').ok_or_else(|| {
            let message = format!("`{}` does not name a parser", job.key.name);
            arguments::refused(message, "write NAME='<logical unit>.<parser>'")
        })?;
        let unknown = |error: UnknownProjectName| refused(error.to_string());
        let unit = project.logical_unit(unit).map_err(unknown)?;
        let (name, _) = unit.parser(name).map_err(unknown)?;
        let definition = definition::find(unit, name).map_err(refused)?;
        let label = format!("{}.{name}", unit.name);
        Ok((Arc::clone(&project), label, definition))
    }

    /// Expands and checks the pattern of a parser on this node.
    fn pattern(&self, pattern: &str) -> Result<String, DefinitionError> {
        let checked = self.environment.expand(pattern).and_then(|pattern| {
            self.roots.check_pattern(&pattern)?;
            Ok(pattern)
        });
        checked.map_err(|message| {
            arguments::refused(
                message,
                "`[jobs] FILE_ROOTS` in config.ini names the folders",
            )
        })
    }

    async fn list_files(&self, pattern: &str) -> Result<Listing, RunFailure> {
        let pattern = self.pattern(pattern);
        let pattern = pattern.map_err(|error| RunFailure::new("Parser", error.message))?;
        let roots = self.roots.clone();
        let listing = on_thread(THREAD, move || roots.find(&pattern)).await;
        listing.map_err(|reason| RunFailure::new("File", reason))
    }

    async fn parse(&self, run: &Run) -> Result<RunOutput, RunFailure> {
        let job = &run.job;
        wait_until_readable(self.projects.as_ref(), &run.stop).await;
        let found = self.find(job).await;
        let (project, label, definition) =
            found.map_err(|error| RunFailure::new("Parser", error.message))?;
        let scope = format!("PARSER {label}");
        let checkpoints = self
            .checkpoints
            .take(&scope, &CheckpointHolder::of_run(job))
            .await?;
        let key = run.idempotency_key();
        let rejects = RejectFile::new(&self.data, &label, &format!("{key}-{}", run.attempt()));
        let mut parser_run = ParserRun {
            store: &self.store,
            stop: &run.stop,
            table: Arc::new(definition.table),
            parser: definition.hash,
            checkpoints,
            unsaved: Default::default(),
            rejects: Arc::new(Mutex::new(rejects)),
            counts: Default::default(),
            label,
        };
        let end = match definition.source {
            RecordSource::Files {
                pattern,
                format,
                limits,
            } => {
                let listing = self.list_files(&pattern).await?;
                let reader = |path: String, known, run: &ParserRun<'_>| FileReader {
                    roots: self.roots.clone(),
                    path,
                    format: format.clone(),
                    limits,
                    table: Arc::clone(&run.table),
                    parser: run.parser.clone(),
                    known,
                    rejects: Arc::clone(&run.rejects),
                };
                let start = job.start_time.map_or(0, |time| time.0);
                parser_run.files(listing, start, reader).await
            }
            RecordSource::Query { interface, sql } => {
                parser_run.query(&project, &interface, &sql).await
            }
        };
        let text = parser_run.output();
        if end.is_ok() {
            let label = &parser_run.label;
            info!(job.uid = job.key.uid, "Parser {label} ended: {text}");
        }
        let output = RunOutput::from_text(text);
        match end {
            Ok(()) => Ok(output),
            Err(failure) => Err(failure.with_output(output)),
        }
    }
}

#[async_trait]
impl JobKind for Parser {
    fn uses_project(&self) -> bool {
        true
    }

    fn job_type(&self) -> &'static str {
        "PARSER"
    }

    async fn check(&self, job: &Job) -> Result<(), DefinitionError> {
        let (_, _, definition) = self.find(job).await?;
        if let Some(name) = arguments::read(job)?.keys().next() {
            return Err(arguments::refused(
                format!("a parser has no argument `{name}`"),
                "its file in the project says what it reads",
            ));
        }
        match definition.source {
            RecordSource::Files { pattern, .. } => self.pattern(&pattern).map(drop),
            RecordSource::Query { .. } => Ok(()),
        }
    }

    async fn run(&self, run: Run) -> RunEnd {
        // Boxed because the future is large.
        Box::pin(self.parse(&run)).await.into()
    }
}
