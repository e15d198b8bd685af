//! PROCESS: a script of the deployed project (Fabric R103, R104).

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rustix::process::Signal;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;
use weft_engine::interface::Environment;
use weft_engine::job::{Check, FailureKind, JobKind, Run, RunEnd, RunFailure, RunOutput};
use weft_engine::model::Job;

use crate::capture::{Capture, last_line};
use crate::group::{Group, signal_name};
use crate::script::Script;
use crate::work_folder::WorkFolders;
use crate::{CallBack, DeployedProject, Grant, arguments, must_be_deployed};

/// Between the request to end and the end by force. The runner drops a run 5 s after it told it to stop; this is
/// earlier, so that what the script left behind is kept.
const TERM_GRACE: Duration = Duration::from_secs(4);
/// How long output is waited for after the script has ended, once before and once after its children are killed: a
/// process outside the group may hold the pipe for ever.
const DRAIN_GRACE: Duration = Duration::from_millis(250);
const READ_BYTES: usize = 64 * 1024;
/// Where commands of a script are looked for, behind the folder of this very program.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What a script gets from the environment of the node.
const INHERITED: [&str; 4] = ["HOME", "LANG", "TZ", "TMPDIR"];

/// Runs executable files of the folder `scripts/` of the deployed project.
#[derive(Debug)]
pub struct Process {
    projects: Arc<dyn DeployedProject>,
    folders: WorkFolders,
    environment: Environment,
    call_back: Arc<dyn CallBack>,
}

impl Process {
    pub(crate) fn new(
        projects: Arc<dyn DeployedProject>,
        folders: WorkFolders,
        environment: Environment,
        call_back: Arc<dyn CallBack>,
    ) -> Self {
        Self {
            projects,
            folders,
            environment,
            call_back,
        }
    }

    async fn script(&self, job: &Job) -> Result<Script, Check> {
        let folder = must_be_deployed(self.projects.folder().await)?;
        Script::find(&folder, &job.key.name)
    }

    async fn start(&self, run: &Run) -> Result<Running, RunFailure> {
        let not_as_defined = |check: Check| RunFailure::new("Script", check.message);
        let script = self.script(&run.job).await.map_err(not_as_defined)?;
        let arguments = arguments::positional(&run.job).map_err(not_as_defined)?;
        let cannot_start = |error: io::Error| {
            let message = format!("{} cannot be started: {}", script.label, reason(&error));
            RunFailure::new("Start", message)
        };
        let folder = self.folders.make().map_err(cannot_start)?;
        let (output, writer) = io::pipe().map_err(cannot_start)?;
        let grant = self.call_back.grant(run);
        let mut command = Command::new(&script.path);
        command
            .args(arguments)
            .env_clear()
            .envs(self.variables(run))
            .stdin(Stdio::null())
            .stdout(writer.try_clone().map_err(cannot_start)?)
            .stderr(writer);
        if let Some(grant) = &grant {
            command
                .env("WEFT_SERVER", &grant.server)
                .env("WEFT_TOKEN", grant.token.expose());
        }
        // The command and with it our own end for writing goes with the start.
        let group = Group::start(command, folder).await.map_err(cannot_start)?;
        let output = pipe::Receiver::from_owned_fd(output.into()).map_err(cannot_start)?;
        debug!(job.uid = run.job.key.uid, "Started {}", script.label);
        Ok(Running {
            group,
            output: Output {
                pipe: Some(output),
                buffer: vec![0; READ_BYTES],
                capture: Capture::default(),
            },
            label: script.label,
            _grant: grant,
        })
    }

    fn variables(&self, run: &Run) -> Vec<(&'static str, String)> {
        let job = &run.job;
        let mut variables = vec![
            ("PATH", path(std::env::current_exe().ok().as_deref())),
            ("WEFT_IDEMPOTENCY_KEY", run.idempotency_key().to_string()),
            ("WEFT_FENCE", job.fence.to_string()),
            ("WEFT_JOB_TYPE", job.key.job_type.clone()),
            ("WEFT_JOB_NAME", job.key.name.clone()),
            ("WEFT_JOB_UID", job.key.uid.clone()),
            ("WEFT_ATTEMPT", run.attempt().to_string()),
        ];
        let inherited = |name| self.environment.get(name).map(|value| (name, value));
        variables.extend(INHERITED.into_iter().filter_map(inherited));
        variables
    }
}

#[async_trait]
impl JobKind for Process {
    fn job_type(&self) -> &'static str {
        "PROCESS"
    }

    async fn check(&self, job: &Job) -> Result<(), Check> {
        arguments::positional(job)?;
        self.script(job).await.map(|_| ())
    }

    async fn run(&self, run: Run) -> RunEnd {
        if run.stop.is_cancelled() {
            return RunEnd::Failed(RunFailure::new(
                FailureKind::Stopped,
                "it was told to stop before it began",
            ));
        }
        match self.start(&run).await {
            Ok(running) => running.finish(&run.stop).await,
            Err(failure) => RunEnd::Failed(failure),
        }
    }
}

/// A script on its way. Dropped, it is killed with all it started, its folder is removed and its token taken back.
struct Running {
    group: Group,
    output: Output,
    label: String,
    _grant: Option<Grant>,
}

