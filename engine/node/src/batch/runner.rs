//! Takes one batch through its stages as the owner of its job.

use std::future::ready;
use std::time::Duration;

use tracing::{debug, info, warn};
use weft_model::coordinated_batch;
use weft_model::{
    Batch, BatchDesired, BatchEvent, BatchStatus, Bug, FilledChunks, Job, JobEvent, NodeId,
};
use weft_store::{
    Backoff, BatchSet, ClaimBatch, Decided, Decision, Freshness, StoreError, StoreResult,
};

use super::close::close_chunks;
use super::command_gate::{CommandGate, pass_command_gate};
use super::ends::event_of;
use super::generate::generate;
use super::owned::{Owned, OwnerError};
use super::progress::{Figures, Progress};
use super::source_trial;
use crate::NodeSession;
use crate::worker::Offers;

/// How often the owner checks the chunks when nothing wakes it.
pub(super) const CHUNK_CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// Every chunk wakes the owner; it checks for requests no more often than this.
const REQUEST_CHECK_INTERVAL: Duration = Duration::from_millis(50);
/// The longest pause before a batch tries again what its node could not do.
const LONGEST_NODE_WAIT: Duration = Duration::from_secs(30);
/// The pause before a job that cannot run is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(60);
/// How often an owner generates the list again because records are missing. Each time the store must have lost some.
const MAX_REOPENED: u32 = 5;

/// Runs one claimed BATCH PROCESS job.
#[derive(Debug)]
pub struct Runner {
    pub(super) session: NodeSession,
    pub(super) job: Job,
    offers: Offers,
    follows_death: bool,
}

impl Runner {
    /// A runner of a job that this node session has claimed.
    pub fn new(session: NodeSession, job: Job, offers: Offers) -> Self {
        Self {
            session,
            job,
            offers,
            follows_death: false,
        }
    }

    /// Whether the death of its process cut the run before this one short.
    #[must_use]
    pub fn following_death(self, follows_death: bool) -> Self {
        Self {
            follows_death,
            ..self
        }
    }

    /// Runs the batch until it has ended, has another owner, or must be released.
    ///
    /// # Errors
    /// An error of the store that a retry cannot help.
    pub async fn run(self) -> Result<(), OwnerError> {
        let outcome = self.own_and_run().await;
        match outcome {
            Ok(()) => Ok(()),
            Err(OwnerError::Replaced(batch)) => {
                debug!(batch.id = %batch, "Batch {batch} has another owner");
                Ok(())
            }
            Err(OwnerError::Leaving(_)) => self.release(self.job.fence + 1, None, None).await,
            Err(OwnerError::Store(error)) if error.is_transient() => {
                warn!(error = %error, "Released a batch because of the store: {error}");
                self.release(self.job.fence + 1, Some(error.to_string()), None)
                    .await
            }
            Err(error) => {
                // The batch cannot run here: try again later, perhaps on another node.
                let text = error.to_string();
                let later = self.session.context.clock.now().plus(RETRY_PAUSE);
                self.release(self.job.fence + 1, Some(text), Some(later))
                    .await?;
                Err(error)
            }
        }
    }

    async fn own_and_run(&self) -> Result<(), OwnerError> {
        let Some(id) = coordinated_batch(&self.job) else {
            return self
                .end_job(
                    JobEvent::FailedFinally,
                    Some("the job's uid is not a batch id"),
                )
                .await;
        };
        let read = self.session.context.store.batch(id, Freshness::Serial);
        let decide = |batch: Option<Batch>| {
            ready(StoreResult::Ok(match batch {
                Some(batch) if !batch.status.is_final() && batch.fence < self.job.fence => {
                    Decision::Settle(ClaimBatch {
                        id,
                        seen_fence: batch.fence,
                        to_fence: self.job.fence,
                        holder: self.session.me.clone(),
                        token: self.session.context.ids.token(),
                    })
                }
                batch => Decision::Stop(batch),
            }))
        };
        match self.session.decide_and_settle(read, decide).await? {
            Decided::Applied {
                operation: claim,
                before: Some(batch),
            } => self.run_owned(&claim, batch).await,
            Decided::Applied { before: None, .. } | Decided::Stopped(None) => {
                self.end_job(JobEvent::FailedFinally, Some("the batch has no row"))
                    .await
            }
            Decided::Stopped(Some(batch)) if batch.status.is_final() => {
                self.end_job(event_of(batch.status), batch.error.as_deref())
                    .await
            }
            // The job row is from an older state of the batch: raise its fence above the one of the batch.
            Decided::Stopped(Some(batch)) => self.release(batch.fence + 1, None, None).await,
            Decided::StillUnknown(_) => Err(OwnerError::Replaced(id)),
            Decided::MovedTooFast(_) => Err(OwnerError::Changed(id)),
        }
    }

