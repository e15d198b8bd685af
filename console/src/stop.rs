//! Signals that ask a node to end.

use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals that come this close together are one.
const ECHO: Duration = Duration::from_millis(250);

/// SIGTERM and SIGINT.
#[derive(Debug)]
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// From now on these signals are answered here.
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

    /// Resolves at the next signal that somebody means as another one: a terminal and a wrapper often send
    /// the same one twice.
    pub async fn another(&mut self) {
        let echoes = async {
            loop {
                self.next().await;
            }
        };
        // Never ends by itself.
        let _: Result<(), _> = tokio::time::timeout(ECHO, echoes).await;
        self.next().await;
    }
}
