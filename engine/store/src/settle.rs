//! The only code that sends a compare-and-set again.
//!
//! An answer of Unknown is settled by the *identical* statement, whose token tells an earlier sending that
//! did apply from somebody else's write. A read cannot settle it: a delayed attempt may still apply after
//! the read (`reliability` section 4.3).

use std::time::Duration;

use async_trait::async_trait;
use tracing::debug;
use weft_model::ids::Ids;
use weft_model::{Batch, BatchId, CheckpointHead, ChunkHead, Deployment, Job, Setting};

use super::{
    Attempt, AttemptResult, ChangeChunk, ChangeJob, ClaimBatch, ClaimChunk, ClaimCommand, ClaimJob,
    DeleteBatch, DeleteJob, Deploy, EndJob, FinishBatch, FinishLost, FlushChunk, ForgetCheckpoints,
    MoveBatch, OpenChunk, PutSetting, ReleaseCommand, RequestBatch, RequestJob, ReserveChunks,
    SaveBatchStatistics, SaveCheckpoints, Store, StoreError, SubmitBatch, SubmitLost,
    TakeCheckpoints, WriteJob,
};
use crate::Trust;

const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What a compare-and-set came to in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled<F> {
    /// It took effect.
    Applied,
    /// Its condition did not hold.
    Lost(F),
    /// Trust ran out before the answer was definite: act on nothing.
    StillUnknown,
}

/// A compare-and-set that can be sent again as it is.
#[async_trait]
pub trait Conditional: Send + Sync {
    /// What a refusal tells.
    type Found: Send;

    /// Names the verb in logs and metrics.
    fn verb(&self) -> &'static str;

    /// Sends it once.
    async fn attempt(&self, store: &dyn Store) -> AttemptResult<Self::Found>;
}

/// Sends `operation` until the answer is definite or `trust` runs out, with full jitter between sendings.
///
/// # Errors
/// A [`StoreError`] where the store refused before anything could take effect and trying again cannot
/// help, or trust ran out while the store never once accepted the statement.
pub async fn settle<C: Conditional>(
    store: &dyn Store,
    ids: &Ids,
    trust: &Trust,
    operation: &C,
) -> Result<Settled<C::Found>, StoreError> {
    let mut pause = FIRST_PAUSE;
    let mut may_have_applied = false;
    loop {
        let refusal = match operation.attempt(store).await {
            Ok(Attempt::Applied) => return Ok(Settled::Applied),
            Ok(Attempt::Lost(found)) => return Ok(Settled::Lost(found)),
            Ok(Attempt::Unknown(reason)) => {
                let verb = operation.verb();
                metrics::counter!("store_unknown_total", "op" => verb).increment(1);
                debug!(
                    verb,
                    reason, "Outcome of {verb} is unknown, sending it again"
                );
                may_have_applied = true;
                None
            }
            Err(error) if error.is_transient() || may_have_applied => Some(error),
            Err(error) => return Err(error),
        };
        if !trust.wait(ids.jitter(pause)).await {
            return match refusal {
                Some(error) if !may_have_applied => Err(error),
                _ => Ok(Settled::StillUnknown),
            };
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

macro_rules! conditional {
    ($($operation:ty => $verb:ident -> $found:ty),* $(,)?) => {$(
        #[async_trait]
        impl Conditional for $operation {
            type Found = $found;
            fn verb(&self) -> &'static str {
                stringify!($verb)
            }
            async fn attempt(&self, store: &dyn Store) -> AttemptResult<Self::Found> {
                store.$verb(self).await
            }
        }
    )*};
}

conditional! {
    SubmitBatch => submit_batch -> SubmitLost,
    ClaimCommand => claim_command -> Option<BatchId>,
    ReleaseCommand => release_command -> Option<BatchId>,
    ClaimJob => claim_job -> Option<Job>,
    EndJob => end_job -> Option<Job>,
    WriteJob => write_job -> Option<Job>,
    RequestJob => request_job -> Option<Job>,
    DeleteJob => delete_job -> Option<Job>,
    DeleteBatch => delete_batch -> Option<Batch>,
    ClaimBatch => claim_batch -> Option<Batch>,
    MoveBatch => move_batch -> Option<Batch>,
    ReserveChunks => reserve_chunks -> Option<Batch>,
    SaveBatchStatistics => save_batch_statistics -> Option<Batch>,
    RequestBatch => request_batch -> Option<Batch>,
    FinishBatch => finish_batch -> FinishLost,
    OpenChunk => open_chunk -> Option<ChunkHead>,
    ClaimChunk => claim_chunk -> Option<ChunkHead>,
    FlushChunk => flush_chunk -> Option<ChunkHead>,
    ChangeChunk => change_chunk -> Option<ChunkHead>,
    Deploy => deploy -> Option<Deployment>,
    PutSetting => put_setting -> Option<Setting>,
    TakeCheckpoints => take_checkpoints -> Option<CheckpointHead>,
    SaveCheckpoints => save_checkpoints -> Option<CheckpointHead>,
    ForgetCheckpoints => forget_checkpoints -> Option<CheckpointHead>,
}

#[async_trait]
impl Conditional for ChangeJob {
    type Found = Option<Job>;

    fn verb(&self) -> &'static str {
        match self {
            Self::Write(write) => write.verb(),
            Self::Request(request) => request.verb(),
        }
    }

    async fn attempt(&self, store: &dyn Store) -> AttemptResult<Self::Found> {
        match self {
            Self::Write(write) => write.attempt(store).await,
            Self::Request(request) => request.attempt(store).await,
        }
    }
}
