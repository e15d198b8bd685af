//! Traces: what this node does with its jobs, written down operation by operation while somebody wants to know.
//!
//! They are a node's own: nothing of them goes through the store, and other nodes know nothing of them. Where nothing is
//! traced, a trace point costs one relaxed load. Events of what is traced go to a thread that writes them into a file of
//! bounded size; where it cannot keep up, events are dropped and counted, and nobody waits.

mod file;
mod filter;
mod operation;
mod writer;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::DateTime;
use serde_json::{Value, json};
use tokio::sync::{OnceCell, mpsc, oneshot};
use uuid::Uuid;
use weft_lang::TraceScope;

pub use filter::{Filter, FilterError};
pub use operation::Operation;

use weft_model::JobKey;
use weft_model::clock::{SharedClock, Timestamp};

use self::writer::Work;

/// The most bytes that a trace writes.
const FILE_BYTES: u64 = 10 * 1024 * 1024;
/// Events that may be on their way to the disk.
const QUEUE: usize = 1_024;
/// Traces that a node keeps, on or off: with their files they never take more than so many times [`FILE_BYTES`].
const MOST_TRACES: usize = 32;
/// A session says no good-bye, for nodes keep none: one that was not heard of for so long has ended.
const SILENCE: Duration = Duration::from_secs(10 * 60);
/// The most characters of a name in an event.
const NAME_CHARACTERS: usize = 500;

/// The traces of a node. Cheap to clone; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Traces(Arc<Registry>);

#[derive(Debug, Default)]
struct Registry {
    /// The operations of which a trace is on, a bit each.
    wanted: AtomicU32,
    home: Option<Home>,
    state: Mutex<State>,
    /// Started by the first who asks for something.
    writer: OnceCell<mpsc::Sender<Work>>,
}

#[derive(Debug)]
struct Home {
    folder: PathBuf,
    clock: SharedClock,
    most_bytes: u64,
}

#[derive(Debug, Default)]
struct State {
    traces: BTreeMap<u64, Arc<Trace>>,
    last_number: u64,
    /// The sessions that traces end with.
    sessions: BTreeMap<Uuid, Heard>,
}

/// When a session was heard of.
#[derive(Debug)]
struct Heard {
    /// Statements of it that run.
    running: usize,
    at: Duration,
}

/// One trace.
#[derive(Debug)]
struct Trace {
    number: u64,
    operation: Operation,
    scope: Option<TraceScope>,
    filter: Filter,
    since: Option<Timestamp>,
    path: PathBuf,
    /// The session that it ends with.
    session: Option<Uuid>,
    /// An earlier process wrote it.
    is_earlier: bool,
    state: AtomicU8,
    lines: AtomicU64,
    dropped: AtomicU64,
}

/// Whether a trace writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceState {
    /// It does.
    On,
    /// It was turned off, its session or its process ended.
    Off,
    /// Its file has the size that it may have.
    Full,
    /// Its file cannot be written; the log says why.
    Failed,
}

/// A trace as people see it.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceStatus {
    /// Its number on this node.
    pub number: u64,
    /// What is traced.
    pub operation: Operation,
    /// How long it stays; none where its file does not say so.
    pub scope: Option<TraceScope>,
    /// Which events.
    pub filter: Filter,
    /// Whether it writes.
    pub state: TraceState,
    /// When it began; none where its file does not say so.
    pub since: Option<Timestamp>,
    /// Lines in its file.
    pub lines: u64,
    /// Events that were not written, because too many came at once; none where an earlier process counted them.
    pub dropped: Option<u64>,
    /// Its file.
    pub path: PathBuf,
}

/// A line of a trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceLine {
    /// When, as it stands in the file.
    pub time: String,
    /// What happened.
    pub event: String,
    /// To which job; none where it is about the trace itself.
    pub job: Option<String>,
    /// What else is known, `name=value` each.
    pub details: String,
}

/// A trace that shall begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTrace {
    /// What is traced.
    pub operation: Operation,
    /// Which events.
    pub filter: Filter,
    /// The session that it ends with; none where it stays.
    pub session: Option<Uuid>,
    /// Who asked for it.
    pub by: String,
}

/// Why something could not be done with traces.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// There is no folder for their files.
    #[error("this node has no data folder, so it cannot trace")]
    NoFolder,
    /// There are as many as may be.
    #[error("this node has {MOST_TRACES} traces, and keeps no more")]
    TooMany,
    /// There is none of this number.
    #[error("there is no trace {number}")]
    NoSuchTrace {
        /// The number.
        number: u64,
        /// Those that there are.
        there: Vec<u64>,
    },
    /// The folder or a file cannot be used.
    #[error("{path} cannot be used: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What writes them is gone.
    #[error("the thread that writes traces has ended")]
    Ended,
}

