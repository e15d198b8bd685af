//! One node: its lives, what it owns, what it starts.

pub mod affinity;
mod config;
mod context;
mod heartbeat;
mod life;
mod membership;
mod observer;
mod running;
mod trust;
mod wake;

pub use config::NodeConfig;
pub use context::Context;
pub use heartbeat::Heartbeat;
pub use life::Life;
pub use membership::{Member, Membership, holder_of};
pub use running::{Node, NodeError, NodeHandle};
pub use trust::Trust;
pub use wake::Wake;
