//! The end of a batch and of its job, and how a job is released for another node or another try.

use std::future::ready;

use tracing::{debug, error};
use weft_model::{
    BatchEvent, BatchStatus, Bug, DueHint, IllegalMove, Job, JobEvent, JobRun, JobStatus, job_error,
};
use weft_store::{
    BatchSet, Decision, EndJob, FinishBatch, FinishLost, MoveBatch, Settled, StoreError,
    StoreResult,
};

use super::owned::{Owned, OwnerError};
use super::progress::{Figures, Progress};
use super::runner::{CHUNK_CHECK_INTERVAL, Runner, Stage};

/// `extra_stats` without entities.
const NO_EXTRA_STATS: &str = r#"{"slowestProcessed":[]}"#;
/// The most tries (as in Fabric).
const MAX_TRIES: i32 = 10;

impl Runner {
    /// The last move of the batch and the end of its job. Given the progress, the end stands for whole chunks.
    pub(super) async fn finish(
        &self,
        owned: &mut Owned,
        event: BatchEvent,
        error: Option<String>,
        figures: Figures,
        mut whole: Option<&mut Progress>,
    ) -> Result<Stage, OwnerError> {
        let status = owned.row.status.next(event)?;
        let mut finish = self.finishing(owned, status, error.as_deref(), figures)?;
        let mut settled = self.settle_end(owned, &finish, whole.as_deref_mut()).await;
        if let Err(OwnerError::Store(StoreError::Refused(reason))) = &settled {
            let id = owned.row.id;
            error!(batch.id = %id, "The end of batch {id} is written without its details: {reason}");
            finish = self.without_details(finish, reason);
            settled = self.settle_end(owned, &finish, whole).await;
        }
        let Some(settled) = settled? else {
            return Ok(Stage::Next);
        };
        let (status, error) = (finish.batch.to.status, finish.batch.to.error.clone());
        match settled {
            Settled::Applied => {
                owned.apply_move(&finish.batch);
                self.session.context.wake.batch(owned.row.id);
                Ok(Stage::Ended)
            }
            Settled::Lost(FinishLost::Batch(_)) => Err(OwnerError::Changed(owned.row.id)),
            Settled::Lost(FinishLost::Job(_)) => {
                owned.apply_move(&finish.batch);
                self.session.context.wake.batch(owned.row.id);
                self.end_job(event_of(status), error.as_deref())
                    .await
                    .map(|()| Stage::Ended)
            }
            Settled::StillUnknown => Err(OwnerError::Replaced(owned.row.id)),
        }
    }

    /// Settles the end. With `whole`, the chunks are read again before the end is sent again: a store that was away between
    /// two sendings may have lost some. None if it has: then the list is reopened, which no sending of this end survives.
    async fn settle_end(
        &self,
        owned: &Owned,
        finish: &FinishBatch,
        mut whole: Option<&mut Progress>,
    ) -> Result<Option<Settled<FinishLost>>, OwnerError> {
        let mut settling = self.session.settling(finish);
        loop {
            if let Some(settled) = settling.send().await? {
                return Ok(Some(settled));
            }
            if let Some(progress) = whole.as_deref_mut()
                && !self.is_still_whole(owned, progress).await?
            {
                return Ok(None);
            }
        }
    }

    /// Whether the chunks have a record for every id, as soon as they can be read.
    async fn is_still_whole(
        &self,
        owned: &Owned,
        progress: &mut Progress,
    ) -> Result<bool, OwnerError> {
        loop {
            match progress.confirm(owned).await {
                Ok(_) if Bug::DoneWithoutSums.is_planted() => return Ok(true),
                Ok(_) => return Ok(Some(progress.handled()) == owned.row.total_entities),
                Err(OwnerError::Store(error)) if error.is_transient() => {
                    debug!(batch.id = %owned.row.id, error = %error, "Could not read the chunks again: {error}");
                }
                Err(error) => return Err(error),
            }
            if !self.session.self_fence.wait(CHUNK_CHECK_INTERVAL).await {
                return Err(OwnerError::Replaced(owned.row.id));
            }
        }
    }

    fn finishing(
        &self,
        owned: &Owned,
        status: BatchStatus,
        error: Option<&str>,
        figures: Figures,
    ) -> Result<FinishBatch, IllegalMove> {
        let to = BatchSet::ended(
            status,
            owned.now(),
            error.map(str::to_owned),
            figures.extra_stats,
            figures.statistics,
        );
        Ok(FinishBatch {
            batch: MoveBatch {
                guard: owned.guard(),
                to,
                token: self.session.context.ids.token(),
            },
            job: self.ending(event_of(status), error)?,
        })
    }

