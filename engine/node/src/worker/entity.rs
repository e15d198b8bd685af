//! Runs the command for one entity, with as many retries as the batch allows.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use weft_model::{EntityRow, EntityStatus, Fence, Instance};
use weft_project::command::{EntityOutcome, PreparedChunk};

use super::active::ActiveBatch;
use super::interrupt::unless_stopped;
use super::store_wait::StoreWait;
use crate::NodeSession;

/// Longer result texts are cut and marked.
const LONGEST_RESULT: usize = 64 * 1024;
/// Longer error texts are cut and marked.
const LONGEST_ERROR: usize = 4 * 1024;
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The outcome of one entity.
#[derive(Debug)]
pub struct HandledEntity {
    /// The record.
    pub row: EntityRow,
    /// The instance to save with it.
    pub instance: Option<Instance>,
}

/// A worker on a chunk.
#[derive(Clone, Copy, Debug)]
pub struct Worker<'a> {
    /// The node session that claimed the chunk.
    pub session: &'a NodeSession,
    /// The batch.
    pub batch: &'a ActiveBatch,
    /// The number of the chunk.
    pub number: i64,
    /// The fence of the claim.
    pub fence: Fence,
    /// The slot in the statistics of this node.
    pub slot: u64,
}

/// Handles one entity. None if the batch or the node was stopped meanwhile: the entity stays open.
pub async fn handle(
    worker: Worker<'_>,
    id: &str,
    prepared: &mut Box<dyn PreparedChunk>,
) -> Option<HandledEntity> {
    let Worker {
        session,
        batch,
        fence,
        slot,
        ..
    } = worker;
    let clock = &session.context.clock;
    let started_at = clock.now();
    let started = clock.monotonic();
    batch.stats.start_entity(slot, id, started_at);
    let (outcome, attempt) = run_with_retries(worker, id, prepared).await?;
    let (status, result, error, instance) = match outcome {
        EntityOutcome::Completed { result, instance } => (
            EntityStatus::Completed,
            Some(cut(result, LONGEST_RESULT)),
            None,
            instance,
        ),
        EntityOutcome::Failed(error) => (
            EntityStatus::Failed,
            None,
            Some(cut(error, LONGEST_ERROR)),
            None,
        ),
    };
    let took = clock.monotonic().saturating_sub(started);
    let row = EntityRow {
        id: id.to_owned(),
        status,
        result,
        error,
        node: session.me.node.clone(),
        start_time: started_at,
        end_time: started_at.plus(took),
        duration_us: i64::try_from(took.as_micros()).unwrap_or(i64::MAX),
        attempt,
        fence,
    };
    Some(HandledEntity { row, instance })
}

/// The record of an entity that ended the process of its node `crashes` times: it is not run again.
pub fn poisoned(worker: Worker<'_>, id: &str, crashes: i32) -> HandledEntity {
    let reason =
        format!("poisoned: the process of the node died {crashes} times while this entity ran");
    unhandled(worker, id, reason, crashes)
}

/// The record of an id that does not fit, for which the command is not run.
pub fn refuse(worker: Worker<'_>, name: &str, reason: &str) -> HandledEntity {
    unhandled(worker, name, reason.to_owned(), 1)
}

fn unhandled(worker: Worker<'_>, id: &str, reason: String, attempt: i32) -> HandledEntity {
    let now = worker.session.context.clock.now();
    let row = EntityRow {
        id: id.to_owned(),
        status: EntityStatus::Failed,
        result: None,
        error: Some(reason),
        node: worker.session.me.node.clone(),
        start_time: now,
        end_time: now,
        duration_us: 0,
        attempt,
        fence: worker.fence,
    };
    HandledEntity {
        row,
        instance: None,
    }
}

/// The last outcome and its attempt. None if the batch or the node was stopped before that.
async fn run_with_retries(
    worker: Worker<'_>,
    id: &str,
    prepared: &mut Box<dyn PreparedChunk>,
) -> Option<(EntityOutcome, i32)> {
    let Worker { session, batch, .. } = worker;
    let policy = batch.spec.retry;
    let mut attempt = 1;
    loop {
        let outcome = unless_stopped(session, batch, run_once(batch, id, prepared)).await?;
        match outcome {
            EntityOutcome::Failed(_) if attempt < policy.max_attempts => {
                let pause = session
                    .context
                    .ids
                    .jitter(backoff(policy.delay_ms, attempt));
                attempt += 1;
                tokio::select! {
                    biased;
                    () = batch.stop.cancelled() => return None,
                    // A node that leaves starts no further attempt.
                    () = session.draining.cancelled() => return None,
                    may_act = session.self_fence.wait(pause) => if !may_act { return None },
                }
                let mut store_wait = StoreWait::new(session, batch, worker.number);
                while let Err(outage) = prepared.prepare_again(id).await {
                    if !store_wait.wait(&outage).await {
                        return None;
                    }
                }
            }
            EntityOutcome::Failed(_) | EntityOutcome::Completed { .. } => {
                return Some((outcome, attempt));
            }
        }
    }
}

/// A command that panics fails its entity, and the worker continues.
async fn run_once(
    batch: &ActiveBatch,
    id: &str,
    prepared: &mut Box<dyn PreparedChunk>,
) -> EntityOutcome {
    let run = AssertUnwindSafe(run_in_time(batch, id, prepared)).catch_unwind();
    run.await.unwrap_or_else(|_| {
        let reason = "the command broke off inside Weft; the log of the node says where";
        EntityOutcome::Failed(reason.to_owned())
    })
}

async fn run_in_time(
    batch: &ActiveBatch,
    id: &str,
    prepared: &mut Box<dyn PreparedChunk>,
) -> EntityOutcome {
    let Some(limit) = batch
        .spec
        .entity_timeout_ms
        .and_then(|limit| u64::try_from(limit).ok())
    else {
        return prepared.run(id).await;
    };
    match tokio::time::timeout(Duration::from_millis(limit), prepared.run(id)).await {
        Ok(outcome) => outcome,
        Err(_) => EntityOutcome::Failed(format!("took longer than ENTITY_TIMEOUT_MS={limit}")),
    }
}

fn backoff(delay_ms: i64, attempt: i32) -> Duration {
    let delay = Duration::from_millis(u64::try_from(delay_ms).unwrap_or(0));
    let doublings = u32::try_from(attempt - 1).unwrap_or(0).min(16);
    delay.saturating_mul(1 << doublings).min(LONGEST_PAUSE)
}

fn cut(mut text: String, longest: usize) -> String {
    const MARK: &str = "… (cut)";
    if text.len() > longest {
        text.truncate(text.floor_char_boundary(longest - MARK.len()));
        text.push_str(MARK);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_cut_at_a_character_and_marked() {
        assert_eq!(cut("short".to_owned(), 16), "short");
        let text = cut("ä".repeat(5_000), LONGEST_ERROR);
        assert!(text.len() <= LONGEST_ERROR);
        assert!(text.ends_with("ä… (cut)"));
    }

    #[test]
    fn pauses_double_up_to_a_minute() {
        assert_eq!(backoff(1_000, 1), Duration::from_secs(1));
        assert_eq!(backoff(1_000, 3), Duration::from_secs(4));
        assert_eq!(backoff(1_000, 30), LONGEST_PAUSE);
        assert_eq!(backoff(-5, 1), Duration::ZERO);
    }
}
