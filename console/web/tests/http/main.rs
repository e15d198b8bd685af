//! The HTTP API over real connections, with a real statement layer on a store that can fail.

#![allow(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

mod client;
mod document;
mod errors;
mod jobs;
mod lifecycle;
mod logs;
mod security;
mod server;
mod statements;
