//! One run of a listener: scans the location and handles the files that are ready.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;
use weft_model::{Principal, Session};
use weft_node::flow::{FlowCall, FlowFailure, FlowName, FlowRefusal, Flows, Recovery};
use weft_node::job::{
    CheckpointHolder, CheckpointStore, Checkpoints, FailureKind, Retry, Run, RunFailure,
};
use weft_node::trace::{TracedOperation, Traces};

use super::ListedFile;
use super::checkpoint::{self, Counts, FileCheckpoint, FileState, Outcome};
use super::definition::{Definition, Mode};
use super::source::{FileVersion, Scan, Source};

/// A listening run fails after this many failed scans in a row.
const FAILED_SCANS: u32 = 5;
/// The number of checkpoint scopes that the flows of one listener share. A collision may repeat finished stages.
const FLOW_SCOPES: u16 = 1_024;
/// The most failed or skipped files that the output names.
const NAMED: usize = 10;
/// The characters of an error in the output.
const ERROR_CHARS: usize = 500;

/// One run of a listener.
pub(super) struct ListenerRun<'a> {
    pub(super) flows: &'a dyn Flows,
    pub(super) checkpoint_store: &'a CheckpointStore,
    pub(super) traces: &'a Traces,
    pub(super) flow: FlowName,
    pub(super) source: Source,
    pub(super) run: &'a Run,
    pub(super) definition: Definition,
    pub(super) scope: String,
    pub(super) checkpoints: Checkpoints,
    pub(super) counts: Counts,
    /// The files of the last scan, by name.
    pub(super) files: BTreeMap<String, WatchedFile>,
    /// The skipped files of the last scan, and why.
    pub(super) skipped: BTreeMap<String, String>,
    pub(super) scans: Scans,
    pub(super) tally: Tally,
}

/// A file that exists.
#[derive(Debug)]
pub(super) struct WatchedFile {
    version: FileVersion,
    /// The version is the same as in the scan before.
    is_stable: bool,
    state: FileState,
}

/// The scans of a run.
#[derive(Debug)]
pub(super) struct Scans {
    succeeded: u64,
    /// Failed scans since the last one that succeeded.
    failed: u32,
    next_at: Instant,
}

impl Default for Scans {
    fn default() -> Self {
        Self {
            succeeded: 0,
            failed: 0,
            next_at: Instant::now(),
        }
    }
}

/// The counts of a run, for its output.
#[derive(Debug, Default)]
pub(super) struct Tally {
    handled: u64,
    failed_tries: u64,
    given_up: u64,
    /// The first files that failed: tries and error.
    failures: BTreeMap<String, (i32, String)>,
}

impl Tally {
    fn add_failure(&mut self, name: &str, tries: i32, message: &str) {
        self.failed_tries += 1;
        if self.failures.len() < NAMED || self.failures.contains_key(name) {
            let message = message.chars().take(ERROR_CHARS).collect();
            self.failures.insert(name.to_owned(), (tries, message));
        }
    }
}

/// Why the flow of a file failed.
enum HandlingError {
    /// The run cannot continue.
    Run(RunFailure),
    /// Other files may succeed.
    File(FlowFailure),
}

