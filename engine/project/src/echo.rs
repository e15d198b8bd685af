//! `ECHO ? DELAY_MS=n`: a command without a project, to test a cluster.

use std::time::Duration;

use async_trait::async_trait;
use weft_store::Outage;

use crate::command::{ChunkContext, EntityCommand, EntityOutcome, PreparedChunk};

/// Waits, and succeeds.
#[derive(Clone, Copy, Debug)]
pub(super) struct EchoCommand {
    pub(super) delay: Duration,
}

#[async_trait]
impl EntityCommand for EchoCommand {
    fn writes(&self) -> Option<&str> {
        None
    }

    async fn prepare(
        &self,
        _: &ChunkContext,
        _: &[String],
    ) -> Result<Box<dyn PreparedChunk>, Outage> {
        Ok(Box::new(*self))
    }
}

#[async_trait]
impl PreparedChunk for EchoCommand {
    async fn run(&mut self, _: &str) -> EntityOutcome {
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        EntityOutcome::Completed {
            result: "{}".to_owned(),
            instance: None,
        }
    }
}
