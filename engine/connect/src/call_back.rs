//! How a script may talk to the node that runs it: an address and a token for the time of its run.

use std::any::Any;
use std::fmt::Debug;

use weft_node::job::Run;
use weft_project::interface::Secret;

/// Lets runs call the node back.
pub trait CallBack: Debug + Send + Sync {
    /// What this run may call with; none where it may not.
    fn grant(&self, run: &Run) -> Option<Grant>;
}

/// The right of one run to call the node. It ends when this is dropped.
#[derive(Debug)]
pub struct Grant {
    /// The address of the node, as WEFT_SERVER has it.
    pub server: String,
    /// The token, as WEFT_TOKEN has it.
    pub token: Secret,
    /// Dropped with the grant; takes the token back.
    pub guard: Box<dyn Any + Send + Sync>,
}
