//! What a runner waits for while its job runs.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use weft_model::Job;
use weft_store::StoreResult;

use crate::NodeSession;
use crate::kind::RunEnd;

/// How long a run may take to end after a stop was requested; then it is dropped.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// Far enough away to be never.
pub(super) const NEVER: Duration = Duration::from_secs(86_400 * 365);

pub(super) type Task<'a> = Pin<Box<dyn Future<Output = RunEnd> + Send + 'a>>;
pub(super) type RowRead = Pin<Box<dyn Future<Output = StoreResult<Option<Job>>> + Send>>;
pub(super) type ParallelWrite = Pin<Box<dyn Future<Output = StoreResult<bool>> + Send>>;

/// Why a run is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StopReason {
    /// A user stops or restarts the job.
    Request,
    /// A user kills the task; the job follows the path of a failure (Fabric R84).
    Kill,
    /// It took longer than TIMEOUT_MS.
    Timeout,
    /// The node leaves.
    Leaving,
    /// It runs above the recommended size of its affinity and has had its time: another node may run it.
    GivenUp,
}

/// What happened next.
pub(super) enum Event {
    /// The node fenced itself.
    Fenced,
    /// The run ended by itself.
    Ended(RunEnd),
    /// The run did not end within the grace after a stop.
    GraceOver,
    /// A deadline has passed for which the run is to stop.
    Deadline(StopReason),
    /// The node begins to leave.
    Draining,
    /// A parallel run is due.
    ParallelDue,
    /// Whether the row of the parallel run was written.
    ParallelWritten(StoreResult<bool>),
    /// It is time to read the row of the job.
    ReadDue,
    /// The row of the job as just read.
    RowRead(Box<StoreResult<Option<Job>>>),
}

/// The deadlines of a run, and the store calls that are under way beside it: a store that hangs holds up neither the run nor
/// the self-fence.
pub(super) struct Watch {
    /// Why the run was stopped, if it was.
    pub(super) reason: Option<StopReason>,
    /// When the next parallel run is due.
    pub(super) parallel_at: Instant,
    pub(super) parallel_write: Option<ParallelWrite>,
    pub(super) row_read: Option<RowRead>,
    read_at: Instant,
    timeout_at: Instant,
    give_up_at: Instant,
    /// `None` while the node does not leave.
    leave_at: Option<Instant>,
    drop_at: Instant,
    never: Instant,
}

impl Watch {
    pub(super) fn new(job: &Job, give_up_after: Option<Duration>, parallel_at: Instant) -> Self {
        let now = Instant::now();
        let limit = job.policy.timeout_ms.map(|limit| {
            let limit = u64::try_from(limit).unwrap_or(0);
            Duration::from_millis(limit)
        });
        let after = |pause: Option<Duration>| now + pause.unwrap_or(NEVER).min(NEVER);
        Self {
            reason: None,
            parallel_at,
            parallel_write: None,
            row_read: None,
            read_at: now,
            timeout_at: after(limit),
            give_up_at: after(give_up_after),
            leave_at: None,
            drop_at: after(None),
            never: after(None),
        }
    }

    pub(super) async fn next_event(&mut self, session: &NodeSession, task: &mut Task<'_>) -> Event {
        let requested = session.context.wake.requests_woken();
        tokio::select! {
            biased;
            () = session.self_fence.fenced() => Event::Fenced,
            end = task.as_mut() => Event::Ended(end),
            () = sleep_until(self.drop_at) => Event::GraceOver,
            () = sleep_until(self.timeout_at) => {
                self.timeout_at = self.never;
                Event::Deadline(StopReason::Timeout)
            }
            () = session.draining.cancelled(), if self.leave_at.is_none() => Event::Draining,
            () = sleep_until(self.leave_at.unwrap_or(self.never)) => {
                self.leave_at = Some(self.never);
                Event::Deadline(StopReason::Leaving)
            }
            () = sleep_until(self.give_up_at) => {
                self.give_up_at = self.never;
                Event::Deadline(StopReason::GivenUp)
            }
            () = sleep_until(self.parallel_at), if self.parallel_write.is_none() => {
                self.parallel_at = self.never;
                Event::ParallelDue
            }
            written = result_of(&mut self.parallel_write), if self.parallel_write.is_some() => {
                self.parallel_write = None;
                Event::ParallelWritten(written)
            }
            row = result_of(&mut self.row_read), if self.row_read.is_some() => {
                self.row_read = None;
                self.read_at = Instant::now() + session.context.config.poll_interval;
                Event::RowRead(Box::new(row))
            }
            () = at_or_when(self.read_at, requested), if self.row_read.is_none() => Event::ReadDue,
        }
    }

    /// The node leaves: the run has this long to end by itself.
    pub(super) fn leave_after(&mut self, grace: Duration) {
        self.leave_at = Some(Instant::now() + grace);
    }

    /// Notes that the run is to stop; answers whether that is new.
    pub(super) fn stop(&mut self, reason: StopReason) -> bool {
        if self.reason == Some(reason) {
            return false;
        }
        self.reason = Some(reason);
        // STOPJOB and RESTARTJOB wait until the run reacts, as in Fabric; the other reasons do not.
        if reason != StopReason::Request {
            self.drop_at = self.drop_at.min(Instant::now() + STOP_GRACE);
        }
        true
    }
}

async fn result_of<T>(call: &mut Option<Pin<Box<dyn Future<Output = T> + Send>>>) -> T {
    match call {
        Some(call) => call.await,
        None => std::future::pending().await,
    }
}

/// Waits until `time`, or until `event` if that is earlier.
async fn at_or_when(time: Instant, event: impl Future<Output = ()>) {
    tokio::select! {
        biased;
        () = event => (),
        () = sleep_until(time) => (),
    }
}
