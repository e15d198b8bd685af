//! Flows on a real node that is killed between two stages.

use std::path::Path;
use std::time::Duration;

use anyhow::ensure;
use weft::example::{Options, materialise};
use weft_tests::cluster::{Dev, Node, until};

const LIMIT: Duration = Duration::from_secs(30);

/// The first stage cannot be done twice, the second one waits for a job, the third one says that it was there.
const FLOW: &str = "\
stages:
  - name: first
    actors:
      - {name: once, actor: FileWrite, inputs: {path: first, content: done, replace: false}}
  - name: second
    actors:
      - {name: begun, actor: FileWrite, inputs: {path: second, content: '${once.bytes}'}}
      - {name: gate, actor: JobWait, inputs: {type: BROADWAY_JOB, name: AUTODATA_DELTA.models, uid: gate}}
  - name: third
    actors:
      - {name: done, actor: FileWrite, inputs: {path: third, content: done, replace: false}}
outputs: {first: '${once.bytes}', gate: '${gate.status}'}
";

async fn start(folder: &Path) -> anyhow::Result<Node> {
    let roots = format!("jobs.FILE_ROOTS={}", folder.join("files").display());
    // One slot: the flow lends it while it waits.
    let more = ["--set", &roots, "--set", "jobs.K2JOBS_POOL_SIZE=1"];
    Dev::start_with(folder, 10, &more).await
}

async fn until_there(file: &Path) -> anyhow::Result<()> {
    until("the file is there", LIMIT, async || {
        Ok(file.exists().then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finished_stage_is_not_repeated_after_kill_9() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let files = folder.path().join("files");
    std::fs::create_dir(&files)?;
    let project = folder.path().join("project");
    let options = Options {
        ids: 10,
        ..Options::default()
    };
    materialise(&project, options)?;
    let flow = project.join("logical_units/AUTODATA_DELTA/flows/gated.yaml");
    std::fs::write(flow, FLOW)?;

    let dev = start(folder.path()).await?;
    dev.run(&format!("DEPLOY '{}';", project.display())).await?;
    dev.run(
        "STARTJOB BROADWAY_JOB NAME='AUTODATA_DELTA.models' UID='gate' ARGS='{\"limit\":1}' EXEC_INTERVAL='0 0 1 1 *';",
    )
    .await?;
    dev.run("STARTJOB BROADWAY_JOB NAME='AUTODATA_DELTA.gated' UID='g';")
        .await?;
    until_there(&files.join("second")).await?;
    dev.kill()?;
    ensure!(
        !files.join("third").exists(),
        "it was killed between stages"
    );
    std::fs::remove_file(files.join("second"))?;

    let dev = start(folder.path()).await?;
    // The second stage runs again, with what the first one gave.
    until_there(&files.join("second")).await?;
    ensure!(std::fs::read_to_string(files.join("second"))? == "4");
    dev.run("STOPJOB BROADWAY_JOB NAME='AUTODATA_DELTA.models' UID='gate';")
        .await?;
    let history = "JOBHISTORY BROADWAY_JOB 'AUTODATA_DELTA.gated' WITH UID='g';";
    let answer = until("the flow has ended", LIMIT, async || {
        let answer = dev.run(history).await?;
        // The newest first; the last is that of the killed process.
        Ok((answer.column("Status").len() == 2).then_some(answer))
    })
    .await?;
    let cell = |column: &str| answer.column(column).into_iter().next().unwrap_or_default();
    ensure!(
        cell("Status") == "PROCESSED",
        "{} {}",
        cell("Status"),
        cell("Error")
    );
    ensure!(
        cell("Output") == r#"[{"first":4,"gate":"TERMINATED"}]"#,
        "{}",
        cell("Output")
    );
    ensure!(files.join("third").exists());
    Ok(())
}
