//! PROCESS: runs a script of the deployed project (Fabric R103, R104).

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
use weft_model::Job;
use weft_node::job::{DefinitionError, FailureKind, JobKind, Run, RunEnd, RunFailure, RunOutput};
use weft_project::interface::Environment;

use crate::arguments;
use crate::call_back::{CallBack, Grant};
use crate::capture::{Capture, last_line};
use crate::deployed::{DeployedProject, must_be_deployed, wait_until_readable};
use crate::group::{ProcessGroup, signal_name};
use crate::script::Script;
use crate::work_folder::WorkFolders;

/// The time between SIGTERM and SIGKILL. The runner drops a run 5 s after it requested a stop; this is shorter, so that
/// the output of the script is kept.
const TERM_GRACE: Duration = Duration::from_secs(4);
/// How long to wait for output after the script has ended, once before and once after its children are killed. A process
/// outside the group may hold the pipe open forever.
const DRAIN_GRACE: Duration = Duration::from_millis(250);
const READ_BYTES: usize = 64 * 1024;
/// PATH of scripts, after the folder of this program.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The variables that scripts inherit from the node.
const INHERITED: [&str; 4] = ["HOME", "LANG", "TZ", "TMPDIR"];

/// Runs scripts of the deployed project.
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

    async fn script(&self, job: &Job) -> Result<Script, DefinitionError> {
        let folder = must_be_deployed(self.projects.folder().await)?;
        Script::find(&folder, &job.key.name)
    }

    async fn start(&self, run: &Run) -> Result<Running, RunFailure> {
        let refused = |error: DefinitionError| RunFailure::new("Script", error.message);
        wait_until_readable(self.projects.as_ref(), &run.stop).await;
        let script = self.script(&run.job).await.map_err(refused)?;
        let arguments = arguments::positional(&run.job).map_err(refused)?;
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
        // Consumes the command, and with it the writing end of the pipe in this process.
        let group = ProcessGroup::start(command, folder)
            .await
            .map_err(cannot_start)?;
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

    async fn check(&self, job: &Job) -> Result<(), DefinitionError> {
        arguments::positional(job)?;
        self.script(job).await.map(drop)
    }

    async fn run(&self, run: Run) -> RunEnd {
        if run.stop.is_cancelled() {
            return RunEnd::Failed(RunFailure::new(
                FailureKind::Stopped,
                "it was stopped before it started",
            ));
        }
        match self.start(&run).await {
            Ok(running) => running.finish(&run.stop).await,
            Err(failure) => RunEnd::Failed(failure),
        }
    }
}

/// A running script. Dropping it kills its processes, removes its folder and revokes its token.
struct Running {
    group: ProcessGroup,
    output: Output,
    label: String,
    _grant: Option<Grant>,
}

impl Running {
    async fn finish(mut self, stop: &CancellationToken) -> RunEnd {
        let watched = self.watch(stop).await;
        let was_killed = matches!(watched, Ok(Stopping::Killed));
        if !was_killed {
            // Filters of the output (`exec > >(sed …)`) get time to write the rest.
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
            Ok(status) => end_of(&self.label, status, text),
            Err(error) => {
                let message = format!("the exit status of {} is unknown: {error}", self.label);
                RunEnd::Failed(RunFailure::new("Start", message).with_output(output(text, None)))
            }
        }
    }

    /// Captures output until the script ends. After a stop request it sends SIGTERM, then SIGKILL.
    async fn watch(&mut self, stop: &CancellationToken) -> io::Result<Stopping> {
        let mut stopping = Stopping::No;
        loop {
            let kill_at = match stopping {
                Stopping::Requested(at) => at + TERM_GRACE,
                Stopping::No | Stopping::Killed => Instant::now(),
            };
            tokio::select! {
                biased;
                ended = self.group.leader_ended() => return ended.map(|()| stopping),
                () = stop.cancelled(), if matches!(stopping, Stopping::No) => {
                    self.group.signal(Signal::TERM);
                    stopping = Stopping::Requested(Instant::now());
                }
                () = sleep_until(kill_at), if matches!(stopping, Stopping::Requested(_)) => {
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
    Requested(Instant),
    Killed,
}

/// The output of a script: stdout and stderr in the order written.
struct Output {
    /// None after all writers have closed it.
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

    /// Reads until all writers have closed the pipe, but not longer than [`DRAIN_GRACE`].
    async fn drain(&mut self) {
        let all = async {
            while self.pipe.is_some() {
                self.read().await;
            }
        };
        // A process that writes later gets a broken pipe.
        let _ = timeout(DRAIN_GRACE, all).await;
    }
}

fn end_of(label: &str, status: ExitStatus, text: String) -> RunEnd {
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
    let output = output(text, status.code());
    RunEnd::Failed(RunFailure::new(exception_type, message).with_output(output))
}

fn output(text: String, exit_code: Option<i32>) -> RunOutput {
    RunOutput {
        text: Some(text).filter(|text| !text.is_empty()),
        exit_code,
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

fn reason(error: &io::Error) -> String {
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

    #[test]
    fn a_failure_quotes_the_last_line() {
        let end = |raw: i32, text: &str| {
            end_of("scripts/x.sh", ExitStatus::from_raw(raw), text.to_owned())
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
