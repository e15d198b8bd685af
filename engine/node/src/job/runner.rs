//! Runs one claimed job to the end of its try.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};
use weft_model::clock::Timestamp;
use weft_model::schedule::policy::Overlap;
use weft_model::{DueHint, Job, JobDesired, JobStatus};
use weft_store::{EndJob, Freshness, Settled, StoreResult};

use super::overlap;
use super::try_end::{TryEnd, decide_end};
use super::watch::{Event, NEVER, ParallelWrite, RowRead, StopReason, Task, Watch};
use crate::NodeSession;
use crate::kind::{JobKind, Run, RunEnd, RunFailure, Slot};
use crate::trace::TracedOperation;

/// The part of the drain grace that is kept for stopping runs that do not end by themselves.
const LEAVING_RESERVE: Duration = Duration::from_secs(8);
/// When another node notifies the followers of a job, if this one has not.
const NOTIFY_WITHIN: Duration = Duration::from_secs(30);
/// The pause before a failed write is tried again.
const SHORT_PAUSE: Duration = Duration::from_millis(200);
/// The pause before an end is tried again of which the store refuses even the plainest form.
const REFUSED_PAUSE: Duration = Duration::from_secs(60);
/// The pause before an end without an answer is written again.
const UNANSWERED_PAUSE: Duration = Duration::from_secs(1);

/// Runs one job that this node session has claimed.
#[derive(Debug)]
pub struct JobRunner {
    session: NodeSession,
    job: Job,
    kind: Arc<dyn JobKind>,
    slot: Slot,
    give_up_after: Option<Duration>,
    /// The next scheduled time that gets a parallel run.
    parallel: Option<Timestamp>,
}

/// What became of an attempt to write an end.
enum Written {
    Ended(EndedRun),
    /// This node session may no longer act on the job.
    NotMine,
    /// It may have been written, and the store refuses to hear it again.
    Unknown,
}

/// A run whose end is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedRun {
    /// When the job is due again; `None` if it is not.
    pub due: Option<DueHint>,
    /// Other jobs are to be notified of it.
    pub is_followed: bool,
}

impl JobRunner {
    /// Creates a runner for a job that this node session has claimed. `give_up_after` is set if the job runs above the
    /// recommended size of its affinity.
    pub fn new(
        session: NodeSession,
        job: Job,
        kind: Arc<dyn JobKind>,
        slot: Slot,
        give_up_after: Option<Duration>,
    ) -> Self {
        Self {
            session,
            parallel: None,
            job,
            kind,
            slot,
            give_up_after,
        }
    }

    /// Starts parallel runs for the scheduled times after `covered`, if the job allows that.
    #[must_use]
    pub fn with_parallel_runs(self, covered: Timestamp) -> Self {
        Self {
            parallel: overlap::first_parallel(&self.job, covered),
            ..self
        }
    }

    /// Runs one try and writes its end; `None` if another node owns the job by now.
    ///
    /// # Errors
    /// A store error that is not transient.
    pub async fn run(mut self) -> StoreResult<Option<EndedRun>> {
        let job = &self.job;
        let fields = || json!({"try": job.tries + 1, "fence": job.fence});
        self.trace("begun", fields);
        let stop = CancellationToken::new();
        let run = Run {
            job: self.job.clone(),
            stop: stop.clone(),
            slot: self.slot.clone(),
        };
        let kind = Arc::clone(&self.kind);
        let task = AssertUnwindSafe(kind.run(run)).catch_unwind();
        let mut task: Task<'_> = Box::pin(task.map(|end| end.unwrap_or_else(|_| panicked())));
        let Some(end) = self.watch(&mut task, &stop).await else {
            let fields = || json!({"why": "this node no longer owns it"});
            self.trace("dropped", fields);
            debug!(
                job.uid = self.job.key.uid,
                "Dropped a run that this node no longer owns"
            );
            return Ok(None);
        };
        // Ends whatever the run has started, before another node may start the job again.
        drop(task);
        self.write_end(&end).await
    }

