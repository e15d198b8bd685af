//! One run of a parser: stores the rows of files or of a query, and saves how far it has come.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use weft_model::Value;
use weft_model::{Checkpoint, ParsedRow, ParsedTable};
use weft_node::job::{Checkpoints, RunFailure};
use weft_project::Project;
use weft_project::source::SourceError;
use weft_store::{Outage, SharedStore};

use super::reading::{self, FileError, FileReader, FileState, Group};
use super::rejects::RejectFile;
use super::{THREAD, rows};
use crate::file_roots::{FoundFile, Listing};
use crate::on_thread::on_thread;
use crate::records::Reject;
use crate::retry::{StoreWait, retry_transient};

/// How often progress is saved.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);
/// The most files whose states wait to be saved.
const STATES: usize = 200;
/// The most states in one write, which takes at most 256 KiB: a path may have 4 KiB.
const STATES_AT_ONCE: usize = 50;
/// The checkpoints of one page.
const PAGE: usize = 200;
/// How long the states of removed files are kept.
const REMOVED_FILE_TTL_MS: i64 = 30 * 86_400_000;
/// The most unreadable files that the output names.
const NAMED: usize = 10;

/// One run of a parser.
pub(super) struct ParserRun<'a> {
    /// The full name of the parser.
    pub(super) label: String,
    pub(super) store: &'a SharedStore,
    pub(super) stop: &'a CancellationToken,
    pub(super) table: Arc<ParsedTable>,
    /// Hash of the definition of the parser.
    pub(super) parser: String,
    pub(super) checkpoints: Checkpoints,
    pub(super) unsaved: Unsaved,
    pub(super) rejects: Arc<Mutex<RejectFile>>,
    pub(super) counts: Counts,
}

/// Checkpoints to save and to remove.
#[derive(Default)]
pub(super) struct Unsaved {
    states: BTreeMap<String, FileState>,
    /// Items of files that were removed long ago.
    removed: Vec<String>,
    since: Option<Instant>,
}

/// The counts of a run, for its output.
#[derive(Debug, Default)]
pub(super) struct Counts {
    files: u64,
    /// Files without changes.
    skipped: u64,
    records: u64,
    rejected: u64,
    /// The first unreadable files, and why they are unreadable.
    broken: Vec<(String, String)>,
    broken_count: u64,
}

impl Counts {
    fn add_broken(&mut self, file: &str, reason: &str) {
        self.broken_count += 1;
        if self.broken.len() < NAMED {
            self.broken.push((file.to_owned(), reason.to_owned()));
        }
    }
}

