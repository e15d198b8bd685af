//! Statements: text in, frames out, by way of a request that somebody was permitted to make.

mod affinity;
mod arguments;
mod cancel;
mod execute;
mod frame;
mod gate;
mod instances;
mod lower;
mod output;
mod permit;
mod project;
mod refusal;
mod request;
mod secret;
mod select;
mod services;
mod session;
mod statements;
mod submit;
mod tables;
mod values;
mod wait;

pub use affinity::AffinityList;
pub use frame::{End, EndStatus, Frame, Progress};
pub use gate::command_key;
pub use lower::lower;
pub use permit::{
    Access, LocalTokenPolicy, Operation, Permission, Permit, Policy, Principal, authorize,
};
pub use refusal::Refusal;
pub use request::{CancelTarget, GetRequest, InstanceName, Request, SetRequest, SubmitRequest};
pub use secret::{MASK, is_secret};
pub use services::Services;
pub use session::Session;
pub use statements::Statements;

#[cfg(test)]
mod tests;
