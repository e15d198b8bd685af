//! A node in its own process, and its answers.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::{LOGICAL_UNIT, until};

const TOKEN: &str = "the-token-of-the-cluster-tests";
const START_LIMIT: Duration = Duration::from_secs(60);

/// The path of the binary under test: `WEFT_BIN`, or the one that cargo built beside these tests.
pub(super) fn binary() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("WEFT_BIN") {
        return Ok(path.into());
    }
    let own = std::env::current_exe()?;
    let path = own
        .parent()
        .and_then(Path::parent)
        .context("this test lies in target/PROFILE/deps")?
        .join("weft");
    ensure!(
        path.exists(),
        "there is no {}: cargo build -p weft makes it, WEFT_BIN names another one",
        path.display()
    );
    Ok(path)
}

/// A command of a binary that runs in `folder`, without the environment of the test.
fn command(binary: &Path, folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(binary);
    command
        .args(args)
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .stdin(Stdio::null());
    command
}

/// Runs the binary and waits until it exits.
///
/// # Errors
/// The exit code is not 0.
pub fn weft(folder: &Path, args: &[&str]) -> anyhow::Result<()> {
    weft_of(&binary()?, folder, args)
}

/// Runs a binary and waits until it exits.
pub(super) fn weft_of(binary: &Path, folder: &Path, args: &[&str]) -> anyhow::Result<()> {
    let output = command(binary, folder, args).output()?;
    ensure!(
        output.status.success(),
        "weft {args:?} ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// The table that a statement returned.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    columns: Vec<String>,
    rows: Vec<Vec<Value>>,
}

impl Answer {
    /// The cells of a column as text, row by row.
    ///
    /// # Panics
    /// If the table has no such column.
    pub fn column(&self, name: &str) -> Vec<String> {
        let found = self.columns.iter().position(|column| column == name);
        let index = found.unwrap_or_else(|| panic!("no column {name} among {:?}", self.columns));
        self.rows.iter().map(|row| text(&row[index])).collect()
    }

    /// The cell of `column` in the first row whose `key` is `value`; empty if there is no such row.
    pub fn cell(&self, key: &str, value: &str, column: &str) -> String {
        let keys = self.column(key);
        let row = keys.iter().position(|found| found == value);
        row.map_or_else(String::new, |row| self.column(column).swap_remove(row))
    }

    /// All rows as one text, for searching.
    pub fn text(&self) -> String {
        format!("{:?}", self.rows)
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The Cluster row of BATCH_SUMMARY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The status of the batch.
    pub status: String,
    /// The number of entities; 0 until it is known.
    pub total: u64,
    /// Entities that succeeded so far.
    pub succeeded: u64,
    /// Entities that failed so far.
    pub failed: u64,
}

/// A node in its own process, which is killed on drop.
#[derive(Debug)]
pub struct Node {
    child: Child,
    url: String,
    token: String,
    /// The node id.
    pub id: String,
    log: PathBuf,
    http: reqwest::Client,
}

impl Node {
    /// Starts a binary in this folder; `name` is its data folder.
    pub(super) async fn start(
        binary: &Path,
        folder: &Path,
        name: &str,
        args: &[&str],
    ) -> anyhow::Result<Self> {
        Self::launch(command(binary, folder, args), folder, name, Some(TOKEN)).await
    }

    async fn launch(
        mut command: Command,
        folder: &Path,
        name: &str,
        token: Option<&str>,
    ) -> anyhow::Result<Self> {
        let log = folder.join(format!("{name}.log"));
        keep_earlier_log(&log)?;
        if let Some(token) = token {
            command.env("WEFT_TOKEN", token);
        }
        let child = command
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log)?)
            .spawn()?;
        // From here on, dropping the node ends the process.
        let mut node = Self {
            child,
            url: String::new(),
            token: String::new(),
            id: String::new(),
            log,
            http: reqwest::Client::new(),
        };
        let deadline = Instant::now() + START_LIMIT;
        while node.url.is_empty() {
            let said = std::fs::read_to_string(&node.log)?;
            let listening = said
                .lines()
                .find_map(|line| line.strip_prefix("Listening on "));
            node.url = listening.unwrap_or_default().trim().to_owned();
            if let Some(status) = node.child.try_wait()? {
                bail!("{name} ended with {status}: {said}");
            }
            ensure!(Instant::now() < deadline, "{name} does not listen: {said}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let data = folder.join(name);
        node.id = node_id(&data)?;
        node.token = match token {
            Some(token) => token.to_owned(),
            None => std::fs::read_to_string(data.join("token"))?
                .trim()
                .to_owned(),
        };
        node.until_ready().await?;
        Ok(node)
    }

    /// Waits until `/readyz` reports that the node is ready.
    ///
    /// # Errors
    /// The node is not ready within a minute.
    pub async fn until_ready(&self) -> anyhow::Result<()> {
        until("a node is ready", START_LIMIT, async || {
            Ok(self.is_ready().await.then_some(()))
        })
        .await
        .with_context(|| self.said())
    }

    /// Whether `/readyz` reports that the node is ready.
    pub async fn is_ready(&self) -> bool {
        let answer = self.http.get(format!("{}/readyz", self.url)).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// The last 40 lines of the node's log.
    pub fn said(&self) -> String {
        let said = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = said.lines().collect();
        let tail = lines[lines.len().saturating_sub(40)..].join("\n");
        format!("the log of {} ends with\n{tail}", self.id)
    }

    /// Runs a statement and waits for its end.
    ///
    /// # Errors
    /// The node does not answer, or the statement fails.
    pub async fn run(&self, statement: &str) -> anyhow::Result<Answer> {
        let sent = self
            .http
            .post(format!("{}/api/v1/statements", self.url))
            .bearer_auth(&self.token)
            .json(&json!({ "statement": statement }))
            .timeout(Duration::from_secs(120))
            .send()
            .await?;
        let body = sent.text().await?;
        let mut answer = Answer::default();
        for line in body.lines() {
            let frame: Value = serde_json::from_str(line).with_context(|| body.clone())?;
            match frame["frame"].as_str() {
                Some("columns") => {
                    answer.columns = serde_json::from_value(frame["columns"].clone())?
                }
                Some("row") => answer
                    .rows
                    .push(serde_json::from_value(frame["row"].clone())?),
                Some("end") => {
                    ensure!(frame["status"] == "ok", "{statement} failed: {frame}");
                    return Ok(answer);
                }
                _ => (),
            }
        }
        bail!("{statement} was not answered to its end: {body}")
    }

    /// Submits a batch with ASYNC and returns its id.
    ///
    /// # Errors
    /// The node rejects the batch.
    pub async fn submit(&self, statement: &str) -> anyhow::Result<String> {
        let answer = self.run(statement).await?;
        let id = answer.column("Batch id").pop();
        id.context("a batch has an id")
    }

    /// Submits a batch over the first `count` ids of the example and returns its id.
    ///
    /// # Errors
    /// The node rejects the batch.
    pub async fn submit_first(&self, count: usize, command: &str) -> anyhow::Result<String> {
        self.submit(&format!(
            "BATCH {LOGICAL_UNIT} FROM idsFile USING ('select id from ids limit {count}') \
             FABRIC_COMMAND=\"{command}\" with ASYNC='true';"
        ))
        .await
    }

    /// Reads the Cluster row of BATCH_SUMMARY.
    ///
    /// # Errors
    /// The node does not answer.
    pub async fn summary(&self, batch: &str) -> anyhow::Result<Summary> {
        let answer = self.run(&format!("BATCH_SUMMARY '{batch}';")).await?;
        let number = |column| {
            answer
                .cell("Level", "Cluster", column)
                .replace(',', "")
                .parse()
                .unwrap_or_default()
        };
        Ok(Summary {
            status: answer.cell("Level", "Cluster", "Status"),
            total: number("Total"),
            succeeded: number("Succeeded"),
            failed: number("Failed"),
        })
    }

    /// The number of entities that succeeded on this node, according to the node `asked`.
    ///
    /// # Errors
    /// The node does not answer.
    pub async fn share(&self, batch: &str, asked: &Self) -> anyhow::Result<u64> {
        let answer = asked.run(&format!("BATCH_SUMMARY '{batch}';")).await?;
        let share = answer.cell("Name", &self.id, "Succeeded");
        Ok(share.replace(',', "").parse().unwrap_or_default())
    }

    /// Waits until `count` entities have succeeded while the batch still runs.
    ///
    /// # Errors
    /// They do not succeed within a minute, or the batch is already DONE.
    pub async fn until_succeeded(&self, batch: &str, count: u64) -> anyhow::Result<Summary> {
        let summary = until(
            "part of a batch is done",
            Duration::from_secs(60),
            async || {
                let summary = self.summary(batch).await?;
                Ok((summary.succeeded >= count).then_some(summary))
            },
        )
        .await?;
        ensure!(summary.status != "DONE", "too fast to disturb: {summary:?}");
        Ok(summary)
    }

    /// Waits for the end of a batch.
    ///
    /// # Errors
    /// The batch does not end within `limit`.
    pub async fn until_ended(&self, batch: &str, limit: Duration) -> anyhow::Result<Summary> {
        let ended = until("a batch ends", limit, async || {
            let summary = self.summary(batch).await?;
            let is_over = ["DONE", "FAILED", "CANCELLED"].contains(&summary.status.as_str());
            Ok(is_over.then_some(summary))
        })
        .await;
        match ended {
            Ok(summary) => Ok(summary),
            Err(error) => {
                let last = self.summary(batch).await;
                Err(error.context(format!("{last:?}, {}", self.said())))
            }
        }
    }

    /// Reads a column of JOBSTATUS for the job of a batch.
    ///
    /// # Errors
    /// The node does not answer.
    pub async fn job(&self, batch: &str, column: &str) -> anyhow::Result<String> {
        let statement =
            format!("JOBSTATUS 'BATCH PROCESS' 'BATCH_{LOGICAL_UNIT}' with UID='{batch}';");
        Ok(self.run(&statement).await?.cell("UID", batch, column))
    }

    /// Waits until the job of a batch has this status.
    ///
    /// # Errors
    /// The job does not have it within 30 s.
    pub async fn until_job(&self, batch: &str, status: &str) -> anyhow::Result<()> {
        until(
            &format!("the job of {batch} is {status}"),
            Duration::from_secs(30),
            async || Ok((self.job(batch, "Status").await? == status).then_some(())),
        )
        .await
    }

    /// Reads the id and status of each entity of a batch.
    ///
    /// # Errors
    /// The node does not answer.
    pub async fn details(&self, batch: &str) -> anyhow::Result<Vec<(String, String)>> {
        let statement = format!("BATCH_DETAILS '{batch}' LIMIT=-1;");
        let answer = self.run(&statement).await?;
        let statuses = answer.column("Status");
        Ok(answer
            .column("Entity ID")
            .into_iter()
            .zip(statuses)
            .collect())
    }

    /// The sum of a counter over all labels that contain `filter`.
    ///
    /// # Errors
    /// The node does not answer.
    pub async fn counter(&self, name: &str, filter: &str) -> anyhow::Result<u64> {
        let sent = self
            .http
            .get(format!("{}/metrics", self.url))
            .bearer_auth(&self.token)
            .send()
            .await?;
        let body = sent.error_for_status()?.text().await?;
        let lines = body
            .lines()
            .filter(|line| line.starts_with(name) && line.contains(filter));
        let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        Ok(values.sum())
    }

    /// Sends a signal to the process.
    ///
    /// # Errors
    /// The process has already exited.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    /// Sends SIGTERM and waits until the process has exited; returns how long that took.
    ///
    /// # Errors
    /// It does not exit within `limit`, or with another code than 0.
    pub async fn terminate(mut self, limit: Duration) -> anyhow::Result<Duration> {
        let begin = Instant::now();
        self.signal(Signal::TERM)?;
        loop {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "it ended with {status}: {}", self.said());
                return Ok(begin.elapsed());
            }
            ensure!(begin.elapsed() < limit, "SIGTERM: {}", self.said());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Sends SIGKILL and waits for the end of the process.
    ///
    /// # Errors
    /// The process had already exited.
    pub fn kill(mut self) -> anyhow::Result<()> {
        ensure!(self.child.try_wait()?.is_none(), "it ran: {}", self.said());
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // The process may already have exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Renames the log of an earlier process, so that nothing is read from it as if this one had written it.
fn keep_earlier_log(log: &Path) -> anyhow::Result<()> {
    if log.exists() {
        let number = (1..).find(|number| !log.with_extension(format!("log.{number}")).exists());
        let number = number.context("there is always another number")?;
        std::fs::rename(log, log.with_extension(format!("log.{number}")))?;
    }
    Ok(())
}

fn node_id(data: &Path) -> anyhow::Result<String> {
    let file = std::fs::read_to_string(data.join("node.id"))?;
    let id = file.lines().find_map(|line| line.strip_prefix("uuid:"));
    Ok(id.context("node.id names the node")?.trim().to_owned())
}

/// Starts `weft dev`.
#[derive(Debug)]
pub struct Dev;

impl Dev {
    /// Starts it in the subfolder `dev`, with `ids` ids in the example project.
    ///
    /// # Errors
    /// The node exits, or is not ready in time.
    pub async fn start(folder: &Path, ids: usize) -> anyhow::Result<Node> {
        Self::start_with(folder, ids, &[]).await
    }

    /// Like [`Dev::start`], with more arguments.
    ///
    /// # Errors
    /// The node exits, or is not ready in time.
    pub async fn start_with(folder: &Path, ids: usize, more: &[&str]) -> anyhow::Result<Node> {
        let ids = ids.to_string();
        let args = ["dev", "--dir", "dev", "--port", "0", "--ids", &ids];
        let command = command(&binary()?, folder, &[&args[..], more].concat());
        Node::launch(command, folder, "dev", None).await
    }
}
