//! What the handlers and the layers around them share.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backend::Backend;
use crate::options::Options;
use crate::problem::{Code, Problem};

/// The state of a server. Cheap to clone.
#[derive(Clone)]
pub(crate) struct App(Arc<Shared>);

pub(crate) struct Shared {
    pub backend: Backend,
    pub options: Options,
    /// Cancelled when the server is to end.
    pub shutdown: CancellationToken,
    /// Connections and statements; the server ends after them.
    pub tasks: TaskTracker,
    /// The OpenAPI document as JSON.
    pub document: String,
    statements: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl App {
    pub fn new(
        backend: Backend,
        options: Options,
        document: String,
        shutdown: CancellationToken,
    ) -> Self {
        Self(Arc::new(Shared {
            statements: Arc::new(Semaphore::new(options.max_statements)),
            waiting: Arc::new(Semaphore::new(options.max_waiting)),
            tasks: TaskTracker::new(),
            backend,
            options,
            shutdown,
            document,
        }))
    }

    /// A slot for a statement or for another call that writes.
    ///
    /// # Errors
    /// All slots are taken.
    pub fn statement_slot(&self) -> Result<Arc<StatementSlot>, Problem> {
        match Arc::clone(&self.statements).try_acquire_owned() {
            Ok(permit) => Ok(Arc::new(StatementSlot::new(permit, &self.waiting))),
            Err(_) => Err(Problem::new(Code::Busy)),
        }
    }
}

impl Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// The right to run one statement, released when both its work and its answer have ended.
pub(crate) struct StatementSlot {
    permit: Mutex<OwnedSemaphorePermit>,
    waiting: Arc<Semaphore>,
}

impl StatementSlot {
    fn new(permit: OwnedSemaphorePermit, waiting: &Arc<Semaphore>) -> Self {
        metrics::gauge!("http_statements").increment(1.0);
        Self {
            permit: Mutex::new(permit),
            waiting: Arc::clone(waiting),
        }
    }

    /// The statement waits for a batch, which may take days: another statement may take its place, e.g. one that cancels the
    /// batch. If too many wait already, it keeps its place.
    pub fn lend(&self) {
        let mut permit = self.permit.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(waiting) = Arc::clone(&self.waiting).try_acquire_owned()
            && !Arc::ptr_eq(permit.semaphore(), &self.waiting)
        {
            *permit = waiting;
        }
    }
}

impl Drop for StatementSlot {
    fn drop(&mut self) {
        metrics::gauge!("http_statements").decrement(1.0);
    }
}
