//! `ECHO ? DELAY_MS=n`: a command that needs no project, to try a cluster with.

use std::time::Duration;

use async_trait::async_trait;

use crate::command::{ChunkContext, EntityCommand, Outcome, PreparedChunk};

/// Does nothing, for a while.
#[derive(Clone, Copy, Debug)]
pub(super) struct EchoCommand {
    pub(super) delay: Duration,
}

#[async_trait]
impl EntityCommand for EchoCommand {
    fn writes(&self) -> Option<&str> {
        None
    }

    async fn prepare(&self, _: &ChunkContext, _: &[String]) -> Box<dyn PreparedChunk> {
        Box::new(*self)
    }
}

#[async_trait]
impl PreparedChunk for EchoCommand {
    async fn run(&mut self, _: &str) -> Outcome {
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        Outcome::Completed {
            result: "{}".to_owned(),
            instance: None,
        }
    }
}
