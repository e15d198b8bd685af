//! What the weft command is made of and tests use.

pub mod example;
pub mod output;