    /// The same end without the texts that came from entities, the source and commands. The sums stay exact. It is another
    /// operation, with tokens of its own.
    fn without_details(&self, finish: FinishBatch, reason: &str) -> FinishBatch {
        let ids = &self.session.context.ids;
        let FinishBatch { batch, job } = finish;
        let text = format!("the store refused the details of this end: {reason}");
        let error = batch.to.error.as_ref().map(|_| text.clone());
        FinishBatch {
            batch: MoveBatch {
                to: BatchSet {
                    error,
                    extra_stats: Some(NO_EXTRA_STATS.to_owned()),
                    ..batch.to
                },
                token: ids.token(),
                ..batch
            },
            job: EndJob {
                output: None,
                error: job.error.map(|_| self.error_json(&text, job.now)),
                run: None,
                token: ids.token(),
                ..job
            },
        }
    }

    /// Ends only the job: its batch has ended, or does not exist. A request that came in between is taken into account.
    pub(super) async fn end_job(
        &self,
        event: JobEvent,
        error: Option<&str>,
    ) -> Result<(), OwnerError> {
        let end = self.ending(event, error)?;
        let read = ready(Ok(Some(self.job.clone())));
        let decide = |row: Option<Job>| {
            let row =
                row.filter(|row| row.fence == self.job.fence && row.status == JobStatus::InProcess);
            ready(StoreResult::Ok(match row {
                Some(row) => Decision::Settle(EndJob {
                    desired_seq: row.desired_seq,
                    desired: row.desired,
                    token: self.session.context.ids.token(),
                    ..end.clone()
                }),
                None => Decision::Stop(()),
            }))
        };
        self.session.decide_and_settle(read, decide).await?;
        Ok(())
    }

    fn error_json(&self, text: &str, now: weft_model::clock::Timestamp) -> String {
        job_error("BatchFailed", text, now, &self.session.me.node)
    }

    fn ending(&self, event: JobEvent, error: Option<&str>) -> Result<EndJob, IllegalMove> {
        let now = self.session.context.clock.now();
        let to = self.job.status.next(event)?;
        let error = error.map(|text| self.error_json(text, now));
        Ok(EndJob {
            output: Some(self.job.key.uid.clone()),
            error: error.clone(),
            runs: self.job.runs + 1,
            run: Some(JobRun {
                key: self.job.key.clone(),
                started: self.job.start_time.unwrap_or(now),
                ended: now,
                fence: self.job.fence,
                node: self.session.me.node.clone(),
                status: to,
                attempt: self.job.tries + 1,
                planned: None,
                exit_code: None,
                error,
                output: Some(self.job.key.uid.clone()),
            }),
            ..EndJob::of(
                &self.job,
                self.session.me.clone(),
                to,
                now,
                self.session.context.ids.token(),
            )
        })
    }

    /// Returns the job to WAITING under a higher fence, due at once or at `later`.
    pub(super) async fn release(
        &self,
        to_fence: i64,
        error: Option<String>,
        later: Option<weft_model::clock::Timestamp>,
    ) -> Result<(), OwnerError> {
        let failed = later.is_some();
        let tries = self.job.tries + i32::from(failed);
        if tries >= MAX_TRIES {
            return self
                .end_job(JobEvent::FailedFinally, error.as_deref())
                .await;
        }
        let now = self.session.context.clock.now();
        let due_at = later.unwrap_or(now);
        let end = EndJob {
            to_fence,
            tries,
            next_run: later,
            output: None,
            runs: self.job.runs,
            error: error.map(|text| self.error_json(&text, now)),
            due: Some(DueHint {
                due_at,
                key: self.job.key.clone(),
            }),
            run: None,
            ..self.ending(JobEvent::HandedBack, None)?
        };
        self.session.settle(&end).await?;
        Ok(())
    }
}

/// The end of the job of a batch with this final status.
pub(super) fn event_of(status: BatchStatus) -> JobEvent {
    match status {
        BatchStatus::Failed => JobEvent::FailedFinally,
        BatchStatus::Cancelled => JobEvent::Stopped,
        BatchStatus::Done
        | BatchStatus::WaitingForJob
        | BatchStatus::New
        | BatchStatus::GenerateIid
        | BatchStatus::InProgress
        | BatchStatus::ResumeFailures
        | BatchStatus::Paused => JobEvent::Succeeded,
    }
}
