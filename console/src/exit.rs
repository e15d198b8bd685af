//! Exit codes, and the one place that prints the error of a command.

use std::fmt;
use std::process::ExitCode;

use crate::output::stderr;

/// The command succeeded.
pub const OK: u8 = 0;
/// The command failed.
pub const FAILED: u8 = 1;
/// Wrong usage, or a text that cannot be read.
pub const USAGE: u8 = 2;
/// What was named does not exist.
pub const NOT_FOUND: u8 = 5;
/// Not allowed.
pub const NOT_ALLOWED: u8 = 6;
/// The node or the store cannot be reached.
pub const UNREACHABLE: u8 = 7;
/// `--timeout` was reached.
pub const TIMEOUT: u8 = 124;
/// Ctrl-C.
pub const INTERRUPTED: u8 = 130;

/// A failure with an exit code of its own and, where there is one, a next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    /// What failed; empty if it has been printed already.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure with this exit code.
    pub fn new(code: u8, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: None,
        }
    }

    /// Wrong usage.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(USAGE, message)
    }

    /// A failure whose message has been printed already.
    pub fn silent(code: u8) -> Self {
        Self::new(code, "")
    }

    /// The same failure with a next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Prints the error, if there is one, and answers the exit code.
pub fn report(result: anyhow::Result<u8>) -> ExitCode {
    let error = match result {
        Ok(code) => return ExitCode::from(code),
        Err(error) => error,
    };
    let failure = error.downcast_ref::<Failure>();
    if failure.is_none_or(|failure| !failure.message.is_empty()) {
        stderr::error(&format!("{error:#}"));
    }
    if let Some(hint) = failure.and_then(|failure| failure.hint.as_deref()) {
        stderr::hint(hint);
    }
    ExitCode::from(failure.map_or(FAILED, |failure| failure.code))
}
