//! STARTJOB and its family: start, stop, restart, resume and update jobs; their status and their history.

pub(super) mod apply;
mod arguments;
pub(crate) mod change;
mod draft;
mod followers;
pub(crate) mod history;
mod patch;
pub(crate) mod removal;
pub(super) mod running;
pub(crate) mod start;
pub(crate) mod status;
mod target;
pub(crate) mod typed;

pub use change::{JobChange, UpdateJob};
pub use draft::JobDraft;
pub use patch::Patch;
pub(crate) use target::JobTarget;
pub(super) use target::{CHANGED, changed_row};
