//! A synchronous BATCH waits for the end, and reports progress meanwhile.

use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use weft_model::{Batch, BatchStatistics, BatchStatus, NodeShare};
use weft_store::{Freshness, StoreResult};

use crate::frame::{EndStatus, Progress};
use crate::inspect::Affinities;
use crate::output::Output;
use crate::refusal::Refusal;
use crate::services::Services;

/// How often the row is read without a wake-up, at first and later.
const SOON: Duration = Duration::from_millis(200);
const LATER: Duration = Duration::from_secs(1);
const SOON_ENDS: Duration = Duration::from_secs(10);
/// The shortest time between two reads, however many wake-ups come.
const REST: Duration = Duration::from_millis(20);
/// The shortest time between two frames of progress.
const PROGRESS: Duration = Duration::from_millis(250);
/// The shortest time between two reads of the nodes that explain why the batch does not start.
const NOTE: Duration = Duration::from_secs(2);
/// How long to keep reading while the store does not answer.
const OUTAGE: Duration = Duration::from_secs(60);

/// Waits until the batch has ended and shows its result table.
///
/// # Errors
/// The batch did not succeed, or the caller disconnected. In the latter case the batch continues.
pub(super) async fn until_ended(
    services: &Services,
    batch: &Batch,
    is_sync_instance: bool,
    output: &Output,
    stop: &CancellationToken,
) -> Result<(), Refusal> {
    let mut watch = Watch::new(services, batch);
    let ended = loop {
        let woken = services.wake.batch_woken(batch.id);
        if let Some(ended) = watch.read(output).await? {
            break ended;
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return Err(stopped_waiting(batch, output).await),
            () = output.gone() => return Err(stopped_waiting(batch, output).await),
            () = woken => tokio::time::sleep(REST).await,
            () = tokio::time::sleep(watch.pause()) => (),
        }
    };
    show_result(&ended, is_sync_instance, output).await;
    verdict(&ended, output).await
}

async fn stopped_waiting(batch: &Batch, output: &Output) -> Refusal {
    let id = batch.id;
    let message = format!("stopped waiting; batch {id} continues");
    let hint = format!("BATCH_SUMMARY '{id}' shows how far it is, BATCH_CANCEL '{id}' cancels it");
    if !output.is_gone() {
        output.notice(format!("Batch {id} continues; {hint}")).await;
    }
    Refusal::failed(message).hint(hint)
}

struct Watch<'a> {
    services: &'a Services,
    batch: &'a Batch,
    started: Duration,
    last_progress: Option<Duration>,
    note: Option<(Duration, Option<String>)>,
    last_answer: Duration,
}

impl<'a> Watch<'a> {
    fn new(services: &'a Services, batch: &'a Batch) -> Self {
        let now = services.clock.monotonic();
        Self {
            services,
            batch,
            started: now,
            last_progress: None,
            note: None,
            last_answer: now,
        }
    }

    fn now(&self) -> Duration {
        self.services.clock.monotonic()
    }

    fn pause(&self) -> Duration {
        match self.now().saturating_sub(self.started) < SOON_ENDS {
            true => SOON,
            false => LATER,
        }
    }

