//! BATCH and MIGRATE, and the commands that show and cancel batches.

mod arguments;
mod bind;
pub(crate) mod cancel;
pub(crate) mod definition;
pub(crate) mod details;
mod gate;
pub(crate) mod in_process;
pub(crate) mod info;
pub(crate) mod list;
pub(crate) mod submit;
pub(crate) mod summary;
mod wait;
