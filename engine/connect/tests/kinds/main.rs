//! Kinds of job with real scripts, processes and connections.

#![allow(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

mod bench;
mod deployed;
mod entity_script;
mod flows;
mod http;
mod listener;
mod process;
mod user_job;
