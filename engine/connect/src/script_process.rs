//! What all processes of scripts have in common: their environment, their output, and how their end is described.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::time::timeout;
use weft_project::interface::Environment;

use crate::capture::Capture;
use crate::group::signal_name;

/// How long to wait for output after the script has ended, once before and once after its children are killed. A process
/// outside the group may hold the pipe open forever.
const DRAIN_GRACE: Duration = Duration::from_millis(250);
const READ_BYTES: usize = 64 * 1024;
/// PATH of scripts, after the folder of this program.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The variables that scripts inherit from the node.
const INHERITED: [&str; 4] = ["HOME", "LANG", "TZ", "TMPDIR"];

/// The output of a script, read from a pipe.
pub(crate) struct Output {
    /// None after all writers have closed it.
    pipe: Option<pipe::Receiver>,
    buffer: Vec<u8>,
    capture: Capture,
}

impl Output {
    /// Reads from this pipe.
    pub(crate) fn of(pipe: io::PipeReader) -> io::Result<Self> {
        Ok(Self {
            pipe: Some(pipe::Receiver::from_owned_fd(pipe.into())?),
            buffer: vec![0; READ_BYTES],
            capture: Capture::default(),
        })
    }

    /// Whether there may be more to read.
    pub(crate) fn is_open(&self) -> bool {
        self.pipe.is_some()
    }

    /// What was read and kept.
    pub(crate) fn text(&self) -> String {
        self.capture.text()
    }

    /// Reads what is there, or waits for it.
    pub(crate) async fn read(&mut self) {
        let Some(pipe) = &mut self.pipe else { return };
        match pipe.read(&mut self.buffer).await {
            Ok(count) if count > 0 => self.capture.push(&self.buffer[..count]),
            Ok(_) | Err(_) => self.pipe = None,
        }
    }

    /// Reads until all writers have closed the pipe, but not longer than [`DRAIN_GRACE`].
    pub(crate) async fn drain(&mut self) {
        let all = async {
            while self.pipe.is_some() {
                self.read().await;
            }
        };
        // A process that writes later gets a broken pipe.
        let _ = timeout(DRAIN_GRACE, all).await;
    }
}

/// The variables of every script: PATH, and those that it inherits from the node.
pub(crate) fn variables_of_all(environment: &Environment) -> Vec<(&'static str, String)> {
    let mut variables = vec![("PATH", path(std::env::current_exe().ok().as_deref()))];
    let inherited = |name| environment.get(name).map(|value| (name, value));
    variables.extend(INHERITED.into_iter().filter_map(inherited));
    variables
}

/// A sentence about the end of the script with this label.
pub(crate) fn how_it_ended(label: &str, status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("{label} ended with exit code {code}"),
        (None, Some(number)) => {
            let name = signal_name(number).map(|name| format!(" ({name})"));
            let name = name.unwrap_or_default();
            format!("{label} was ended by signal {number}{name}")
        }
        (None, None) => format!("{label} ended with {status}"),
    }
}

/// PATH of a script. The folder of this program comes first, so that `weft` in a script is the same program.
fn path(program: Option<&Path>) -> String {
    let folder = program.and_then(Path::parent).and_then(Path::to_str);
    match folder.filter(|folder| !folder.is_empty() && !folder.contains(':')) {
        Some(folder) => format!("{folder}:{PATH}"),
        None => PATH.to_owned(),
    }
}

/// Why a script was not started.
pub(crate) fn why_not_started(error: &io::Error) -> String {
    match error
        .raw_os_error()
        .map(rustix::io::Errno::from_raw_os_error)
    {
        Some(rustix::io::Errno::NOENT) => {
            "the interpreter in its first line does not exist on this node".to_owned()
        }
        Some(rustix::io::Errno::NOEXEC) => {
            "it is not a program, and its first line does not begin with #!".to_owned()
        }
        Some(rustix::io::Errno::TOOBIG) => "its arguments are too long".to_owned(),
        Some(_) | None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_is_found_first() {
        let check = |program: Option<&str>, expected: &str| {
            assert_eq!(path(program.map(Path::new)), expected);
        };
        check(Some("/opt/weft/bin/weft"), &format!("/opt/weft/bin:{PATH}"));
        check(Some("/a:b/weft"), PATH);
        check(Some("weft"), PATH);
        check(None, PATH);
    }
}
