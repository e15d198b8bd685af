//! A batch that this incarnation owns: the row as last known, and the moves that its owner makes.
//!
//! Every compare-and-set carries owner, incarnation, fence, status and the last request seen. After one that is refused,
//! the owner reads the row again and decides anew; nothing is true because we remember it.

use tracing::info;
use weft_model::clock::Timestamp;
use weft_model::{Batch, BatchId, IllegalMove};
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
    #[error("batch {0} is owned by another session now, or nobody can say")]
    Replaced(BatchId),
    /// The row changed under a move: somebody wished something. Plan again.
    #[error("batch {0} was asked for something else")]
    Changed(BatchId),
    /// The node is leaving: give the job back.
    #[error("batch {0} is given back, the node is leaving")]
    Leaving(BatchId),
    /// The batch itself cannot go on; the text goes into its column `error`.
    #[error("{0}")]
    Failed(String),
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
            CommandError::Store(error) => Self::Store(error),
        }
    }
}

/// The owner's hold on a batch.
#[derive(Debug)]
pub struct Owned {
    /// The life that owns it.
    pub session: NodeSession,
    /// The row as last known.
    pub row: Batch,
}

impl Owned {
    /// Reads the row at SERIAL; it must still be mine.
    ///
    /// # Errors
    /// [`OwnerError::Replaced`] where it is not.
    pub async fn reread(&mut self) -> Result<(), OwnerError> {
        let row = self
            .session
            .context
            .store
            .batch(self.row.id, Freshness::Serial)
            .await?;
        match row {
            Some(row) if row.fence == self.row.fence => {
                // My own fence and an ended status mean that my move applied, whatever the owner column says.
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

    /// Moves the batch, and the row known with it.
    ///
    /// # Errors
    /// [`OwnerError::Changed`] where the row was found changed, [`OwnerError::Replaced`] where it is not mine.
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

    /// Makes the row known the one after an applied move.
    pub fn apply_move(&mut self, change: &MoveBatch) {
        let (id, status) = (self.row.id, change.to.status);
        if self.row.status != status {
            // R221.
            info!(batch.id = %id, "Batch process id '{id}' was changed to '{status}'");
        }
        self.row = change.apply(self.row.clone());
    }

    /// Reserves chunk numbers up to `to`.
    ///
    /// # Errors
    /// As [`Owned::move_to`].
    pub async fn reserve(&mut self, to: i64) -> Result<(), OwnerError> {
        let reserve = ReserveChunks {
            guard: self.guard(),
            from: self.row.chunks,
            to,
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

    /// Whether somebody wished something since the row was last read, or took the batch. One plain read.
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
            // Away for a moment: what I hold I hold until trust runs out.
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
    pub fn list_is_complete(&self) -> bool {
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
