//! The HTTP API of Weft: statements, batches, jobs, nodes and health, with its OpenAPI document.
//!
//! It knows no store: whatever it answers comes from an [`Api`], which the binary implements with the engine.
//! Everything but `/livez`, `/readyz` and `/version` needs the token (`Authorization: Bearer …`), `/metrics` and
//! the OpenAPI document included. Beside the token of the node there are those of runs, see [`RunTokens`].

mod api;
mod batches;
mod bind;
mod complete;
mod convert;
mod extract;
mod health;
mod job_changes;
mod job_runs;
mod jobs;
mod metrics;
mod mirror;
mod moment;
mod nodes;
mod openapi;
mod problem;
mod request;
mod run_tokens;
mod security;
mod server;
mod statements;
mod token;

pub use api::{Api, ApiError, ApiResult, Principal, StatementRun};
pub use batches::{
    BatchDetail, BatchItem, BatchPage, BatchStatusName, BatchSummary, BatchesQuery, EntitiesQuery,
    EntityItem, EntityPage, EntitySort, EntityStatusName, StatusFilter, SummaryLevel, SummaryRow,
};
pub use bind::{BindRefused, check_bind};
pub use complete::{Candidate, CompleteQuery, Completion, TextRange};
pub use health::{Readiness, VersionInfo};
pub use job_changes::{ChangeJob, JobStart, JobUpdate, PolicyChange, StartedJob};
pub use job_runs::{RunId, RunItem, RunPage, RunsQuery};
pub use jobs::{JobCounts, JobItem, JobPage, JobPolicyItem, JobStatusName, JobsQuery, NextRunName};
pub use metrics::{MetricsError, install_metrics};
pub use moment::Moment;
pub use nodes::{NodeItem, NodeList};
pub use openapi::document;
pub use problem::{Code, FieldError, Problem};
pub use run_tokens::{RunToken, RunTokens};
pub use security::AllowedHost;
pub use server::{Options, serve};
pub use statements::{
    MAX_STATEMENT_BYTES, StatementEnd, StatementFrame, StatementRequest, StatementSession,
};
pub use token::{LocalToken, Secret, TokenError};
