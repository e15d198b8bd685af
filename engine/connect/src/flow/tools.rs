//! What actors share.

use weft_statement::{LateStatements, Statements};

use super::actor::ActorError;
use crate::files::Files;
use crate::http::Http;
use crate::javascript::JavaScript;

/// What actors reach out with.
#[derive(Debug)]
pub(crate) struct Tools {
    /// Runs statements.
    pub statements: LateStatements,
    /// Calls hosts that the node allows.
    pub http: Http,
    /// Runs functions.
    pub java_script: JavaScript,
    /// Reads and writes below folders that the node allows.
    pub files: Files,
}

impl Tools {
    /// What runs statements.
    ///
    /// # Errors
    /// The node does not serve yet, or no more.
    pub(super) fn serving(&self) -> Result<Statements, ActorError> {
        let statements = self.statements.get();
        statements.map_err(|refusal| ActorError::new("Node", refusal.to_string()))
    }
}
