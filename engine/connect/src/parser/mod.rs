//! PARSER: records of files, or of a query, become typed rows of a table that queries can read.
//!
//! Rows are stored first and the place behind them is written down second, so a run that is cut short anywhere is gone on
//! with, and at most a second of rows is stored twice under the same keys.

mod definition;
mod files;
mod reading;
mod rejects;
mod rows;

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value as Json, json};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use weft_model::Value;
use weft_model::{Checkpoint, Job, ParsedRow, ParsedTable};
use weft_node::job::{
    Check, CheckpointHolder, CheckpointStore, Checkpoints, JobKind, Run, RunEnd, RunFailure,
    RunOutput,
};
use weft_project::Project;
use weft_project::interface::Environment;
use weft_store::{SharedStore, StoreError};

use crate::on_thread::on_thread;
use crate::records::Reject;
use crate::{DeployedProject, Parts, arguments, must_be_deployed};

pub(crate) use definition::ParserFiles;
use definition::{Definition, RecordSource};
pub(crate) use files::{FileRoots, modified};
use files::{Found, Listing};
use reading::{FileState, Group, Trouble, Work};
use rejects::RejectFile;

const THREAD: &str = "weft-parser";
/// How often what is stored is written down.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// Files whose states may wait to be written down.
const STATES: usize = 200;
/// States in one write, which has at most 256 KiB: a path has 4 KiB.
const STATES_AT_ONCE: usize = 50;
/// Checkpoints read at once.
const PAGE: usize = 200;
/// What is remembered of a file that is gone is forgotten after so long.
const FORGET_AFTER_MS: i64 = 30 * 86_400_000;
/// How long a store that does not answer is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// Files that cannot be read and are named in the output.
const NAMED: usize = 10;

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

    /// The project, and the parser with its full name.
    async fn parser(&self, job: &Job) -> Result<(Arc<Project>, String, Definition), Check> {
        let refuse = |message: String, hint: Option<&str>| Check {
            message,
            hint: hint.map(str::to_owned),
        };
        let project = must_be_deployed(self.projects.project().await)?;
        let form = || {
            refuse(
                format!("`{}` names no parser", job.key.name),
                Some("write NAME='<logical unit>.<parser>'"),
            )
        };
        let (unit, name) = job.key.name.split_once('.').ok_or_else(form)?;
        let unknown = |error: weft_project::UnknownProjectName| refuse(error.to_string(), None);
        let unit = project.logical_unit(unit).map_err(unknown)?;
        let (name, _) = unit.parser(name).map_err(unknown)?;
        let definition = definition::of_project(unit, name);
        let definition = definition.map_err(|message| refuse(message, None))?;
        let label = format!("{}.{name}", unit.name);
        Ok((Arc::clone(&project), label, definition))
    }

    /// The pattern of file names on this node.
    fn pattern(&self, pattern: &str) -> Result<String, Check> {
        let checked = self.environment.expand(pattern).and_then(|pattern| {
            self.roots.check_pattern(&pattern)?;
            Ok(pattern)
        });
        checked.map_err(|message| Check {
            message,
            hint: Some("the folders are named by `[jobs] FILE_ROOTS` in config.ini".to_owned()),
        })
    }

    async fn parse(&self, run: &Run) -> Result<RunOutput, RunFailure> {
        let job = &run.job;
        let not_as_defined = |check: Check| RunFailure::new("Parser", check.message);
        let (project, label, definition) = self.parser(job).await.map_err(not_as_defined)?;
        let scope = format!("PARSER {label}");
        let checkpoints = self
            .checkpoints
            .take(&scope, &CheckpointHolder::of(job))
            .await?;
        let key = run.idempotency_key();
        let rejects = RejectFile::new(&self.data, &label, &format!("{key}-{}", run.attempt()));
        let mut parsing = Parsing {
            store: &self.store,
            stop: &run.stop,
            table: Arc::new(definition.table),
            parser: definition.hash,
            checkpoints,
            pending: Pending::default(),
            rejects: Arc::new(Mutex::new(rejects)),
            tally: Tally::default(),
            label,
        };
        let end = match definition.source {
            RecordSource::Files {
                pattern,
                format,
                limits,
            } => {
                let pattern = self.pattern(&pattern).map_err(not_as_defined)?;
                let roots = self.roots.clone();
                let listing = on_thread(THREAD, move || roots.find(&pattern)).await;
                let listing = listing.map_err(|reason| RunFailure::new("File", reason))?;
                let work = |path: String, known, parsing: &Parsing<'_>| Work {
                    roots: self.roots.clone(),
                    path,
                    format: format.clone(),
                    limits,
                    table: Arc::clone(&parsing.table),
                    parser: parsing.parser.clone(),
                    known,
                    rejects: Arc::clone(&parsing.rejects),
                };
                let began = job.start_time.map_or(0, |time| time.0);
                parsing.files(listing, began, work).await
            }
            RecordSource::Query { interface, sql } => {
                parsing.query(&project, &interface, &sql).await
            }
        };
        let output = parsing.output();
        match end {
            Ok(()) => {
                info!(
                    job.uid = job.key.uid,
                    "Parser {} ended: {output}", parsing.label
                );
                Ok(RunOutput {
                    text: Some(output),
                    exit_code: None,
                })
            }
            Err(mut failure) => {
                failure.output.text = Some(output);
                Err(failure)
            }
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

    async fn check(&self, job: &Job) -> Result<(), Check> {
        let (_, _, definition) = self.parser(job).await?;
        if let Some(name) = arguments::of(job)?.keys().next() {
            return Err(Check {
                message: format!("a parser has no argument `{name}`"),
                hint: Some("what it reads stands in its file in the project".to_owned()),
            });
        }
        match definition.source {
            RecordSource::Files { pattern, .. } => self.pattern(&pattern).map(drop),
            RecordSource::Query { .. } => Ok(()),
        }
    }

    async fn run(&self, run: Run) -> RunEnd {
        // Boxed: a run is a large future, and most of its life it waits.
        match Box::pin(self.parse(&run)).await {
            Ok(output) => RunEnd::Succeeded(output),
            Err(failure) => RunEnd::Failed(failure),
        }
    }
}

