//! Where blocks go to: a part of a file beside it, or a server.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::sync::Arc;

use reqwest::Client;
use tracing::{info, warn};
use uuid::Uuid;
use weft_node::job::RunFailure;

use super::progress::Part;
use crate::files::{Files, Place};
use crate::http::{Call, Http};
use crate::on_thread::on_thread;

const THREAD: &str = "weft-republish-file";
/// What is read of an answer.
const ANSWER_BYTES: usize = 4 * 1024;

/// A file that is written beside its place and moved there at the end.
#[derive(Debug)]
pub(super) struct FileSink {
    place: Arc<Place>,
    file: Option<File>,
    part: Part,
}

impl FileSink {
    /// Opens the part that `known` says, cut to what counts of it, or an empty one of the name `fresh`, or `other` where
    /// somebody still writes that. Says whether it is gone on with.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) async fn open(
        files: &Files,
        path: &str,
        known: Option<Part>,
        fresh: Uuid,
        other: Uuid,
    ) -> Result<(Self, bool), RunFailure> {
        let (files, path) = (files.clone(), path.to_owned());
        let open = move || {
            let place = files.place(&path)?;
            place.check()?;
            if let Some(part) = known.filter(|part| part.file == path)
                && let Some(file) = taken_up(&place, &part)?
            {
                return Ok((place, file, part, true));
            }
            for name in [fresh, other] {
                let name = format!(".{}.weft-part", name.simple());
                if let Some(file) = place.part(&name)? {
                    file.set_len(0).map_err(|error| written(&path, &error))?;
                    let part = Part {
                        file: path,
                        name,
                        length: 0,
                    };
                    return Ok((place, file, part, false));
                }
            }
            Err(format!(
                "{path} cannot be written: another run still writes it"
            ))
        };
        let (place, file, part, is_gone_on) = blocking(open).await?;
        let sink = Self {
            place: Arc::new(place),
            file: Some(file),
            part,
        };
        Ok((sink, is_gone_on))
    }

    /// What stands in the part.
    pub(super) fn part(&self) -> Part {
        self.part.clone()
    }

    pub(super) async fn put(&mut self, lines: String) -> Result<(), RunFailure> {
        if lines.is_empty() {
            return Ok(());
        }
        let bytes = lines.len() as u64;
        self.with(move |file| file.write_all(lines.as_bytes()))
            .await?;
        self.part.length += bytes;
        Ok(())
    }

    /// What was put outlives the machine from now on.
    pub(super) async fn keep(&mut self) -> Result<(), RunFailure> {
        self.with(|file| file.sync_all()).await
    }

    /// The part takes its place.
    pub(super) async fn finish(self) -> Result<(), RunFailure> {
        let (place, name) = (self.place, self.part.name);
        if !blocking(move || place.finish(&name)).await? {
            let message = format!("{}: what was written of it is gone", self.part.file);
            return Err(RunFailure::new("File", message));
        }
        Ok(())
    }

    async fn with(
        &mut self,
        work: impl FnOnce(&mut File) -> std::io::Result<()> + Send + 'static,
    ) -> Result<(), RunFailure> {
        let path = self.part.file.clone();
        let Some(mut file) = self.file.take() else {
            let message = format!("{path} cannot be written: an earlier write broke off");
            return Err(RunFailure::new("File", message));
        };
        let worked = move || match work(&mut file) {
            Ok(()) => Ok(file),
            Err(error) => Err(written(&path, &error)),
        };
        self.file = Some(blocking(worked).await?);
        Ok(())
    }
}

/// Moves a part that an earlier try completed to its place, unless that try came so far. False where neither is there:
/// that try was on another machine, or somebody removed it.
pub(super) async fn finish(files: &Files, part: Part) -> Result<bool, RunFailure> {
    let files = files.clone();
    blocking(move || {
        let place = files.place(&part.file)?;
        Ok(place.finish(&part.name)? || place.has(part.length))
    })
    .await
}

/// Removes what an earlier run left beside its file. It is no reason to fail.
pub(super) async fn remove(files: &Files, part: Part) {
    let (files, file) = (files.clone(), part.file.clone());
    let removed = blocking(move || {
        let place = files.place(&part.file)?;
        // Who still writes it, writes into nothing from now on.
        place.remove(&part.name)
    });
    match removed.await {
        Ok(()) => info!("Removed what an earlier run had written of {file}"),
        Err(error) => warn!(
            "What an earlier run wrote of {file} stays: {}",
            error.message
        ),
    }
}

fn taken_up(place: &Place, part: &Part) -> Result<Option<File>, String> {
    let failed = |error: std::io::Error| written(&part.file, &error);
    let Some(mut file) = place.part(&part.name)? else {
        return Ok(None);
    };
    if file.metadata().map_err(failed)?.len() < part.length {
        return Ok(None);
    }
    file.set_len(part.length).map_err(failed)?;
    file.seek(SeekFrom::Start(part.length)).map_err(failed)?;
    Ok(Some(file))
}

fn written(path: &str, error: &std::io::Error) -> String {
    format!("{path} cannot be written: {error}")
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, RunFailure> {
    let done = on_thread(THREAD, work).await;
    done.map_err(|message| RunFailure::new("File", message))
}

/// A server that is called with one block after another.
#[derive(Debug)]
pub(super) struct HttpSink {
    call: Call,
    client: Client,
    run: Uuid,
    calls: u64,
}

impl HttpSink {
    /// Goes on behind `calls` calls of the run.
    ///
    /// # Errors
    /// There is no client.
    pub(super) fn open(call: Call, run: Uuid, calls: u64) -> Result<Self, RunFailure> {
        Ok(Self {
            client: call.client()?,
            call,
            run,
            calls,
        })
    }

    /// Calls that were answered.
    pub(super) fn calls(&self) -> u64 {
        self.calls
    }

    pub(super) async fn put(&mut self, http: &Http, lines: String) -> Result<(), RunFailure> {
        if lines.is_empty() {
            return Ok(());
        }
        let key = key(self.run, self.calls, &lines);
        self.call.say_lines(lines);
        let answer = http
            .send_by(&self.client, &self.call, key, ANSWER_BYTES)
            .await?;
        match answer.not_expected {
            Some(message) => Err(RunFailure::new("HttpStatus", message)),
            None => {
                self.calls += 1;
                Ok(())
            }
        }
    }
}

/// The same for the same lines at the same place of a run: a server that knows it has them. Instances that changed between
/// two tries are other lines, which it must not take for the first ones.
fn key(run: Uuid, call: u64, lines: &str) -> Uuid {
    let of_call = Uuid::new_v5(&run, &call.to_be_bytes());
    Uuid::new_v5(&of_call, lines.as_bytes())
}