/// Something that happened to a job.
#[derive(Debug)]
struct Event {
    time: Timestamp,
    operation: Operation,
    event: &'static str,
    key: JobKey,
    fields: Value,
}

impl Traces {
    /// No traces yet; their files will be in `traces` under the node's data folder.
    pub fn new(data: &Path, clock: SharedClock) -> Self {
        Self::with_limit(data, clock, FILE_BYTES)
    }

    fn with_limit(data: &Path, clock: SharedClock, most_bytes: u64) -> Self {
        Self(Arc::new(Registry {
            home: Some(Home {
                folder: data.join("traces"),
                clock,
                most_bytes,
            }),
            ..Registry::default()
        }))
    }

    /// Something happened to a job. `fields`, an object, is made only where somebody wants to know: never ARGS, messages
    /// of failures or anything else that may hold a secret.
    #[inline]
    pub fn event(
        &self,
        operation: Operation,
        event: &'static str,
        job: &JobKey,
        fields: impl FnOnce() -> Value,
    ) {
        // Relaxed: a trace begins and ends at some moment near the command, and everything else is behind the lock.
        if self.0.wanted.load(Ordering::Relaxed) & operation.bit() != 0 {
            self.tell(operation, event, job, fields);
        }
    }

    #[cold]
    fn tell(
        &self,
        operation: Operation,
        event: &'static str,
        key: &JobKey,
        fields: impl FnOnce() -> Value,
    ) {
        let registry = &self.0;
        let (Some(home), Some(writer)) = (&registry.home, registry.writer.get()) else {
            return;
        };
        let concerned: Vec<Arc<Trace>> = {
            let mut state = registry.lock();
            registry.end_silent_sessions(&mut state, home);
            let concerned = state.traces.values().filter(|trace| {
                trace.operation == operation && trace.is_on() && trace.filter.admits(key)
            });
            concerned.cloned().collect()
        };
        if concerned.is_empty() {
            return;
        }
        let event = Arc::new(Event {
            time: home.clock.now(),
            operation,
            event,
            key: short(key),
            fields: fields(),
        });
        for trace in concerned {
            let write = Work::Write(Arc::clone(&trace), Arc::clone(&event));
            if writer.try_send(write).is_err() {
                trace.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Begins a trace.
    ///
    /// # Errors
    /// There are too many, or its file cannot be made.
    pub async fn begin(&self, new: NewTrace) -> Result<TraceStatus, TraceError> {
        let registry = &self.0;
        let (home, writer) = self.writer().await?;
        let now = home.clock.now();
        let trace = {
            let mut state = registry.lock();
            if state.traces.len() >= MOST_TRACES {
                return Err(TraceError::TooMany);
            }
            state.last_number += 1;
            let number = state.last_number;
            let trace = Arc::new(Trace {
                number,
                operation: new.operation,
                scope: Some(match new.session {
                    Some(_) => TraceScope::Session,
                    None => TraceScope::Global,
                }),
                filter: new.filter,
                since: Some(now),
                path: file::path_of(&home.folder, number, new.operation),
                session: new.session,
                is_earlier: false,
                state: AtomicU8::new(TraceState::On as u8),
                lines: AtomicU64::new(0),
                dropped: AtomicU64::new(0),
            });
            if let Some(session) = trace.session {
                let at = home.clock.monotonic();
                let heard = Heard { running: 0, at };
                state.sessions.entry(session).or_insert(heard).at = at;
            }
            // Its place is taken before its file is made: whoever asks at the same time counts it.
            state.traces.insert(number, Arc::clone(&trace));
            // At once: whoever asked may go before the answer comes.
            registry.settle(&mut state);
            trace
        };
        let header = trace.header(&new.by, now);
        let opened = ask(writer, |answer| {
            Work::Open(Arc::clone(&trace), header, answer)
        });
        let opened = opened.await?;
        let mut state = registry.lock();
        if opened.is_err() {
            state.traces.remove(&trace.number);
        }
        registry.settle(&mut state);
        opened.map_err(|source| TraceError::file(&trace.path, source))?;
        Ok(trace.status())
    }

    /// All traces, by number.
    ///
    /// # Errors
    /// What an earlier process left cannot be read.
    pub async fn list(&self) -> Result<Vec<TraceStatus>, TraceError> {
        let (home, writer) = self.writer().await?;
        // What is on its way counts as written.
        let closed = ask(writer, Work::Close).await?;
        closed.map_err(|source| TraceError::file(&home.folder, source))?;
        let mut state = self.0.lock();
        self.0.end_silent_sessions(&mut state, home);
        Ok(state.traces.values().map(|trace| trace.status()).collect())
    }

    /// The last lines of a trace, the newest last.
    ///
    /// # Errors
    /// There is none of this number, or its file cannot be read.
    pub async fn lines(&self, number: u64, count: usize) -> Result<Vec<TraceLine>, TraceError> {
        let (_, writer) = self.writer().await?;
        let trace = self.0.lock().trace(number)?;
        let lines = ask(writer, |answer| {
            Work::Tail(Arc::clone(&trace), count, answer)
        });
        let lines = lines.await?;
        let lines = lines.map_err(|source| TraceError::file(&trace.path, source))?;
        Ok(lines.iter().map(TraceLine::of).collect())
    }

    /// Turns one trace off, or all; answers those that were on.
    ///
    /// # Errors
    /// There is none of this number.
    pub async fn turn_off(&self, number: Option<u64>) -> Result<Vec<u64>, TraceError> {
        let (home, writer) = self.writer().await?;
        let ended = {
            let mut state = self.0.lock();
            let traces: Vec<Arc<Trace>> = match number {
                Some(number) => vec![state.trace(number)?],
                None => state.traces.values().cloned().collect(),
            };
            let was_on = traces.iter().filter(|trace| trace.end(TraceState::Off));
            let ended = was_on.map(|trace| trace.number).collect();
            self.0.settle(&mut state);
            ended
        };
        let closed = ask(writer, Work::Close).await?;
        closed.map_err(|source| TraceError::file(&home.folder, source))?;
        Ok(ended)
    }

    /// Turns a trace off and deletes its file.
    ///
    /// # Errors
    /// There is none of this number, or its file cannot be deleted.
    pub async fn remove(&self, number: u64) -> Result<(), TraceError> {
        let (_, writer) = self.writer().await?;
        let trace = {
            let mut state = self.0.lock();
            let trace = state.trace(number)?;
            trace.end(TraceState::Off);
            self.0.settle(&mut state);
            trace
        };
        let removed = ask(writer, |answer| Work::Remove(Arc::clone(&trace), answer)).await?;
        removed.map_err(|source| TraceError::file(&trace.path, source))?;
        self.0.lock().traces.remove(&number);
        Ok(())
    }

    /// A statement of this session runs until what is returned is dropped: its traces stay so long.
    pub fn hear(&self, session: Option<Uuid>) -> Hearing {
        if let (Some(session), Some(home)) = (session, &self.0.home) {
            let mut state = self.0.lock();
            self.0.end_silent_sessions(&mut state, home);
            if let Some(heard) = state.sessions.get_mut(&session) {
                heard.running += 1;
                return Hearing(Some((self.clone(), session)));
            }
        }
        Hearing(None)
    }

    /// What writes. The first who asks also learns what an earlier process left, whose numbers are not given again.
    async fn writer(&self) -> Result<(&Home, &mpsc::Sender<Work>), TraceError> {
        let home = self.0.home.as_ref().ok_or(TraceError::NoFolder)?;
        let unusable = |source| TraceError::file(&home.folder, source);
        let start = || async {
            let started = writer::start(home.folder.clone(), home.most_bytes, QUEUE);
            let sender = started.map_err(unusable)?;
            let earlier = ask(&sender, Work::Earlier).await?;
            let mut state = self.0.lock();
            for trace in earlier.map_err(unusable)? {
                state.last_number = state.last_number.max(trace.number);
                state.traces.insert(trace.number, Arc::new(trace));
            }
            drop(state);
            Ok(sender)
        };
        Ok((home, self.0.writer.get_or_try_init(start).await?))
    }
}

/// Asks the thread that writes, and waits for its answer.
async fn ask<T>(
    writer: &mpsc::Sender<Work>,
    work: impl FnOnce(oneshot::Sender<T>) -> Work,
) -> Result<T, TraceError> {
    let (sender, answer) = oneshot::channel();
    let sent = writer.send(work(sender)).await;
    sent.map_err(|_| TraceError::Ended)?;
    answer.await.map_err(|_| TraceError::Ended)
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Their traces go off with them.
    fn end_silent_sessions(&self, state: &mut State, home: &Home) {
        let now = home.clock.monotonic();
        let before = state.sessions.len();
        state
            .sessions
            .retain(|_, heard| heard.running > 0 || now.saturating_sub(heard.at) <= SILENCE);
        if state.sessions.len() < before {
            for trace in state.traces.values() {
                let has_ended = |session| !state.sessions.contains_key(&session);
                if trace.session.is_some_and(has_ended) {
                    trace.end(TraceState::Off);
                }
            }
        }
        self.settle(state);
    }

    /// What is wanted follows from what is on; a session without a trace that is on is nobody's concern.
    fn settle(&self, state: &mut State) {
        let on = || state.traces.values().filter(|trace| trace.is_on());
        let wanted = on().fold(0, |wanted, trace| wanted | trace.operation.bit());
        self.wanted.store(wanted, Ordering::Relaxed);
        let sessions: Vec<Uuid> = on().filter_map(|trace| trace.session).collect();
        state
            .sessions
            .retain(|session, _| sessions.contains(session));
    }
}

impl State {
    fn trace(&self, number: u64) -> Result<Arc<Trace>, TraceError> {
        let there = || self.traces.keys().copied().collect();
        let found = self.traces.get(&number).cloned();
        found.ok_or_else(|| TraceError::NoSuchTrace {
            number,
            there: there(),
        })
    }
}

impl Trace {
    /// What an earlier process left; its first line says what it was.
    fn earlier(
        number: u64,
        operation: Operation,
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

    /// The first line of its file.
    fn header(&self, by: &str, now: Timestamp) -> Value {
        json!({
            "time": now.to_rfc3339(),
            "operation": self.operation.name(),
            "event": "begun",
            "fields": {
                "scope": self.scope.map(TraceScope::as_str),
                "filter": self.filter.to_string(),
                "by": by,
            },
        })
    }

    /// The last line of its file, when that has no more room.
    fn full(&self, now: Timestamp) -> Value {
        json!({
            "time": now.to_rfc3339(),
            "operation": self.operation.name(),
            "event": "full",
            "fields": {"note": "nothing more is written"},
        })
    }

    fn state(&self) -> TraceState {
        let state = self.state.load(Ordering::Relaxed);
        let known = [TraceState::On, TraceState::Full, TraceState::Failed];
        let is_it = |known: &TraceState| *known as u8 == state;
        known.into_iter().find(is_it).unwrap_or(TraceState::Off)
    }

    fn is_on(&self) -> bool {
        self.state() == TraceState::On
    }

    /// It writes no more; answers whether it did. The first reason stays.
    fn end(&self, reason: TraceState) -> bool {
        let (on, reason) = (TraceState::On as u8, reason as u8);
        let ended = self
            .state
            .compare_exchange(on, reason, Ordering::Relaxed, Ordering::Relaxed);
        ended.is_ok()
    }

    fn wrote_line(&self) {
        self.lines.fetch_add(1, Ordering::Relaxed);
    }

    fn status(&self) -> TraceStatus {
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

impl TraceState {
    /// As people read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::On => "ON",
            Self::Off => "OFF",
            Self::Full => "FULL",
            Self::Failed => "FAILED",
        }
    }
}

impl TraceLine {
    fn of(line: &Value) -> Self {
        let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        let key = ["type", "name", "uid"].map(text);
        let fields = line["fields"].as_object();
        let field = |(name, value): (&String, &Value)| match value {
            Value::Null => None,
            Value::String(value) => Some(format!("{name}={value}")),
            value => Some(format!("{name}={value}")),
        };
        let fields: Vec<String> = fields.into_iter().flatten().filter_map(field).collect();
        Self {
            time: text("time"),
            event: text("event"),
            job: line["type"].is_string().then(|| key.join(" ")),
            details: fields.join(", "),
        }
    }
}

impl TraceError {
    fn file(path: &Path, source: io::Error) -> Self {
        Self::File {
            path: path.to_owned(),
            source,
        }
    }
}

impl Event {
    fn to_json(&self) -> Value {
        json!({
            "time": self.time.to_rfc3339(),
            "operation": self.operation.name(),
            "event": self.event,
            "type": self.key.job_type,
            "name": self.key.name,
            "uid": self.key.uid,
            "fields": self.fields,
        })
    }
}

/// What waits to be written has a bounded size, whatever people call their jobs.
fn short(key: &JobKey) -> JobKey {
    let cut = |text: &str| text.chars().take(NAME_CHARACTERS).collect();
    JobKey {
        job_type: cut(&key.job_type),
        name: cut(&key.name),
        uid: cut(&key.uid),
    }
}

/// A session is heard of until this is dropped.
#[derive(Debug)]
#[must_use = "the session is heard of until this is dropped"]
pub struct Hearing(Option<(Traces, Uuid)>);

impl Drop for Hearing {
    fn drop(&mut self) {
        let Some((traces, session)) = &self.0 else {
            return;
        };
        let Some(home) = &traces.0.home else { return };
        let mut state = traces.0.lock();
        if let Some(heard) = state.sessions.get_mut(session) {
            heard.running = heard.running.saturating_sub(1);
            heard.at = home.clock.monotonic();
        }
    }
}

#[cfg(test)]
mod tests;
