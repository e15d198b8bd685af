//! stdout: the only place that writes to it, and only data.

use std::io::{self, Write};

/// Writes data; a reader that has gone ends the process quietly, as it does for any filter.
pub fn data(text: &str) {
    if text.is_empty() {
        return;
    }
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    if let Err(error) = written {
        if error.kind() == io::ErrorKind::BrokenPipe {
            std::process::exit(0);
        }
        super::stderr::error(&format!("cannot write to stdout: {error}"));
        std::process::exit(1);
    }
}

/// Writes a line of data.
pub fn line(text: &str) {
    data(&format!("{text}\n"));
}

/// The columns of the terminal that stdout is; none where it is no terminal.
pub fn columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}
