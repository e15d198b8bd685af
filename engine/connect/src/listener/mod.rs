//! INTERFACE_LISTENER: a flow runs once for each new file of a folder, or of a listing over HTTP.
//!
//! One file at a time: its flow runs under a key made of the file alone, and what became of it is written down before the
//! next one. Between the end of a flow and that write the flow's own recovery ledger keeps its answer, so that even then
//! a finished stage is not repeated.

mod definition;
mod memory;
mod place;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use definition::{Definition, IDEMPOTENCY_KEY, MODIFIED, Mode, NAME, PATH, Place, SIZE, refused};
use memory::{Counts, Outcome, Remembered, Standing};
use place::{Look, Source, Stamp};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;
use weft_model::Job;
use weft_model::schedule::policy::Overlap;
use weft_model::{Principal, Session};
use weft_node::flow::{FlowCall, FlowFailure, FlowName, FlowRefusal, Flows, Recovery};
use weft_node::job::{
    Check, CheckpointHolder, CheckpointStore, Checkpoints, JobKind, Retry, Run, RunEnd, RunFailure,
    RunOutput,
};
use weft_node::trace::{Operation, Traces};

use crate::Parts;
use crate::broadway_job::name_of;
use crate::flow::{LOST, STOPPED};
use crate::http::Http;
use crate::parser::FileRoots;

/// Looks that fail one after the other before a listening run fails.
const FAILED_LOOKS: u32 = 5;
/// Ledgers that the flows of one listener share; two files that share one may at worst repeat stages.
const LEDGERS: u16 = 1_024;
/// Files that failed or were left out, and are named in the output.
const NAMED: usize = 10;

/// Listens for files.
#[derive(Debug)]
pub struct Listener {
    flows: Arc<dyn Flows>,
    http: Arc<Http>,
    roots: FileRoots,
    checkpoints: CheckpointStore,
    traces: Traces,
}

impl Listener {
    /// Hands files to these flows.
    pub(crate) fn new(parts: &Parts, flows: Arc<dyn Flows>) -> Self {
        let hosts = &parts.config.http_allowed_hosts;
        Self {
            flows,
            http: Arc::new(Http::new(hosts, parts.environment.clone())),
            roots: FileRoots::new(&parts.config.file_roots),
            checkpoints: parts.checkpoints.clone(),
            traces: parts.traces.clone(),
        }
    }

    fn check_place(&self, place: &Place) -> Result<(), Check> {
        match place {
            Place::Folder(path) => self.roots.check_folder(path).map_err(|message| {
                refused(
                    message,
                    "the folders are named by `[jobs] FILE_ROOTS` in config.ini",
                )
            }),
            Place::Listing { call, .. } => self.http.read(call).map(drop),
        }
    }

    async fn check_flow(&self, job: &Job, definition: &Definition) -> Result<(), Check> {
        let name = name_of(job)?;
        let of_flow = |refusal: FlowRefusal| Check {
            message: refusal.message,
            hint: refusal.hint,
        };
        let declared = self.flows.inputs(&name).await.map_err(of_flow)?;
        if !declared.iter().any(|input| input == PATH) {
            let message = format!("flow {name} has no input `{PATH}`, which names the file");
            return Err(refused(message, "declare it: `inputs: {path: }`"));
        }
        let stamp = Stamp {
            modified: Some("0".to_owned()),
            size: Some(0),
        };
        let file = File {
            path: "/file",
            name: "file",
            stamp: &stamp,
            key: Uuid::nil(),
        };
        let inputs = file.inputs(&declared, &definition.inputs);
        let checked = self.flows.check(&name, &inputs).await;
        checked.map(drop).map_err(of_flow)
    }

