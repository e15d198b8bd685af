//! A process with everything it starts: one process group that ends as a whole.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::signal::unix::{self, SignalKind};
use tracing::debug;

use crate::work_folder::WorkFolder;

/// While another process is just being started it may hold a new script open for writing for a moment.
const BUSY_ATTEMPTS: usize = 20;
const BUSY_PAUSE: Duration = Duration::from_millis(10);
/// How long the end of a run waits until its folder has been removed.
const REMOVAL_PATIENCE: Duration = Duration::from_millis(250);

/// A running process group in a folder of its own. Dropped, all of it is killed and the folder removed.
///
/// A process that leaves the group on purpose (`setsid`) is not reached.
#[derive(Debug)]
pub(crate) struct Group {
    leader: Pid,
    /// None once it has ended in order.
    parts: Option<(Child, WorkFolder)>,
    children: unix::Signal,
}

impl Group {
    /// Starts `command` as the leader of a new group, in `folder`.
    pub(crate) async fn start(mut command: Command, folder: WorkFolder) -> io::Result<Self> {
        // Before the start, so that no end is missed.
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

    /// Sends a signal to all of it.
    pub(crate) fn signal(&self, signal: Signal) {
        if self.parts.is_some() {
            send(self.leader, signal);
        }
    }

    /// Resolves when the leader has ended. It is left as it is until [`end`](Self::end), so that its number cannot
    /// become somebody else's while there is still something to kill by it.
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
                    "nothing tells about the end of processes any more",
                ));
            }
        }
    }

    /// Takes the end of a leader that has ended; what is left of the group is killed, and the folder goes.
    pub(crate) async fn end(mut self) -> io::Result<ExitStatus> {
        self.signal(Signal::KILL);
        let Some((mut child, folder)) = self.parts.take() else {
            return Err(io::Error::other("the process has been waited for already"));
        };
        // At once: the leader has ended.
        let status = child.wait();
        // Whoever looks after the run shall find nothing of it, unless there is very much to remove.
        let _ = tokio::time::timeout(REMOVAL_PATIENCE, folder.remove_after(|| ())).await;
        status
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        if let Some((mut child, folder)) = self.parts.take() {
            // Waited for on the thread of the removal: what was killed still takes a moment to go.
            folder.remove_after(move || {
                let _ = child.wait();
            });
        }
    }
}

fn send(group: Pid, signal: Signal) {
    match kill_process_group(group, signal) {
        // Everybody may have gone already.
        Ok(()) | Err(rustix::io::Errno::SRCH) => (),
        Err(error) => debug!("Cannot send {signal:?} to process group {group:?}: {error}"),
    }
}

/// The name of a signal that ends processes, e.g. `SIGKILL`; none for the others.
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