impl ListenerRun<'_> {
    /// Handles files until the run ends.
    pub(super) async fn run(&mut self) -> Result<(), RunFailure> {
        loop {
            let ready = {
                let _lent = self.run.slot.lend();
                self.next_ready().await?
            };
            if ready.is_empty() {
                return Ok(());
            }
            for name in ready {
                if self.run.stop.is_cancelled() {
                    return Err(RunFailure::stopped());
                }
                self.handle(&name).await?;
            }
        }
    }

    /// Scans until files are ready; empty if the run ends.
    async fn next_ready(&mut self) -> Result<Vec<String>, RunFailure> {
        while !self.has_ended() {
            wait_until(self.scans.next_at, &self.run.stop).await?;
            self.scan().await?;
            self.scans.next_at = Instant::now() + self.definition.poll_interval;
            let ready = self.ready();
            self.trace_scan(&ready);
            if !ready.is_empty() {
                return Ok(ready);
            }
        }
        Ok(Vec::new())
    }

    fn has_ended(&self) -> bool {
        let has_any =
            |matches: fn(FileState) -> bool| self.files.values().any(|file| matches(file.state));
        // A new file needs a second scan to be stable.
        let has_passed = match self.scans.succeeded {
            0 => false,
            1 => !has_any(|state| !matches!(state, FileState::Done | FileState::Changed)),
            _ => true,
        };
        match self.definition.mode {
            Mode::Listening => false,
            Mode::OnePassOfMany => has_passed,
            Mode::Once => {
                has_passed && !has_any(|state| matches!(state, FileState::ToTryAgain { .. }))
            }
        }
    }

    async fn scan(&mut self) -> Result<(), RunFailure> {
        let scanned = tokio::select! {
            biased;
            () = self.run.stop.cancelled() => return Err(RunFailure::stopped()),
            scanned = self.source.scan() => scanned,
        };
        match scanned {
            Ok(scan) => {
                self.scans.succeeded += 1;
                self.scans.failed = 0;
                self.update(scan).await
            }
            Err(reason) => self.scan_failed(reason),
        }
    }

    /// A listening run waits for a location that is unavailable. After several failed scans it fails and is always retried.
    fn scan_failed(&mut self, reason: String) -> Result<(), RunFailure> {
        self.scans.failed += 1;
        // The trace leaves out the reason, which may quote the answer of a server.
        let fields = || json!({"failed_looks": self.scans.failed});
        let key = &self.run.job.key;
        self.traces
            .event(TracedOperation::FolderPoller, "failed", key, fields);
        let failure = RunFailure::new("Listener", reason);
        if self.definition.mode != Mode::Listening {
            return Err(failure);
        }
        if self.scans.failed == FAILED_SCANS {
            return Err(RunFailure {
                retry: Retry::Always,
                ..failure
            });
        }
        if self.scans.failed == 1 {
            warn!(
                job.uid = key.uid,
                "Listener {} cannot scan its location and waits: {}", key.uid, failure.message
            );
        }
        Ok(())
    }

    fn trace_scan(&self, ready: &[String]) {
        if self.scans.failed > 0 {
            return;
        }
        let fields = || {
            let new = self.files.values();
            let new = new.filter(|file| file.state == FileState::New);
            json!({
                "folder": self.source.folder(),
                "files": self.files.len(),
                "new": new.count(),
                "left_out": self.skipped.len(),
                "ready": ready.len(),
                "first": ready.iter().take(NAMED).collect::<Vec<_>>(),
            })
        };
        let key = &self.run.job.key;
        self.traces
            .event(TracedOperation::FolderPoller, "looked", key, fields);
    }

    /// Takes over the result of a scan, and reads the checkpoints of new and changed files.
    async fn update(&mut self, scan: Scan) -> Result<(), RunFailure> {
        let uid = &self.run.job.key.uid;
        for (name, reason) in &scan.skipped {
            if !self.skipped.contains_key(name) {
                warn!(job.uid = uid, "Listener {uid} skips {name}: {reason}");
            }
        }
        self.skipped = scan.skipped;
        let mut before = std::mem::take(&mut self.files);
        for (name, version) in scan.files {
            let same = before.remove(&name).filter(|file| file.version == version);
            let file = WatchedFile {
                is_stable: same.is_some(),
                state: same.map_or(FileState::Unknown, |file| file.state),
                version,
            };
            self.files.insert(name, file);
        }
        let unknown = self.files.iter();
        let unknown = unknown.filter(|(_, file)| file.state == FileState::Unknown);
        let names: Vec<String> = unknown.map(|(name, _)| name.clone()).collect();
        let read = checkpoint::read_files(&self.checkpoints, &names).await?;
        let policy = &self.run.job.policy;
        let handles_changed = self.definition.handles_changed;
        for (name, checkpoint) in names.iter().zip(read) {
            let Some(file) = self.files.get_mut(name) else {
                continue;
            };
            file.state =
                FileState::decide(checkpoint.as_ref(), &file.version, handles_changed, policy);
            if file.state == FileState::Changed {
                warn!(
                    job.uid = uid,
                    "{name} has changed since listener {uid} handled it, and is not handled again"
                );
            }
        }
        Ok(())
    }

    /// The files that are stable and due, the oldest first.
    fn ready(&self) -> Vec<String> {
        let now = self.checkpoint_store.now();
        let is_due = |file: &WatchedFile| match file.state {
            FileState::New => file.is_stable,
            FileState::ToTryAgain { due, .. } => file.is_stable && due <= now,
            FileState::Unknown | FileState::Done | FileState::Changed => false,
        };
        let files = self.files.iter();
        let mut ready: Vec<_> = files.filter(|(_, file)| is_due(file)).collect();
        ready.sort_by_key(|(name, file)| (&file.version, *name));
        ready.into_iter().map(|(name, _)| name.clone()).collect()
    }

    /// Runs the flow for one file and saves the result.
    async fn handle(&mut self, name: &str) -> Result<(), RunFailure> {
        let Some(file) = self.files.get_mut(name) else {
            return Ok(());
        };
        // The file may have changed since the scan.
        let current = self.source.current_version(name, &file.version).await;
        if current.as_ref() != Some(&file.version) {
            file.version = current.unwrap_or_default();
            file.is_stable = false;
            file.state = FileState::Unknown;
            return Ok(());
        }
        let version = file.version.clone();
        let failed_tries = match file.state {
            FileState::ToTryAgain { tries, .. } => tries,
            FileState::New | FileState::Unknown | FileState::Done | FileState::Changed => 0,
        };
        let (state, checkpoint) = match self.run_flow(name, &version).await {
            Ok(()) => {
                self.count_success(name);
                let outcome = Outcome::Handled;
                let checkpoint = FileCheckpoint::new(version, outcome, failed_tries, None);
                (FileState::Done, checkpoint)
            }
            Err(HandlingError::Run(failure)) => return Err(failure),
            Err(HandlingError::File(failure)) => {
                let tries = failed_tries.saturating_add(1);
                let (state, outcome) = self.count_failure(name, tries, &failure.message);
                let error = Some(failure.message.as_str());
                let checkpoint = FileCheckpoint::new(version, outcome, tries, error);
                (state, checkpoint)
            }
        };
        checkpoint::save_file(&mut self.checkpoints, name, &checkpoint, &self.counts).await?;
        if let Some(file) = self.files.get_mut(name) {
            file.state = state;
        }
        Ok(())
    }

    fn count_success(&mut self, name: &str) {
        let uid = &self.run.job.key.uid;
        info!(job.uid = uid, "Listener {uid} has handled {name}");
        self.tally.handled += 1;
        self.counts.handled += 1;
        self.tally.failures.remove(name);
    }

    /// Counts a failed try and decides whether there will be another one.
    fn count_failure(&mut self, name: &str, tries: i32, message: &str) -> (FileState, Outcome) {
        let uid = &self.run.job.key.uid;
        warn!(
            job.uid = uid,
            "Listener {uid} failed to handle {name}, try {tries}: {message}"
        );
        self.tally.add_failure(name, tries, message);
        let policy = &self.run.job.policy;
        if policy.may_try_again(tries) {
            let due = self.checkpoint_store.now().plus(policy.retry_delay(tries));
            return (FileState::ToTryAgain { tries, due }, Outcome::ToTryAgain);
        }
        self.tally.given_up += 1;
        self.counts.given_up += 1;
        (FileState::Done, Outcome::GivenUp)
    }

    async fn run_flow(&self, name: &str, version: &FileVersion) -> Result<(), HandlingError> {
        // If the flow no longer exists, the run fails and the file keeps its state.
        let no_flow =
            |refusal: FlowRefusal| HandlingError::Run(RunFailure::new("Flow", refusal.message));
        let declared = self.flows.inputs(&self.flow).await.map_err(no_flow)?;
        let job = &self.run.job;
        let key = run_id(&self.scope, name, version);
        let path = self.source.path_of(name);
        let file = ListedFile {
            path: &path,
            name,
            version,
            key,
        };
        let call = FlowCall {
            name: self.flow.clone(),
            inputs: file.inputs(&declared, &self.definition.inputs),
            principal: Principal {
                name: job.created_by.clone(),
            },
            session: Session::for_job(job),
            run_id: key,
            recovery: Some(Recovery {
                scope: format!("listened/{}/{}", flow_scope(name), self.scope),
                holder: CheckpointHolder::of_run(job),
                max_tries: None,
                time_to_live: None,
                keeps_end: true,
            }),
            stop: self.run.stop.clone(),
            slot: self.run.slot.clone(),
        };
        let Err(failure) = self.flows.run(call).await else {
            return Ok(());
        };
        if self.run.stop.is_cancelled() {
            return Err(HandlingError::Run(RunFailure::stopped()));
        }
        Err(match failure.kind {
            FailureKind::Stopped => HandlingError::Run(RunFailure::stopped()),
            FailureKind::Recovery => {
                HandlingError::Run(RunFailure::new(failure.kind, failure.message))
            }
            FailureKind::Raised { .. } => HandlingError::File(failure),
        })
    }

    /// The output of the run as JSON.
    pub(super) fn output(&self) -> String {
        let count = |matches: fn(&WatchedFile) -> bool| {
            let files = self.files.values();
            files.filter(|file| matches(file)).count()
        };
        let is_unstable = |file: &WatchedFile| {
            !file.is_stable && matches!(file.state, FileState::New | FileState::Unknown)
        };
        let mut output = json!({
            "handled": self.tally.handled,
            "failed_tries": self.tally.failed_tries,
            "given_up": self.tally.given_up,
            "to_try_again": count(|file| matches!(file.state, FileState::ToTryAgain { .. })),
            "unsettled": count(is_unstable),
            "changed": count(|file| file.state == FileState::Changed),
            "left_out": self.skipped.len(),
        });
        if !self.tally.failures.is_empty() {
            let failures = self.tally.failures.iter();
            let failure = |(name, (tries, error)): (&String, &(i32, String))| -> Value {
                json!({"name": name, "tries": tries, "error": error})
            };
            output["failures"] = failures.map(failure).collect();
        }
        if !self.skipped.is_empty() {
            let skipped = self.skipped.iter().take(NAMED);
            output["left_out_files"] = skipped
                .map(|(name, reason)| json!({"name": name, "reason": reason}))
                .collect();
        }
        output.to_string()
    }
}

/// The run id of the flow for one version of a file; the same in every try.
fn run_id(scope: &str, name: &str, version: &FileVersion) -> Uuid {
    let size = version
        .size
        .map_or_else(String::new, |size| size.to_string());
    let modified = version.modified.as_deref().unwrap_or_default();
    let parts = [scope, name, &size, modified];
    Uuid::new_v5(&Uuid::NAMESPACE_OID, parts.join("\0").as_bytes())
}

/// The number of the checkpoint scope for the flow of a file.
fn flow_scope(name: &str) -> u16 {
    let hash = Sha256::digest(name);
    u16::from_be_bytes([hash[0], hash[1]]) % FLOW_SCOPES
}

/// Waits until a moment, or fails when a stop is requested.
async fn wait_until(moment: Instant, stop: &CancellationToken) -> Result<(), RunFailure> {
    tokio::select! {
        biased;
        () = stop.cancelled() => Err(RunFailure::stopped()),
        () = sleep_until(moment) => Ok(()),
    }
}