    async fn listen(&self, run: &Run) -> Result<RunOutput, RunFailure> {
        let job = &run.job;
        let not_as_defined = |check: Check| RunFailure::new("Arguments", check.message);
        let definition = Definition::of(job).map_err(not_as_defined)?;
        self.check_place(&definition.place)
            .map_err(not_as_defined)?;
        let scope = scope_of(job);
        let checkpoints = self
            .checkpoints
            .take(&scope, &CheckpointHolder::of(job))
            .await?;
        let first = checkpoints.items(None, 1).await?;
        let key = run.idempotency_key();
        let mut listening = Listening {
            flows: self.flows.as_ref(),
            place: &self.checkpoints,
            traces: &self.traces,
            flow: name_of(job).map_err(not_as_defined)?,
            source: Source::new(
                &definition.place,
                &definition.pattern,
                &self.roots,
                &self.http,
                key,
            ),
            run,
            definition,
            scope,
            checkpoints,
            counts: memory::counts(&first),
            watched: BTreeMap::new(),
            left_out: BTreeMap::new(),
            looks: 0,
            failed_looks: 0,
            look_at: Instant::now(),
            tally: Tally::default(),
        };
        let end = listening.go().await;
        let text = Some(listening.output());
        match end {
            Ok(()) => Ok(RunOutput {
                text,
                exit_code: None,
            }),
            Err(mut failure) => {
                failure.output.text = text;
                Err(failure)
            }
        }
    }
}

#[async_trait]
impl JobKind for Listener {
    fn uses_project(&self) -> bool {
        true
    }

    fn job_type(&self) -> &'static str {
        "INTERFACE_LISTENER"
    }

    async fn check(&self, job: &Job) -> Result<(), Check> {
        let definition = Definition::of(job)?;
        self.check_place(&definition.place)?;
        if Uuid::parse_str(&job.key.uid).is_ok() {
            let message =
                "a listener remembers by its UID which files it has handled, and none was given";
            return Err(refused(
                message.to_owned(),
                "write UID='<what it listens to>'",
            ));
        }
        if job.policy.overlap == Overlap::Allow {
            let message =
                "a run beside another one has a UID of its own, and would handle all files again";
            return Err(refused(
                message.to_owned(),
                "write OVERLAP=SKIP or OVERLAP=QUEUE",
            ));
        }
        self.check_flow(job, &definition).await
    }

    async fn doing(&self, job: &Job) -> Option<String> {
        let first = self.checkpoints.look(&scope_of(job), None, 1).await.ok()?;
        let Counts { handled, given_up } = memory::counts(&first);
        Some(format!(
            "{handled} files handled so far, {given_up} given up"
        ))
    }

    async fn run(&self, run: Run) -> RunEnd {
        // Boxed: a run is a large future, and most of its life it waits.
        match Box::pin(self.listen(&run)).await {
            Ok(output) => RunEnd::Succeeded(output),
            Err(failure) => RunEnd::Failed(failure),
        }
    }
}

/// What is handled is remembered for flow and uid, whatever the case of the flow's name.
fn scope_of(job: &Job) -> String {
    let name = job.key.name.to_ascii_lowercase();
    format!("listener/{name}/{}", job.key.uid)
}

/// A file as its flow is told of it.
#[derive(Debug)]
struct File<'a> {
    path: &'a str,
    name: &'a str,
    stamp: &'a Stamp,
    key: Uuid,
}

impl File<'_> {
    /// Those inputs that the flow declares, behind those of the job.
    fn inputs(&self, declared: &[String], given: &Map<String, Value>) -> Map<String, Value> {
        let ours = [
            (PATH, Some(json!(self.path))),
            (NAME, Some(json!(self.name))),
            (SIZE, self.stamp.size.map(Value::from)),
            (MODIFIED, self.stamp.modified.clone().map(Value::from)),
            (IDEMPOTENCY_KEY, Some(json!(self.key.to_string()))),
        ];
        let mut inputs = given.clone();
        for (name, value) in ours {
            if let Some(value) = value
                && declared.iter().any(|declared| declared == name)
            {
                inputs.insert(name.to_owned(), value);
            }
        }
        inputs
    }
}

/// A file that is there.
#[derive(Debug)]
struct Watch {
    stamp: Stamp,
    /// It was the same at the look before.
    stood_still: bool,
    standing: Standing,
}

/// What a run did.
#[derive(Debug, Default)]
struct Tally {
    handled: u64,
    failed_tries: u64,
    given_up: u64,
    /// The first of those that failed: tries and error.
    failures: BTreeMap<String, (i32, String)>,
}

