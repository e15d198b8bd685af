//! The HTTP API of Weft: statements, batches, jobs, nodes and health, with its OpenAPI document.
//!
//! Handlers call the statement layer of the node that a [`Backend`] holds and touch no store. Every call but `/livez`,
//! `/readyz` and `/version` needs a token (`Authorization: Bearer …`), `/metrics` and the OpenAPI document included:
//! the token of the node, or the token of a run, see [`RunTokens`].

mod app;
mod backend;
mod batches;
mod bind;
mod complete;
mod cursor;
mod entities;
mod extract;
mod health;
mod host;
mod job_changes;
mod job_runs;
mod jobs;
mod json_column;
mod metrics;
mod mirror;
mod moment;
mod nodes;
mod openapi;
mod options;
mod output;
mod policy;
mod problem;
mod request;
mod run_tokens;
mod security;
mod server;
mod statements;
mod summary;
mod token;

pub use backend::Backend;
pub use bind::{BindRefused, check_bind};
pub use host::AllowedHost;
pub use metrics::{MetricsError, install_metrics};
pub use openapi::document;
pub use options::Options;
pub use run_tokens::{RunToken, RunTokens};
pub use server::serve;
pub use token::{LocalToken, TokenError};
