//! Flows: what a logical unit does in stages, each with actors that run side by side.
//!
//! `definition` reads and checks the files `flows/<name>.yaml`. `runner` finds a flow and `execution` runs it; `recovery`
//! saves its finished stages. `actor` is the interface that each file of `actors` implements.

mod actor;
mod actors;
mod bounded_json;
mod condition;
mod definition;
mod execution;
mod expression;
mod input;
mod recovery;
mod runner;
mod scope;
mod sql;
mod tools;
mod validator;
mod value;

pub use actors::actors_markdown;
pub(crate) use runner::FlowRunner;
pub(crate) use tools::Tools;
pub(crate) use validator::FlowValidator;

#[cfg(test)]
mod tests;
