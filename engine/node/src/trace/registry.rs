//! All traces of a node, and its writer thread.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::OnceCell;
use uuid::Uuid;
use weft_model::clock::{SharedClock, Timestamp};

use super::sessions::Sessions;
use super::writer::{Work, WriterHandle};
use super::{MOST_TRACES, NewTrace, Trace, TraceError, TraceState, TracedOperation};
use crate::lock::lock;

#[derive(Debug, Default)]
pub(super) struct Registry {
    /// One bit for each operation that is traced.
    pub(super) wanted: AtomicU32,
    pub(super) home: Option<Home>,
    state: Mutex<State>,
    writer: OnceCell<WriterHandle>,
}

#[derive(Debug)]
pub(super) struct Home {
    pub(super) folder: PathBuf,
    pub(super) clock: SharedClock,
    /// The most bytes of a trace file.
    pub(super) most_bytes: u64,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) traces: BTreeMap<u64, Arc<Trace>>,
    last_number: u64,
    pub(super) sessions: Sessions,
}

impl Registry {
    pub(super) fn new(home: Home) -> Self {
        Self {
            home: Some(home),
            ..Self::default()
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub(super) fn is_wanted(&self, operation: TracedOperation) -> bool {
        // Relaxed: a trace may begin and end at any moment near its command, and all other state is behind the lock.
        self.wanted.load(Ordering::Relaxed) & operation.bit() != 0
    }

    /// The writer thread, if a trace was ever asked for.
    pub(super) fn started_writer(&self) -> Option<(&Home, &WriterHandle)> {
        Some((self.home.as_ref()?, self.writer.get()?))
    }

    /// The writer thread. The first call starts it and loads the traces of earlier processes: their numbers are not reused.
    pub(super) async fn writer(&self) -> Result<(&Home, &WriterHandle), TraceError> {
        let home = self.home.as_ref().ok_or(TraceError::NoFolder)?;
        let start = || async {
            let writer = WriterHandle::start(home.folder.clone(), home.most_bytes)
                .map_err(|source| TraceError::file(&home.folder, source))?;
            let earlier = writer.ask(&home.folder, Work::Earlier).await?;
            let mut state = self.lock();
            for trace in earlier {
                state.last_number = state.last_number.max(trace.number);
                state.traces.insert(trace.number, Arc::new(trace));
            }
            drop(state);
            Ok(writer)
        };
        Ok((home, self.writer.get_or_try_init(start).await?))
    }

    /// Adds a trace before its file exists, so that concurrent requests count it.
    pub(super) fn add(
        &self,
        new: NewTrace,
        home: &Home,
        now: Timestamp,
    ) -> Result<Arc<Trace>, TraceError> {
        let mut state = self.lock();
        if state.traces.len() >= MOST_TRACES {
            return Err(TraceError::TooMany);
        }
        state.last_number += 1;
        let trace = Arc::new(Trace::new(state.last_number, new, &home.folder, now));
        if let Some(session) = trace.session {
            state.sessions.add(session, home.clock.monotonic());
        }
        state.traces.insert(trace.number, Arc::clone(&trace));
        self.refresh(&mut state);
        Ok(trace)
    }

    /// Turns off the traces of sessions that have ended.
    pub(super) fn end_silent_sessions(&self, state: &mut State, home: &Home) {
        let State {
            traces, sessions, ..
        } = state;
        sessions.remove_silent(home.clock.monotonic());
        let has_ended = |session: Uuid| !sessions.contains(&session);
        for trace in traces.values() {
            if trace.session.is_some_and(has_ended) {
                trace.end(TraceState::Off);
            }
        }
        self.refresh(state);
    }

    /// Derives the wanted operations and the sessions to watch from the traces that are on.
    pub(super) fn refresh(&self, state: &mut State) {
        let on = || state.traces.values().filter(|trace| trace.is_on());
        let wanted = on().fold(0, |wanted, trace| wanted | trace.operation.bit());
        self.wanted.store(wanted, Ordering::Relaxed);
        let sessions: Vec<Uuid> = on().filter_map(|trace| trace.session).collect();
        state.sessions.retain(&sessions);
    }
}

impl State {
    pub(super) fn trace(&self, number: u64) -> Result<Arc<Trace>, TraceError> {
        let found = self.traces.get(&number).cloned();
        found.ok_or_else(|| TraceError::NoSuchTrace {
            number,
            there: self.traces.keys().copied().collect(),
        })
    }
}
