//! The asynchronous runtime of a command.

use anyhow::Context;
use tokio::runtime::{Builder, Runtime};

/// A runtime with all its parts.
pub fn start() -> anyhow::Result<Runtime> {
    Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")
}
