//! The embedded store: one SQLite file, one process, the same trait and the same three answers.
//!
//! A verb is one transaction, and many verbs share one commit. Physical tables are compact; the documented names are views
//! over them, so `sqlite3` shows what `cqlsh` would.

mod batches;
mod checkpoints;
mod chunks;
mod cleanup;
mod connection;
mod due_hints;
mod failure;
mod instances;
mod jobs;
mod lock;
mod migrate;
mod names;
mod nodes;
mod packed;
mod parsed;
mod queue;
mod reader;
mod rows;
mod shared;
mod store;
mod table;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::warn;

pub use lock::{LockOwner, lock_owner};
pub use writer::CommitFault;

use weft_model::clock::SharedClock;
use weft_store::{
    Attempt, AttemptResult, CompareAndSet, Conditional, Counters, EndJob, Freshness,
    SCHEMA_VERSION, StoreError, StoreResult,
};

use self::failure::Failure;
use self::lock::FileLock;
use self::queue::{Answer, Writing};
use self::reader::{Readers, Reading};
use self::table::Table;
use self::writer::Writer;

/// How a store is opened.
#[derive(Clone)]
pub struct Options {
    /// For `store_time` and for the times that no operation carries.
    pub clock: SharedClock,
    /// Whether to bring the schema up to date.
    pub migrate: bool,
    /// Threads that read.
    pub readers: usize,
    /// For tests: called before each commit, which it may make fail.
    pub commit_fault: Option<Arc<dyn Fn() -> Option<CommitFault> + Send + Sync>>,
    /// For tests: the most pages that the file may have, as on a full disk.
    pub max_page_count: Option<i64>,
}

impl Options {
    /// Migrates, with three reader threads.
    pub fn new(clock: SharedClock) -> Self {
        Self {
            clock,
            migrate: true,
            readers: 3,
            commit_fault: None,
            max_page_count: None,
        }
    }

    /// Leaves the schema as it is.
    #[must_use]
    pub fn without_migration(self) -> Self {
        Self {
            migrate: false,
            ..self
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("migrate", &self.migrate)
            .field("readers", &self.readers)
            .finish_non_exhaustive()
    }
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("{} is in use by process {}{}", path.display(), owner.pid, at(owner))]
    InUse {
        /// The file.
        path: PathBuf,
        /// That process.
        owner: LockOwner,
    },
    /// Its schema was written by a newer program.
    #[error(
        "the schema has version {found}, this program knows version {known}\nhint: use the newer program"
    )]
    Newer {
        /// What the file has.
        found: i64,
        /// What this program knows.
        known: i64,
    },
    /// The file or its lock cannot be opened.
    #[error("{} cannot be opened", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        source: std::io::Error,
    },
    /// SQLite refused it.
    #[error("the file is not usable as a store")]
    Sqlite(#[from] rusqlite::Error),
}

fn at(owner: &LockOwner) -> String {
    match &owner.address {
        Some(address) => format!(" at {address}"),
        None => String::new(),
    }
}

/// The store in one SQLite file.
///
/// Dropping it ends its threads, after everything in the queue is decided.
pub struct SqliteStore {
    path: PathBuf,
    clock: SharedClock,
    counters: Counters,
    // Readers go first, so that the writer is the last to close and can empty the log.
    readers: Readers,
    /// None where the store was opened for reading only.
    writer: Option<Writer>,
    lock: Option<FileLock>,
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Opens the store at `path` for this process alone; creates the file where there is none.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Self, OpenError> {
        let path = path.as_ref().to_owned();
        let file_error = |source| OpenError::File {
            path: path.clone(),
            source,
        };
        let lock = match FileLock::take(&path).map_err(file_error)? {
            Ok(lock) => lock,
            Err(owner) => return Err(OpenError::InUse { path, owner }),
        };
        let mut connection = connection::writer(&path)?;
        if options.migrate {
            migrate::migrate(&mut connection, options.clock.now())?;
            // No scheduler reads hints that old. A full disk must not keep the store from opening.
            if let Err(error) = due_hints::forget_old(&connection, options.clock.now()) {
                warn!("Could not remove old hints: {error}");
            }
        } else {
            migrate::refuse_newer(migrate::version(&connection)?)?;
        }
        let settings = writer::Settings {
            path: path.clone(),
            clock: Arc::clone(&options.clock),
            commit_fault: options.commit_fault,
            max_page_count: options.max_page_count,
        };
        let writer = Writer::start(settings, connection).map_err(file_error)?;
        let readers = Readers::start(&path, options.readers).map_err(file_error)?;
        Ok(Self {
            clock: options.clock,
            counters: Counters::default(),
            readers,
            writer: Some(writer),
            lock: Some(lock),
            path,
        })
    }