    /// Writes the end of a try that never began; `None` if another node owns the job by now.
    ///
    /// # Errors
    /// A store error that is not transient.
    pub async fn fail(mut self, failure: RunFailure) -> StoreResult<Option<EndedRun>> {
        self.write_end(&TryEnd::Ended(RunEnd::Failed(failure)))
            .await
    }

    /// Waits for the end of the run and for reasons to stop it; `None` if this node session may no longer act on the job.
    async fn watch(&mut self, task: &mut Task<'_>, stop: &CancellationToken) -> Option<TryEnd> {
        let mut watch = Watch::new(&self.job, self.give_up_after, self.parallel_due_at());
        loop {
            let reason = match watch.next_event(&self.session, task).await {
                Event::Fenced => return None,
                Event::Ended(end) => return Some(self.judge(end, watch.reason)),
                Event::GraceOver => return Some(self.drop_run(watch.reason)),
                Event::Deadline(reason) => reason,
                Event::Draining => {
                    watch.leave_after(self.leave_grace());
                    continue;
                }
                Event::ParallelDue => {
                    self.pass_missed_parallels(self.session.context.clock.now());
                    watch.parallel_write = self.next_parallel().map(|planned| {
                        let (session, job) = (self.session.clone(), self.job.clone());
                        Box::pin(write_parallel(session, job, planned)) as ParallelWrite
                    });
                    continue;
                }
                Event::ParallelWritten(Ok(true)) => {
                    self.advance_parallel();
                    watch.parallel_at = self.parallel_due_at();
                    continue;
                }
                Event::ParallelWritten(Ok(false) | Err(_)) => {
                    watch.parallel_at = Instant::now() + SHORT_PAUSE;
                    continue;
                }
                Event::ReadDue => {
                    watch.row_read = Some(self.read_row());
                    continue;
                }
                Event::RowRead(row) => {
                    let desired = self.note_row(*row);
                    if watch.parallel_write.is_none() {
                        // The schedule may have changed, or a pause has ended.
                        watch.parallel_at = self.parallel_due_at();
                    }
                    match desired? {
                        JobDesired::Run => continue,
                        JobDesired::Kill => StopReason::Kill,
                        JobDesired::Stop | JobDesired::Restart => StopReason::Request,
                    }
                }
            };
            if watch.stop(reason) {
                self.report_stop(reason);
                stop.cancel();
            }
        }
    }

    /// How long a run may continue without a stop while the node leaves.
    fn leave_grace(&self) -> Duration {
        match self.kind.runs_until_stopped() {
            true => Duration::ZERO,
            false => {
                let grace = self.session.context.config.drain_grace;
                grace.saturating_sub(LEAVING_RESERVE)
            }
        }
    }

    fn read_row(&self) -> RowRead {
        let key = self.job.key.clone();
        let context = Arc::clone(&self.session.context);
        Box::pin(async move { context.store.job(&key, Freshness::Committed).await })
    }

    fn report_stop(&self, reason: StopReason) {
        info!(
            job.name = self.job.key.name,
            job.uid = self.job.key.uid,
            reason = ?reason,
            "Stopping job {} {}",
            self.job.key.job_type,
            self.job.key.name
        );
        self.trace("told to stop", || json!({"reason": format!("{reason:?}")}));
    }

    /// The requested state of the job; `None` if this node session no longer owns it.
    fn note_row(&mut self, row: StoreResult<Option<Job>>) -> Option<JobDesired> {
        match row {
            Ok(Some(row)) if self.is_newer_request(&row) => {
                self.note_request(row);
                Some(self.job.desired)
            }
            Ok(Some(row)) if row.fence > self.job.fence => None,
            Ok(_) => Some(self.job.desired),
            Err(error) => {
                debug!(error = %error, "Could not read the requests: {error}");
                Some(self.job.desired)
            }
        }
    }

    /// Whether the row has a request that this runner has not seen. A read may be older than the claim.
    fn is_newer_request(&self, row: &Job) -> bool {
        row.fence == self.job.fence && row.desired_seq > self.job.desired_seq
    }

