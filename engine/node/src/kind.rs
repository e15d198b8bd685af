//! Kinds of jobs, and the runs of them.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use weft_model::Job;

/// The most bytes of output that are kept of a run. Longer output is cut and marked.
pub const OUTPUT_BYTES: usize = 64 * 1024;

/// One try at a run of a job.
#[derive(Clone, Debug)]
pub struct Run {
    /// The row as it was claimed; its fence is the fencing token of this try.
    pub job: Job,
    /// Cancelled when the run must end: a user stops, restarts or kills it, it took too long, or the node leaves. Except for
    /// a stop or restart, a run that has not ended 5 s later is dropped.
    pub stop: CancellationToken,
    /// Its slot in the pool.
    pub slot: Slot,
}

/// The slot of a run. A run that only waits for other work lends its slot, so that a pool of one is enough for a job that
/// waits for another. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Slot(Option<Arc<dyn Lender>>);

/// Counts the slots of a node.
pub trait Lender: Debug + Send + Sync {
    /// Frees the slot for another run until it is taken back.
    fn lend(&self);
    /// Takes the slot back; for a while there may be more runs than slots.
    fn take_back(&self);
}

/// Lends the slot until this is dropped.
#[derive(Debug)]
#[must_use = "the slot is taken back when this is dropped"]
pub struct Lent(Slot);

impl Slot {
    /// A slot that `lender` counts.
    pub fn new(lender: Arc<dyn Lender>) -> Self {
        Self(Some(lender))
    }

    /// Lends the slot until the answer is dropped. It can be lent several times at once.
    pub fn lend(&self) -> Lent {
        if let Some(lender) = &self.0 {
            lender.lend();
        }
        Lent(self.clone())
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(lender) = &self.0.0 {
            lender.take_back();
        }
    }
}

impl Run {
    /// The number of this try, from 1.
    pub fn attempt(&self) -> i32 {
        self.job.tries + 1
    }

    /// The same for all tries of one run, and different for each run. Receivers can recognise repeated work by it.
    pub fn idempotency_key(&self) -> Uuid {
        run_key(&self.job)
    }
}

/// The idempotency key of the current run of a job, or of its next one.
pub fn run_key(job: &Job) -> Uuid {
    let parts = [
        job.key.job_type.as_str(),
        &job.key.name,
        &job.key.uid,
        &job.creation_time.0.to_string(),
        &job.runs.to_string(),
    ];
    Uuid::new_v5(&Uuid::NAMESPACE_OID, parts.join("\0").as_bytes())
}

/// How a try ended.
#[derive(Clone, Debug, PartialEq)]
pub enum RunEnd {
    /// It did its work.
    Succeeded(RunOutput),
    /// It failed, or was stopped.
    Failed(RunFailure),
}

impl From<Result<RunOutput, RunFailure>> for RunEnd {
    fn from(ended: Result<RunOutput, RunFailure>) -> Self {
        match ended {
            Ok(output) => Self::Succeeded(output),
            Err(failure) => Self::Failed(failure),
        }
    }
}

impl RunEnd {
    /// The output of the run, whether it succeeded or failed.
    pub fn into_output(self) -> RunOutput {
        match self {
            Self::Succeeded(output) => output,
            Self::Failed(failure) => failure.output,
        }
    }
}

/// The output of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunOutput {
    /// What it returned or wrote; the first [`OUTPUT_BYTES`] are kept.
    pub text: Option<String>,
    /// The exit code, if the run was a process.
    pub exit_code: Option<i32>,
}

impl RunOutput {
    /// The output of a run that was not a process.
    pub fn from_text(text: impl Into<Option<String>>) -> Self {
        Self {
            text: text.into(),
            exit_code: None,
        }
    }
}

/// Why a run, or a flow inside it, failed. Code decides by the variant; the exception type is only shown and stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// A stop was requested.
    Stopped,
    /// Its checkpoints can no longer be read or written, e.g. because a later try has taken them over.
    Recovery,
    /// Anything else. Scripts and functions choose the exception type, so it may be any text.
    Raised {
        /// One word, e.g. `ExitCode`.
        exception_type: String,
    },
}

