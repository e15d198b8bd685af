//! Flows: what a logical unit does in stages, each of actors side by side.
//!
//! `definition` reads `flows/<name>.yaml` and says what is wrong with it, `runner` runs it, `points` writes down what has
//! finished, and each actor is a file of `actors`.

mod actor;
mod actors;
mod bounded_json;
mod condition;
mod definition;
mod expression;
mod points;
mod runner;
mod scope;
mod sql;
mod tools;
mod validator;

pub(crate) use runner::FlowRunner;
pub(crate) use tools::Tools;
pub(crate) use validator::FlowValidator;

/// The actors of flows with their inputs and outputs, as a table in Markdown.
pub fn actors_markdown() -> String {
    actors::markdown()
}

#[cfg(test)]
mod tests;