    /// Copies what commands may change while a node runs the job.
    fn note_request(&mut self, row: Job) {
        self.job.status = row.status;
        self.job.desired = row.desired;
        self.job.desired_seq = row.desired_seq;
        self.job.affinity = row.affinity;
        self.job.arguments = row.arguments;
        let was_paused = self.job.policy.paused;
        let is_rescheduled =
            self.job.execution_interval != row.execution_interval || self.job.policy != row.policy;
        self.job.execution_interval = row.execution_interval;
        self.job.policy = row.policy;
        self.job.triggers = row.triggers;
        if is_rescheduled {
            let now = self.session.context.clock.now();
            // A time that has passed keeps its run; later times follow the new definition.
            let due = self
                .parallel
                .filter(|planned| *planned <= now && !was_paused);
            self.parallel = due.or_else(|| overlap::first_parallel(&self.job, now));
        }
    }

    fn judge(&self, end: RunEnd, reason: Option<StopReason>) -> TryEnd {
        match (reason, end) {
            // A stopped run has not finished its work, whatever it answers: a script may clean up and exit 0.
            (Some(StopReason::Leaving), _) => TryEnd::HandedBack,
            (Some(StopReason::GivenUp), _) => TryEnd::GivenUp,
            (Some(StopReason::Timeout), end) => {
                let mut failure = self.too_long();
                if let RunEnd::Failed(own) = &end {
                    // Its own message may matter, e.g. that the batch it waited for continues.
                    failure.message = format!("{}; {}", failure.message, own.message);
                }
                failure.output = end.into_output();
                TryEnd::Ended(RunEnd::Failed(failure))
            }
            (Some(StopReason::Kill), end) => TryEnd::Ended(RunEnd::Failed(RunFailure {
                output: end.into_output(),
                ..killed()
            })),
            (Some(StopReason::Request) | None, end) => TryEnd::Ended(end),
        }
    }

    /// How a run ends that did not react to a stop.
    fn drop_run(&self, reason: Option<StopReason>) -> TryEnd {
        match reason {
            Some(StopReason::Leaving) => TryEnd::HandedBack,
            Some(StopReason::GivenUp) => TryEnd::GivenUp,
            Some(StopReason::Timeout) => TryEnd::Ended(RunEnd::Failed(self.too_long())),
            Some(StopReason::Kill | StopReason::Request) | None => {
                TryEnd::Ended(RunEnd::Failed(killed()))
            }
        }
    }

    fn too_long(&self) -> RunFailure {
        let limit = self.job.policy.timeout_ms.unwrap_or_default();
        RunFailure::new("Timeout", format!("it took longer than TIMEOUT_MS={limit}"))
    }

    /// Writes how the try ended. An end that the store refuses for good is replaced by a failure with the reason, without
    /// the output. While the store refuses that too, this node keeps the job: if it let go, the run would start anew, with
    /// all its effects, and end no better.
    async fn write_end(&mut self, end: &TryEnd) -> StoreResult<Option<EndedRun>> {
        let mut refused: Option<TryEnd> = None;
        loop {
            let reason = match self.try_write_end(refused.as_ref().unwrap_or(end)).await {
                Ok(Written::Ended(ended)) => return Ok(Some(ended)),
                Ok(Written::NotMine) => return Ok(None),
                Ok(Written::Unknown) => "its outcome is unknown".to_owned(),
                // No answer is no refusal. It comes back only when the node has fenced itself: the run belongs to another now.
                Err(error) if error.is_transient() => {
                    if !self.session.self_fence.wait(UNANSWERED_PAUSE).await {
                        return Ok(None);
                    }
                    continue;
                }
                Err(error) => error.to_string(),
            };
            let key = &self.job.key;
            error!(
                job.uid = key.uid,
                "The end of job {} {} cannot be written: {reason}", key.job_type, key.name
            );
            let is_first = refused.is_none();
            if let (true, TryEnd::Ended(_)) = (is_first, end) {
                let message = format!("the store refused the end of the run: {reason}");
                let failure = RunFailure::new("Store", message).without_retry();
                refused = Some(TryEnd::Ended(RunEnd::Failed(failure)));
            } else if !self.session.self_fence.wait(REFUSED_PAUSE).await {
                return Ok(None);
            }
        }
    }

