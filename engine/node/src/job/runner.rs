//! Runs one claimed job to the end of its try.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};
use weft_model::clock::Timestamp;
use weft_model::schedule::policy::Overlap;
use weft_model::{DueHint, Job, JobDesired, JobStatus};
use weft_store::{EndJob, Freshness, Settled, StoreResult};

use super::after::{TryEnd, after};
use super::overlap;
use crate::NodeSession;
use crate::kind::{JobKind, Run, RunEnd, RunFailure, Slot};
use crate::trace::Operation;

/// What does not end by itself this long after it was told to is dropped.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// A node that leaves keeps this much of its grace for stopping what does not end by itself.
const LEAVING_RESERVE: Duration = Duration::from_secs(8);
/// Those that wait for the end of a job are told by somebody else after so long.
const TOLD_WITHIN: Duration = Duration::from_secs(30);
/// What could not be written is tried again after so long.
const SHORT_PAUSE: Duration = Duration::from_millis(200);
/// Far enough away to be never.
const NEVER: Duration = Duration::from_secs(86_400 * 365);

/// Runs one job that this node session has claimed.
#[derive(Debug)]
pub struct JobRunner {
    session: NodeSession,
    job: Job,
    kind: Arc<dyn JobKind>,
    slot: Slot,
    give_up_after: Option<Duration>,
    /// The next time for which a run beside this one is due.
    beside: Option<Timestamp>,
}

/// A run whose end is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedRun {
    /// When the job is due again, where it is.
    pub due: Option<DueHint>,
    /// Others are to be told of it.
    pub is_followed: bool,
}

/// Why a run was told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StopReason {
    /// A person wants it to stop or to start over.
    Wish,
    /// A person wants the task gone; the job follows the path of a failure (Fabric R84).
    Kill,
    /// It took longer than it may.
    Timeout,
    /// The node leaves.
    Leaving,
    /// It runs above the recommended size of its affinity and had its time: another node may have it.
    GivenUp,
}

impl JobRunner {
    /// A runner of a job that this node session has claimed, and gives up after a while where it took exceptional room.
    pub fn new(
        session: NodeSession,
        job: Job,
        kind: Arc<dyn JobKind>,
        slot: Slot,
        give_up_after: Option<Duration>,
    ) -> Self {
        Self {
            session,
            beside: None,
            job,
            kind,
            slot,
            give_up_after,
        }
    }

    /// The same; times that come behind this one get runs beside it, where the job allows that.
    #[must_use]
    pub fn with_runs_beside_from(self, covered: Timestamp) -> Self {
        Self {
            beside: overlap::first_beside(&self.job, covered),
            ..self
        }
    }

