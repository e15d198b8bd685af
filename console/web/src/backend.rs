//! The node behind the server. The server listens before the node has a store, so the node arrives later.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use weft_node::NodeHandle;
use weft_statement::{EndStatus, Refusal, Statements};

/// The node that a server answers for, once there is one. Cheap to clone; clones share it.
#[derive(Clone, Debug)]
pub struct Backend(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    statements: OnceLock<Statements>,
    waiting_for: Mutex<String>,
}

impl Default for Backend {
    fn default() -> Self {
        Self(Arc::new(Inner {
            statements: OnceLock::new(),
            waiting_for: Mutex::new("the node is starting".to_owned()),
        }))
    }
}

impl Backend {
    /// Sets the reason that callers get while there is no node.
    pub fn set_waiting_for(&self, reason: &str) {
        reason.clone_into(&mut self.waiting_for());
    }

    /// Answers with `statements` from now on. A server has one node: later calls change nothing.
    pub fn serve(&self, statements: Statements) {
        let _ = self.0.statements.set(statements);
    }

    /// The statements of the node.
    ///
    /// # Errors
    /// There is no node yet.
    pub(crate) fn statements(&self) -> Result<&Statements, Refusal> {
        let statements = self.0.statements.get();
        statements.ok_or_else(|| Refusal::new(EndStatus::Unreachable, self.waiting_for().as_str()))
    }

    /// Why the node cannot take work; `None` while it can. Does not read the store, because the route needs no token.
    pub(crate) fn not_ready(&self) -> Option<String> {
        match self.0.statements.get() {
            Some(statements) => {
                let node = statements.services().nodes.own();
                node.and_then(NodeHandle::not_ready)
            }
            None => Some(self.waiting_for().clone()),
        }
    }

    fn waiting_for(&self) -> MutexGuard<'_, String> {
        let waiting_for = self.0.waiting_for.lock();
        waiting_for.unwrap_or_else(PoisonError::into_inner)
    }
}
