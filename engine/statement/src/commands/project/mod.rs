//! DEPLOY and LIST.

pub(crate) mod deploy;
mod deployment;
pub(crate) mod list;

pub use deployment::apply_deployment;
