//! The one thread that writes: whenever it is free, it commits everything in the queue as one group.
//!
//! It never waits for more, because every worker waiting for its commit would pay for that (measured: 64 waiting workers
//! get 6 thousand results/s with a window of 10 ms, 208 thousand without). While one group commits, the next one gathers.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};
use tracing::{error, warn};
use weft_model::clock::SharedClock;
use weft_store::{StoreError, StoreResult};

use super::connection;
use super::failure::{Failure, needs_reopening, store_error};
use super::names::Names;
use super::queue::{Answer, Barrier, Queued, Verb, Writing};

/// A group is committed at this size at the latest.
const GROUP_ROWS: usize = 2_000;

/// Verbs that may wait for the writer; further callers wait for a place.
const QUEUE: usize = 1_024;

/// How a test makes a commit fail: the answer is Unknown either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitFault {
    /// It took effect all the same.
    Applied,
    /// It took no effect.
    NotApplied,
}

/// What the thread needs to open its connection.
pub(super) struct Settings {
    pub(super) path: PathBuf,
    pub(super) clock: SharedClock,
    pub(super) commit_fault: Option<Arc<dyn Fn() -> Option<CommitFault> + Send + Sync>>,
    pub(super) max_page_count: Option<i64>,
}

impl Settings {
    fn limit(&self, connection: Connection) -> rusqlite::Result<Connection> {
        if let Some(pages) = self.max_page_count {
            connection.pragma_update(None, "max_page_count", pages)?;
        }
        Ok(connection)
    }
}

/// The handle to the writer thread; ends it when dropped.
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Box<dyn Queued>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(settings: Settings, connection: Connection) -> std::io::Result<Self> {
        let (queue, receiver) = mpsc::channel(QUEUE);
        let mut state = State {
            connection: Some(settings.limit(connection).map_err(std::io::Error::other)?),
            settings,
            names: Names::default(),
            next_entity_key: None,
        };
        let thread = std::thread::Builder::new()
            .name("weft-sqlite-writer".to_owned())
            .spawn(move || state.run(receiver))?;
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
        })
    }

    /// Queues `work` of about `rows` rows and waits until its group is durable.
    pub(super) async fn write<A, W>(&self, rows: usize, work: W) -> A
    where
        A: Answer,
        W: FnMut(&mut Writing<'_>) -> Result<A, Failure> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let verb = Box::new(Verb::new(rows, work, reply));
        if !self.send(verb).await {
            return A::refused(ended());
        }
        match answer.await {
            Ok(answer) => answer,
            // The thread died while it had the verb.
            Err(_) => A::unknown("the SQLite writer has ended".to_owned()),
        }
    }

    /// Waits until every attempt in the queue is decided.
    pub(super) async fn barrier(&self) -> StoreResult<()> {
        let (reply, answer) = oneshot::channel();
        if !self.send(Box::new(Barrier(reply))).await {
            return Err(ended());
        }
        answer.await.map_err(|_| ended())
    }

    async fn send(&self, verb: Box<dyn Queued>) -> bool {
        match &self.queue {
            Some(queue) => queue.send(verb).await.is_ok(),
            None => false,
        }
    }
}

fn ended() -> StoreError {
    StoreError::Unavailable("the SQLite writer has ended".to_owned())
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            error!("The SQLite writer thread ended in a panic");
        }
    }
}

/// The state of the thread.
struct State {
    settings: Settings,
    /// None after a failure that makes a new connection necessary.
    connection: Option<Connection>,
    names: Names,
    next_entity_key: Option<i64>,
}

impl State {
    fn run(&mut self, mut queue: mpsc::Receiver<Box<dyn Queued>>) {
        let mut held = None;
        loop {
            let Some(first) = held.take().or_else(|| queue.blocking_recv()) else {
                break;
            };
            let mut rows = first.rows();
            let mut group = vec![first];
            while let Ok(verb) = queue.try_recv() {
                if rows + verb.rows() > GROUP_ROWS {
                    held = Some(verb);
                    break;
                }
                rows += verb.rows();
                group.push(verb);
            }
            self.decide(group);
        }
        if let Some(connection) = &self.connection
            && let Err(error) = checkpoint(connection)
        {
            // The log is left; the next process that opens the file merges it.
            warn!("Could not empty the SQLite log at the end: {error}");
        }
    }