/// One run of a parser.
struct Parsing<'a> {
    label: String,
    store: &'a SharedStore,
    stop: &'a CancellationToken,
    table: Arc<ParsedTable>,
    parser: String,
    checkpoints: Checkpoints,
    pending: Pending,
    rejects: Arc<Mutex<RejectFile>>,
    tally: Tally,
}

/// What was stored and is not written down yet.
#[derive(Default)]
struct Pending {
    states: BTreeMap<String, FileState>,
    gone: Vec<String>,
    since: Option<Instant>,
}

/// What a run did.
#[derive(Debug, Default)]
struct Tally {
    files: u64,
    skipped: u64,
    records: u64,
    rejected: u64,
    broken: Vec<(String, String)>,
    broken_count: u64,
}

impl Tally {
    fn broken(&mut self, file: &str, reason: &str) {
        self.broken_count += 1;
        if self.broken.len() < NAMED {
            self.broken.push((file.to_owned(), reason.to_owned()));
        }
    }
}

impl Parsing<'_> {
    async fn files(
        &mut self,
        listing: Listing,
        began: i64,
        work: impl Fn(String, Option<FileState>, &Self) -> Work,
    ) -> Result<(), RunFailure> {
        for (file, reason) in &listing.refused {
            warn!("Parser {} leaves out a file: {reason}", self.label);
            self.tally.broken(file, reason);
        }
        let mut known = Known::default();
        for found in listing.files {
            if self.stop.is_cancelled() {
                break;
            }
            let state = known.of(&found, self, began).await?;
            match state {
                Some(state) if state.covers(&found, &self.parser) => self.tally.skipped += 1,
                state => self.file(work(found.path, state, self)).await?,
            }
        }
        self.save().await?;
        match self.stop.is_cancelled() {
            true => Err(RunFailure::stopped()),
            false => Ok(()),
        }
    }

    async fn file(&mut self, work: Work) -> Result<(), RunFailure> {
        let path = work.path.clone();
        self.tally.files += 1;
        let mut groups = reading::start(work);
        loop {
            let group = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(()),
                group = groups.recv() => group,
            };
            match group {
                None => return Ok(()),
                Some(Ok(group)) => self.group(&path, group).await?,
                Some(Err(Trouble::Unreadable(reason))) => {
                    warn!("Parser {} cannot read {path}: {reason}", self.label);
                    self.tally.broken(&path, &reason);
                }
                Some(Err(Trouble::Fatal(reason))) => return Err(RunFailure::new("File", reason)),
            }
        }
    }

    /// The rows first, then the place behind them.
    async fn group(&mut self, path: &str, group: Group) -> Result<(), RunFailure> {
        let Group {
            rows,
            rejected,
            state,
        } = group;
        let count = rows.len() as u64;
        self.put(rows).await?;
        self.tally.records += count;
        self.tally.rejected += rejected;
        if state.done {
            let (records, rejected) = (state.records, state.rejected);
            match &state.broken {
                None => info!(
                    "Parser {} read {path}: {records} records, {rejected} rejected",
                    self.label
                ),
                Some(reason) => {
                    warn!(
                        "Parser {} read {path} in part, {records} records: {reason}",
                        self.label
                    );
                    self.tally.broken(path, reason);
                }
            }
        }
        self.pending.states.insert(path.to_owned(), state);
        let since = *self.pending.since.get_or_insert_with(Instant::now);
        if since.elapsed() >= SAVE_EVERY || self.pending.states.len() >= STATES {
            self.save().await?;
        }
        Ok(())
    }

    async fn save(&mut self) -> Result<(), RunFailure> {
        let pending = std::mem::take(&mut self.pending);
        let states = pending.states.into_iter();
        let mut puts = states.map(|(path, state)| (path, state.text())).peekable();
        let mut gone = pending.gone.into_iter().peekable();
        while puts.peek().is_some() || gone.peek().is_some() {
            let puts = puts.by_ref().take(STATES_AT_ONCE).collect();
            let gone = gone.by_ref().take(STATES_AT_ONCE).collect();
            self.checkpoints.save(puts, gone).await?;
        }
        Ok(())
    }

    /// Stores rows; waits a while for a store that does not answer.
    async fn put(&self, mut rows: Vec<ParsedRow>) -> Result<(), RunFailure> {
        keep_last(&self.table, &mut rows);
        if rows.is_empty() {
            return Ok(());
        }
        let began = Instant::now();
        let mut pause = Duration::from_millis(100);
        loop {
            match self.store.put_parsed_rows(&self.table, &rows).await {
                Ok(()) => return Ok(()),
                Err(error) if error.is_transient() && began.elapsed() < PATIENCE => {
                    tokio::select! {
                        biased;
                        () = self.stop.cancelled() => return Err(stored(&error)),
                        () = sleep(pause) => pause = (pause * 2).min(Duration::from_secs(5)),
                    }
                }
                Err(error) => return Err(stored(&error)),
            }
        }
    }

    /// All rows of a query; there is no place in it to go on from, so it is run as a whole every time.
    async fn query(
        &mut self,
        project: &Project,
        interface: &str,
        sql: &str,
    ) -> Result<(), RunFailure> {
        let failed = |reason: String| RunFailure::new("Query", reason);
        let opened = project.interface(interface).map_err(failed)?;
        let stream = opened.rows(sql, Vec::new()).await;
        let mut stream = stream.map_err(|error| failed(error.to_string()))?;
        let source = format!("interface {interface}");
        let mut line = 0;
        loop {
            let page = tokio::select! {
                biased;
                () = self.stop.cancelled() => {
                    return Err(RunFailure::stopped());
                }
                page = stream.recv() => page,
            };
            let Some(page) = page else {
                return self.tell_of_query().await;
            };
            let page = page.map_err(|error| failed(error.to_string()))?;
            let (mut rows, mut rejected) = (Vec::new(), Vec::new());
            for values in page.rows {
                line += 1;
                let fields: Vec<_> = values.iter().map(rows::field_of).collect();
                let field = |name: &str| {
                    let at = page.columns.iter().position(|column| column == name);
                    at.and_then(|at| fields.get(at))
                };
                match rows::row_of(&self.table, &source, line, field) {
                    Ok(row) => rows.push(row),
                    Err(reason) => {
                        let head: Vec<String> = values.iter().map(Value::to_string).collect();
                        rejected.push(Reject::new(line, reason, head.join("|").as_bytes()));
                    }
                }
            }
            self.tally.records += rows.len() as u64;
            self.tally.rejected += rejected.len() as u64;
            self.put(rows).await?;
            self.reject(&source, rejected).await?;
            let since = *self.pending.since.get_or_insert_with(Instant::now);
            if since.elapsed() >= SAVE_EVERY {
                self.tell_of_query().await?;
            }
        }
    }

    /// For people; and a run that was replaced meanwhile ends here.
    async fn tell_of_query(&mut self) -> Result<(), RunFailure> {
        self.pending.since = None;
        let told = json!({"records": self.tally.records, "rejected": self.tally.rejected});
        self.checkpoints.put("query", told.to_string()).await?;
        Ok(())
    }

    async fn reject(&self, source: &str, rejected: Vec<Reject>) -> Result<(), RunFailure> {
        if rejected.is_empty() {
            return Ok(());
        }
        let (file, source) = (Arc::clone(&self.rejects), source.to_owned());
        let write = move || {
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            file.write(&source, &rejected)
        };
        let written = on_thread(THREAD, write).await;
        written.map_err(|reason| RunFailure::new("File", reason))
    }

    fn output(&self) -> String {
        let rejects = self.rejects.lock().unwrap_or_else(PoisonError::into_inner);
        let mut output = json!({
            "files": self.tally.files,
            "skipped": self.tally.skipped,
            "records": self.tally.records,
            "rejected": self.tally.rejected,
            "rejects": rejects.path(),
        });
        if self.tally.broken_count > 0 {
            let broken = self.tally.broken.iter();
            let broken: Vec<Json> = broken
                .map(|(file, reason)| json!({"file": file, "reason": reason}))
                .collect();
            output["broken_files"] = json!(self.tally.broken_count);
            output["broken"] = json!(broken);
        }
        output.to_string()
    }
}

