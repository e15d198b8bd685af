//! One run of a job: writes blocks to the sink and saves the progress after them.

use std::time::Duration;

use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::info;
use weft_model::Job;
use weft_node::job::{Checkpoints, RunFailure, RunOutput};

use super::ITEM;
use super::lines::Block;
use super::progress::{Progress, RunState};
use super::sink::{FileSink, HttpSink};
use crate::http::Http;

/// How often progress is logged.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// An open sink.
pub(super) enum Sink {
    File(FileSink),
    Http {
        sink: HttpSink,
        /// The most lines of one call.
        batch: u64,
    },
}

/// One run of a job.
pub(super) struct Publication<'a> {
    pub(super) stop: &'a CancellationToken,
    pub(super) http: &'a Http,
    /// Names the job in the log.
    pub(super) name: String,
    /// Names the sink in the output.
    pub(super) sink_label: String,
    pub(super) checkpoints: Checkpoints,
    pub(super) state: RunState,
    pub(super) sink: Sink,
    pub(super) save_interval: Duration,
    pub(super) saved_at: Instant,
    pub(super) logged_at: Instant,
}

impl Publication<'_> {
    /// Publishes all blocks.
    pub(super) async fn publish(
        &mut self,
        mut blocks: mpsc::Receiver<Result<Block, String>>,
    ) -> Result<(), RunFailure> {
        loop {
            let block = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(RunFailure::stopped()),
                block = blocks.recv() => block,
            };
            let block = block.unwrap_or_else(|| Err("the thread panicked".to_owned()));
            let block = block.map_err(|message| RunFailure::new("Instance", message))?;
            self.put(block.lines).await?;
            self.state.progress = block.progress;
            if block.is_last {
                return Ok(());
            }
            if self.saved_at.elapsed() >= self.save_interval {
                self.save(false).await?;
            }
        }
    }

    async fn put(&mut self, lines: String) -> Result<(), RunFailure> {
        match &mut self.sink {
            // Not cancelled by a stop: a write is short, and must be complete.
            Sink::File(file) => file.put(lines).await,
            Sink::Http { sink, .. } => tokio::select! {
                biased;
                () = self.stop.cancelled() => Err(RunFailure::stopped()),
                put = sink.put(self.http, lines) => put,
            },
        }
    }

    /// Makes the published lines durable, then saves the progress after them.
    pub(super) async fn save(&mut self, is_complete: bool) -> Result<(), RunFailure> {
        match &mut self.sink {
            Sink::File(file) => {
                file.sync().await?;
                self.state.part = Some(file.part());
            }
            Sink::Http { sink, .. } => self.state.calls = sink.calls(),
        }
        self.state.is_complete = is_complete;
        let text = serde_json::to_string(&self.state)
            .map_err(|error| RunFailure::new("Store", error.to_string()))?;
        self.checkpoints.put(ITEM, text).await?;
        self.saved_at = Instant::now();
        if self.logged_at.elapsed() >= LOG_INTERVAL {
            self.logged_at = Instant::now();
            let Progress {
                instances, rows, ..
            } = self.state.progress;
            info!(
                "{} has published {instances} instances, {rows} rows",
                self.name
            );
        }
        Ok(())
    }

    /// Ends the run, with its output.
    pub(super) async fn end(
        mut self,
        published: Result<(), RunFailure>,
        job: &Job,
    ) -> Result<RunOutput, RunFailure> {
        let saved = match published {
            Ok(()) => self.save(true).await,
            Err(failure) => {
                // If this fails, the next try continues from an earlier position.
                let _ = self.save(false).await;
                Err(failure)
            }
        };
        let output = output(&self.state.progress, &self.sink_label);
        let text = output.text.clone().unwrap_or_default();
        let ended = match (saved, self.sink) {
            (Ok(()), Sink::File(file)) => file.finish().await,
            (saved, _) => saved,
        };
        match ended {
            Ok(()) => {
                info!(job.uid = job.key.uid, "{} ended: {text}", self.name);
                Ok(output)
            }
            Err(failure) => Err(failure.with_output(output)),
        }
    }
}

/// The output of a run.
pub(super) fn output(progress: &Progress, sink: &str) -> RunOutput {
    let mut counts = json!({
        "instances": progress.instances,
        "rows": progress.rows,
        "bytes": progress.bytes,
        "sink": sink,
    });
    if progress.missing > 0 {
        counts["missing"] = json!(progress.missing);
        counts["missing_ids"] = json!(progress.missing_ids);
    }
    RunOutput::from_text(counts.to_string())
}
