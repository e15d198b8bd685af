//! A source that ends the process of its node takes down neither node after node nor other batches with it.
//!
//! If the process of an owner died before the list of ids was complete, the source is under suspicion, and each later owner
//! reads it in a *trial*: it writes the mark [`SourceTrial`] under its fence before it calls any code of the source. Only a
//! death after the mark counts. From the second death on the owner waits first, and then reads while no chunk and no other
//! source is begun on its node. At the third death the batch fails. Each new id and ten minutes of life end the suspicion.
//!
//! So a source that is never under suspicion costs nothing.

use std::time::Duration;

use tracing::{error, info};
use weft_model::{Batch, BatchStatistics, BatchStatus, EntitySource, Fence, SourceTrial};

use super::owned::{Owned, OwnerError};
use super::progress::extra_stats;
use super::runner::CHUNK_CHECK_INTERVAL;
use crate::job::crash::PROGRESS_AFTER;
use crate::worker::{Alone, Offers};

/// The deaths in a row after which the batch fails.
const MAX_DEATHS: i32 = 3;
/// From so many deaths on, the source is read alone.
const ALONE_FROM: i32 = 2;
/// The pause before a source is read alone. A burst of kills is over by then, and what else ended the process has done so
/// again.
const PAUSE_BEFORE_ALONE: Duration = Duration::from_secs(30);
/// How long it waits for the chunks that run on its node.
const PATIENCE: Duration = Duration::from_secs(10);

/// A source that is being read, under suspicion or not. Nothing else is begun on this node while a trial alone exists.
#[derive(Debug, Default)]
pub struct Trial {
    /// When the suspicion ends; none without one.
    until: Option<Duration>,
    _alone: Option<Alone>,
}

/// How many owners of `row` in a row have died while they read the source without progress. `owner_died`: the process of the
/// last owner, which had it under `last_fence`, died.
pub fn deaths(row: &Batch, last_fence: Fence, owner_died: bool) -> i32 {
    if !runs_foreign_code(row) {
        return 0;
    }
    let trial = row.statistics.as_ref().and_then(|saved| saved.trial);
    let is_here = |trial: &SourceTrial| (trial.status, trial.chunks) == (row.status, row.chunks);
    match trial.filter(is_here) {
        // Healthy sources have no mark, so the first death is any before the list was complete.
        None => i32::from(owner_died),
        Some(trial) => trial.deaths + i32::from(owner_died && trial.fence == last_fence),
    }
}

/// Whether code of the project runs in this status before the list of ids is complete.
fn runs_foreign_code(row: &Batch) -> bool {
    match row.status {
        BatchStatus::New => true,
        BatchStatus::GenerateIid => match row.spec.source {
            EntitySource::Query { .. } => row.total_entities.is_none(),
            EntitySource::List { .. } | EntitySource::Stored => false,
        },
        BatchStatus::WaitingForJob
        | BatchStatus::InProgress
        | BatchStatus::ResumeFailures
        | BatchStatus::Paused
        | BatchStatus::Done
        | BatchStatus::Failed
        | BatchStatus::Cancelled => false,
    }
}

/// Must be called before code of the source runs.
///
/// # Errors
/// [`OwnerError::Failed`] if the source has ended too many processes.
pub async fn begin(owned: &mut Owned, offers: &Offers) -> Result<Trial, OwnerError> {
    if !runs_foreign_code(&owned.row) {
        return Ok(Trial::default());
    }
    let (id, deaths) = (owned.row.id, owned.source_deaths);
    if deaths >= MAX_DEATHS {
        error!(batch.id = %id, "The processes of {deaths} nodes died while they read the source of batch {id}");
        metrics::counter!("poisoned_total", "kind" => "source").increment(1);
        return Err(OwnerError::Failed(format!(
            "the process of its node died {deaths} times in a row while the ids were read, without a new id"
        )));
    }
    if deaths < ALONE_FROM {
        unless_replaced(owned, offers.beside_others()).await?;
        if deaths > 0 {
            mark(owned, deaths).await?;
        }
        return Ok(Trial::of(owned, None));
    }
    info!(batch.id = %id, "The source of batch {id} is read alone on this node, because processes died while it was read");
    unless_replaced(owned, tokio::time::sleep(PAUSE_BEFORE_ALONE)).await?;
    let alone = unless_replaced(owned, offers.alone(PATIENCE)).await?;
    mark(owned, deaths).await?;
    Ok(Trial::of(owned, Some(alone)))
}

impl Trial {
    fn of(owned: &Owned, alone: Option<Alone>) -> Self {
        let now = owned.session.context.clock.monotonic();
        let until = (owned.source_deaths > 0).then_some(now + PROGRESS_AFTER);
        Self {
            until,
            _alone: alone,
        }
    }