    async fn try_write_end(&mut self, end: &TryEnd) -> StoreResult<Written> {
        let context = Arc::clone(&self.session.context);
        let key = self.job.key.clone();
        let first = || context.store.followers(&key.job_type, &key.name, None, 1);
        let Some(followers) = self.retry(first).await? else {
            return Ok(Written::NotMine);
        };
        loop {
            let now = context.clock.now();
            if !self.write_due_parallels(now).await? {
                return Ok(Written::NotMine);
            }
            let token = context.ids.token();
            let is_followed = !followers.is_empty();
            let decided = decide_end(&self.job, &self.session.me, end, is_followed, now, token);
            let operation = match decided {
                Ok(operation) => operation,
                Err(illegal) => {
                    error!(
                        job.uid = key.uid,
                        "The end of a run was not written: {illegal}"
                    );
                    return Ok(Written::NotMine);
                }
            };
            let is_followed = !operation.triggers.pending_notifications.is_empty();
            if is_followed {
                // Leads another node to the row if this one dies before it has notified the followers.
                let hint = DueHint {
                    due_at: now.plus(NOTIFY_WITHIN),
                    key: key.clone(),
                };
                if self.retry(|| context.store.put_due(&hint)).await?.is_none() {
                    return Ok(Written::NotMine);
                }
            }
            match self.session.settle(&operation).await? {
                Settled::Applied => {
                    self.trace_end(&operation, end);
                    self.report_end(&operation.to, end);
                    let due = operation.due;
                    return Ok(Written::Ended(EndedRun { due, is_followed }));
                }
                Settled::StillUnknown if self.session.self_fence.may_act() => {
                    return Ok(Written::Unknown);
                }
                Settled::StillUnknown => return Ok(Written::NotMine),
                // A request came meanwhile: decide the end again.
                Settled::Lost(Some(row)) if self.is_newer_request(&row) => self.note_request(row),
                Settled::Lost(_) => {
                    warn!(
                        job.uid = key.uid,
                        "The end of job {} {} was refused: another node owns it by now",
                        key.job_type,
                        key.name
                    );
                    return Ok(Written::NotMine);
                }
            }
        }
    }

    /// Writes the parallel runs that came due during the run, before the job continues after them; answers whether all of
    /// them have their row.
    async fn write_due_parallels(&mut self, now: Timestamp) -> StoreResult<bool> {
        self.pass_missed_parallels(now);
        while let Some(planned) = self.next_parallel().filter(|planned| *planned <= now) {
            let write = || write_parallel(self.session.clone(), self.job.clone(), planned);
            if self.retry(write).await? != Some(true) {
                return Ok(false);
            }
            self.advance_parallel();
        }
        Ok(true)
    }

    /// Passes over times that were missed, as the job's policy says.
    fn pass_missed_parallels(&mut self, now: Timestamp) {
        if let Some(planned) = self.next_parallel().filter(|planned| *planned <= now) {
            self.parallel = overlap::due_parallel(&self.job, planned, now);
        }
    }

    /// The next scheduled time that gets a parallel run, unless the job is to stop or pause.
    fn next_parallel(&self) -> Option<Timestamp> {
        let continues = self.job.desired == JobDesired::Run && !self.job.policy.paused;
        self.parallel
            .filter(|_| continues && self.job.policy.overlap == Overlap::Allow)
    }

    /// The parallel run has its row: the next one is for the time after it.
    fn advance_parallel(&mut self) {
        let next = |planned| overlap::next_parallel(&self.job, planned);
        self.parallel = self.parallel.and_then(next);
    }

