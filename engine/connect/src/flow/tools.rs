//! The services that actors share.

use weft_node::flow::FlowFailure;
use weft_statement::{LateStatements, Statements};

use crate::files::Files;
use crate::http::Http;
use crate::javascript::JavaScript;

/// The services that actors share.
#[derive(Debug)]
pub(crate) struct Tools {
    pub statements: LateStatements,
    pub http: Http,
    pub java_script: JavaScript,
    pub files: Files,
}

impl Tools {
    /// The statements of the node.
    ///
    /// # Errors
    /// The node is starting or shutting down.
    pub(super) fn statements(&self) -> Result<Statements, FlowFailure> {
        let statements = self.statements.get();
        statements.map_err(|refusal| FlowFailure::new("Node", refusal.to_string()))
    }
}