    /// Answers every verb of the group.
    fn decide(&mut self, mut group: Vec<Box<dyn Queued>>) {
        // Each round either commits or answers one verb, so it ends.
        while !group.is_empty() {
            if let Err(error) = self.ensure_open() {
                for verb in group {
                    verb.refused(store_error(&error));
                }
                return;
            }
            match self.attempt(&mut group) {
                Outcome::Committed => {
                    for verb in group {
                        verb.committed();
                    }
                    return;
                }
                Outcome::VerbFailed(position, failure) => {
                    // The other verbs of the group are carried out again without it, in a new transaction.
                    self.roll_back(match &failure {
                        Failure::Sqlite(error) => needs_reopening(error),
                        Failure::Store(_) => false,
                    });
                    group.remove(position).refused(failure.into());
                }
                Outcome::BeginFailed(error) => {
                    self.roll_back(needs_reopening(&error));
                    for verb in group {
                        verb.refused(store_error(&error));
                    }
                    return;
                }
                Outcome::CommitFailed(error) => {
                    self.answer_failed_commit(group, &error);
                    return;
                }
            }
        }
    }

    fn attempt(&mut self, group: &mut [Box<dyn Queued>]) -> Outcome {
        let Some(connection) = &self.connection else {
            return Outcome::BeginFailed(rusqlite::Error::InvalidQuery);
        };
        if let Err(error) = run(connection, "BEGIN IMMEDIATE") {
            return Outcome::BeginFailed(error);
        }
        let mut next_entity_key = match self.next_entity_key {
            Some(key) => key,
            None => match first_free_entity_key(connection) {
                Ok(key) => key,
                Err(error) => return Outcome::BeginFailed(error),
            },
        };
        for (position, verb) in group.iter_mut().enumerate() {
            let mut writing = Writing {
                connection,
                names: &mut self.names,
                next_entity_key: &mut next_entity_key,
                clock: &self.settings.clock,
            };
            if let Err(failure) = verb.carry_out(&mut writing) {
                return Outcome::VerbFailed(position, failure);
            }
        }
        let fault = self.settings.commit_fault.as_ref().and_then(|ask| ask());
        if fault == Some(CommitFault::NotApplied) {
            return Outcome::CommitFailed(made_to_fail());
        }
        if let Err(error) = run(connection, "COMMIT") {
            return Outcome::CommitFailed(error);
        }
        if fault == Some(CommitFault::Applied) {
            return Outcome::CommitFailed(made_to_fail());
        }
        self.next_entity_key = Some(next_entity_key);
        Outcome::Committed
    }

    /// After a failed COMMIT the log may hold the group's last frame, and a recovery after a crash would find it: the
    /// outcome of the group is unknown. A full disk is the exception. SQLite reports it only for a frame that it could not
    /// write as a whole, the frame that commits is the last one, and recovery ignores an incomplete group.
    fn answer_failed_commit(&mut self, group: Vec<Box<dyn Queued>>, error: &rusqlite::Error) {
        warn!("A commit of {} verbs failed: {error}", group.len());
        self.roll_back(true);
        for verb in group {
            match store_error(error) {
                full @ StoreError::Full(_) => verb.refused(full),
                _ => verb.unknown(format!("the commit failed: {error}")),
            }
        }
    }

    fn roll_back(&mut self, reopen: bool) {
        self.names.forget();
        self.next_entity_key = None;
        let Some(connection) = &self.connection else {
            return;
        };
        // SQLite rolls back by itself on some errors; then there is nothing left to roll back.
        let rolled_back = connection.is_autocommit() || run(connection, "ROLLBACK").is_ok();
        if reopen || !rolled_back {
            self.connection = None;
        }
    }

    fn ensure_open(&mut self) -> rusqlite::Result<()> {
        if self.connection.is_none() {
            let connection = connection::writer(&self.settings.path)?;
            self.connection = Some(self.settings.limit(connection)?);
        }
        Ok(())
    }
}

enum Outcome {
    Committed,
    BeginFailed(rusqlite::Error),
    VerbFailed(usize, Failure),
    CommitFailed(rusqlite::Error),
}

fn made_to_fail() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR),
        Some("a test made this commit fail".to_owned()),
    )
}

fn run(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.raw_execute().map(drop)
}

fn first_free_entity_key(connection: &Connection) -> rusqlite::Result<i64> {
    let found = connection.query_row("SELECT coalesce(max(key), 0) + 1 FROM entity", [], |row| {
        row.get(0)
    });
    match found {
        // Without a schema there is nothing to number; the verb itself will fail.
        Err(error) if error.to_string().contains("no such table") => Ok(1),
        found => found,
    }
}

/// Merges the whole log into the file and empties it.
fn checkpoint(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}
