//! stderr: errors, hints, notices. Every line reads well without colour.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

static NO_COLOR: AtomicBool = AtomicBool::new(false);
static QUIET: AtomicBool = AtomicBool::new(false);

/// No colour from now on.
pub fn disable_color() {
    NO_COLOR.store(true, Ordering::Relaxed);
}

/// No notices from now on; errors are still shown.
pub fn silence_notices() {
    QUIET.store(true, Ordering::Relaxed);
}

/// Whether notices are unwanted.
pub fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Whether stderr takes colour.
pub fn has_color() -> bool {
    !NO_COLOR.load(Ordering::Relaxed)
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
        && io::stderr().is_terminal()
}

/// Something went wrong. A text that starts with `error:` already keeps its own.
pub fn error(message: &str) {
    let message = message.strip_prefix("error: ").unwrap_or(message);
    labelled("error", "31", message);
}

/// What to do next.
pub fn hint(message: &str) {
    labelled("hint", "36", message);
}

/// Something that stops nothing and should be read.
pub fn warning(message: &str) {
    labelled("warning", "33", message);
}

/// Something a person should know; silent with `--quiet`.
pub fn notice(message: &str) {
    if !is_quiet() {
        line(message);
    }
}

/// A line as it is.
pub fn line(message: &str) {
    // Where stderr is gone there is nobody left to tell.
    let _ = writeln!(io::stderr().lock(), "{message}");
}

fn labelled(label: &str, color: &str, message: &str) {
    if has_color() {
        line(&format!("\x1b[1;{color}m{label}:\x1b[0m {message}"));
    } else {
        line(&format!("{label}: {message}"));
    }
}
