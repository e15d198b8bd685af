//! Errors, hints and notices, to stderr. Every line reads well without colour.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

static NO_COLOR: AtomicBool = AtomicBool::new(false);
static QUIET: AtomicBool = AtomicBool::new(false);

/// Prints without colour from now on.
pub fn disable_color() {
    NO_COLOR.store(true, Ordering::Relaxed);
}

/// Prints no more notices; errors are still printed.
pub fn silence_notices() {
    QUIET.store(true, Ordering::Relaxed);
}

/// Whether notices are silenced.
pub fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Whether stderr may have colour.
pub fn has_color() -> bool {
    !NO_COLOR.load(Ordering::Relaxed)
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
        && io::stderr().is_terminal()
}

/// Prints an error. A message may start with `error:` already.
pub fn error(message: &str) {
    let message = message.strip_prefix("error: ").unwrap_or(message);
    labelled("error", "31", message);
}

/// Prints a next step.
pub fn hint(message: &str) {
    labelled("hint", "36", message);
}

/// Prints a warning.
pub fn warning(message: &str) {
    labelled("warning", "33", message);
}

/// Prints a message for people, unless notices are silenced.
pub fn notice(message: &str) {
    if !is_quiet() {
        line(message);
    }
}

/// Prints a line as it is.
pub fn line(message: &str) {
    // Without stderr there is no place left to report an error.
    let _ = writeln!(io::stderr().lock(), "{message}");
}

fn labelled(label: &str, color: &str, message: &str) {
    if has_color() {
        line(&format!("\x1b[1;{color}m{label}:\x1b[0m {message}"));
    } else {
        line(&format!("{label}: {message}"));
    }
}