    /// Opens the store for commands that only read, even while another process has it open. Every write is refused.
    ///
    /// # Errors
    /// Where there is no such file, or a newer program has changed its schema.
    pub fn open_read_only(path: impl AsRef<Path>, clock: SharedClock) -> Result<Self, OpenError> {
        let path = path.as_ref().to_owned();
        let connection = connection::reader(&path)?;
        migrate::refuse_newer(migrate::version(&connection)?)?;
        drop(connection);
        let readers = Readers::start(&path, 1).map_err(|source| OpenError::File {
            path: path.clone(),
            source,
        })?;
        Ok(Self {
            path,
            clock,
            counters: Counters::default(),
            readers,
            writer: None,
            lock: None,
        })
    }

    /// Brings the schema of the file at `path` up to date; creates the file where there is none.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub fn migrate(path: impl AsRef<Path>, clock: SharedClock) -> Result<i64, OpenError> {
        Self::open(path, Options::new(clock)).map(|_| SCHEMA_VERSION)
    }

    /// Writes the address of this process to the lock file.
    ///
    /// # Errors
    /// Where the lock file cannot be written.
    pub fn set_address(&self, address: &str) -> std::io::Result<()> {
        match &self.lock {
            Some(lock) => lock.set_address(address),
            None => Ok(()),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    async fn write<A, W>(&self, rows: usize, work: W) -> A
    where
        A: Answer,
        W: FnMut(&mut Writing<'_>) -> Result<A, Failure> + Send + 'static,
    {
        match &self.writer {
            Some(writer) => writer.write(rows, work).await,
            None => A::refused(StoreError::Refused(format!(
                "{} was opened for reading only",
                self.path.display()
            ))),
        }
    }

    /// One compare-and-set on one row alone, with its hint; `rows` is how much it weighs in its group.
    async fn swap<C>(&self, operation: &C) -> AttemptResult<Option<C::Row>>
    where
        C: CompareAndSet<Row: Table> + Conditional + Clone + 'static,
    {
        let operation = operation.clone();
        let rows = 1 + usize::from(operation.due().is_some());
        self.change(operation.verb(), rows, move |writing| {
            table::carry_out(writing, &operation)
        })
        .await
    }

    /// One compare-and-set verb.
    async fn change<F, W>(&self, verb: &'static str, rows: usize, mut work: W) -> AttemptResult<F>
    where
        F: Send + 'static,
        W: FnMut(&mut Writing<'_>) -> Result<Attempt<F>, Failure> + Send + 'static,
    {
        self.counters.compare_and_set(verb);
        self.write(rows, move |writing| work(writing).map(Ok)).await
    }

    /// One plain write.
    async fn put<T, W>(&self, verb: &'static str, rows: usize, mut work: W) -> StoreResult<T>
    where
        StoreResult<T>: Answer,
        W: FnMut(&mut Writing<'_>) -> Result<T, Failure> + Send + 'static,
    {
        self.counters.call(verb);
        self.write(rows, move |writing| work(writing).map(Ok)).await
    }

    /// One read.
    async fn read<T, W>(&self, verb: &'static str, work: W) -> StoreResult<T>
    where
        T: Send + 'static,
        W: FnOnce(&mut Reading<'_>) -> Result<T, Failure> + Send + 'static,
    {
        self.counters.call(verb);
        self.readers.read(work).await
    }

    /// A serial read sees every attempt under way: it first waits until the writer has decided those in the queue.
    async fn settle_attempts(&self, freshness: Freshness) -> StoreResult<()> {
        match (freshness, &self.writer) {
            (Freshness::Serial, Some(writer)) => writer.barrier().await,
            (Freshness::Serial, None) | (Freshness::Committed, _) => Ok(()),
        }
    }

    /// A history row is written once: one more compare-and-set.
    fn count_run(&self, end: &EndJob, verb: &'static str) {
        if end.run.is_some() {
            self.counters.compare_and_set(verb);
        }
    }
}