/// One run.
struct Listening<'a> {
    flows: &'a dyn Flows,
    place: &'a CheckpointStore,
    traces: &'a Traces,
    flow: FlowName,
    source: Source,
    run: &'a Run,
    definition: Definition,
    scope: String,
    checkpoints: Checkpoints,
    counts: Counts,
    /// What the last look found, by name: no more than is there.
    watched: BTreeMap<String, Watch>,
    left_out: BTreeMap<String, String>,
    looks: u64,
    failed_looks: u32,
    /// When the next look is due.
    look_at: Instant,
    tally: Tally,
}

impl Listening<'_> {
    async fn go(&mut self) -> Result<(), RunFailure> {
        loop {
            let ready = {
                // It only waits and looks: others may run.
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

    /// Looks until there is something to handle; nothing where the run is over.
    async fn next_ready(&mut self) -> Result<Vec<String>, RunFailure> {
        while !self.is_over() {
            until(self.look_at, &self.run.stop).await?;
            self.look().await?;
            self.look_at = Instant::now() + self.definition.poll;
            let ready = self.ready();
            self.trace_look(&ready);
            if !ready.is_empty() {
                return Ok(ready);
            }
        }
        Ok(Vec::new())
    }

    fn is_over(&self) -> bool {
        let is_any = |is_so: fn(&Standing) -> bool| {
            self.watched.values().any(|watch| is_so(&watch.standing))
        };
        // What is new has to stand still from one look to the next.
        let passed = match self.looks {
            0 => false,
            1 => !is_any(|standing| *standing != Standing::Done && *standing != Standing::Changed),
            _ => true,
        };
        let is_left = || is_any(|standing| matches!(standing, Standing::ToTryAgain { .. }));
        match self.definition.mode {
            Mode::Listening => false,
            Mode::OnePassOfMany => passed,
            Mode::Once => passed && !is_left(),
        }
    }

    async fn look(&mut self) -> Result<(), RunFailure> {
        let look = tokio::select! {
            biased;
            () = self.run.stop.cancelled() => return Err(RunFailure::stopped()),
            look = self.source.look() => look,
        };
        match look {
            Ok(look) => {
                self.looks += 1;
                self.failed_looks = 0;
                self.take(look).await
            }
            Err(reason) => self.failed(reason),
        }
    }

    /// A listening run waits for a place that is away, and then says so and is tried again for ever.
    fn failed(&mut self, reason: String) -> Result<(), RunFailure> {
        self.failed_looks += 1;
        // Not the reason, which may quote what a server answered; the log and the end of the run have it.
        let fields = || json!({"failed_looks": self.failed_looks});
        let traces = self.traces;
        traces.event(Operation::FolderPoller, "failed", &self.run.job.key, fields);
        let failure = RunFailure::new("Listener", reason);
        if self.definition.mode != Mode::Listening {
            return Err(failure);
        }
        if self.failed_looks == FAILED_LOOKS {
            return Err(RunFailure {
                retry: Retry::Always,
                ..failure
            });
        }
        if self.failed_looks == 1 {
            warn!(
                job.uid = self.run.job.key.uid,
                "Listener {} cannot look and waits: {}", self.run.job.key.uid, failure.message
            );
        }
        Ok(())
    }

    fn trace_look(&self, ready: &[String]) {
        if self.failed_looks > 0 {
            return;
        }
        let fields = || {
            let count = |standing: fn(&Standing) -> bool| {
                let watched = self.watched.values();
                watched.filter(|watch| standing(&watch.standing)).count()
            };
            json!({
                "folder": self.source.folder(),
                "files": self.watched.len(),
                "new": count(|standing| *standing == Standing::New),
                "left_out": self.left_out.len(),
                "ready": ready.len(),
                "first": ready.iter().take(NAMED).collect::<Vec<_>>(),
            })
        };
        let traces = self.traces;
        traces.event(Operation::FolderPoller, "looked", &self.run.job.key, fields);
    }

    /// What a look found, and what is remembered of it.
    async fn take(&mut self, look: Look) -> Result<(), RunFailure> {
        let uid = &self.run.job.key.uid;
        for (name, reason) in &look.left_out {
            if !self.left_out.contains_key(name) {
                warn!(job.uid = uid, "Listener {uid} leaves {name} out: {reason}");
            }
        }
        self.left_out = look.left_out;
        let mut before = std::mem::take(&mut self.watched);
        for (name, stamp) in look.files {
            let same = before.remove(&name).filter(|watch| watch.stamp == stamp);
            let watch = Watch {
                stood_still: same.is_some(),
                standing: same.map_or(Standing::Unknown, |watch| watch.standing),
                stamp,
            };
            self.watched.insert(name, watch);
        }
        let unknown = self.watched.iter();
        let unknown = unknown.filter(|(_, watch)| watch.standing == Standing::Unknown);
        let names: Vec<String> = unknown.map(|(name, _)| name.clone()).collect();
        let recalled = memory::recall(&self.checkpoints, &names).await?;
        let policy = &self.run.job.policy;
        for (name, remembered) in names.iter().zip(recalled) {
            let Some(watch) = self.watched.get_mut(name) else {
                continue;
            };
            let handles_changed = self.definition.handles_changed;
            watch.standing =
                Standing::of(remembered.as_ref(), &watch.stamp, handles_changed, policy);
            if watch.standing == Standing::Changed {
                warn!(
                    job.uid = uid,
                    "Listener {uid} has handled {name}, which has changed since: it is not handled again"
                );
            }
        }
        Ok(())
    }

    /// What stood still and is due, the oldest first.
    fn ready(&self) -> Vec<String> {
        let now = self.place.now();
        let is_due = |watch: &Watch| match watch.standing {
            Standing::New => watch.stood_still,
            Standing::ToTryAgain { due, .. } => watch.stood_still && due <= now,
            Standing::Unknown | Standing::Done | Standing::Changed => false,
        };
        let mut ready: Vec<_> = self
            .watched
            .iter()
            .filter(|(_, watch)| is_due(watch))
            .collect();
        ready.sort_by_key(|(name, watch)| (&watch.stamp, *name));
        ready.into_iter().map(|(name, _)| name.clone()).collect()
    }

    /// Runs the flow for one file, and writes down what became of it.
    async fn handle(&mut self, name: &str) -> Result<(), RunFailure> {
        let Some(watch) = self.watched.get_mut(name) else {
            return Ok(());
        };
        // A while may have passed since the look.
        let again = self.source.again(name, &watch.stamp).await;
        if again.as_ref() != Some(&watch.stamp) {
            watch.stamp = again.unwrap_or_default();
            watch.stood_still = false;
            watch.standing = Standing::Unknown;
            return Ok(());
        }
        let stamp = watch.stamp.clone();
        let failed_before = match watch.standing {
            Standing::ToTryAgain { tries, .. } => tries,
            Standing::New | Standing::Unknown | Standing::Done | Standing::Changed => 0,
        };
        let ended = self.run_flow(name, &stamp).await;
        let uid = &self.run.job.key.uid;
        let standing;
        let remembered = match ended {
            Ok(()) => {
                info!(job.uid = uid, "Listener {uid} has handled {name}");
                self.tally.handled += 1;
                self.counts.handled += 1;
                self.tally.failures.remove(name);
                standing = Standing::Done;
                Remembered::new(stamp, Outcome::Handled, failed_before, None)
            }
            Err(Trouble::Run(failure)) => return Err(failure),
            Err(Trouble::File(failure)) => {
                let tries = failed_before.saturating_add(1);
                let policy = &self.run.job.policy;
                self.tally.failed_tries += 1;
                let message = failure.message;
                warn!(
                    job.uid = uid,
                    "Listener {uid} failed to handle {name}, try {tries}: {message}"
                );
                self.tell_failure(name, tries, &message);
                let outcome = match policy.may_try_again(tries) {
                    true => {
                        let due = self.place.now().plus(policy.retry_delay(tries));
                        standing = Standing::ToTryAgain { tries, due };
                        Outcome::ToTryAgain
                    }
                    false => {
                        self.tally.given_up += 1;
                        self.counts.given_up += 1;
                        standing = Standing::Done;
                        Outcome::GivenUp
                    }
                };
                Remembered::new(stamp, outcome, tries, Some(&message))
            }
        };
        memory::remember(&mut self.checkpoints, name, &remembered, &self.counts).await?;
        if let Some(watch) = self.watched.get_mut(name) {
            watch.standing = standing;
        }
        Ok(())
    }

    async fn run_flow(&self, name: &str, stamp: &Stamp) -> Result<(), Trouble> {
        let of_run = |refusal: FlowRefusal| Trouble::Run(RunFailure::new("Flow", refusal.message));
        // A flow that is not there any more is no fault of the file.
        let declared = self.flows.inputs(&self.flow).await.map_err(of_run)?;
        let job = &self.run.job;
        let key = key_of(&self.scope, name, stamp);
        let path = self.source.path_of(name);
        let file = File {
            path: &path,
            name,
            stamp,
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
                scope: format!("listened/{}/{}", ledger_of(name), self.scope),
                holder: CheckpointHolder::of(job),
                max_tries: None,
                time_to_live: None,
                keeps_end: true,
            }),
            stop: self.run.stop.clone(),
            slot: self.run.slot.clone(),
        };
        match self.flows.run(call).await {
            Ok(_) => Ok(()),
            Err(failure) if failure.exception_type == STOPPED || self.run.stop.is_cancelled() => {
                Err(Trouble::Run(RunFailure::stopped()))
            }
            Err(failure) if failure.exception_type == LOST => {
                Err(Trouble::Run(RunFailure::new(LOST, failure.message)))
            }
            Err(failure) => Err(Trouble::File(failure)),
        }
    }

    fn tell_failure(&mut self, name: &str, tries: i32, message: &str) {
        let failures = &mut self.tally.failures;
        if failures.len() < NAMED || failures.contains_key(name) {
            let message = message.chars().take(500).collect();
            failures.insert(name.to_owned(), (tries, message));
        }
    }

    fn output(&self) -> String {
        let count = |is_so: fn(&Watch) -> bool| {
            let watched = self.watched.values();
            watched.filter(|watch| is_so(watch)).count()
        };
        let is_left = |watch: &Watch| matches!(watch.standing, Standing::ToTryAgain { .. });
        let is_unsettled = |watch: &Watch| {
            !watch.stood_still && matches!(watch.standing, Standing::New | Standing::Unknown)
        };
        let mut told = json!({
            "handled": self.tally.handled,
            "failed_tries": self.tally.failed_tries,
            "given_up": self.tally.given_up,
            "to_try_again": count(is_left),
            "unsettled": count(is_unsettled),
            "changed": count(|watch| watch.standing == Standing::Changed),
            "left_out": self.left_out.len(),
        });
        if !self.tally.failures.is_empty() {
            let failures = self.tally.failures.iter();
            told["failures"] = failures
                .map(|(name, (tries, error))| json!({"name": name, "tries": tries, "error": error}))
                .collect();
        }
        if !self.left_out.is_empty() {
            let left_out = self.left_out.iter().take(NAMED);
            told["left_out_files"] = left_out
                .map(|(name, reason)| json!({"name": name, "reason": reason}))
                .collect();
        }
        told.to_string()
    }
}

/// Why a flow did not end well.
enum Trouble {
    /// The run cannot go on.
    Run(RunFailure),
    /// Others may fare better than this file.
    File(FlowFailure),
}

/// The same for every try at a file as it is now.
fn key_of(scope: &str, name: &str, stamp: &Stamp) -> Uuid {
    let size = stamp.size.map_or_else(String::new, |size| size.to_string());
    let modified = stamp.modified.as_deref().unwrap_or_default();
    let parts = [scope, name, &size, modified];
    Uuid::new_v5(&Uuid::NAMESPACE_OID, parts.join("\0").as_bytes())
}

fn ledger_of(name: &str) -> u16 {
    let hash = Sha256::digest(name);
    u16::from_be_bytes([hash[0], hash[1]]) % LEDGERS
}

/// Waits, unless it was told to stop.
async fn until(moment: Instant, stop: &CancellationToken) -> Result<(), RunFailure> {
    tokio::select! {
        biased;
        () = stop.cancelled() => Err(RunFailure::stopped()),
        () = sleep_until(moment) => Ok(()),
    }
}