    /// Runs the batch that this claim took, given its row before the claim.
    async fn run_owned(&self, claim: &ClaimBatch, before: Batch) -> Result<(), OwnerError> {
        if before.fence > 0 {
            metrics::counter!("takeovers_total", "kind" => "batch").increment(1);
            let (id, fence) = (before.id, claim.to_fence);
            info!(batch.id = %id, "Took over batch {id} under fence {fence}");
        }
        // If the job had another owner in between, the one of the batch may have left it.
        let owner_died = self.follows_death && before.fence + 1 == claim.to_fence;
        let mut owned = Owned {
            session: self.session.clone(),
            row: claim.apply(before),
            source_deaths: 0,
        };
        // Only this read has everything that was reserved and requested before the claim.
        owned.reread().await?;
        owned.source_deaths = source_trial::deaths(&owned.row, claim.seen_fence, owner_died);
        self.run_stages(owned).await
    }

    /// Runs stage after stage until the end. After a refused move it reads the row and plans again.
    async fn run_stages(&self, mut owned: Owned) -> Result<(), OwnerError> {
        let mut progress = Progress::default();
        let mut node_wait = Backoff::new(CHUNK_CHECK_INTERVAL, LONGEST_NODE_WAIT);
        loop {
            if owned.row.status.is_final() {
                return self
                    .end_job(event_of(owned.row.status), owned.row.error.as_deref())
                    .await;
            }
            let mut outcome = self.stage(&mut owned, &mut progress).await;
            // What the store refuses for good fails the batch at once; only the failure itself is tried again.
            if let Err(OwnerError::Store(StoreError::Refused(reason))) = &outcome
                && owned.row.error.is_none()
            {
                let reason = format!("the store refused what the batch needs: {reason}");
                outcome = Err(OwnerError::Failed(reason));
            }
            if Bug::OutageFailsBatch.is_planted()
                && let Err(OwnerError::Store(error)) = outcome
            {
                outcome = Err(OwnerError::Failed(error.to_string()));
            }
            if let Err(OwnerError::Failed(reason)) = outcome {
                outcome = self.mark_failed(&mut owned, reason).await;
            }
            if let Err(OwnerError::Changed(_)) = outcome {
                outcome = owned.reread().await.map(|()| Stage::Next);
            }
            match outcome {
                Ok(Stage::Next) => (),
                Ok(Stage::Ended) => return Ok(()),
                Err(OwnerError::Store(error)) if error.is_transient() => {
                    self.wait_for_store(&mut owned, error).await?;
                }
                Err(OwnerError::NotNow(reason)) => {
                    self.wait_for_node(&mut owned, &reason, &mut node_wait)
                        .await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Keeps the batch during an outage of the store, until the self-fence: another node could not continue it either. After
    /// the outage the row is read again.
    async fn wait_for_store(
        &self,
        owned: &mut Owned,
        mut error: StoreError,
    ) -> Result<(), OwnerError> {
        let id = owned.row.id;
        warn!(batch.id = %id, error = %error, "Batch {id} waits for the store: {error}");
        loop {
            if self.session.draining.is_cancelled() {
                return Err(OwnerError::Leaving(id));
            }
            if !self.session.self_fence.wait(CHUNK_CHECK_INTERVAL).await {
                return Err(OwnerError::Replaced(id));
            }
            error = match owned.reread().await {
                Ok(()) => return Ok(()),
                Err(OwnerError::Store(error)) if error.is_transient() => error,
                Err(other) => return Err(other),
            };
            debug!(batch.id = %id, error = %error, "Batch {id} still waits for the store: {error}");
        }
    }

    /// Keeps the batch while this node lacks what it needs, for example space on its disk, and tries again after growing
    /// pauses. A request ends the pause.
    async fn wait_for_node(
        &self,
        owned: &mut Owned,
        reason: &str,
        wait: &mut Backoff,
    ) -> Result<(), OwnerError> {
        let id = owned.row.id;
        if wait.is_fresh() {
            warn!(batch.id = %id, "Batch {id} waits for its node: {reason}");
        } else {
            debug!(batch.id = %id, "Batch {id} still waits for its node: {reason}");
        }
        let clock = &self.session.context.clock;
        let until = clock.monotonic() + wait.pause();
        loop {
            match owned.check().await {
                Ok(()) => (),
                Err(OwnerError::Changed(_)) => return owned.reread().await,
                Err(error) => return Err(error),
            }
            let left = until.saturating_sub(clock.monotonic());
            if left.is_zero() {
                return Ok(());
            }
            if !self
                .session
                .self_fence
                .wait(left.min(CHUNK_CHECK_INTERVAL))
                .await
            {
                return Err(OwnerError::Replaced(id));
            }
        }
    }

    async fn stage(&self, owned: &mut Owned, progress: &mut Progress) -> Result<Stage, OwnerError> {
        match owned.row.desired {
            BatchDesired::Cancel => return self.carry_out_cancel(owned, progress).await,
            // A batch that is to be removed has a final status, which the caller finds.
            BatchDesired::Run | BatchDesired::Remove => (),
            BatchDesired::Pause => {
                return Err(OwnerError::Failed(
                    "pausing is not available in this version".to_owned(),
                ));
            }
        }
        match owned.row.status {
            BatchStatus::WaitingForJob => {
                if !self.passes_gate(owned).await? {
                    return self.end_as_already_running(owned, progress).await;
                }
                owned.move_to(BatchSet::taken()).await?;
            }
            BatchStatus::New => {
                // A command that cannot be bound fails the batch here, before any node picks up a chunk.
                let trial = source_trial::begin(owned, &self.offers).await?;
                let factory = &self.session.context.factory;
                factory.bind(&owned.row.spec).await?;
                trial.pass(owned);
                let now = owned.now();
                owned.move_to(BatchSet::generating(now)).await?;
            }
            BatchStatus::GenerateIid => {
                let list = generate(owned, progress, &self.offers).await?;
                owned
                    .move_to(BatchSet::list_complete(
                        list.chunks,
                        list.total,
                        list.duplicates,
                    ))
                    .await?;
                self.session.context.wake.chunks(owned.row.id);
            }
            BatchStatus::InProgress => {
                self.wait_for_chunks(owned, progress).await?;
                return self.end_when_whole(owned, progress).await;
            }
            BatchStatus::ResumeFailures | BatchStatus::Paused => {
                return Err(OwnerError::Failed(format!(
                    "a batch that is {} cannot continue in this version",
                    owned.row.status
                )));
            }
            BatchStatus::Done | BatchStatus::Failed | BatchStatus::Cancelled => (),
        }
        Ok(Stage::Next)
    }

    /// IN_PROGRESS: waits until the chunks are done, saves statistics, checks for requests.
    async fn wait_for_chunks(
        &self,
        owned: &mut Owned,
        progress: &mut Progress,
    ) -> Result<(), OwnerError> {
        let context = &self.session.context;
        let mut saved_at = context.clock.monotonic();
        let mut checked_at: Option<Duration> = None;
        loop {
            let woken = context.wake.batch_woken(owned.row.id);
            if progress.advance(owned).await? {
                return Ok(());
            }
            let now = context.clock.monotonic();
            let until_check = checked_at.map_or(Duration::ZERO, |at| {
                (at + REQUEST_CHECK_INTERVAL).saturating_sub(now)
            });
            if until_check.is_zero() {
                owned.check().await?;
                checked_at = Some(now);
            }
            if now.saturating_sub(saved_at) >= context.config.pace_window {
                progress.survey(owned).await?;
                let figures = progress.figures(owned).await?;
                owned
                    .save_statistics(figures.extra_stats, figures.statistics)
                    .await?;
                saved_at = now;
            }
            // The wake-up may be for a request that was not checked for.
            let pause = if until_check.is_zero() {
                CHUNK_CHECK_INTERVAL
            } else {
                until_check
            };
            tokio::select! {
                biased;
                () = self.session.self_fence.fenced() => return Err(OwnerError::Replaced(owned.row.id)),
                () = woken => (),
                () = tokio::time::sleep(pause) => (),
            }
        }
    }

    /// Writes DONE if the chunks have a record for every id. If they have not, the store has lost chunks: the list is
    /// generated on from what is left.
    async fn end_when_whole(
        &self,
        owned: &mut Owned,
        progress: &mut Progress,
    ) -> Result<Stage, OwnerError> {
        self.wait_for_minimum_time(owned).await?;
        let figures = self.last_figures(owned, progress).await?;
        // The last read before the end.
        if !progress.confirm(owned).await? || progress.shares() != figures.statistics.nodes {
            return Ok(Stage::Next);
        }
        let total = owned.row.total_entities.unwrap_or_default();
        let handled = progress.handled();
        if handled == total || Bug::DoneWithoutSums.is_planted() {
            let event = BatchEvent::AllChunksDone;
            return self
                .finish(owned, event, None, figures, Some(progress))
                .await;
        }
        let id = owned.row.id;
        warn!(
            batch.id = %id,
            "Batch {id} has {handled} records for {total} ids: the store has lost chunks"
        );
        if progress.start_over() > MAX_REOPENED {
            return Err(OwnerError::Failed(format!(
                "its chunks have {handled} records for {total} ids, also after the list was generated again"
            )));
        }
        owned.row.status.next(BatchEvent::IdsLost)?;
        let filled = FilledChunks {
            chunks: owned.row.chunks,
            entities: total,
        };
        owned.move_to(BatchSet::list_reopened(filled)).await?;
        Ok(Stage::Next)
    }

    /// The figures when every chunk is done. Nodes write the times of entities just after their last chunk, so live nodes get a
    /// moment to do it. The times of dead nodes may be missing from the slowest and the percentiles.
    async fn last_figures(
        &self,
        owned: &Owned,
        progress: &Progress,
    ) -> Result<Figures, OwnerError> {
        let context = &self.session.context;
        let until = context.clock.monotonic() + context.config.poll_interval + CHUNK_CHECK_INTERVAL;
        loop {
            let woken = context.wake.batch_woken(owned.row.id);
            let figures = progress.figures(owned).await?;
            let live = self.session.live_nodes();
            let awaited = |node: &NodeId| live.iter().any(|row| row.guid == *node);
            let now = context.clock.monotonic();
            if now >= until || !figures.behind.iter().any(awaited) {
                return Ok(figures);
            }
            tokio::select! {
                biased;
                () = self.session.self_fence.fenced() => return Err(OwnerError::Replaced(owned.row.id)),
                () = woken => (),
                () = tokio::time::sleep(REQUEST_CHECK_INTERVAL) => (),
            }
        }
    }

    async fn wait_for_minimum_time(&self, owned: &Owned) -> Result<(), OwnerError> {
        let minimum = self.session.context.config.batch_min_time;
        let Some(started) = owned.row.start_time else {
            return Ok(());
        };
        let took = u64::try_from(owned.now().millis_since(started)).unwrap_or(0);
        let missing = minimum.saturating_sub(Duration::from_millis(took));
        if missing.is_zero() {
            return Ok(());
        }
        info!(
            "Batch process was too fast. Waiting {}ms before updating to DONE...",
            missing.as_millis()
        );
        if self.session.self_fence.wait(missing).await {
            Ok(())
        } else {
            Err(OwnerError::Replaced(owned.row.id))
        }
    }

    /// Fails the batch: writes the request to end and the reason first. Then it ends as after a cancel.
    async fn mark_failed(&self, owned: &mut Owned, reason: String) -> Result<Stage, OwnerError> {
        owned.row.status.next(BatchEvent::BatchFailed)?;
        warn!(batch.id = %owned.row.id, "Batch {} fails: {reason}", owned.row.id);
        let status = owned.row.status;
        owned.move_to(BatchSet::failing(status, reason)).await?;
        Ok(Stage::Next)
    }

    /// Carries out a cancel or a marked failure. Only a failure has a reason in the row.
    async fn carry_out_cancel(
        &self,
        owned: &mut Owned,
        progress: &mut Progress,
    ) -> Result<Stage, OwnerError> {
        self.session.context.wake.chunks(owned.row.id);
        close_chunks(owned).await?;
        progress.finish(owned).await?;
        let figures = self.last_figures(owned, progress).await?;
        let (event, error) = match owned.row.error.clone() {
            Some(reason) => (BatchEvent::BatchFailed, Some(reason)),
            None => (BatchEvent::CancelCarriedOut, None),
        };
        self.finish(owned, event, error, figures, None).await
    }

    async fn end_as_already_running(
        &self,
        owned: &mut Owned,
        progress: &Progress,
    ) -> Result<Stage, OwnerError> {
        let figures = progress.figures(owned).await?;
        let reason = Some("already running".to_owned());
        self.finish(owned, BatchEvent::CancelCarriedOut, reason, figures, None)
            .await
    }

    /// Whether the batch may run. With ALLOW_MULTIPLE=false the row of the command must name this batch: a row that is
    /// missing or names an ended batch is made to, and if it names another live batch, this one ends.
    async fn passes_gate(&self, owned: &Owned) -> Result<bool, OwnerError> {
        if owned.row.spec.allow_multiple || Bug::GateOpen.is_planted() {
            return Ok(true);
        }
        let session = &self.session;
        let store = session.context.store.as_ref();
        match pass_command_gate(store, &session.context.ids, &session.self_fence, &owned.row)
            .await?
        {
            CommandGate::Passed => Ok(true),
            CommandGate::Closed(_) => Ok(false),
            CommandGate::StillUnknown => Err(OwnerError::Replaced(owned.row.id)),
            CommandGate::MovedTooFast => Err(OwnerError::Changed(owned.row.id)),
        }
    }
}

/// What follows a stage.
pub(super) enum Stage {
    Next,
    Ended,
}
