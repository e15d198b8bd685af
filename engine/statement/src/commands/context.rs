//! What commands work with.

use tokio_util::sync::CancellationToken;
use weft_model::Session;

use crate::inspect::Inspector;
use crate::output::Output;
use crate::services::Services;

/// What a statement is lowered with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lowering<'a> {
    pub(crate) session: &'a Session,
    pub(crate) services: &'a Services,
}

/// What a request is carried out with.
#[derive(Debug)]
pub(crate) struct Execution<'a> {
    pub(crate) services: &'a Services,
    /// The session, which the command may change.
    pub(crate) session: &'a mut Session,
    pub(crate) output: &'a Output,
    /// Cancelled when the caller stops waiting.
    pub(crate) stop: &'a CancellationToken,
}

impl Execution<'_> {
    /// Answers permitted queries.
    pub(crate) fn inspector(&self) -> Inspector {
        Inspector::new(self.services)
    }
}
