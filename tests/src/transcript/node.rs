//! The real binary: as a command that ends, or as a node that answers statements.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use weft_model::Session;
use weft_statement::Frame;

const LONGEST_START: Duration = Duration::from_secs(60);
const LONGEST_STATEMENT: Duration = Duration::from_secs(60);

/// The path of the binary under test: `WEFT_BIN`, or `weft` in the target folder of this test.
///
/// # Panics
/// If the file does not exist.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("WEFT_BIN") {
        return path.into();
    }
    let test = std::env::current_exe().expect("a test has a path");
    let folder = test
        .parent()
        .and_then(Path::parent)
        .expect("two folders up");
    let path = folder.join("weft");
    assert!(path.exists(), "no {}: cargo build -p weft", path.display());
    path
}

/// A command of the binary, without the environment of the test.
fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command
        .args(args)
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Runs the binary and waits until it exits.
///
/// # Errors
/// The binary does not start, or its exit code is not 0.
pub async fn weft(folder: &Path, args: &[&str]) -> anyhow::Result<Output> {
    let output = command(folder, args).output().await?;
    ensure!(
        output.status.success(),
        "weft {} failed: {}",
        args.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output)
}

/// A node in its own process, which is killed on drop.
#[derive(Debug)]
pub struct Node {
    child: Child,
    url: String,
    token: String,
    http: reqwest::Client,
    log: tokio::task::JoinHandle<String>,
}

impl Node {
    /// Starts a node in `folder` and waits until it listens.
    ///
    /// # Errors
    /// The node exits before it listens, or takes longer than a minute.
    pub async fn start(folder: &Path, store: &str, more: &[&str]) -> anyhow::Result<Self> {
        let args = [
            "node",
            "--store",
            store,
            "--data",
            "data",
            "--listen",
            "127.0.0.1:0",
        ];
        let mut child = command(folder, &[&args[..], more].concat())
            .stderr(Stdio::piped())
            .spawn()
            .context("the binary starts")?;
        let stderr = child.stderr.take().context("a pipe")?;
        let mut lines = BufReader::new(stderr).lines();
        let url = tokio::time::timeout(LONGEST_START, address(&mut lines))
            .await
            .context("the node does not start")??;
        let token = std::fs::read_to_string(folder.join("data/token"))?;
        let log = tokio::spawn(async move {
            let mut log = String::new();
            while let Ok(Some(line)) = lines.next_line().await {
                log.push_str(&line);
                log.push('\n');
            }
            log
        });
        Ok(Self {
            child,
            url,
            token: token.trim().to_owned(),
            http: reqwest::Client::builder().no_proxy().build()?,
            log,
        })
    }

    /// The URL of the node's HTTP API.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Runs a statement and returns the frames of its answer.
    ///
    /// # Errors
    /// The node does not answer, or answers with a problem instead of frames.
    pub async fn statement(
        &self,
        statement: &str,
        session: &Session,
    ) -> anyhow::Result<Vec<Frame>> {
        let response = self
            .http
            .post(format!("{}/api/v1/statements", self.url))
            .bearer_auth(&self.token)
            .header("accept", "application/x-ndjson")
            .json(&json!({ "statement": statement, "session": session }))
            .timeout(LONGEST_STATEMENT)
            .send()
            .await?;
        let status = response.status();
        let text = response.text().await?;
        ensure!(status.is_success(), "{status} for {statement}: {text}");
        text.lines()
            .map(|line| Frame::parse(line).with_context(|| line.to_owned()))
            .collect()
    }

    /// Sends SIGTERM, waits for the end of the node, and returns its log.
    ///
    /// # Errors
    /// The node has already exited, or does not exit within 20 s.
    pub async fn stop(mut self) -> anyhow::Result<String> {
        let pid = self.child.id().context("it has ended already")?.to_string();
        let sent = Command::new("kill").arg(&pid).status().await?;
        ensure!(sent.success(), "kill {pid} fails");
        let ended = tokio::time::timeout(Duration::from_secs(20), self.child.wait()).await;
        if ended.is_err() {
            self.child.kill().await?;
            bail!("the node does not end: {}", self.log.await?);
        }
        Ok(self.log.await?)
    }
}

async fn address(lines: &mut Lines<BufReader<ChildStderr>>) -> anyhow::Result<String> {
    let mut said = String::new();
    while let Some(line) = lines.next_line().await? {
        if let Some(url) = line.strip_prefix("Listening on ") {
            return Ok(url.trim().to_owned());
        }
        said.push_str(&line);
        said.push('\n');
    }
    bail!("it ended before it listened: {said}")
}
