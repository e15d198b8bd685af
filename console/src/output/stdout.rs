//! Data, to stdout. No other module writes there.

use std::io::{self, Write};

/// Writes data. If the reader has gone, the process ends quietly, as filters do.
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

/// The width of the terminal in columns; `None` if stdout is not a terminal.
pub fn columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}
