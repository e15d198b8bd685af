//! PROCESS as the command of a batch: runs a script of the project once for each entity.

use std::io;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;

use async_trait::async_trait;
use rustix::process::Signal;
use serde_json::json;
use uuid::Uuid;
use weft_lang::Pattern;
use weft_node::job::OUTPUT_BYTES;
use weft_project::command::{
    ChunkContext, CommandError, EntityCommand, EntityOutcome, PreparedChunk, ScriptCommands,
};
use weft_project::interface::Environment;
use weft_store::Outage;

use crate::capture::last_lines;
use crate::group::ProcessGroup;
use crate::script::Script;
use crate::script_process::{Output, how_it_ended, variables_of_all, why_not_started};
use crate::work_folder::WorkFolders;

/// The most lines of stderr in the error of an entity.
const ERROR_LINES: usize = 5;

/// Makes commands of the scripts of a project.
#[derive(Debug)]
pub struct EntityScripts {
    folders: WorkFolders,
    environment: Environment,
}

impl EntityScripts {
    /// Scripts get their working folders below the folder `data`, and some variables of `environment`.
    pub fn new(data: &Path, environment: Environment) -> Self {
        Self {
            folders: WorkFolders::new(data),
            environment,
        }
    }
}

impl ScriptCommands for EntityScripts {
    fn bind(
        &self,
        project: &Path,
        script: &str,
        arguments: Vec<Pattern>,
    ) -> Result<Arc<dyn EntityCommand>, CommandError> {
        let script = Script::find(project, script).map_err(|error| match error.hint {
            Some(hint) => format!("{}; {hint}", error.message),
            None => error.message,
        })?;
        Ok(Arc::new(EntityScript(Arc::new(Bound {
            script,
            arguments,
            folders: self.folders.clone(),
            environment: self.environment.clone(),
        }))))
    }
}

/// A script and its arguments.
#[derive(Debug)]
struct Bound {
    script: Script,
    arguments: Vec<Pattern>,
    folders: WorkFolders,
    environment: Environment,
}

#[derive(Debug)]
struct EntityScript(Arc<Bound>);

#[async_trait]
impl EntityCommand for EntityScript {
    fn writes(&self) -> Option<&str> {
        None
    }

    async fn prepare(
        &self,
        context: &ChunkContext,
        _: &[String],
    ) -> Result<Box<dyn PreparedChunk>, Outage> {
        Ok(Box::new(PreparedScript {
            bound: Arc::clone(&self.0),
            context: context.clone(),
        }))
    }
}

/// A script for the entities of one chunk.
struct PreparedScript {
    bound: Arc<Bound>,
    context: ChunkContext,
}

#[async_trait]
impl PreparedChunk for PreparedScript {
    /// Dropping the future kills the processes of the script at once: when a batch is cancelled, an entity has taken too
    /// long or the node may no longer act, another node may run the same entity next.
    async fn run(&mut self, id: &str) -> EntityOutcome {
        let label = &self.bound.script.label;
        let running = match self.start(id).await {
            Ok(running) => running,
            Err(error) => {
                let reason = why_not_started(&error);
                return EntityOutcome::Failed(format!("{label} cannot be started: {reason}"));
            }
        };
        match running.finish().await {
            Ok((status, output, _)) if status.success() => EntityOutcome::Completed {
                result: result(output),
                instance: None,
            },
            Ok((status, _, errors)) => {
                let ended = how_it_ended(label, status);
                EntityOutcome::Failed(match last_lines(&errors, ERROR_LINES) {
                    Some(lines) => format!("{ended}: {lines}"),
                    None => ended,
                })
            }
            Err(error) => {
                EntityOutcome::Failed(format!("the exit status of {label} is unknown: {error}"))
            }
        }
    }
}

impl PreparedScript {
    async fn start(&self, id: &str) -> io::Result<Running> {
        let bound = &self.bound;
        let folder = bound.folders.make()?;
        let (output, output_writer) = io::pipe()?;
        let (errors, errors_writer) = io::pipe()?;
        let mut command = Command::new(&bound.script.path);
        command
            .args(bound.arguments.iter().map(|argument| argument.fill(id)))
            .env_clear()
            .envs(variables_of_all(&bound.environment))
            .envs(variables(&self.context, id))
            .stdin(Stdio::null())
            .stdout(output_writer)
            .stderr(errors_writer);
        // Consumes the command, and with it the writing ends of the pipes in this process.
        let group = ProcessGroup::start(command, folder).await?;
        Ok(Running {
            group,
            output: Output::of(output)?,
            errors: Output::of(errors)?,
        })
    }
}

fn variables(context: &ChunkContext, id: &str) -> [(&'static str, String); 4] {
    [
        ("WEFT_IDEMPOTENCY_KEY", idempotency_key(context, id)),
        ("WEFT_FENCE", context.fence.to_string()),
        ("WEFT_BATCH", context.batch.to_string()),
        ("WEFT_EXECUTION", context.execution_id.clone()),
    ]
}

/// The same for every try of an entity in one execution of a batch, on every node.
fn idempotency_key(context: &ChunkContext, id: &str) -> String {
    let name = format!("{}\n{id}", context.execution_id);
    Uuid::new_v5(&context.batch.0, name.as_bytes()).to_string()
}

/// A running script. Dropping it kills its processes and removes its folder.
struct Running {
    group: ProcessGroup,
    output: Output,
    errors: Output,
}

impl Running {
    /// The exit status, stdout and stderr. What the script leaves running in its group is killed.
    async fn finish(mut self) -> io::Result<(ExitStatus, String, String)> {
        loop {
            tokio::select! {
                biased;
                ended = self.group.leader_ended() => break ended?,
                () = self.output.read(), if self.output.is_open() => (),
                () = self.errors.read(), if self.errors.is_open() => (),
            }
        }
        self.group.signal(Signal::KILL);
        self.output.drain().await;
        self.errors.drain().await;
        let status = self.group.end().await?;
        Ok((status, self.output.text(), self.errors.text()))
    }
}

/// The result of an entity: what the script wrote, as JSON of at most [`OUTPUT_BYTES`].
fn result(mut output: String) -> String {
    if output.is_empty() {
        return "{}".to_owned();
    }
    loop {
        let text = json!({ "output": output }).to_string();
        if text.len() <= OUTPUT_BYTES {
            return text;
        }
        // Escaped characters take up to six bytes, so the length is found by trying.
        output.truncate(output.floor_char_boundary(output.len() / 4 * 3));
        output.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_always_json_of_a_bounded_length() {
        assert_eq!(result(String::new()), "{}");
        assert_eq!(result("a \"b\"".to_owned()), r#"{"output":"a \"b\""}"#);
        for text in ["\u{1}", "ä", "x"] {
            let long = result(text.repeat(OUTPUT_BYTES));
            assert!(long.len() <= OUTPUT_BYTES && long.ends_with("…\"}"));
            serde_json::from_str::<serde_json::Value>(&long).unwrap();
        }
    }
}
