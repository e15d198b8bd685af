//! Runs transcripts against a node and compares the output.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use weft::output::{Format, TableWriter};
use weft_model::Session;
use weft_statement::{EndStatus, Frame};

use super::bench::Bench;
use super::place::Place;
use super::redact::Redactor;
use super::script::{Action, Script};

const LONGEST_WAIT: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(100);

/// Runs all transcripts, or those whose path contains `WEFT_TRANSCRIPT`, and returns their number.
///
/// # Errors
/// The error lists every transcript whose output differs from its file.
pub async fn run_all(place: &dyn Place) -> anyhow::Result<usize> {
    let only = std::env::var("WEFT_TRANSCRIPT").unwrap_or_default();
    let is_update = std::env::var_os("UPDATE_TRANSCRIPTS").is_some();
    let mut failures = Vec::new();
    let files: Vec<_> = files()
        .into_iter()
        .filter(|file| file.to_string_lossy().contains(&only))
        .collect();
    for file in &files {
        let begun = Instant::now();
        let expected = std::fs::read_to_string(file).expect("the transcript can be read");
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        match run(place, &expected).await {
            Ok(found) if found == expected => (),
            Ok(found) if is_update => std::fs::write(file, found).expect("written"),
            Ok(found) => failures.push(format!("{name}:\n{}", difference(&expected, &found))),
            Err(error) => failures.push(format!("{name}: {error:#}")),
        }
        eprintln!(
            "{}: {name} in {:.1} s",
            place.name(),
            begun.elapsed().as_secs_f64()
        );
    }
    ensure!(!files.is_empty(), "there is no transcript `{only}`");
    ensure!(
        failures.is_empty(),
        "{} differs from what is written (UPDATE_TRANSCRIPTS=1 writes it anew)\n{}",
        place.name(),
        failures.join("\n\n")
    );
    Ok(files.len())
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("transcripts");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("there are transcripts")
        .map(|entry| entry.expect("it can be listed").path())
        .filter(|path| path.extension().is_some_and(|end| end == "txt"))
        .collect();
    files.sort();
    files
}

/// The first lines that differ, with four lines of context.
fn difference(expected: &str, found: &str) -> String {
    let expected: Vec<_> = expected.lines().collect();
    let found: Vec<_> = found.lines().collect();
    let is_same = |(one, other): &(&&str, &&str)| one == other;
    let same = expected.iter().zip(&found).take_while(is_same).count();
    let shown = |sign: &str, lines: &[&str]| {
        let lines = lines.iter().take(12);
        lines
            .map(|line| format!("{sign} {line}\n"))
            .collect::<String>()
    };
    let before = shown(" ", &expected[same.saturating_sub(4)..same]);
    before + &shown("-", &expected[same..]) + &shown("+", &found[same..])
}

/// The state of a transcript while it runs.
struct Stage<'a> {
    place: &'a dyn Place,
    bench: Bench,
    session: Session,
    redactor: Redactor,
}

/// Runs a transcript and returns it with the output of this store.
async fn run(place: &dyn Place, text: &str) -> anyhow::Result<String> {
    let mut script = Script::parse(text)?;
    let mut stage = Stage::set(place, &script).await?;
    let mut until = None;
    for step in &mut script.steps {
        let action = step.action()?;
        let printed = match action {
            Action::Statement(statement) => stage.statement(&statement, until.take()).await,
            Action::Silent(statement) => stage
                .statement(&statement, None)
                .await
                .map(|_| String::new()),
            Action::Until(text) => {
                until = Some(text);
                Ok(String::new())
            }
            Action::Garage(sql) => stage.garage(&sql),
            Action::Ids(ids) => stage.ids(&ids),
            Action::Arguments(batch) => stage.arguments(&batch).await,
            Action::Remark => Ok(String::new()),
        };
        // An error is the output of its step, so the difference also shows the steps after it.
        step.printed = printed.unwrap_or_else(|error| format!("[the step failed: {error:#}]"));
    }
    stage.bench.node.stop().await?;
    Ok(script.write())
}

