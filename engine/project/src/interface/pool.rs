//! The threads of an interface, each with its own connection.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use super::guard::Failure;

/// Identifies the files behind a path, so that a replaced file is noticed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fingerprint(pub(super) Vec<String>);

/// Opens connections to a source.
pub(super) trait Source: Send + Sync + fmt::Debug {
    /// `sqlite`, `csv` or `jsonl`.
    fn kind(&self) -> &'static str;
    /// The fingerprint of the files that a new connection would read.
    fn fingerprint(&self) -> Result<Fingerprint, Failure>;
    /// Opens a read-only connection.
    fn open(&self) -> Result<Connection, Failure>;
    /// Why the source has no table of this name, if there is more to say than that.
    fn why_no_table(&self, name: &str) -> Option<String> {
        let _ = name;
        None
    }
    /// Checks after a query that began at `seen` that it has read one version of the source.
    fn check_version(&self, seen: &Fingerprint) -> Result<(), Failure> {
        let _ = seen;
        Ok(())
    }
}

/// A connection that is opened on demand, and again when its files were replaced.
#[derive(Debug)]
pub(super) struct Link {
    source: Arc<dyn Source>,
    open: Option<(Fingerprint, Connection)>,
}

impl Link {
    pub(super) fn new(source: Arc<dyn Source>) -> Self {
        Self { source, open: None }
    }

    pub(super) fn connection(&mut self) -> Result<&mut Connection, Failure> {
        let fingerprint = self.source.fingerprint()?;
        let current = match self.open.take() {
            Some((seen, connection)) if seen == fingerprint => (seen, connection),
            _ => (fingerprint, self.source.open()?),
        };
        Ok(&mut self.open.insert(current).1)
    }

    /// Adds to the error of a query why its table is none, if the source knows.
    pub(super) fn explain(&self, failure: Failure) -> Failure {
        const NO_TABLE: &str = "no such table: ";
        let Failure::Query(message) = failure else {
            return failure;
        };
        let name = message.split_once(NO_TABLE).map(|(_, name)| {
            let end = name.find(|c: char| c.is_whitespace()).unwrap_or(name.len());
            name[..end].trim_start_matches("main.")
        });
        match name.and_then(|name| self.source.why_no_table(name)) {
            Some(reason) => Failure::Query(format!("{message}: {reason}")),
            None => Failure::Query(message),
        }
    }

    /// Checks that the query which just ended has read one version of the source. If not, its connection is closed.
    pub(super) fn check_version(&mut self) -> Result<(), Failure> {
        let Some((seen, _)) = &self.open else {
            return Ok(());
        };
        let checked = self.source.check_version(seen);
        if checked.is_err() {
            self.open = None;
        }
        checked
    }
}

type Job = Box<dyn FnOnce(&mut Link) + Send>;

/// At most `size` threads, which are started on demand and end with the pool.
#[derive(Debug)]
pub(super) struct Pool(Arc<Shared>);

struct Shared {
    thread_name: String,
    size: usize,
    source: Arc<dyn Source>,
    queue: Mutex<Queue>,
    wake: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
    closed: bool,
}

impl Pool {
    pub(super) fn new(thread_name: String, size: usize, source: Arc<dyn Source>) -> Self {
        Self(Arc::new(Shared {
            thread_name,
            size: size.max(1),
            source,
            queue: Mutex::default(),
            wake: Condvar::new(),
        }))
    }

    /// Runs a job on a free thread. Callers wait for the answer of their job, which bounds the queue. A job that is
    /// dropped was not run.
    pub(super) fn run(&self, job: impl FnOnce(&mut Link) + Send + 'static) {
        let mut queue = self.0.queue();
        queue.jobs.push_back(Box::new(job));
        if queue.jobs.len() > queue.idle && queue.threads < self.0.size {
            let shared = Arc::clone(&self.0);
            let started = std::thread::Builder::new()
                .name(self.0.thread_name.clone())
                .spawn(move || shared.work());
            match started {
                Ok(_) => queue.threads += 1,
                Err(_) if queue.threads == 0 => queue.jobs.clear(),
                Err(_) => {}
            }
        }
        self.0.wake.notify_one();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.0.queue().closed = true;
        self.0.wake.notify_all();
    }
}

impl Shared {
    fn work(&self) {
        let _leaving = Leaving(self);
        let mut link = Link::new(Arc::clone(&self.source));
        while let Some(job) = self.next() {
            job(&mut link);
        }
    }

    fn next(&self) -> Option<Job> {
        let mut queue = self.queue();
        loop {
            if queue.closed {
                return None;
            }
            if let Some(job) = queue.jobs.pop_front() {
                return Some(job);
            }
            queue.idle += 1;
            queue = self
                .wake
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
            queue.idle -= 1;
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a thread out when it ends, also by a panic of its job.
struct Leaving<'a>(&'a Shared);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.queue().threads -= 1;
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("thread_name", &self.thread_name)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}
