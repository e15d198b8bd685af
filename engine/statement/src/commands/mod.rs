//! The commands, a folder for each noun. Each command has its lowering (syntax tree → request), its access (what the request
//! needs) and its running (permitted request → frames) in one place.
//!
//! Everything that can be refused by the text, the session and the deployed project is refused in the lowering, before
//! anything is written.

pub(crate) mod batch;
pub(crate) mod cluster;
mod context;
pub(crate) mod flow;
pub(crate) mod instance;
pub(crate) mod job;
mod literal;
pub(crate) mod node_group;
pub(crate) mod project;
pub(crate) mod session;
pub(crate) mod task;
pub(crate) mod trace;

pub(crate) use context::{Execution, Lowering};
