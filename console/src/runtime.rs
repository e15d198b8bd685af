//! The asynchronous runtime of a command.

use anyhow::Context;
use tokio::runtime::{Builder, Runtime};

/// A multi-threaded runtime with timers and I/O.
pub fn start() -> anyhow::Result<Runtime> {
    Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")
}
