//! Threads of an interface, each with a connection of its own.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use super::guard::Failure;

/// Tells whether what was opened is still what a path names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fingerprint(pub(super) Vec<String>);

/// Opens connections to a source.
pub(super) trait Source: Send + Sync + fmt::Debug {
    /// `sqlite`, `csv` or `jsonl`.
    fn kind(&self) -> &'static str;
    /// What a connection opened now would read.
    fn fingerprint(&self) -> Result<Fingerprint, Failure>;
    /// A connection that may only read.
    fn open(&self) -> Result<Connection, Failure>;
}

/// A connection that is opened when it is needed, and again when its files were replaced.
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
}

type Job = Box<dyn FnOnce(&mut Link) + Send>;

/// At most `size` threads that are started as they are needed and end with the pool.
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

    /// Hands a job to a thread that is free. Who hands it over waits for its answer, which bounds the queue.
    /// A job that is dropped was not run.
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

/// A thread that ends, also by a panic of its job, makes room for another.
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