impl FailureKind {
    /// One word for people, e.g. `Stopped` or `ExitCode`.
    pub fn exception_type(&self) -> &str {
        match self {
            Self::Stopped => "Stopped",
            Self::Recovery => "Recovery",
            Self::Raised { exception_type } => exception_type,
        }
    }

    /// Whether work may continue after an error handler. After the other failures the run must end.
    pub fn can_be_handled(&self) -> bool {
        match self {
            Self::Stopped | Self::Recovery => false,
            Self::Raised { .. } => true,
        }
    }
}

/// A text is only an exception type, whatever it says.
impl From<&str> for FailureKind {
    fn from(exception_type: &str) -> Self {
        Self::Raised {
            exception_type: exception_type.to_owned(),
        }
    }
}

/// Why a try failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFailure {
    /// The kind of failure.
    pub kind: FailureKind,
    /// The message for users.
    pub message: String,
    /// The output until the failure.
    pub output: RunOutput,
    /// Whether the run is tried again.
    pub retry: Retry,
}

/// Whether a failed run is tried again (Fabric: failJobRetryUntilMax, noRetry, alwaysRetry).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retry {
    /// As the job's policy says.
    #[default]
    AsPolicy,
    /// Never: another try would fail the same way.
    Never,
    /// Always, whatever the policy says.
    Always,
    /// Never, and a recurring job ends as well.
    JobEnds,
}

impl RunFailure {
    /// A failure without output that is tried again as the policy says.
    pub fn new(kind: impl Into<FailureKind>, message: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            message: message.into(),
            output: RunOutput::default(),
            retry: Retry::AsPolicy,
        }
    }

    /// The run ended early because a stop was requested.
    pub fn stopped() -> Self {
        Self::new(FailureKind::Stopped, "it was stopped")
    }

    /// Adds the output of the run.
    #[must_use]
    pub fn with_output(mut self, output: RunOutput) -> Self {
        self.output = output;
        self
    }

    /// The exception type, for people and the stored error.
    pub fn exception_type(&self) -> &str {
        self.kind.exception_type()
    }

    /// Excludes another try.
    #[must_use]
    pub fn without_retry(mut self) -> Self {
        self.retry = Retry::Never;
        self
    }
}

/// Why a job cannot be run as it is defined. Found when the job is started or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefinitionError {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// A kind of job, e.g. PROCESS.
#[async_trait]
pub trait JobKind: Debug + Send + Sync {
    /// The type, as in the column `type`.
    fn job_type(&self) -> &'static str;

    /// Whether its runs take a slot of the pool. Jobs that only wait for others do not.
    fn takes_slot(&self) -> bool {
        true
    }

    /// Whether its runs end only when they are stopped. A node that leaves does not wait for them.
    fn runs_until_stopped(&self) -> bool {
        false
    }

    /// Whether its runs use the deployed logical unit that its name begins with. A deployment restarts them.
    fn uses_project(&self) -> bool {
        false
    }

    /// Checks the name and the arguments of a job of this kind.
    ///
    /// # Errors
    /// The job cannot be run as it is defined; no row is written.
    async fn check(&self, job: &Job) -> Result<(), DefinitionError>;

    /// The progress of a run of this job on any node, in a few words; `None` if it records none.
    async fn describe_progress(&self, _job: &Job) -> Option<String> {
        None
    }

    /// Runs one try. Dropping the future must end everything that it started.
    async fn run(&self, run: Run) -> RunEnd;
}

/// The kinds of job that this node can run, except BATCH PROCESS.
#[derive(Clone, Debug, Default)]
pub struct JobKinds(BTreeMap<&'static str, Arc<dyn JobKind>>);

impl JobKinds {
    /// Collects kinds by their type.
    pub fn new(kinds: impl IntoIterator<Item = Arc<dyn JobKind>>) -> Self {
        let kinds = kinds.into_iter().map(|kind| (kind.job_type(), kind));
        Self(kinds.collect())
    }

    /// Finds the kind of this type.
    pub fn get(&self, job_type: &str) -> Option<&Arc<dyn JobKind>> {
        self.0.get(job_type)
    }

    /// The types, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.0.keys().copied()
    }
}