/// What is remembered of files, read in their order beside them.
#[derive(Default)]
struct Known {
    page: VecDeque<Checkpoint>,
    after: Option<String>,
    is_over: bool,
}

impl Known {
    /// What is remembered of a file; files are asked for in the order of their paths.
    async fn of(
        &mut self,
        found: &Found,
        parsing: &mut Parsing<'_>,
        began: i64,
    ) -> Result<Option<FileState>, RunFailure> {
        loop {
            if self.page.is_empty() && !self.is_over {
                let page = parsing
                    .checkpoints
                    .items(self.after.as_deref(), PAGE)
                    .await?;
                self.page = page.into();
                self.is_over = self.page.len() < PAGE;
                self.after = self
                    .page
                    .back()
                    .map(|last| last.item.clone())
                    .or(self.after.take());
            }
            let Some(next) = self.page.front() else {
                return Ok(None);
            };
            if next.item > found.path {
                return Ok(None);
            }
            let Some(next) = self.page.pop_front() else {
                return Ok(None);
            };
            if next.item == found.path {
                // What an older version wrote, and this one cannot read, is as good as nothing.
                return Ok(serde_json::from_str(&next.value).ok());
            }
            if began - next.updated_at.0 > FORGET_AFTER_MS {
                parsing.pending.gone.push(next.item);
            }
        }
    }
}

impl FileState {
    fn text(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers are valid JSON")
    }
}

/// Of rows with one key the last one counts, whatever order a store writes them in.
fn keep_last(table: &ParsedTable, rows: &mut Vec<ParsedRow>) {
    if table.key.is_empty() {
        return;
    }
    let at: Vec<usize> = (table.columns.iter().enumerate())
        .filter(|(_, column)| table.key.contains(&column.name))
        .map(|(at, _)| at)
        .collect();
    let mut last: BTreeMap<String, usize> = BTreeMap::new();
    for (number, row) in rows.iter().enumerate() {
        let key: Vec<String> = at
            .iter()
            .map(|at| format!("{:?}", row.values[*at]))
            .collect();
        last.insert(key.join("\0"), number);
    }
    if last.len() < rows.len() {
        let mut keep = vec![false; rows.len()];
        last.into_values().for_each(|number| keep[number] = true);
        let mut keep = keep.into_iter();
        rows.retain(|_| keep.next().unwrap_or(true));
    }
}

fn stored(error: &StoreError) -> RunFailure {
    RunFailure::new("Store", error.to_string())
}