impl Running {
    async fn finish(mut self, stop: &CancellationToken) -> RunEnd {
        let watched = self.watch(stop).await;
        let was_killed = matches!(watched, Ok(Stopping::Killed));
        if !was_killed {
            // What still filters the output of the script (`exec > >(sed …)`) gets the time to write it.
            self.output.drain().await;
        }
        self.group.signal(Signal::KILL);
        self.output.drain().await;
        let ended = match watched {
            Ok(_) => self.group.end().await,
            Err(error) => Err(error),
        };
        let text = self.output.capture.text();
        match ended {
            Ok(status) => judge(&self.label, status, text),
            Err(error) => {
                let message = format!("the end of {} is not known: {error}", self.label);
                RunEnd::Failed(RunFailure {
                    output: output(text, None),
                    ..RunFailure::new("Start", message)
                })
            }
        }
    }

    /// Waits for the end of the script and takes in what it writes; asks it to end, and then makes it, when it shall
    /// stop.
    async fn watch(&mut self, stop: &CancellationToken) -> io::Result<Stopping> {
        let mut stopping = Stopping::No;
        loop {
            let kill_at = match stopping {
                Stopping::Asked(at) => at + TERM_GRACE,
                Stopping::No | Stopping::Killed => Instant::now(),
            };
            tokio::select! {
                biased;
                ended = self.group.leader_ended() => return ended.map(|()| stopping),
                () = stop.cancelled(), if matches!(stopping, Stopping::No) => {
                    self.group.signal(Signal::TERM);
                    stopping = Stopping::Asked(Instant::now());
                }
                () = sleep_until(kill_at), if matches!(stopping, Stopping::Asked(_)) => {
                    self.group.signal(Signal::KILL);
                    stopping = Stopping::Killed;
                }
                () = self.output.read(), if self.output.pipe.is_some() => (),
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Stopping {
    No,
    Asked(Instant),
    Killed,
}

/// What a script writes, to stdout and stderr alike, in the order in which it writes it.
struct Output {
    /// None where everybody who could write has closed it.
    pipe: Option<pipe::Receiver>,
    buffer: Vec<u8>,
    capture: Capture,
}

impl Output {
    async fn read(&mut self) {
        let Some(pipe) = &mut self.pipe else { return };
        match pipe.read(&mut self.buffer).await {
            Ok(count) if count > 0 => self.capture.push(&self.buffer[..count]),
            Ok(_) | Err(_) => self.pipe = None,
        }
    }

    /// Reads until everybody who could write has closed it, or for a moment.
    async fn drain(&mut self) {
        let all = async {
            while self.pipe.is_some() {
                self.read().await;
            }
        };
        // Whoever goes on writing does so into a closed pipe.
        let _ = timeout(DRAIN_GRACE, all).await;
    }
}

fn judge(label: &str, status: ExitStatus, text: String) -> RunEnd {
    if status.success() {
        return RunEnd::Succeeded(output(text, status.code()));
    }
    let (exception_type, mut message) = match (status.code(), status.signal()) {
        (Some(code), _) => ("ExitCode", format!("{label} ended with exit code {code}")),
        (None, Some(number)) => {
            let name = signal_name(number).map(|name| format!(" ({name})"));
            let name = name.unwrap_or_default();
            (
                "Signal",
                format!("{label} was ended by signal {number}{name}"),
            )
        }
        (None, None) => ("ExitCode", format!("{label} ended with {status}")),
    };
    if let Some(line) = last_line(&text) {
        message = format!("{message}: {line}");
    }
    RunEnd::Failed(RunFailure {
        output: output(text, status.code()),
        ..RunFailure::new(exception_type, message)
    })
}

fn output(text: String, exit_code: Option<i32>) -> RunOutput {
    RunOutput {
        text: Some(text).filter(|text| !text.is_empty()),
        exit_code,
    }
}

/// First the folder of this program, so that `weft` in a script is the one that runs it.
fn path(program: Option<&Path>) -> String {
    let folder = program.and_then(Path::parent).and_then(Path::to_str);
    match folder.filter(|folder| !folder.is_empty() && !folder.contains(':')) {
        Some(folder) => format!("{folder}:{PATH}"),
        None => PATH.to_owned(),
    }
}

fn reason(error: &io::Error) -> String {
    match error
        .raw_os_error()
        .map(rustix::io::Errno::from_raw_os_error)
    {
        Some(rustix::io::Errno::NOENT) => {
            "what its first line names is not on this node".to_owned()
        }
        Some(rustix::io::Errno::NOEXEC) => {
            "it is no program, and its first line does not begin with #!".to_owned()
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

    #[test]
    fn an_end_is_told_with_the_last_line() {
        let end = |raw: i32, text: &str| {
            judge("scripts/x.sh", ExitStatus::from_raw(raw), text.to_owned())
        };
        let check = |raw: i32, text: &str, exception: &str, message: &str| match end(raw, text) {
            RunEnd::Failed(failure) => {
                assert_eq!(
                    (failure.exception_type(), failure.message.as_str()),
                    (exception, message)
                );
            }
            RunEnd::Succeeded(output) => panic!("{output:?}"),
        };
        check(
            3 << 8,
            "a\nno such car\n\n",
            "ExitCode",
            "scripts/x.sh ended with exit code 3: no such car",
        );
        check(
            1 << 8,
            "",
            "ExitCode",
            "scripts/x.sh ended with exit code 1",
        );
        check(
            9,
            "",
            "Signal",
            "scripts/x.sh was ended by signal 9 (SIGKILL)",
        );
        check(
            15,
            "x",
            "Signal",
            "scripts/x.sh was ended by signal 15 (SIGTERM): x",
        );
        assert_eq!(
            end(0, ""),
            RunEnd::Succeeded(output(String::new(), Some(0)))
        );
    }
}
