//! PROCESS: runs a script of the deployed project (Fabric R103, R104).

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rustix::process::Signal;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::debug;
use weft_model::Job;
use weft_node::job::{DefinitionError, FailureKind, JobKind, Run, RunEnd, RunFailure, RunOutput};
use weft_project::interface::Environment;

use crate::arguments;
use crate::call_back::{CallBack, Grant};
use crate::capture::last_line;
use crate::deployed::{DeployedProject, must_be_deployed, wait_until_readable};
use crate::group::ProcessGroup;
use crate::script::Script;
use crate::script_process::{Output, how_it_ended, variables_of_all, why_not_started};
use crate::work_folder::WorkFolders;

/// The time between SIGTERM and SIGKILL. The runner drops a run 5 s after it requested a stop; this is shorter, so that
/// the output of the script is kept.
const TERM_GRACE: Duration = Duration::from_secs(4);
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
            let message = format!(
                "{} cannot be started: {}",
                script.label,
                why_not_started(&error)
            );
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
        let output = Output::of(output).map_err(cannot_start)?;
        debug!(job.uid = run.job.key.uid, "Started {}", script.label);
        Ok(Running {
            group,
            output,
            label: script.label,
            _grant: grant,
        })
    }

    fn variables(&self, run: &Run) -> Vec<(&'static str, String)> {
        let job = &run.job;
        let mut variables = variables_of_all(&self.environment);
        variables.extend([
            ("WEFT_IDEMPOTENCY_KEY", run.idempotency_key().to_string()),
            ("WEFT_FENCE", job.fence.to_string()),
            ("WEFT_JOB_TYPE", job.key.job_type.clone()),
            ("WEFT_JOB_NAME", job.key.name.clone()),
            ("WEFT_JOB_UID", job.key.uid.clone()),
            ("WEFT_ATTEMPT", run.attempt().to_string()),
        ]);
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
        let text = self.output.text();
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
                () = self.output.read(), if self.output.is_open() => (),
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

fn end_of(label: &str, status: ExitStatus, text: String) -> RunEnd {
    if status.success() {
        return RunEnd::Succeeded(output(text, status.code()));
    }
    let exception_type = match status.signal() {
        Some(_) => "Signal",
        None => "ExitCode",
    };
    let mut message = how_it_ended(label, status);
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

#[cfg(test)]
mod tests {
    use super::*;

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
