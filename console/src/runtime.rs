//! The asynchronous runtime of a command.

use std::time::Duration;

use anyhow::Context;
use tokio::runtime::{Builder, Runtime};

/// How long threads may take to end after the command. A command of a user that blocks its thread would keep the process
/// for ever.
const EXIT_GRACE: Duration = Duration::from_secs(2);

/// A multi-threaded runtime with timers and I/O.
pub fn start() -> anyhow::Result<Runtime> {
    Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")
}

/// Runs a command to its end, in a runtime of its own.
pub fn run<T>(command: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = start()?;
    let answer = runtime.block_on(command);
    runtime.shutdown_timeout(EXIT_GRACE);
    answer
}
