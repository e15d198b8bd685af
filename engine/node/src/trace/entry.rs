//! One trace: its settings and its state.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use chrono::DateTime;
use serde_json::Value;
use uuid::Uuid;
use weft_lang::TraceScope;
use weft_model::clock::Timestamp;

use super::{Filter, TracedOperation, file};

/// A trace to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTrace {
    /// The operation to trace.
    pub operation: TracedOperation,
    /// The events to write.
    pub filter: Filter,
    /// The session that it ends with; `None` if it stays.
    pub session: Option<Uuid>,
    /// The user who asked for it.
    pub by: String,
}

/// Whether a trace writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceState {
    /// It writes.
    On,
    /// It was turned off, or its session or its process ended.
    Off,
    /// Its file has reached its size limit.
    Full,
    /// Its file cannot be written; the log has the reason.
    Failed,
}

impl TraceState {
    /// The name that TRACE STATUS shows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::On => "ON",
            Self::Off => "OFF",
            Self::Full => "FULL",
            Self::Failed => "FAILED",
        }
    }
}

/// What TRACE STATUS shows of a trace.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceStatus {
    /// Its number on this node.
    pub number: u64,
    /// The traced operation.
    pub operation: TracedOperation,
    /// How long it stays; `None` if its file does not say so.
    pub scope: Option<TraceScope>,
    /// The events that it writes.
    pub filter: Filter,
    /// Whether it writes.
    pub state: TraceState,
    /// When it began; `None` if its file does not say so.
    pub since: Option<Timestamp>,
    /// Lines in its file.
    pub lines: u64,
    /// Events that were dropped because too many came at once; `None` if an earlier process wrote the trace.
    pub dropped: Option<u64>,
    /// Its file.
    pub path: PathBuf,
}

/// One trace.
#[derive(Debug)]
pub(super) struct Trace {
    pub(super) number: u64,
    pub(super) operation: TracedOperation,
    pub(super) scope: Option<TraceScope>,
    pub(super) filter: Filter,
    pub(super) path: PathBuf,
    /// The session that it ends with.
    pub(super) session: Option<Uuid>,
    since: Option<Timestamp>,
    /// An earlier process wrote it.
    is_earlier: bool,
    state: AtomicU8,
    lines: AtomicU64,
    dropped: AtomicU64,
}

impl Trace {
    pub(super) fn new(number: u64, new: NewTrace, folder: &Path, now: Timestamp) -> Self {
        Self {
            number,
            operation: new.operation,
            scope: Some(match new.session {
                Some(_) => TraceScope::Session,
                None => TraceScope::Global,
            }),
            filter: new.filter,
            since: Some(now),
            path: file::path_of(folder, number, new.operation),
            session: new.session,
            is_earlier: false,
            state: AtomicU8::new(TraceState::On as u8),
            lines: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    /// A trace of an earlier process; `header` is the first line of its file.
    pub(super) fn from_file(
        number: u64,
        operation: TracedOperation,
        path: PathBuf,
        header: &Value,
        lines: u64,
    ) -> Self {
        let field = |name: &str| header["fields"][name].as_str().unwrap_or_default();
        let is_scope = |scope: &TraceScope| scope.as_str() == field("scope");
        let since = header["time"].as_str().map(DateTime::parse_from_rfc3339);
        Self {
            number,
            operation,
            scope: TraceScope::ALL.into_iter().find(is_scope),
            filter: Filter::read(field("filter")).unwrap_or_default(),
            since: since
                .and_then(Result::ok)
                .map(|since| Timestamp(since.timestamp_millis())),
            path,
            session: None,
            is_earlier: true,
            state: AtomicU8::new(TraceState::Off as u8),
            lines: AtomicU64::new(lines),
            dropped: AtomicU64::new(0),
        }
    }

    pub(super) fn state(&self) -> TraceState {
        let state = self.state.load(Ordering::Relaxed);
        let known = [TraceState::On, TraceState::Full, TraceState::Failed];
        let is_it = |known: &TraceState| *known as u8 == state;
        known.into_iter().find(is_it).unwrap_or(TraceState::Off)
    }

    pub(super) fn is_on(&self) -> bool {
        self.state() == TraceState::On
    }

    /// Ends the trace; answers whether it was on. The first reason stays.
    pub(super) fn end(&self, reason: TraceState) -> bool {
        let (on, reason) = (TraceState::On as u8, reason as u8);
        let ended = self
            .state
            .compare_exchange(on, reason, Ordering::Relaxed, Ordering::Relaxed);
        ended.is_ok()
    }

    pub(super) fn count_line(&self) {
        self.lines.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn status(&self) -> TraceStatus {
        let dropped = self.dropped.load(Ordering::Relaxed);
        TraceStatus {
            number: self.number,
            operation: self.operation,
            scope: self.scope,
            filter: self.filter.clone(),
            state: self.state(),
            since: self.since,
            lines: self.lines.load(Ordering::Relaxed),
            dropped: (!self.is_earlier).then_some(dropped),
            path: self.path.clone(),
        }
    }
}
