//! What the HTTP API asks, answered with the engine.

use std::sync::{Mutex, OnceLock, PoisonError};

use async_trait::async_trait;
use weft_model::{BatchId, JobKey};
use weft_statement::{self, End, EndStatus, Frame, JobDraft};
use weft_web::{
    Api, ApiError, ApiResult, BatchDetail, BatchPage, BatchSummary, BatchesQuery, ChangeJob,
    CompleteQuery, Completion, EntitiesQuery, EntityPage, JobItem, JobPage, JobsQuery, NodeList,
    Principal, Readiness, RunId, RunPage, StartedJob, StatementRun, VersionInfo,
};

use super::assemble::RunningNode;
use super::completion;
use super::jobs::Jobs;
use super::queries::Queries;

/// The API of this process; the node behind it may come later.
#[derive(Debug)]
pub struct NodeApi {
    node: OnceLock<RunningNode>,
    waiting_for: Mutex<String>,
}

impl NodeApi {
    /// An API without a node.
    pub fn new() -> Self {
        Self {
            node: OnceLock::new(),
            waiting_for: Mutex::new("the node is starting".to_owned()),
        }
    }

    /// Says why there is no node yet.
    pub fn waiting_for(&self, reason: &str) {
        let mut waiting = self
            .waiting_for
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        reason.clone_into(&mut waiting);
    }

    /// From now on this node answers.
    pub fn is_ready(&self, node: RunningNode) {
        // A door has one node for its whole life.
        let _ = self.node.set(node);
    }

    fn node(&self) -> ApiResult<&RunningNode> {
        self.node
            .get()
            .ok_or_else(|| ApiError::Unavailable(self.reason()))
    }

    fn queries(&self, principal: &Principal) -> ApiResult<Queries<'_>> {
        let node = self.node()?;
        let asking = engine_principal(principal);
        Ok(Queries::new(&node.statements, asking))
    }

    fn jobs_of(&self, principal: &Principal) -> ApiResult<Jobs<'_>> {
        let asking = engine_principal(principal);
        Ok(Jobs::new(&self.node()?.statements, asking))
    }

    fn reason(&self) -> String {
        self.waiting_for
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

#[async_trait]
impl Api for NodeApi {
    async fn run_statement(&self, principal: &Principal, run: StatementRun) {
        match self.node() {
            Ok(node) => {
                let asking = engine_principal(principal);
                node.statements
                    .run(&asking, &run.text, run.session, run.frames, run.stop)
                    .await;
            }
            Err(error) => {
                let end = End {
                    status: EndStatus::Unreachable,
                    error: Some(error.to_string()),
                    session: run.session,
                };
                // Whoever has gone needs no answer.
                let _ = run.frames.send(Frame::End(end)).await;
            }
        }
    }

    async fn batches(&self, principal: &Principal, query: BatchesQuery) -> ApiResult<BatchPage> {
        self.queries(principal)?.batches(query).await
    }

    async fn batch(&self, principal: &Principal, id: BatchId) -> ApiResult<BatchDetail> {
        self.queries(principal)?.batch(id).await
    }

    async fn batch_summary(&self, principal: &Principal, id: BatchId) -> ApiResult<BatchSummary> {
        self.queries(principal)?.summary(id).await
    }

    async fn batch_entities(
        &self,
        principal: &Principal,
        id: BatchId,
        query: EntitiesQuery,
    ) -> ApiResult<EntityPage> {
        self.queries(principal)?.entities(id, query).await
    }

    async fn jobs(&self, principal: &Principal, query: JobsQuery) -> ApiResult<JobPage> {
        self.jobs_of(principal)?.page(query).await
    }

    async fn job(&self, principal: &Principal, key: JobKey) -> ApiResult<JobItem> {
        self.jobs_of(principal)?.job(key).await
    }

    async fn job_runs(&self, principal: &Principal, key: JobKey, limit: u32) -> ApiResult<RunPage> {
        self.jobs_of(principal)?.runs(key, limit).await
    }

    async fn run_output(
        &self,
        principal: &Principal,
        key: JobKey,
        run: RunId,
    ) -> ApiResult<Option<String>> {
        self.jobs_of(principal)?.run_output(key, run).await
    }

    async fn start_job(
        &self,
        principal: &Principal,
        draft: JobDraft,
        key: Option<String>,
    ) -> ApiResult<StartedJob> {
        self.jobs_of(principal)?.start(&draft, key.as_deref()).await
    }

    async fn change_job(
        &self,
        principal: &Principal,
        key: JobKey,
        change: ChangeJob,
    ) -> ApiResult<JobItem> {
        self.jobs_of(principal)?.change(key, change).await
    }

    async fn remove_job(&self, principal: &Principal, key: JobKey) -> ApiResult<()> {
        self.jobs_of(principal)?.remove(key).await
    }

    async fn nodes(&self, principal: &Principal) -> ApiResult<NodeList> {
        self.queries(principal)?.nodes().await
    }

    async fn complete(&self, principal: &Principal, query: CompleteQuery) -> ApiResult<Completion> {
        let node = self.node()?;
        let asking = engine_principal(principal);
        Ok(completion::answer(&node.statements, &asking, query).await)
    }

    async fn ready(&self) -> Readiness {
        let reason = match self.node.get() {
            Some(node) => node.not_ready(),
            None => Some(self.reason()),
        };
        Readiness {
            ready: reason.is_none(),
            reasons: reason.into_iter().collect(),
        }
    }

    fn version(&self) -> VersionInfo {
        VersionInfo {
            name: "weft".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: option_env!("WEFT_COMMIT").map(str::to_owned),
        }
    }
}

fn engine_principal(principal: &Principal) -> weft_model::Principal {
    weft_model::Principal {
        name: principal.name.clone(),
    }
}