    /// The source has made progress.
    pub fn pass(self, owned: &mut Owned) {
        owned.source_deaths = 0;
    }

    /// Ends the suspicion if the source has been read for ten minutes.
    ///
    /// # Errors
    /// As [`Owned::move_to`].
    pub async fn end_after_long(&mut self, owned: &mut Owned) -> Result<(), OwnerError> {
        let now = owned.session.context.clock.monotonic();
        if self.until.is_some_and(|until| now >= until) {
            mark(owned, 0).await?;
            std::mem::take(self).pass(owned);
        }
        Ok(())
    }
}

/// Makes the trial durable.
async fn mark(owned: &mut Owned, deaths: i32) -> Result<(), OwnerError> {
    let row = &owned.row;
    let trial = SourceTrial {
        fence: row.fence,
        status: row.status,
        chunks: row.chunks,
        deaths,
    };
    let statistics = BatchStatistics {
        trial: Some(trial),
        ..row.statistics.clone().unwrap_or_default()
    };
    let slowest = row.extra_stats.clone();
    owned
        .save_statistics(slowest.unwrap_or_else(|| extra_stats(&[])), statistics)
        .await
}

/// Waits as long as this session owns the batch and has no new request.
async fn unless_replaced<T>(
    owned: &Owned,
    awaited: impl Future<Output = T>,
) -> Result<T, OwnerError> {
    tokio::pin!(awaited);
    loop {
        tokio::select! {
            biased;
            () = owned.session.self_fence.fenced() => return Err(OwnerError::Replaced(owned.row.id)),
            value = &mut awaited => return Ok(value),
            () = tokio::time::sleep(CHUNK_CHECK_INTERVAL) => owned.check().await?,
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;
    use weft_model::clock::Timestamp;
    use weft_model::{BatchId, BatchSpec};

    use super::*;

    /// A batch whose owner under fence 5 had `trial` in the row.
    fn batch(source: EntitySource, status: BatchStatus, trial: Option<SourceTrial>) -> Batch {
        let spec = BatchSpec::new("LU", source, "echo ?");
        Batch {
            status,
            chunks: 64,
            statistics: trial.map(|trial| BatchStatistics {
                trial: Some(trial),
                ..BatchStatistics::default()
            }),
            ..Batch::waiting(BatchId(Uuid::from_u128(1)), spec, Timestamp(0))
        }
    }

    fn query() -> EntitySource {
        EntitySource::Query {
            interface: "i".to_owned(),
            sql: "select 1".to_owned(),
            parameters: Vec::new(),
            instance_group: None,
        }
    }

    fn generating(trial: Option<SourceTrial>) -> Batch {
        batch(query(), BatchStatus::GenerateIid, trial)
    }

    const TRIAL: SourceTrial = SourceTrial {
        fence: 5,
        status: BatchStatus::GenerateIid,
        chunks: 64,
        deaths: 2,
    };

    #[test]
    fn only_a_death_after_the_mark_counts() {
        assert_eq!(deaths(&generating(None), 5, true), 1);
        assert_eq!(deaths(&generating(None), 5, false), 0);
        assert_eq!(deaths(&generating(Some(TRIAL)), 5, true), 3);
        assert_eq!(deaths(&generating(Some(TRIAL)), 5, false), 2);
        // The owner after the marked one died before it read the source.
        assert_eq!(deaths(&generating(Some(TRIAL)), 6, true), 2);
    }

    #[test]
    fn progress_ends_the_row_of_deaths() {
        let fewer = SourceTrial { chunks: 0, ..TRIAL };
        assert_eq!(deaths(&generating(Some(fewer)), 5, true), 1);
        assert_eq!(deaths(&generating(Some(fewer)), 5, false), 0);
        let before = SourceTrial {
            status: BatchStatus::New,
            ..TRIAL
        };
        assert_eq!(deaths(&generating(Some(before)), 5, true), 1);
        let lived_long = SourceTrial { deaths: 0, ..TRIAL };
        assert_eq!(deaths(&generating(Some(lived_long)), 5, true), 1);
    }

    #[test]
    fn a_list_of_ids_is_never_under_suspicion() {
        let list = || EntitySource::List { ids: Vec::new() };
        let with = |source, status| deaths(&batch(source, status, None), 5, true);
        assert_eq!(with(list(), BatchStatus::GenerateIid), 0);
        assert_eq!(with(EntitySource::Stored, BatchStatus::GenerateIid), 0);
        assert_eq!(with(query(), BatchStatus::InProgress), 0);
        // The command is bound in this status.
        assert_eq!(with(list(), BatchStatus::New), 1);
    }
}
