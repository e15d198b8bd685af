//! The signals that stop a node.

use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals this close together count as one.
const ECHO: Duration = Duration::from_millis(250);

/// SIGTERM and SIGINT.
#[derive(Debug)]
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Handles the signals from now on.
    pub fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen to signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// Resolves at the next signal.
    pub async fn next(&mut self) {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => (),
            _ = self.interrupt.recv() => (),
        }
    }

    /// Resolves at the next signal that is not an echo of the last one: a terminal and a wrapper often send the same
    /// signal twice.
    pub async fn next_distinct(&mut self) {
        let echoes = async {
            loop {
                self.next().await;
            }
        };
        // The loop ends by this timeout only.
        let _: Result<(), _> = tokio::time::timeout(ECHO, echoes).await;
        self.next().await;
    }
}
