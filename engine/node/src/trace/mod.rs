//! Traces: a record of what this node does with its jobs, operation by operation, written on request.
//!
//! Traces belong to one node: they do not use the store, and other nodes do not know them. When nothing is traced, a trace
//! point costs one relaxed load. Traced events go to a thread that writes them to a file of bounded size. When that thread
//! cannot keep up, events are dropped and counted; the caller never waits.

mod entry;
mod error;
mod file;
mod filter;
mod line;
mod operation;
mod registry;
mod sessions;
mod writer;

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use uuid::Uuid;
use weft_model::JobKey;
use weft_model::clock::SharedClock;

pub use entry::{NewTrace, TraceState, TraceStatus};
pub use error::TraceError;
pub use filter::{Filter, FilterError};
pub use line::TraceLine;
pub use operation::TracedOperation;

use self::entry::Trace;
use self::line::{Event, first_line};
use self::registry::{Home, Registry};
use self::writer::Work;

/// The most bytes of a trace file.
const FILE_BYTES: u64 = 10 * 1024 * 1024;
/// The most traces that a node keeps, on or off, each of at most [`FILE_BYTES`].
const MOST_TRACES: usize = 32;

/// The traces of a node. Cheap to clone; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Traces(Arc<Registry>);

impl Traces {
    /// Creates an empty set of traces whose files go to `traces` in the data folder of the node.
    pub fn new(data: &Path, clock: SharedClock) -> Self {
        Self::with_limit(data, clock, FILE_BYTES)
    }

    fn with_limit(data: &Path, clock: SharedClock, most_bytes: u64) -> Self {
        Self(Arc::new(Registry::new(Home {
            folder: data.join("traces"),
            clock,
            most_bytes,
        })))
    }

    /// Records an event of a job. `fields` makes an object and is called only if the event is traced. It must not contain
    /// ARGS, messages of failures or anything else that may hold a secret.
    #[inline]
    pub fn event(
        &self,
        operation: TracedOperation,
        event: &'static str,
        job: &JobKey,
        fields: impl FnOnce() -> Value,
    ) {
        if self.0.is_wanted(operation) {
            self.record(operation, event, job, fields);
        }
    }

    #[cold]
    fn record(
        &self,
        operation: TracedOperation,
        event: &'static str,
        key: &JobKey,
        fields: impl FnOnce() -> Value,
    ) {
        let Some((home, writer)) = self.0.started_writer() else {
            return;
        };
        let concerned: Vec<Arc<Trace>> = {
            let mut state = self.0.lock();
            self.0.end_silent_sessions(&mut state, home);
            let concerned = state.traces.values().filter(|trace| {
                trace.operation == operation && trace.is_on() && trace.filter.admits(key)
            });
            concerned.cloned().collect()
        };
        if concerned.is_empty() {
            return;
        }
        let now = home.clock.now();
        let event = Arc::new(Event::new(now, operation, event, key, fields()));
        for trace in concerned {
            if !writer.offer(Work::Write(Arc::clone(&trace), Arc::clone(&event))) {
                trace.count_dropped();
            }
        }
    }

    /// Begins a trace.
    ///
    /// # Errors
    /// The node has too many traces, or the file cannot be created.
    pub async fn begin(&self, new: NewTrace) -> Result<TraceStatus, TraceError> {
        let (home, writer) = self.0.writer().await?;
        let now = home.clock.now();
        let by = new.by.clone();
        let trace = self.0.add(new, home, now)?;
        let first = first_line(&trace, &by, now);
        let opened = writer
            .ask(&trace.path, |answer| {
                Work::Open(Arc::clone(&trace), first, answer)
            })
            .await;
        let mut state = self.0.lock();
        if opened.is_err() {
            state.traces.remove(&trace.number);
        }
        self.0.refresh(&mut state);
        opened.map(|()| trace.status())
    }

    /// All traces, by number.
    ///
    /// # Errors
    /// The files of an earlier process cannot be read.
    pub async fn list(&self) -> Result<Vec<TraceStatus>, TraceError> {
        let (home, writer) = self.0.writer().await?;
        // Events in the queue count as written.
        writer.ask(&home.folder, Work::Close).await?;
        let mut state = self.0.lock();
        self.0.end_silent_sessions(&mut state, home);
        Ok(state.traces.values().map(|trace| trace.status()).collect())
    }

    /// The last lines of a trace, the newest last.
    ///
    /// # Errors
    /// No trace has this number, or its file cannot be read.
    pub async fn lines(&self, number: u64, count: usize) -> Result<Vec<TraceLine>, TraceError> {
        let (_, writer) = self.0.writer().await?;
        let trace = self.0.lock().trace(number)?;
        let lines = writer.ask(&trace.path, |answer| {
            Work::Tail(Arc::clone(&trace), count, answer)
        });
        Ok(lines.await?.iter().map(TraceLine::from_json).collect())
    }

    /// Turns off one trace, or all; answers the numbers of those that were on.
    ///
    /// # Errors
    /// No trace has this number.
    pub async fn turn_off(&self, number: Option<u64>) -> Result<Vec<u64>, TraceError> {
        let (home, writer) = self.0.writer().await?;
        let ended = {
            let mut state = self.0.lock();
            let traces: Vec<Arc<Trace>> = match number {
                Some(number) => vec![state.trace(number)?],
                None => state.traces.values().cloned().collect(),
            };
            let was_on = traces.iter().filter(|trace| trace.end(TraceState::Off));
            let ended = was_on.map(|trace| trace.number).collect();
            self.0.refresh(&mut state);
            ended
        };
        writer.ask(&home.folder, Work::Close).await?;
        Ok(ended)
    }

    /// Turns off a trace and deletes its file.
    ///
    /// # Errors
    /// No trace has this number, or its file cannot be deleted.
    pub async fn remove(&self, number: u64) -> Result<(), TraceError> {
        let (_, writer) = self.0.writer().await?;
        let trace = {
            let mut state = self.0.lock();
            let trace = state.trace(number)?;
            trace.end(TraceState::Off);
            self.0.refresh(&mut state);
            trace
        };
        let removed = writer.ask(&trace.path, |answer| {
            Work::Remove(Arc::clone(&trace), answer)
        });
        removed.await?;
        self.0.lock().traces.remove(&number);
        Ok(())
    }

    /// Keeps the traces of a session on while a statement of it runs, until the guard is dropped.
    pub fn keep_session(&self, session: Option<Uuid>) -> SessionGuard {
        if let (Some(session), Some(home)) = (session, &self.0.home) {
            let mut state = self.0.lock();
            self.0.end_silent_sessions(&mut state, home);
            if state.sessions.begin_statement(session) {
                return SessionGuard(Some((self.clone(), session)));
            }
        }
        SessionGuard(None)
    }
}

/// A statement of a session runs until this is dropped.
#[derive(Debug)]
#[must_use = "the session counts as idle when this is dropped"]
pub struct SessionGuard(Option<(Traces, Uuid)>);

impl Drop for SessionGuard {
    fn drop(&mut self) {
        let Some((traces, session)) = &self.0 else {
            return;
        };
        if let Some(home) = &traces.0.home {
            let now = home.clock.monotonic();
            traces.0.lock().sessions.end_statement(*session, now);
        }
    }
}

#[cfg(test)]
mod tests;
