//! A process group: a process and the processes it starts, which end together.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::signal::unix::{self, SignalKind};
use tracing::debug;

use crate::work_folder::WorkFolder;

/// A process that is being started elsewhere may hold a new script open for writing for a moment.
const BUSY_ATTEMPTS: usize = 20;
const BUSY_PAUSE: Duration = Duration::from_millis(10);
/// How long the end of a run waits for the removal of its folder.
const REMOVAL_TIMEOUT: Duration = Duration::from_millis(250);

/// A running process group with its own folder. Dropping it kills all processes and removes the folder.
///
/// Processes that leave the group (`setsid`) are not killed.
#[derive(Debug)]
pub(crate) struct ProcessGroup {
    leader: Pid,
    /// None after [`end`](Self::end).
    parts: Option<(Child, WorkFolder)>,
    children: unix::Signal,
}

impl ProcessGroup {
    /// Starts `command` as the leader of a new group, in `folder`.
    pub(crate) async fn start(mut command: Command, folder: WorkFolder) -> io::Result<Self> {
        // Registered before the start, so that no end is missed.
        let children = unix::signal(SignalKind::child())?;
        command.process_group(0).current_dir(folder.path());
        let mut attempts = 1..BUSY_ATTEMPTS;
        let child = loop {
            match command.spawn() {
                Err(error)
                    if error.kind() == io::ErrorKind::ExecutableFileBusy
                        && attempts.next().is_some() =>
                {
                    tokio::time::sleep(BUSY_PAUSE).await;
                }
                started => break started?,
            }
        };
        Ok(Self {
            leader: Pid::from_child(&child),
            parts: Some((child, folder)),
            children,
        })
    }

    /// Sends a signal to all processes.
    pub(crate) fn signal(&self, signal: Signal) {
        if self.parts.is_some() {
            send(self.leader, signal);
        }
    }

    /// Resolves when the leader has ended. It is not reaped before [`end`](Self::end), so its process id cannot be reused
    /// while the group may still be killed.
    pub(crate) async fn leader_ended(&mut self) -> io::Result<()> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        loop {
            match waitid(WaitId::Pid(self.leader), options) {
                Ok(Some(_)) => return Ok(()),
                Ok(None) | Err(rustix::io::Errno::INTR) => (),
                Err(error) => return Err(error.into()),
            }
            if self.children.recv().await.is_none() {
                return Err(io::Error::other(
                    "the runtime no longer reports the end of processes",
                ));
            }
        }
    }

    /// Reaps a leader that has ended, kills the rest of the group and removes the folder.
    pub(crate) async fn end(mut self) -> io::Result<ExitStatus> {
        self.signal(Signal::KILL);
        let Some((mut child, folder)) = self.parts.take() else {
            return Err(io::Error::other("the process was already reaped"));
        };
        // Does not block: the leader has ended.
        let status = child.wait();
        // The folder is gone after the run, unless it takes very long to remove.
        let _ = tokio::time::timeout(REMOVAL_TIMEOUT, folder.remove_after(|| ())).await;
        status
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        if let Some((mut child, folder)) = self.parts.take() {
            // Reaped on the thread of the removal: a killed process takes a moment to end.
            folder.remove_after(move || {
                let _ = child.wait();
            });
        }
    }
}

fn send(group: Pid, signal: Signal) {
    match kill_process_group(group, signal) {
        // All processes may have ended already.
        Ok(()) | Err(rustix::io::Errno::SRCH) => (),
        Err(error) => debug!("Cannot send {signal:?} to process group {group:?}: {error}"),
    }
}

/// The name of a signal that ends processes, e.g. `SIGKILL`; none for other signals.
pub(crate) fn signal_name(number: i32) -> Option<&'static str> {
    const NAMES: [(Signal, &str); 18] = [
        (Signal::HUP, "SIGHUP"),
        (Signal::INT, "SIGINT"),
        (Signal::QUIT, "SIGQUIT"),
        (Signal::ILL, "SIGILL"),
        (Signal::TRAP, "SIGTRAP"),
        (Signal::ABORT, "SIGABRT"),
        (Signal::BUS, "SIGBUS"),
        (Signal::FPE, "SIGFPE"),
        (Signal::KILL, "SIGKILL"),
        (Signal::USR1, "SIGUSR1"),
        (Signal::SEGV, "SIGSEGV"),
        (Signal::USR2, "SIGUSR2"),
        (Signal::PIPE, "SIGPIPE"),
        (Signal::ALARM, "SIGALRM"),
        (Signal::TERM, "SIGTERM"),
        (Signal::XCPU, "SIGXCPU"),
        (Signal::XFSZ, "SIGXFSZ"),
        (Signal::SYS, "SIGSYS"),
    ];
    let found = NAMES.iter().find(|(signal, _)| signal.as_raw() == number);
    found.map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_their_names() {
        for (number, name) in [
            (9, "SIGKILL"),
            (15, "SIGTERM"),
            (11, "SIGSEGV"),
            (1, "SIGHUP"),
        ] {
            assert_eq!(signal_name(number), Some(name));
        }
        assert_eq!(signal_name(64), None);
    }
}
