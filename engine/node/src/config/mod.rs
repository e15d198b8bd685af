//! Configuration: `config.ini` and `node.id` with Fabric's names, the environment and flags.
//!
//! A later source replaces values of an earlier one: defaults < config.ini < node.id < environment (`WEFT_SECTION__KEY`) <
//! flags. All problems are reported at once, and every effective value has its origin.

mod entry;
mod file;
mod ini_file;
mod keys;
mod load;
mod node_config;
mod node_id;
mod problem;
mod value;

#[cfg(test)]
mod tests;

pub use file::{NODE_ID_FILE, make_node_id, read_optional};
pub use keys::{KEYS, Key, UNUSED_KEYS, UnusedKey};
pub use load::{Effective, Flag, Loaded, SourceText, Sources, load};
pub use node_config::NodeConfig;
pub use problem::{Origin, Problem, Problems};
pub(crate) use value::is_name;
pub use value::{Kind, is_logical_id};