    /// Reads the row. Returns the batch once it has ended; reports progress until then.
    async fn read(&mut self, output: &Output) -> Result<Option<Batch>, Refusal> {
        let id = self.batch.id;
        let read = self.services.store.batch(id, Freshness::Committed).await;
        let row = match read {
            Ok(Some(row)) => row,
            Ok(None) => {
                return Err(Refusal::not_found(format!(
                    "batch {id} is not there any more"
                )));
            }
            Err(error)
                if error.is_transient() && self.now().saturating_sub(self.last_answer) < OUTAGE =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let now = self.now();
        self.last_answer = now;
        if row.status.is_final() {
            return Ok(Some(row));
        }
        let is_old = |last: Duration| now.saturating_sub(last) >= PROGRESS;
        if self.last_progress.is_none_or(is_old) {
            self.last_progress = Some(now);
            // Progress is a courtesy: a later read reports it where this one cannot.
            if let Ok(progress) = self.progress(&row).await {
                output.progress(progress);
            }
        }
        Ok(None)
    }

    async fn progress(&mut self, row: &Batch) -> StoreResult<Progress> {
        let stats = self.services.store.node_stats(row.id).await?;
        let mut share = NodeShare::default();
        let mut pace_milli = 0;
        for stats in &stats {
            share.merge(&stats.share);
            pace_milli += stats.pace_milli;
        }
        #[expect(clippy::cast_precision_loss, reason = "a pace for people to read")]
        let pace = pace_milli as f64 / 1_000.0;
        Ok(Progress {
            batch: row.id,
            status: row.status.to_string(),
            done: share.handled(),
            failed: share.failed,
            total: row.total_entities,
            pace,
            note: self.note(row).await,
        })
    }

    async fn note(&mut self, row: &Batch) -> Option<String> {
        if row.owner_node.is_some() {
            return row.notes.clone();
        }
        let now = self.now();
        let is_old = |at: &Duration| now.saturating_sub(*at) >= NOTE;
        if self.note.as_ref().is_none_or(|(at, _)| is_old(at)) {
            let members = self.services.nodes.members().await.ok()?;
            let affinities = Affinities {
                affinity: &row.spec.affinity,
                job_affinity: &row.spec.job_affinity,
            };
            self.note = Some((now, affinities.note(&members)));
        }
        self.note.as_ref().and_then(|(_, note)| note.clone())
    }
}

fn share_of(batch: &Batch) -> NodeShare {
    let statistics = batch.statistics.as_ref();
    statistics.map(BatchStatistics::total).unwrap_or_default()
}

/// The documented result table (as in Fabric).
async fn show_result(batch: &Batch, is_sync_instance: bool, output: &Output) {
    let share = share_of(batch);
    let handled = share.handled();
    let total = batch.total_entities.unwrap_or(handled);
    let started = batch.start_time.unwrap_or(batch.creation_time);
    let ended = batch.end_time.unwrap_or(started);
    let duration = ended.millis_since(started).max(0);
    if is_sync_instance {
        let of = |key: &str| Value::from(share.aggregated.get(key).copied().unwrap_or(0));
        let columns = [
            "Added",
            "Updated",
            "Unchanged",
            "Failed",
            "Total",
            "Duration",
        ];
        let row = vec![
            of("Added"),
            of("Updated"),
            of("Unchanged"),
            json!(share.failed),
            json!(total),
            json!(duration),
        ];
        output.one_row(&columns, row).await;
        return;
    }
    let columns = [
        "Batch id",
        "Execution id",
        "Execution succeeded",
        "Execution failed",
        "Total",
        "Duration",
    ];
    let row = vec![
        json!(batch.id),
        json!(batch.execution_id),
        json!(share.succeeded),
        json!(share.failed),
        json!(total),
        json!(duration),
    ];
    output.one_row(&columns, row).await;
}

/// How the statement ends, by the end of the batch.
async fn verdict(batch: &Batch, output: &Output) -> Result<(), Refusal> {
    let id = batch.id;
    let failed = share_of(batch).failed;
    if batch.status == BatchStatus::Done && batch.total_entities == Some(0) {
        output
            .notice(format!(
                "Batch {id} had nothing to do: its source gave no ids"
            ))
            .await;
    }
    if failed > 0 {
        let notice = format!("BATCH_DETAILS '{id}' STATUS='FAILED' shows the entities that failed");
        output.notice(notice).await;
    }
    let reason = batch
        .error
        .as_ref()
        .map_or_else(String::new, |error| format!(": {error}"));
    match batch.status {
        BatchStatus::Done if failed == 0 => Ok(()),
        BatchStatus::Done => {
            let total = batch.total_entities.unwrap_or(failed);
            let message = format!("batch {id} is DONE, and {failed} of {total} entities failed");
            Err(Refusal::new(EndStatus::BatchFailed, message))
        }
        BatchStatus::Cancelled => {
            let message = format!("batch {id} is CANCELLED{reason}");
            Err(Refusal::new(EndStatus::Cancelled, message))
        }
        BatchStatus::Failed
        | BatchStatus::WaitingForJob
        | BatchStatus::New
        | BatchStatus::GenerateIid
        | BatchStatus::InProgress
        | BatchStatus::ResumeFailures
        | BatchStatus::Paused => {
            let message = format!("batch {id} is {}{reason}", batch.status);
            Err(Refusal::new(EndStatus::BatchFailed, message))
        }
    }
}