impl<'a> Stage<'a> {
    async fn set(place: &'a dyn Place, script: &Script) -> anyhow::Result<Self> {
        let bench = Bench::set_with(place, script.ids, &script.node_ip, &script.settings).await?;
        let project = bench.project();
        Ok(Self {
            redactor: Redactor::new(&[
                (&project, "<project>"),
                (bench.folder(), "<folder>"),
                (Path::new(bench.node.url()), "<node>"),
            ]),
            session: Session::default(),
            bench,
            place,
        })
    }

    async fn statement(
        &mut self,
        statement: &str,
        until: Option<String>,
    ) -> anyhow::Result<String> {
        let statement = self.redactor.fill(statement)?;
        let deadline = Instant::now() + LONGEST_WAIT;
        loop {
            let frames = self.bench.node.statement(&statement, &self.session).await?;
            let mut redactor = self.redactor.clone();
            let printed = print(&frames, &mut redactor);
            if until.as_ref().is_none_or(|text| printed.contains(text)) {
                self.redactor = redactor;
                if let Some(Frame::End(end)) = frames.into_iter().last() {
                    self.session = end.session;
                }
                return Ok(printed);
            }
            if Instant::now() > deadline {
                bail!("{until:?} is not to be seen, but\n{printed}");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn garage(&self, sql: &str) -> anyhow::Result<String> {
        let file = self.bench.project().join("data/garage.sqlite");
        rusqlite::Connection::open(file)?.execute_batch(sql)?;
        Ok(String::new())
    }

    fn ids(&self, ids: &[String]) -> anyhow::Result<String> {
        let mut text = String::from("id\n");
        for id in ids {
            text.push_str(&format!("\"{}\"\n", id.replace('"', "\"\"")));
        }
        std::fs::write(self.bench.project().join("data/ids.csv"), text)?;
        Ok(String::new())
    }

    async fn arguments(&mut self, batch: &str) -> anyhow::Result<String> {
        let batch = self.redactor.fill(batch)?;
        let text = self.place.arguments(self.bench.folder(), &batch).await?;
        let arguments: Value = serde_json::from_str(&text)?;
        let object = arguments.as_object().context("arguments is an object")?;
        let mut lines: Vec<_> = object
            .iter()
            .map(|(name, value)| self.redactor.text(&format!("{name}: {value}")))
            .collect();
        lines.sort();
        Ok(lines.join("\n"))
    }
}

/// What the console writes for these frames: tables, notices, errors, and the exit code of a failure.
fn print(frames: &[Frame], redactor: &mut Redactor) -> String {
    let mut table = TableWriter::new(Format::Table, None);
    let mut printed = String::new();
    let mut names = Vec::new();
    for frame in frames {
        match frame {
            Frame::Columns { columns } => {
                names.clone_from(columns);
                printed.push_str(&table.columns(columns.clone()));
            }
            Frame::Row { row } => printed.push_str(&table.row(redactor.row(&names, row))),
            Frame::Notice { message } => {
                printed.push_str(&table.end());
                printed.push_str(&redactor.text(message));
                printed.push('\n');
            }
            // The console overwrites its progress bar.
            Frame::Progress(_) => (),
            Frame::End(end) => {
                printed.push_str(&table.end());
                if let Some(error) = &end.error {
                    let error = error.strip_prefix("error: ").unwrap_or(error);
                    printed.push_str(&format!("error: {}\n", redactor.text(error)));
                }
                if end.status != EndStatus::Ok {
                    printed.push_str(&format!("[exit {}]\n", end.status.exit_code()));
                }
            }
        }
    }
    // Many editors remove blanks at the end of a line.
    let lines: Vec<_> = printed.lines().map(str::trim_end).collect();
    lines.join("\n").trim_end_matches('\n').to_owned()
}
