//! JavaScript functions of the project. Each call has a fresh engine on its own thread, so calls share nothing.
//!
//! The engine limits memory and stack and, if the caller asks for it, time. Every few thousand steps it checks whether the
//! call was ended. A function has no access to files, the network or any clock but `Date`; everything else goes through
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
use weft_node::job::{FailureKind, Retry};

use crate::capture::Capture;
pub use function::{Finding, Function, SOURCE_BYTES};
pub use host::{Host, HostError, TABLE_BYTES, TABLE_ROWS, Table};
pub use node_host::NodeHost;
use runtime::Engine;
pub use validator::FunctionFiles;

/// How long to wait for an ended function. Almost everything it can do is interrupted within milliseconds.
const END_GRACE: Duration = Duration::from_secs(2);
/// The stack of the thread, which includes the stack of the engine.
const THREAD_STACK_BYTES: usize = 4 * 1024 * 1024;

/// The resources that a function may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Memory of all its values, in bytes.
    pub memory_bytes: usize,
    /// Stack of its calls, in bytes; at most 2 MiB.
    pub stack_bytes: usize,
    /// How long it may run, including waits.
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
    /// The function to call.
    pub function: Arc<Function>,
    /// Arguments by the names of parameters. A parameter without an argument is `undefined`.
    pub arguments: Map<String, Value>,
    /// Makes `isAborted()` true. The function runs on until it ends or the future of the call is dropped.
    pub stop: CancellationToken,
}

/// The end of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct CallEnd {
    /// The returned value, if any, or why the function failed.
    pub result: Result<Option<Returned>, Failure>,
    /// The logged lines; of a long log the beginning and the end.
    pub log: String,
}

/// The value that a function returned.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Returned {
    /// A text.
    Text(String),
    /// Any other value, as JSON.
    Json(String),
}

/// Why a function failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Raised with the name of the thrown error, e.g. `TypeError`, which the function chooses.
    pub kind: FailureKind,
    /// A message for people.
    pub message: String,
    /// Where the error was thrown.
    pub location: Option<Location>,
    /// Whether `failJob` asked for another try.
    pub retry: Retry,
}

/// A line in a file of the project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The file, relative to the project's folder.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
}

impl Failure {
    /// A failure without a location.
    pub fn new(kind: impl Into<FailureKind>, message: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            message: message.into(),
            location: None,
            retry: Retry::AsPolicy,
        }
    }

    /// The exception type, e.g. `TypeError`.
    pub fn exception_type(&self) -> &str {
        self.kind.exception_type()
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.location {
            Some(Location { file, line }) => write!(f, "{} ({file}:{line})", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl JavaScript {
    /// Runs at most `threads` functions at once, each with these limits. Further calls wait.
    pub fn new(limits: Limits, threads: usize) -> Self {
        Self {
            limits,
            threads: Arc::new(Semaphore::new(threads)),
        }
    }

    /// Calls a function. Dropping the future ends the function at once.
    pub async fn call(&self, call: Call, host: Arc<dyn Host>) -> CallEnd {
        let log = Arc::new(Mutex::new(Capture::default()));
        let label = call.function.label();
        let result = self.result(call, host, &log).await;
        let log = log.lock().unwrap_or_else(PoisonError::into_inner);
        debug!(function = %label, failed = result.is_err(), "Function {label} ended");
        CallEnd {
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
            // If a thread is free, the function runs even after a stop was requested: it may have to clean up.
            permit = Arc::clone(&self.threads).acquire_owned() => permit.ok(),
            () = call.stop.cancelled() => None,
        };
        let Some(permit) = permit else {
            return Err(Failure::new(
                FailureKind::Stopped,
                "it was stopped before it started",
            ));
        };
        let interrupt = Interrupt::default();
        let (requests, received) = mpsc::channel(1);
        let bridge = Bridge {
            requests,
            stop: call.stop.clone(),
            log: Arc::clone(log),
        };
        let label = call.function.label();
        let mut ended = start(&call, self.limits, &interrupt, bridge, permit)?;
        let served = serve(received, &mut ended, host.as_ref(), &call.stop);
        let Some(limit) = self.limits.time else {
            return served.await;
        };
        if let Ok(result) = timeout(limit, served).await {
            return result;
        }
        interrupt.set();
        if timeout(END_GRACE, ended).await.is_err() {
            error!(
                function = %label,
                "Function {label} has exceeded its time limit and cannot be interrupted; its thread is busy until it ends"
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
    interrupt: &Interrupt,
    bridge: Bridge,
    permit: OwnedSemaphorePermit,
) -> Result<oneshot::Receiver<Result<Option<Returned>, Failure>>, Failure> {
    let function = Arc::clone(&call.function);
    let arguments = function.positional(&call.arguments);
    let flag = Arc::clone(&interrupt.0);
    let (sender, ended) = oneshot::channel();
    on_thread(move || {
        let native = Rc::new(move |what: &str, request: &str| bridge.answer(what, request));
        let result = Engine::new(limits, flag, native)
            .and_then(|engine| engine.call(function.script(), &arguments));
        drop(permit);
        // The caller may have dropped the call.
        let _ = sender.send(result);
    })?;
    Ok(ended)
}

/// Runs work on a thread whose stack is large enough for an engine.
fn on_thread(work: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let thread = std::thread::Builder::new()
        .name("weft-javascript".to_owned())
        .stack_size(THREAD_STACK_BYTES);
    match thread.spawn(work) {
        Ok(_) => Ok(()),
        Err(error) => {
            let message = format!("cannot start a thread: {error}");
            Err(Failure::new("InternalError", message))
        }
    }
}

/// Interrupts a function when it is dropped.
#[derive(Debug, Default)]
struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        self.set();
    }
}

#[cfg(test)]
mod tests;
