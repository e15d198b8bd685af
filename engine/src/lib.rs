//! The Weft engine: what jobs and batches are, how nodes share them, and how entities are handled.
//!
//! It knows no HTTP, no Cassandra driver and no terminal. What is durable is behind [`store::Store`], what is
//! outside behind [`source::Interface`] and [`command::EntityCommand`], time behind [`clock::Clock`], chance
//! behind [`ids::Ids`].

pub mod batch;
pub mod cleanup;
pub mod clock;
pub mod command;
pub mod config;
pub mod flow;
pub mod hash;
pub mod ids;
pub mod inspect;
pub mod interface;
pub mod job;
pub mod model;
pub mod node;
pub mod node_group;
pub mod project;
pub mod reconcile;
pub mod schedule;
pub mod scheduler;
pub mod source;
pub mod statement;
pub mod store;
pub mod sync;
pub mod tasks;
pub mod trace;
pub mod worker;
