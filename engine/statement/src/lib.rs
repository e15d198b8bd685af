//! Statements: text in, frames out, by way of a request that the principal is permitted to make.
//!
//! The modules lie in layers; each uses only those in the groups above it.

mod affinity;
mod frame;
mod live_nodes;
mod secret;

mod output;
mod refusal;

mod permission;

mod services;

pub mod inspect;

mod commands;

mod request;

mod statements;

mod job_calls;
mod late;

mod kinds;

pub use affinity::AffinityList;
pub use commands::job::{JobChange, JobDraft, Patch};
pub use commands::project::apply_deployment;
pub use frame::{End, EndStatus, Frame, Progress};
pub use job_calls::StartedJob;
pub use kinds::{BatchSchedule, Coordinator, Migrate};
pub use late::{Answer, AnswerLimits, LateStatements, Unanswered};
pub use permission::{Access, LocalTokenPolicy, Operation, Permission, Permit, Policy, authorize};
pub use refusal::{Fault, Refusal};
pub use secret::is_secret;
pub use services::Services;
pub use statements::Statements;

#[cfg(test)]
mod tests;
