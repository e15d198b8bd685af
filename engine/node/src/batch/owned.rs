//! A batch that this node session owns: the row as last known, and the moves that its owner makes.
//!
//! Every compare-and-set has the owner, incarnation, fence, status and the last request seen. After a refused one the owner
//! reads the row again and decides again: only the row says what is true.

use tracing::info;
use weft_model::clock::Timestamp;
use weft_model::{Batch, BatchId, FilledChunks, IllegalMove};
use weft_store::{
    BatchGuard, BatchSet, Freshness, MoveBatch, ReserveChunks, SaveBatchStatistics, Settled,
    StoreError,
};

use weft_project::command::CommandError;

use crate::NodeSession;

/// Why an owner stops.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    /// Another node owns the batch, or the node has fenced itself: act on nothing more.
    #[error("batch {0} is owned by another session now, or its owner is not known")]
    Replaced(BatchId),
    /// The row changed before a move, e.g. by a request. Plan again.
    #[error("batch {0} has changed, or has a new request")]
    Changed(BatchId),
    /// The node is leaving: release the job.
    #[error("batch {0} is released, the node is leaving")]
    Leaving(BatchId),
    /// The batch itself cannot continue; the text goes into its column `error`.
    #[error("{0}")]
    Failed(String),
    /// The node cannot do it now; the text says why.
    #[error("{0}")]
    NotNow(String),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored status has no such move: the rows are left alone.
    #[error(transparent)]
    Illegal(#[from] IllegalMove),
}

impl From<CommandError> for OwnerError {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Refused(reason) => Self::Failed(reason),
            CommandError::NotNow(reason) => Self::NotNow(reason),
            CommandError::Store(error) => Self::Store(error),
        }
    }
}

/// A batch that this node session owns.
#[derive(Debug)]
pub struct Owned {
    /// The node session that owns it.
    pub session: NodeSession,
    /// The row as last known.
    pub row: Batch,
    /// How many owners in a row have died while they read the source, as far as it is under suspicion.
    pub source_deaths: i32,
}

impl Owned {
    /// Reads the row at SERIAL.
    ///
    /// # Errors
    /// [`OwnerError::Replaced`] if this session no longer owns it.
    pub async fn reread(&mut self) -> Result<(), OwnerError> {
        let row = self
            .session
            .context
            .store
            .batch(self.row.id, Freshness::Serial)
            .await?;
        match row {
            Some(row) if row.fence == self.row.fence => {
                // The fence of this session with a final status means that its own move applied, whatever the owner column
                // says.
                if !row.status.is_final() && row.holder().as_ref() != Some(&self.session.me) {
                    return Err(OwnerError::Replaced(self.row.id));
                }
                self.row = row;
                Ok(())
            }
            _ => Err(OwnerError::Replaced(self.row.id)),
        }
    }

    /// Proof of ownership for a compare-and-set.
    pub fn guard(&self) -> BatchGuard {
        BatchGuard {
            id: self.row.id,
            holder: self.session.me.clone(),
            fence: self.row.fence,
            status: self.row.status,
            desired_seq: self.row.desired_seq,
        }
    }

    /// Moves the batch, in the store and in the known row.
    ///
    /// # Errors
    /// [`OwnerError::Changed`] if the row has changed, [`OwnerError::Replaced`] if the outcome is unknown.
    pub async fn move_to(&mut self, to: BatchSet) -> Result<(), OwnerError> {
        let change = MoveBatch {
            guard: self.guard(),
            to,
            token: self.session.context.ids.token(),
        };
        let settled = self.session.settle(&change).await?;
        self.expect_applied(settled)?;
        self.apply_move(&change);
        Ok(())
    }

    /// Updates the known row after a move was applied.
    pub fn apply_move(&mut self, change: &MoveBatch) {
        let (id, status) = (self.row.id, change.to.status);
        if self.row.status != status {
            // R221.
            info!(batch.id = %id, "Batch process id '{id}' was changed to '{status}'");
        }
        self.row = change.apply(self.row.clone());
    }

    /// Reserves chunk numbers up to `to`, and records what is filled so far.
    ///
    /// # Errors
    /// As [`Owned::move_to`].
    pub async fn reserve(&mut self, to: i64, filled: FilledChunks) -> Result<(), OwnerError> {
        let reserve = ReserveChunks {
            guard: self.guard(),
            from: self.row.chunks,
            to,
            filled,
            token: self.session.context.ids.token(),
        };
        let settled = self.session.settle(&reserve).await?;
        self.expect_applied(settled)?;
        self.row = reserve.apply(self.row.clone());
        Ok(())
    }

    /// Saves the statistics of a running batch.
    ///
    /// # Errors
    /// As [`Owned::move_to`].
    pub async fn save_statistics(
        &mut self,
        extra_stats: String,
        statistics: weft_model::BatchStatistics,
    ) -> Result<(), OwnerError> {
        let save = SaveBatchStatistics {
            guard: self.guard(),
            seq: self.row.stats_seq + 1,
            extra_stats,
            statistics,
            token: self.session.context.ids.token(),
        };
        let settled = self.session.settle(&save).await?;
        self.expect_applied(settled)?;
        self.row = save.apply(self.row.clone());
        Ok(())
    }

    /// Checks with one plain read that the batch has no new request and no new owner.
    ///
    /// # Errors
    /// [`OwnerError::Changed`], [`OwnerError::Replaced`] or [`OwnerError::Leaving`].
    pub async fn check(&self) -> Result<(), OwnerError> {
        if !self.session.self_fence.may_act() {
            return Err(OwnerError::Replaced(self.row.id));
        }
        if self.session.draining.is_cancelled() {
            return Err(OwnerError::Leaving(self.row.id));
        }
        let row = match self
            .session
            .context
            .store
            .batch(self.row.id, Freshness::Committed)
            .await
        {
            Ok(row) => row,
            // During an outage of the store the session owns the batch until its self-fence.
            Err(error) if error.is_transient() => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        match row {
            Some(row) if row.fence > self.row.fence => Err(OwnerError::Replaced(self.row.id)),
            Some(row) if row.desired_seq > self.row.desired_seq => {
                Err(OwnerError::Changed(self.row.id))
            }
            _ => Ok(()),
        }
    }

    /// The wall clock.
    pub fn now(&self) -> Timestamp {
        self.session.context.clock.now()
    }

    /// Whether the list of ids is complete.
    pub fn has_complete_list(&self) -> bool {
        self.row.total_entities.is_some()
    }

    fn expect_applied<F>(&self, settled: Settled<F>) -> Result<(), OwnerError> {
        match settled {
            Settled::Applied => Ok(()),
            Settled::Lost(_) => Err(OwnerError::Changed(self.row.id)),
            Settled::StillUnknown => Err(OwnerError::Replaced(self.row.id)),
        }
    }
}