    /// Runs one try and writes its end; none where the job has become somebody else's.
    ///
    /// # Errors
    /// What the store refused in a way that trying again cannot help.
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
            let fields = || json!({"why": "it is not this node's any more"});
            self.trace("dropped", fields);
            debug!(
                job.uid = self.job.key.uid,
                "Dropped a run that is not mine any more"
            );
            return Ok(None);
        };
        // Whatever it started ends with it, before anybody may start it again.
        drop(task);
        self.write_end(&end).await
    }

    /// Waits for the end of the task and for reasons to end it; none where this node session may not act any more.
    async fn watch(&mut self, task: &mut Task<'_>, stop: &CancellationToken) -> Option<TryEnd> {
        let began = Instant::now();
        let mut timeout = began + limit_of(&self.job);
        let mut drop_at = began + NEVER;
        let mut reason = None;
        let mut leave_at: Option<Instant> = None;
        let mut look_at = began;
        let mut look: Option<Look> = None;
        let mut give_up_at = began + self.give_up_after.unwrap_or(NEVER).min(NEVER);
        let mut making: Option<Making> = None;
        let mut beside_at = self.until_beside();
        loop {
            let context = Arc::clone(&self.session.context);
            let wished = context.wake.wished();
            let why = tokio::select! {
                biased;
                () = self.session.self_fence.fenced() => return None,
                end = task.as_mut() => return Some(self.judge(end, reason)),
                () = sleep_until(drop_at) => return Some(self.dropped(reason)),
                () = sleep_until(timeout) => {
                    timeout = began + NEVER;
                    StopReason::Timeout
                }
                () = self.session.draining.cancelled(), if leave_at.is_none() => {
                    let grace = match self.kind.runs_until_stopped() {
                        true => Duration::ZERO,
                        false => context.config.drain_grace,
                    };
                    leave_at = Some(Instant::now() + grace.saturating_sub(LEAVING_RESERVE));
                    continue;
                }
                () = sleep_until(leave_at.unwrap_or(began + NEVER)) => {
                    leave_at = Some(began + NEVER);
                    StopReason::Leaving
                }
                () = sleep_until(give_up_at) => {
                    give_up_at = began + NEVER;
                    StopReason::GivenUp
                }
                () = sleep_until(beside_at), if making.is_none() => {
                    beside_at = began + NEVER;
                    let make = |planned| make_beside(self.session.clone(), self.job.clone(), planned);
                    making = self.next_beside().map(|planned| Box::pin(make(planned)) as Making);
                    continue;
                }
                made = settled(&mut making), if making.is_some() => {
                    making = None;
                    beside_at = if matches!(made, Ok(true)) {
                        self.pass_beside();
                        self.until_beside()
                    } else {
                        // What could not be written is tried again soon.
                        Instant::now() + SHORT_PAUSE
                    };
                    continue;
                }
                row = settled(&mut look), if look.is_some() => {
                    look = None;
                    look_at = Instant::now() + context.config.poll_interval;
                    let wish = self.wish_of(row);
                    if making.is_none() {
                        // The times may be others now, or a pause is over.
                        beside_at = self.until_beside();
                    }
                    match wish {
                        None => return None,
                        Some(JobDesired::Run) => continue,
                        Some(JobDesired::Kill) => StopReason::Kill,
                        Some(JobDesired::Stop | JobDesired::Restart) => StopReason::Wish,
                    }
                }
                () = at_or_when(look_at, wished), if look.is_none() => {
                    let key = self.job.key.clone();
                    let context = Arc::clone(&context);
                    // Beside the run: a store that hangs holds up neither the run nor the end of trust.
                    look = Some(Box::pin(async move {
                        context.store.job(&key, Freshness::Committed).await
                    }));
                    continue;
                }
            };
            if reason == Some(why) {
                continue;
            }
            info!(
                job.name = self.job.key.name,
                job.uid = self.job.key.uid,
                reason = ?why,
                "Stopping job {} {}",
                self.job.key.job_type,
                self.job.key.name
            );
            self.trace("told to stop", || json!({"reason": format!("{why:?}")}));
            stop.cancel();
            // Whoever only asks for a stop waits until the run sees it (as in Fabric); KILL does not wait.
            if why != StopReason::Wish {
                drop_at = drop_at.min(Instant::now() + STOP_GRACE);
            }
            reason = Some(why);
        }
    }

    /// What people wish by this row; none where the job is not this node session's any more.
    fn wish_of(&mut self, row: StoreResult<Option<Job>>) -> Option<JobDesired> {
        match row {
            // A read may be behind the claim.
            Ok(Some(row)) if row.fence == self.job.fence => {
                if row.desired_seq > self.job.desired_seq {
                    self.learn(row);
                }
                Some(self.job.desired)
            }
            Ok(Some(row)) if row.fence > self.job.fence => None,
            Ok(_) => Some(self.job.desired),
            Err(error) => {
                debug!(error = %error, "Could not look for wishes: {error}");
                Some(self.job.desired)
            }
        }
    }

    /// Takes over what others may write while a node holds the job.
    fn learn(&mut self, row: Job) {
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
            // What came before this was known has its run; from now on it is as the job is defined now.
            let came = self.beside.filter(|planned| *planned <= now && !was_paused);
            self.beside = came.or_else(|| overlap::first_beside(&self.job, now));
        }
    }

    fn judge(&self, end: RunEnd, reason: Option<StopReason>) -> TryEnd {
        match (reason, end) {
            // What was told to stop has not done all it was to do, whatever it says: a script may clean up and exit 0.
            (Some(StopReason::Leaving), _) => TryEnd::HandedBack,
            (Some(StopReason::GivenUp), _) => TryEnd::GivenUp,
            (Some(StopReason::Timeout), end) => {
                let mut failure = self.too_long();
                if let RunEnd::Failed(told) = &end {
                    // What it says itself may matter, e.g. that the batch it waited for goes on.
                    failure.message = format!("{}; {}", failure.message, told.message);
                }
                failure.output = end.output();
                TryEnd::Ended(RunEnd::Failed(failure))
            }
            (Some(StopReason::Kill), end) => TryEnd::Ended(RunEnd::Failed(RunFailure {
                output: end.output(),
                ..killed()
            })),
            (Some(StopReason::Wish) | None, end) => TryEnd::Ended(end),
        }
    }

    fn dropped(&self, reason: Option<StopReason>) -> TryEnd {
        match reason {
            Some(StopReason::Leaving) => TryEnd::HandedBack,
            Some(StopReason::GivenUp) => TryEnd::GivenUp,
            Some(StopReason::Timeout) => TryEnd::Ended(RunEnd::Failed(self.too_long())),
            Some(StopReason::Kill | StopReason::Wish) | None => {
                TryEnd::Ended(RunEnd::Failed(killed()))
            }
        }
    }

    fn too_long(&self) -> RunFailure {
        let limit = self.job.policy.timeout_ms.unwrap_or_default();
        RunFailure::new("Timeout", format!("it took longer than TIMEOUT_MS={limit}"))
    }

    async fn write_end(&mut self, end: &TryEnd) -> StoreResult<Option<EndedRun>> {
        let context = Arc::clone(&self.session.context);
        let key = self.job.key.clone();
        let first = || context.store.followers(&key.job_type, &key.name, 1);
        let Some(followers) = self.patiently(first).await? else {
            return Ok(None);
        };
        loop {
            let now = context.clock.now();
            // What came during the run has its row before the job goes on behind it.
            while let Some(planned) = self.next_beside().filter(|planned| *planned <= now) {
                let make = || make_beside(self.session.clone(), self.job.clone(), planned);
                if self.patiently(make).await? != Some(true) {
                    return Ok(None);
                }
                self.pass_beside();
            }
            let token = context.ids.token();
            let is_followed = !followers.is_empty();
            let operation = match after(&self.job, &self.session.me, end, is_followed, now, token) {
                Ok(operation) => operation,
                Err(illegal) => {
                    error!(
                        job.uid = key.uid,
                        "The end of a run was not written: {illegal}"
                    );
                    return Ok(None);
                }
            };
            let is_followed = !operation.triggers.pending_notifications.is_empty();
            if is_followed {
                // Somebody looks at the row should this node die before it has told them.
                let hint = DueHint {
                    due_at: now.plus(TOLD_WITHIN),
                    key: key.clone(),
                };
                let put = || context.store.put_due(&hint);
                if self.patiently(put).await?.is_none() {
                    return Ok(None);
                }
            }
            match self.session.settle(&operation).await? {
                Settled::Applied => {
                    self.trace_end(&operation, end);
                    self.tell(&operation.to, end);
                    let due = operation.due;
                    return Ok(Some(EndedRun { due, is_followed }));
                }
                Settled::StillUnknown => return Ok(None),
                Settled::Lost(Some(row))
                    if row.fence == self.job.fence && row.desired_seq > self.job.desired_seq =>
                {
                    // Somebody wished something meanwhile: the end is decided anew.
                    self.learn(row);
                }
                Settled::Lost(_) => {
                    warn!(
                        job.uid = self.job.key.uid,
                        "The end of job {} {} was refused: it is somebody else's by now",
                        self.job.key.job_type,
                        self.job.key.name
                    );
                    return Ok(None);
                }
            }
        }
    }

    /// The next time for which a run beside this one is due, unless somebody wants the job to stand still.
    fn next_beside(&self) -> Option<Timestamp> {
        let goes_on = self.job.desired == JobDesired::Run && !self.job.policy.paused;
        self.beside
            .filter(|_| goes_on && self.job.policy.overlap == Overlap::Allow)
    }

    /// The run beside this one has its row: the next is for the time behind it.
    fn pass_beside(&mut self) {
        let next = |planned| overlap::next_beside(&self.job, planned);
        self.beside = self.beside.and_then(next);
    }

    /// When a run beside this one is due, by the clock of this process.
    fn until_beside(&self) -> Instant {
        let now = self.session.context.clock.now();
        let pause = self.next_beside().map(|planned| {
            let millis = planned.millis_since(now).max(0);
            Duration::from_millis(millis.unsigned_abs())
        });
        Instant::now() + pause.unwrap_or(NEVER).min(NEVER)
    }

    /// Asks again while the store is away and this node session is trusted; none once it is not.
    async fn patiently<T, F>(&self, ask: impl Fn() -> F) -> StoreResult<Option<T>>
    where
        F: Future<Output = StoreResult<T>>,
    {
        let context = &self.session.context;
        loop {
            match ask().await {
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
        traces.event(Operation::JobExecutor, event, &self.job.key, fields);
    }

    /// How it ended, without the words of the failure: what a run says may be anything. JOBHISTORY has them.
    fn trace_end(&self, written: &EndJob, end: &TryEnd) {
        self.trace("ended", || {
            let (end, error) = match end {
                TryEnd::Ended(RunEnd::Succeeded(_)) => ("succeeded", None),
                TryEnd::Ended(RunEnd::Failed(failure)) => {
                    ("failed", Some(kind_of_error(failure.exception_type())))
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
        traces.event(Operation::JobsScheduler, "computed", &self.job.key, || {
            let text = |moment: Option<Timestamp>| moment.map(Timestamp::to_rfc3339);
            json!({"next_run": text(written.next_run), "planned_run": text(written.planned_run)})
        });
    }

    fn tell(&self, to: &JobStatus, end: &TryEnd) {
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

/// A function names its errors itself, and may put anything there.
fn kind_of_error(exception_type: &str) -> &str {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    match exception_type.len() <= 100 && exception_type.chars().all(is_name) {
        true => exception_type,
        false => "Error",
    }
}

type Look = Pin<Box<dyn Future<Output = StoreResult<Option<Job>>> + Send>>;
type Making = Pin<Box<dyn Future<Output = StoreResult<bool>> + Send>>;

/// What comes of something that is under way beside the run.
async fn settled<T>(under_way: &mut Option<Pin<Box<dyn Future<Output = T> + Send>>>) -> T {
    match under_way {
        Some(under_way) => under_way.await,
        None => std::future::pending().await,
    }
}

/// Writes the job that runs beside this one for a time that has come (OVERLAP=ALLOW); answers whether it stands.
async fn make_beside(session: NodeSession, job: Job, planned: Timestamp) -> StoreResult<bool> {
    let beside = overlap::beside(&job, planned, session.context.clock.now());
    Ok(match session.write_job(beside, None).await? {
        // Lost: somebody who ran the job before has written it.
        Settled::Applied | Settled::Lost(_) => true,
        Settled::StillUnknown => false,
    })
}

/// At this moment, or earlier when something happens.
async fn at_or_when(moment: Instant, happens: impl Future<Output = ()>) {
    tokio::select! {
        biased;
        () = happens => (),
        () = sleep_until(moment) => (),
    }
}

type Task<'a> = Pin<Box<dyn Future<Output = RunEnd> + Send + 'a>>;

fn limit_of(job: &Job) -> Duration {
    match job.policy.timeout_ms {
        Some(limit) => Duration::from_millis(u64::try_from(limit).unwrap_or(0)).min(NEVER),
        None => NEVER,
    }
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
