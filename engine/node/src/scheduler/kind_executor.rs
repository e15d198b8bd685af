//! Runs the jobs of a job kind, each with a [`JobRunner`], which watches the job and writes its end.

use std::sync::Arc;

use async_trait::async_trait;
use tracing::warn;

use super::executor::{Claimed, Executor, Slots};
use crate::NodeSession;
use crate::job::{JobKind, JobRunner};

#[derive(Debug)]
pub(super) struct KindExecutor {
    session: NodeSession,
    kind: Arc<dyn JobKind>,
}

impl KindExecutor {
    pub(super) fn new(session: NodeSession, kind: Arc<dyn JobKind>) -> Self {
        Self { session, kind }
    }
}

#[async_trait]
impl Executor for KindExecutor {
    fn slots(&self) -> Slots {
        match self.kind.takes_slot() {
            true => Slots::Pool,
            false => Slots::Unlimited,
        }
    }

    async fn run(&self, claimed: Claimed) -> bool {
        let uid = claimed.job.key.uid.clone();
        let kind = Arc::clone(&self.kind);
        let runner = JobRunner::new(
            self.session.clone(),
            claimed.job,
            kind,
            claimed.slot,
            claimed.give_up_after,
        );
        let ended = match claimed.failure {
            Some(failure) => runner.fail(failure).await,
            None => runner.with_parallel_runs(claimed.covered).run().await,
        };
        match ended {
            Ok(Some(ended)) => {
                if let Some(due) = ended.due {
                    self.session.context.wake.due(due);
                }
                ended.is_followed
            }
            Ok(None) => false,
            Err(error) => {
                warn!(
                    job.uid = uid,
                    error = %error,
                    "The end of a job could not be written: {error}"
                );
                false
            }
        }
    }
}