impl ParserRun<'_> {
    /// Stores the rows of all files that have changed.
    pub(super) async fn files(
        &mut self,
        listing: Listing,
        start: i64,
        reader: impl Fn(String, Option<FileState>, &Self) -> FileReader,
    ) -> Result<(), RunFailure> {
        for (file, reason) in &listing.refused {
            warn!("Parser {} skips a file: {reason}", self.label);
            self.counts.add_broken(file, reason);
        }
        let mut saved = SavedStates::default();
        for file in listing.files {
            if self.stop.is_cancelled() {
                break;
            }
            let state = saved.state_of(&file, self, start).await?;
            let is_covered = state
                .as_ref()
                .is_some_and(|state| state.covers(&file, &self.parser));
            let reader = reader(file.path, state, self);
            match is_covered {
                true => self.covered(reader).await?,
                false => self.file(reader).await?,
            }
        }
        self.save().await?;
        match self.stop.is_cancelled() {
            true => Err(RunFailure::stopped()),
            false => Ok(()),
        }
    }

    /// Skips a file with the size and the time of a file that was stored, unless its content begins in another way.
    async fn covered(&mut self, reader: FileReader) -> Result<(), RunFailure> {
        let checked = on_thread(THREAD, move || {
            let is_same = reader.has_known_head();
            Ok((reader, is_same))
        });
        let (reader, is_same) = checked
            .await
            .map_err(|reason| RunFailure::new("File", reason))?;
        match is_same {
            true => {
                self.counts.skipped += 1;
                Ok(())
            }
            false => self.file(reader).await,
        }
    }

    async fn file(&mut self, reader: FileReader) -> Result<(), RunFailure> {
        let path = reader.path.clone();
        self.counts.files += 1;
        let mut groups = reading::start(reader);
        loop {
            let group = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(()),
                group = groups.recv() => group,
            };
            match group {
                None => return Ok(()),
                Some(Ok(group)) => self.group(&path, group).await?,
                Some(Err(FileError::Unreadable(reason))) => {
                    warn!("Parser {} cannot read {path}: {reason}", self.label);
                    self.counts.add_broken(&path, &reason);
                }
                Some(Err(FileError::Fatal(reason))) => return Err(RunFailure::new("File", reason)),
            }
        }
    }

    /// Stores the rows of a group, then saves the position after them.
    async fn group(&mut self, path: &str, group: Group) -> Result<(), RunFailure> {
        let Group {
            rows,
            rejected,
            state,
        } = group;
        let count = rows.len() as u64;
        self.put(rows).await?;
        self.counts.records += count;
        self.counts.rejected += rejected;
        if state.is_done {
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
                    self.counts.add_broken(path, reason);
                }
            }
        }
        self.unsaved.states.insert(path.to_owned(), state);
        let since = *self.unsaved.since.get_or_insert_with(Instant::now);
        if since.elapsed() >= SAVE_INTERVAL || self.unsaved.states.len() >= STATES {
            self.save().await?;
        }
        Ok(())
    }

    async fn save(&mut self) -> Result<(), RunFailure> {
        let unsaved = std::mem::take(&mut self.unsaved);
        let states = unsaved.states.into_iter();
        let mut puts = states.map(|(path, state)| (path, state.text())).peekable();
        let mut removed = unsaved.removed.into_iter().peekable();
        while puts.peek().is_some() || removed.peek().is_some() {
            let puts = puts.by_ref().take(STATES_AT_ONCE).collect();
            let removed = removed.by_ref().take(STATES_AT_ONCE).collect();
            self.checkpoints.save(puts, removed).await?;
        }
        Ok(())
    }

    /// Stores rows.
    async fn put(&self, mut rows: Vec<ParsedRow>) -> Result<(), RunFailure> {
        keep_last(&self.table, &mut rows);
        if rows.is_empty() {
            return Ok(());
        }
        let put = || self.store.put_parsed_rows(&self.table, &rows);
        let stored = retry_transient(self.stop, put).await;
        stored.map_err(|error| RunFailure::new("Store", error.to_string()))
    }

    /// Stores all rows of a query. A query cannot be resumed, so every try runs all of it, also after an outage of the
    /// node's own store if the query reads tables in it.
    pub(super) async fn query(
        &mut self,
        project: &Project,
        interface: &str,
        sql: &str,
    ) -> Result<(), RunFailure> {
        let mut wait = StoreWait::new(self.stop);
        loop {
            match self.query_once(project, interface, sql).await {
                Ok(()) => return Ok(()),
                Err(QueryError::Run(failure)) => return Err(failure),
                Err(QueryError::Store(outage)) => {
                    if !wait.wait(&outage.into()).await {
                        return Err(RunFailure::stopped());
                    }
                    (self.counts.records, self.counts.rejected) = (0, 0);
                }
            }
        }
    }

    async fn query_once(
        &mut self,
        project: &Project,
        interface: &str,
        sql: &str,
    ) -> Result<(), QueryError> {
        let failed = |reason: String| RunFailure::new("Query", reason);
        let opened = project.interface(interface).map_err(failed)?;
        let mut stream = opened.rows(sql, Vec::new()).await?;
        let source = format!("interface {interface}");
        let mut line = 0;
        loop {
            let page = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(RunFailure::stopped().into()),
                page = stream.recv() => page,
            };
            let Some(page) = page else {
                return Ok(self.save_query_progress().await?);
            };
            let page = page?;
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
            self.counts.records += rows.len() as u64;
            self.counts.rejected += rejected.len() as u64;
            self.put(rows).await?;
            self.reject(&source, rejected).await?;
            let since = *self.unsaved.since.get_or_insert_with(Instant::now);
            if since.elapsed() >= SAVE_INTERVAL {
                self.save_query_progress().await?;
            }
        }
    }

    /// Saves the counts for people. Fails if another run has taken over meanwhile.
    async fn save_query_progress(&mut self) -> Result<(), RunFailure> {
        self.unsaved.since = None;
        let counts = json!({"records": self.counts.records, "rejected": self.counts.rejected});
        self.checkpoints.put("query", counts.to_string()).await?;
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

    /// The output of the run as JSON.
    pub(super) fn output(&self) -> String {
        let rejects = self.rejects.lock().unwrap_or_else(PoisonError::into_inner);
        let mut output = json!({
            "files": self.counts.files,
            "skipped": self.counts.skipped,
            "records": self.counts.records,
            "rejected": self.counts.rejected,
            "rejects": rejects.path(),
        });
        if self.counts.broken_count > 0 {
            let broken = self.counts.broken.iter();
            let broken: Vec<Json> = broken
                .map(|(file, reason)| json!({"file": file, "reason": reason}))
                .collect();
            output["broken_files"] = json!(self.counts.broken_count);
            output["broken"] = json!(broken);
        }
        output.to_string()
    }
}

/// Why a query of a parser did not end.
enum QueryError {
    /// The run fails.
    Run(RunFailure),
    /// The node's own store did not answer.
    Store(Outage),
}

impl From<RunFailure> for QueryError {
    fn from(failure: RunFailure) -> Self {
        Self::Run(failure)
    }
}

impl From<SourceError> for QueryError {
    fn from(error: SourceError) -> Self {
        match error.into_outage() {
            Ok(outage) => Self::Store(outage),
            Err(error) => Self::Run(RunFailure::new("Query", error.to_string())),
        }
    }
}

/// The saved states of files, read page by page in the order of the paths.
#[derive(Default)]
struct SavedStates {
    page: VecDeque<Checkpoint>,
    after: Option<String>,
    is_at_end: bool,
}

impl SavedStates {
    /// The state of a file. Call it with files in the order of their paths.
    async fn state_of(
        &mut self,
        file: &FoundFile,
        run: &mut ParserRun<'_>,
        start: i64,
    ) -> Result<Option<FileState>, RunFailure> {
        loop {
            if self.page.is_empty() && !self.is_at_end {
                let page = run.checkpoints.items(self.after.as_deref(), PAGE).await?;
                self.page = page.into();
                self.is_at_end = self.page.len() < PAGE;
                self.after = self
                    .page
                    .back()
                    .map(|last| last.item.clone())
                    .or(self.after.take());
            }
            let Some(next) = self.page.front() else {
                return Ok(None);
            };
            if next.item > file.path {
                return Ok(None);
            }
            let Some(next) = self.page.pop_front() else {
                return Ok(None);
            };
            if next.item == file.path {
                // A state of an older version that cannot be read does not count.
                return Ok(serde_json::from_str(&next.value).ok());
            }
            if start - next.updated_at.0 > REMOVED_FILE_TTL_MS {
                run.unsaved.removed.push(next.item);
            }
        }
    }
}

impl FileState {
    fn text(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers are valid JSON")
    }
}

/// Keeps the last row of each key, because a store may write the rows in any order.
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