    /// When the next parallel run is due, by the clock of this process.
    fn parallel_due_at(&self) -> Instant {
        let now = self.session.context.clock.now();
        let pause = self.next_parallel().map(|planned| {
            let millis = planned.millis_since(now).max(0);
            Duration::from_millis(millis.unsigned_abs())
        });
        Instant::now() + pause.unwrap_or(NEVER).min(NEVER)
    }

    /// Repeats a store call while the store is unavailable; `None` once this node has fenced itself.
    async fn retry<T, F>(&self, call: impl Fn() -> F) -> StoreResult<Option<T>>
    where
        F: Future<Output = StoreResult<T>>,
    {
        let context = &self.session.context;
        loop {
            match call().await {
                Ok(answer) => return Ok(Some(answer)),
                Err(error) if error.is_transient() => {
                    debug!(error = %error, "The end of a run waits for the store: {error}");
                }
                Err(error) => return Err(error),
            }
            let pause = context.ids.jitter(context.config.poll_interval);
            if !self.session.self_fence.wait(pause).await {
                return Ok(None);
            }
        }
    }

    fn trace(&self, event: &'static str, fields: impl FnOnce() -> Value) {
        let traces = &self.session.context.traces;
        traces.event(TracedOperation::JobExecutor, event, &self.job.key, fields);
    }

    /// Traces how the run ended, without the message of a failure, which may contain anything. JOBHISTORY has it.
    fn trace_end(&self, written: &EndJob, end: &TryEnd) {
        self.trace("ended", || {
            let (end, error) = match end {
                TryEnd::Ended(RunEnd::Succeeded(_)) => ("succeeded", None),
                TryEnd::Ended(RunEnd::Failed(failure)) => {
                    ("failed", Some(traced_type(failure.exception_type())))
                }
                TryEnd::HandedBack => ("handed back", None),
                TryEnd::GivenUp => ("given up", None),
            };
            let began = self.job.start_time.unwrap_or(written.now);
            json!({
                "end": end,
                "error": error,
                "status": written.to.to_string(),
                "try": self.job.tries + 1,
                "ms": written.now.millis_since(began),
            })
        });
        let traces = &self.session.context.traces;
        traces.event(TracedOperation::JobsScheduler, "computed", &self.job.key, || {
            let text = |moment: Option<Timestamp>| moment.map(Timestamp::to_rfc3339);
            json!({"next_run": text(written.next_run), "planned_run": text(written.planned_run)})
        });
    }

    fn report_end(&self, to: &JobStatus, end: &TryEnd) {
        let key = &self.job.key;
        match end {
            TryEnd::Ended(RunEnd::Failed(failure)) => warn!(
                job.name = key.name,
                job.uid = key.uid,
                "'{}.{}.{}' failed and is now {to}: {}",
                key.job_type,
                key.name,
                key.uid,
                failure.message
            ),
            _ => info!(
                job.name = key.name,
                job.uid = key.uid,
                "'{}.{}.{}' is now {to}",
                key.job_type,
                key.name,
                key.uid
            ),
        }
    }
}

/// Functions choose the exception types of their errors, so only a plain name is traced.
fn traced_type(exception_type: &str) -> &str {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    match exception_type.len() <= 100 && exception_type.chars().all(is_name) {
        true => exception_type,
        false => "Error",
    }
}

/// Writes the job of a parallel run (OVERLAP=ALLOW); answers whether it has its row.
async fn write_parallel(session: NodeSession, job: Job, planned: Timestamp) -> StoreResult<bool> {
    let parallel = overlap::parallel_job(&job, planned, session.context.clock.now());
    Ok(match session.write_job(parallel, None).await? {
        // Lost: an earlier owner of the job has written it.
        Settled::Applied | Settled::Lost(_) => true,
        Settled::StillUnknown => false,
    })
}

fn killed() -> RunFailure {
    RunFailure::new("Killed", "it was killed")
}

fn panicked() -> RunEnd {
    RunEnd::Failed(RunFailure::new(
        "Panic",
        "the run broke off inside Weft; the log of the node says where",
    ))
}
