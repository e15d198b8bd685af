//! What the HTTP layer asks of a node.

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use weft_model::Session;
use weft_model::{BatchId, JobKey};
use weft_statement::{Frame, JobDraft, Refusal};

use crate::batches::{
    BatchDetail, BatchPage, BatchSummary, BatchesQuery, EntitiesQuery, EntityPage,
};
use crate::complete::{CompleteQuery, Completion};
use crate::health::{Readiness, VersionInfo};
use crate::job_changes::{ChangeJob, StartedJob};
use crate::job_runs::{RunId, RunPage};
use crate::jobs::{JobItem, JobPage, JobsQuery};
use crate::nodes::NodeList;

/// Who calls. What they may do is decided behind [`Api`], never in the HTTP layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The user's name, shown as `Created by`.
    pub name: String,
}

/// One statement to run.
#[derive(Debug)]
pub struct StatementRun {
    /// The text as typed, one or more statements.
    pub text: String,
    /// The session that the client carries.
    pub session: Session,
    /// Where the frames go. A closed channel means the same as `stop`.
    pub frames: mpsc::Sender<Frame>,
    /// The client no longer waits: stop waiting, never the work.
    pub stop: CancellationToken,
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// What was named does not exist.
    #[error("{0}")]
    NotFound(String),
    /// A parameter has no meaning, e.g. a cursor of another list.
    #[error("{parameter}: {message}")]
    Invalid {
        /// The parameter's name.
        parameter: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// What the engine refused, with its place and its hint.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The principal may not do this.
    #[error("{0}")]
    NotAllowed(String),
    /// The store or the node cannot answer now.
    #[error("{0}")]
    Unavailable(String),
    /// A mistake of ours; the text goes to the log, never to the client.
    #[error("{0}")]
    Internal(String),
}

/// An answer of [`Api`].
pub type ApiResult<T> = Result<T, ApiError>;

/// What a node does for its HTTP callers. Every method checks what `principal` may do.
#[async_trait]
pub trait Api: Send + Sync + 'static {
    /// Runs a statement to its end and sends its frames, `End` last. It is never dropped half way: when the
    /// client goes, `stop` says so, and the method ends by itself.
    async fn run_statement(&self, principal: &Principal, run: StatementRun);

    /// A page of batches, newest first.
    async fn batches(&self, principal: &Principal, query: BatchesQuery) -> ApiResult<BatchPage>;

    /// One batch.
    async fn batch(&self, principal: &Principal, id: BatchId) -> ApiResult<BatchDetail>;

    /// What nodes, data centres and the cluster did of a batch.
    async fn batch_summary(&self, principal: &Principal, id: BatchId) -> ApiResult<BatchSummary>;

    /// A page of a batch's entities.
    async fn batch_entities(
        &self,
        principal: &Principal,
        id: BatchId,
        query: EntitiesQuery,
    ) -> ApiResult<EntityPage>;

    /// A page of jobs.
    async fn jobs(&self, principal: &Principal, query: JobsQuery) -> ApiResult<JobPage>;

    /// One job.
    async fn job(&self, principal: &Principal, key: JobKey) -> ApiResult<JobItem>;

    /// The last runs of a job, newest first.
    async fn job_runs(&self, principal: &Principal, key: JobKey, limit: u32) -> ApiResult<RunPage>;

    /// What is kept of the output of a run; none where it wrote nothing.
    async fn run_output(
        &self,
        principal: &Principal,
        key: JobKey,
        run: RunId,
    ) -> ApiResult<Option<String>>;

    /// Starts a job; with a key, the same call again finds its own job.
    async fn start_job(
        &self,
        principal: &Principal,
        draft: JobDraft,
        key: Option<String>,
    ) -> ApiResult<StartedJob>;

    /// Changes a job.
    async fn change_job(
        &self,
        principal: &Principal,
        key: JobKey,
        change: ChangeJob,
    ) -> ApiResult<JobItem>;

    /// Removes an archived job with its history.
    async fn remove_job(&self, principal: &Principal, key: JobKey) -> ApiResult<()>;

    /// The nodes of the cluster.
    async fn nodes(&self, principal: &Principal) -> ApiResult<NodeList>;

    /// What may follow at a place of a text.
    async fn complete(&self, principal: &Principal, query: CompleteQuery) -> ApiResult<Completion>;

    /// Whether the node can take work. Anyone may ask, so answer from what the node knows, without a store call.
    async fn ready(&self) -> Readiness;

    /// Which program this is.
    fn version(&self) -> VersionInfo;
}
