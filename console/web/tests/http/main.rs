//! The HTTP API over real connections, with an engine that does what the test says.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod client;
mod document;
mod errors;
mod fake;
mod jobs;
mod lifecycle;
mod logs;
mod security;
mod statements;
