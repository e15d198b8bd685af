//! What a kind of job does.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use weft_model::Job;

/// Output that is kept of a run, in bytes; longer output is cut and marked.
pub const OUTPUT_BYTES: usize = 64 * 1024;

/// One try at a run of a job.
#[derive(Clone, Debug)]
pub struct Run {
    /// The row as it was claimed; its fence is the fencing token of this try.
    pub job: Job,
    /// Cancelled when the run shall end: a person stopped or restarts it, it took too long, or the node leaves. What
    /// has not ended 5 s later is dropped.
    pub stop: CancellationToken,
    /// The slot of the pool that it takes.
    pub slot: Slot,
}

/// The slot of a run. While a run only waits for other work it lends the slot, so that a pool of one is enough for a
/// job that waits for another. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Slot(Option<Arc<dyn Lender>>);

/// Counts the slots of a node.
pub trait Lender: Debug + Send + Sync {
    /// The slot is free for others until as many are taken back.
    fn lend(&self);
    /// The slot is needed again; for a while there may be more runs than slots.
    fn take_back(&self);
}

/// The slot is lent until this is dropped.
#[derive(Debug)]
#[must_use = "the slot is taken back when this is dropped"]
pub struct Lent(Slot);

impl Slot {
    /// A slot that is counted here.
    pub fn new(lender: Arc<dyn Lender>) -> Self {
        Self(Some(lender))
    }

    /// Lends it for as long as the answer is kept; may be lent several times at once.
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
    /// Which try it is, from 1.
    pub fn attempt(&self) -> i32 {
        self.job.tries + 1
    }

    /// The same for every try at one run and different for every run: what is done under it twice may be recognised.
    pub fn idempotency_key(&self) -> Uuid {
        run_key(&self.job)
    }
}

/// The idempotency key of the run that a job is at, or comes to next.
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
    /// It did what it was to do.
    Succeeded(RunOutput),
    /// It did not, or was stopped.
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
    /// What it left behind, however it ended.
    pub fn output(self) -> RunOutput {
        match self {
            Self::Succeeded(output) => output,
            Self::Failed(failure) => failure.output,
        }
    }
}

/// What a run leaves behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunOutput {
    /// What it returned or wrote; the head of it is kept.
    pub text: Option<String>,
    /// What the process ended with, where it was one.
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
    /// Its checkpoints cannot be read or written any more, e.g. because a later try has taken them over.
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
    /// What a person reads.
    pub message: String,
    /// What it left behind all the same.
    pub output: RunOutput,
    /// Whether it is tried again.
    pub retry: Retry,
}

/// Whether a failed run is tried again (Fabric: failJobRetryUntilMax, noRetry, alwaysRetry).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retry {
    /// As the job's policy says.
    #[default]
    AsPolicy,
    /// Never: another try would fail in the same way.
    Never,
    /// Always, whatever the policy says.
    Always,
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

    /// The same, with the output of the run.
    #[must_use]
    pub fn with_output(mut self, output: RunOutput) -> Self {
        self.output = output;
        self
    }

    /// The exception type, for people and the stored error.
    pub fn exception_type(&self) -> &str {
        self.kind.exception_type()
    }

    /// The same, never tried again.
    #[must_use]
    pub fn never_again(mut self) -> Self {
        self.retry = Retry::Never;
        self
    }
}

/// What the definition of a job is checked for when it is started or changed.
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
    /// As the column `type` has it.
    fn job_type(&self) -> &'static str;

    /// Its runs take a slot of the pool; not so for what only waits for others.
    fn takes_slot(&self) -> bool {
        true
    }

    /// Its runs end only when they are stopped: a node that leaves does not wait for them.
    fn runs_until_stopped(&self) -> bool {
        false
    }

    /// Its runs use the logical unit that its name begins with, as it is deployed: a deployment starts them over.
    fn uses_project(&self) -> bool {
        false
    }

    /// Whether a job of this kind can be run as it is defined: its name, its arguments.
    ///
    /// # Errors
    /// What is wrong with it; then no row is written.
    async fn check(&self, job: &Job) -> Result<(), DefinitionError>;

    /// What a run of this job, on whatever node, is at now, in a few words; none where nothing is written down of it.
    async fn doing(&self, _job: &Job) -> Option<String> {
        None
    }

    /// Runs it. Dropping the future must end whatever it started.
    async fn run(&self, run: Run) -> RunEnd;
}

/// The kinds of job that this node can run, BATCH PROCESS aside.
#[derive(Clone, Debug, Default)]
pub struct JobKinds(BTreeMap<&'static str, Arc<dyn JobKind>>);

impl JobKinds {
    /// These kinds.
    pub fn new(kinds: impl IntoIterator<Item = Arc<dyn JobKind>>) -> Self {
        let kinds = kinds.into_iter().map(|kind| (kind.job_type(), kind));
        Self(kinds.collect())
    }

    /// The kind of this name.
    pub fn get(&self, job_type: &str) -> Option<&Arc<dyn JobKind>> {
        self.0.get(job_type)
    }

    /// Their names, in order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.0.keys().copied()
    }
}
