//! Access of scripts to the node that runs them: an address, and a token that is valid during the run.

use std::any::Any;
use std::fmt::Debug;

use weft_node::job::Run;
use weft_project::interface::Secret;

/// Grants runs access to the node.
pub trait CallBack: Debug + Send + Sync {
    /// The access of a run; none if it has none.
    fn grant(&self, run: &Run) -> Option<Grant>;
}

/// The access of one run to the node. It ends when this is dropped.
#[derive(Debug)]
pub struct Grant {
    /// The address of the node, for WEFT_SERVER.
    pub server: String,
    /// The token, for WEFT_TOKEN.
    pub token: Secret,
    /// Revokes the token when it is dropped.
    pub guard: Box<dyn Any + Send + Sync>,
}
