//! The options of a server: its callers and its limits.

use std::time::Duration;

use weft_model::Principal;

use crate::host::AllowedHost;
use crate::run_tokens::RunTokens;
use crate::token::LocalToken;

/// The options of a server.
#[derive(Clone, Debug)]
pub struct Options {
    /// The token of the node.
    pub token: LocalToken,
    /// The principal of a caller with that token.
    pub principal: Principal,
    /// The tokens of runs, each with its own principal.
    pub run_tokens: RunTokens,
    /// Further names of this server, e.g. behind a proxy.
    pub allowed_hosts: Vec<AllowedHost>,
    /// The longest wait for the head of a request.
    pub header_timeout: Duration,
    /// The longest wait for the head of an answer; the frames of a statement may take longer.
    pub request_timeout: Duration,
    /// After this much silence an answer to a statement gets an empty line, so that a lost connection is noticed.
    pub heartbeat_interval: Duration,
    /// How long open requests may take once the shutdown has begun.
    pub shutdown_timeout: Duration,
    /// Connections at once; further ones wait.
    pub max_connections: usize,
    /// Statements at once; further ones are refused.
    pub max_statements: usize,
    /// Statements that only wait for their batch. They do not count among the statements at once.
    pub max_waiting: usize,
}

impl Options {
    /// The default limits.
    pub fn new(token: LocalToken, principal: Principal) -> Self {
        Self {
            token,
            principal,
            run_tokens: RunTokens::new(),
            allowed_hosts: Vec::new(),
            header_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            heartbeat_interval: Duration::from_secs(15),
            shutdown_timeout: Duration::from_secs(10),
            max_connections: 4_096,
            max_statements: 100,
            max_waiting: 1_000,
        }
    }
}
