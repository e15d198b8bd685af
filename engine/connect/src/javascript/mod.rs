//! JavaScript functions of the project: one call is one fresh engine on a thread of its own, so that nothing of a run
//! is left for the next.
//!
//! The engine has a limit of memory, of stack and, where the caller sets one, of time. It looks every few thousand steps
//! whether the run is over. A function sees no files, no network and no clock but `Date`; what it may ask for is behind
//! [`Host`].

mod bridge;
mod function;
mod host;
mod node_host;
mod parameters;
mod runtime;
mod validator;

use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bridge::{Bridge, serve};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};
use weft_node::job::Retry;

use crate::capture::Capture;
pub use function::{Finding, Function, SOURCE_BYTES};
pub use host::{Host, HostError, TABLE_BYTES, TABLE_ROWS, Table};
pub use node_host::NodeHost;
use runtime::Engine;
pub use validator::FunctionFiles;

/// How long a function that was ended is waited for. Almost all of what it may do is interrupted in milliseconds.
const END_GRACE: Duration = Duration::from_secs(2);
/// The engine's own stack is a part of this.
const THREAD_STACK_BYTES: usize = 4 * 1024 * 1024;

/// What a function may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Memory of all its values, in bytes.
    pub memory_bytes: usize,
    /// Stack of its calls, in bytes; at most 2 MiB.
    pub stack_bytes: usize,
    /// How long it may run, waiting included.
    pub time: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 64 * 1024 * 1024,
            stack_bytes: 1024 * 1024,
            time: None,
        }
    }
}

/// Runs functions, a bounded number at a time.
#[derive(Clone, Debug)]
pub struct JavaScript {
    limits: Limits,
    threads: Arc<Semaphore>,
}

/// One call of a function.
#[derive(Clone, Debug)]
pub struct Call {
    /// The function.
    pub function: Arc<Function>,
    /// Its arguments by the names of its parameters; a parameter without one is `undefined`.
    pub arguments: Map<String, Value>,
    /// What `isAborted()` tells. The function goes on until it ends by itself or the call's future is dropped.
    pub stop: CancellationToken,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// What it returned, if it did, or why it failed.
    pub result: Result<Option<Returned>, Failure>,
    /// What it logged: the beginning and the end of it.
    pub log: String,
}

/// What a function returned.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Returned {
    /// A text, as it is.
    Text(String),
    /// Any other value, as JSON.
    Json(String),
}

/// Why a function failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The name of what it threw, e.g. `TypeError`.
    pub name: String,
    /// What a person reads.
    pub message: String,
    /// Where in its file.
    pub place: Option<Place>,
    /// What it asked for with `failJob`.
    pub retry: Retry,
}

/// A place in a file of the project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, relative to the project's folder.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
}

impl Failure {
    /// A failure without a place.
    pub fn new(name: &str, message: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            message: message.into(),
            place: None,
            retry: Retry::AsPolicy,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{} ({}:{})", self.message, place.file, place.line),
            None => f.write_str(&self.message),
        }
    }
}

impl JavaScript {
    /// Runs at most `threads` functions at a time, each with these limits; more wait.
    pub fn new(limits: Limits, threads: usize) -> Self {
        Self {
            limits,
            threads: Arc::new(Semaphore::new(threads)),
        }
    }

    /// Calls a function. Dropping the future ends it at once, whatever it does.
    pub async fn call(&self, call: Call, host: Arc<dyn Host>) -> Ended {
        let log = Arc::new(Mutex::new(Capture::default()));
        let label = call.function.label();
        let result = self.result(call, host, &log).await;
        let log = log.lock().unwrap_or_else(PoisonError::into_inner);
        debug!(function = %label, failed = result.is_err(), "Function {label} ended");
        Ended {
            result,
            log: log.text(),
        }
    }

    async fn result(
        &self,
        call: Call,
        host: Arc<dyn Host>,
        log: &Arc<Mutex<Capture>>,
    ) -> Result<Option<Returned>, Failure> {
        let permit = tokio::select! {
            biased;
            // With a thread at hand it is called even when it shall stop: it sees that, and may have to tidy up.
            permit = Arc::clone(&self.threads).acquire_owned() => permit.ok(),
            () = call.stop.cancelled() => None,
        };
        let Some(permit) = permit else {
            return Err(Failure::new(
                "Stopped",
                "it was told to stop before it began",
            ));
        };
        let ending = Ending::default();
        let (requests, asked) = mpsc::channel(1);
        let bridge = Bridge {
            requests,
            stop: call.stop.clone(),
            log: Arc::clone(log),
        };
        let label = call.function.label();
        let mut ended = start(&call, self.limits, &ending, bridge, permit)?;
        let served = serve(asked, &mut ended, host.as_ref(), &call.stop);
        let Some(limit) = self.limits.time else {
            return served.await;
        };
        if let Ok(result) = timeout(limit, served).await {
            return result;
        }
        ending.now();
        if timeout(END_GRACE, ended).await.is_err() {
            error!(
                function = %label,
                "Function {label} is over its time and cannot be interrupted; one thread is busy until it ends"
            );
        }
        let message = format!("it took longer than {} ms", limit.as_millis());
        Err(Failure::new("Timeout", message))
    }
}

/// Starts the thread of a call.
fn start(
    call: &Call,
    limits: Limits,
    ending: &Ending,
    bridge: Bridge,
    permit: OwnedSemaphorePermit,
) -> Result<oneshot::Receiver<Result<Option<Returned>, Failure>>, Failure> {
    let function = Arc::clone(&call.function);
    let arguments = function.positional(&call.arguments);
    let flag = Arc::clone(&ending.0);
    let (sender, ended) = oneshot::channel();
    on_thread(move || {
        let native = Rc::new(move |what: &str, request: &str| bridge.answer(what, request));
        let result = Engine::new(limits, flag, native)
            .and_then(|engine| engine.call(function.script(), &arguments));
        drop(permit);
        // Whoever asked may be gone.
        let _ = sender.send(result);
    })?;
    Ok(ended)
}

/// Runs work on a thread with room for the engine's stack.
fn on_thread(work: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let thread = std::thread::Builder::new()
        .name("weft-javascript".to_owned())
        .stack_size(THREAD_STACK_BYTES);
    match thread.spawn(work) {
        Ok(_) => Ok(()),
        Err(error) => {
            let message = format!("no thread could be started: {error}");
            Err(Failure::new("InternalError", message))
        }
    }
}

/// Ends a function when it is dropped.
#[derive(Debug, Default)]
struct Ending(Arc<AtomicBool>);

impl Ending {
    fn now(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.now();
    }
}

#[cfg(test)]
mod tests;
