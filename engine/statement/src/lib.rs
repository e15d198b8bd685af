//! Statements: text in, frames out, by way of a request that somebody was permitted to make.

mod affinity;
mod arguments;
mod batch_schedule;
mod cancel;
mod coordinator;
mod deployment;
mod execute;
mod flow_request;
mod followers;
mod frame;
mod gate;
pub mod inspect;
mod instances;
mod job_calls;
mod job_draft;
mod job_removal;
mod jobs;
mod late;
mod lower;
mod migrate_job;
mod node_groups;
mod output;
mod permit;
mod project;
mod refusal;
mod request;
mod secret;
mod select;
mod services;
mod statements;
mod submit;
mod tables;
mod tasks;
mod traces;
mod values;
mod wait;

pub use affinity::AffinityList;
pub use batch_schedule::BatchSchedule;
pub use coordinator::Coordinator;
pub(crate) use coordinator::dc_of;
pub use deployment::apply_deployment;
pub use flow_request::{FlowRequest, RecoveryRequest, ResultStructure};
pub use frame::{End, EndStatus, Frame, Progress};
pub use job_calls::StartedJob;
pub use job_draft::{Ask, JobDraft, PolicyDraft};
pub use late::{Answer, AnswerLimits, LateStatements, Unanswered};
pub use lower::lower;
pub use migrate_job::Migrate;
pub use permit::{Access, LocalTokenPolicy, Operation, Permission, Permit, Policy, authorize};
pub use refusal::{Fault, Refusal};
pub use request::{
    CancelTarget, DeployRequest, GetRequest, InstanceName, JobChange, JobHistoryRequest, JobTarget,
    KillRequest, Request, SetRequest, StartJobRequest, SubmitRequest, TraceRequest, UpdateJob,
};
pub use secret::{MASK, is_secret};
pub use services::Services;
pub use statements::Statements;

#[cfg(test)]
mod tests;
