//! GET, SYNC_INSTANCE, SELECT and RELEASE: single instances, and those that the session has attached.

pub(crate) mod get;
mod name;
pub(crate) mod release;
pub(crate) mod select;
mod sync;
pub(crate) mod sync_instance;

pub(crate) use name::InstanceName;
