//! The sinks of blocks: a file, or a server.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::sync::Arc;

use reqwest::Client;
use tracing::{info, warn};
use uuid::Uuid;
use weft_node::job::RunFailure;

use super::progress::PartialFile;
use crate::files::{FileLocation, Files};
use crate::http::{Call, Http};
use crate::on_thread::on_thread;

const THREAD: &str = "weft-republish-file";
/// The most bytes of an answer that are read.
const ANSWER_BYTES: usize = 4 * 1024;

/// Writes a partial file, which replaces the final file at the end.
#[derive(Debug)]
pub(super) struct FileSink {
    location: Arc<FileLocation>,
    /// None after a write has failed.
    file: Option<File>,
    part: PartialFile,
}

impl FileSink {
    /// Opens the partial file `known` and truncates it to the bytes that count. Without one it creates an empty partial
    /// file named after `fresh`, or after `other` if another process still writes that. Also returns whether `known` is
    /// continued.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) async fn open(
        files: &Files,
        path: &str,
        known: Option<PartialFile>,
        fresh: Uuid,
        other: Uuid,
    ) -> Result<(Self, bool), RunFailure> {
        let (files, path) = (files.clone(), path.to_owned());
        let open = move || {
            let location = files.locate(&path)?;
            location.check_writable()?;
            if let Some(part) = known.filter(|part| part.file == path)
                && let Some(file) = reopen(&location, &part)?
            {
                return Ok((location, file, part, true));
            }
            for name in [fresh, other] {
                let name = format!(".{}.weft-part", name.simple());
                if let Some(file) = location.open_part(&name)? {
                    file.set_len(0)
                        .map_err(|error| cannot_write(&path, &error))?;
                    let part = PartialFile {
                        file: path,
                        name,
                        length: 0,
                    };
                    return Ok((location, file, part, false));
                }
            }
            Err(format!(
                "{path} cannot be written: another run is still writing it"
            ))
        };
        let (location, file, part, is_continued) = blocking(open).await?;
        let sink = Self {
            location: Arc::new(location),
            file: Some(file),
            part,
        };
        Ok((sink, is_continued))
    }

    /// The partial file as written so far.
    pub(super) fn part(&self) -> PartialFile {
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

    /// Makes the written lines durable.
    pub(super) async fn sync(&mut self) -> Result<(), RunFailure> {
        self.with(|file| file.sync_all()).await
    }

    /// Replaces the final file.
    pub(super) async fn finish(self) -> Result<(), RunFailure> {
        let (location, name) = (self.location, self.part.name);
        if !blocking(move || location.finish_part(&name)).await? {
            let message = format!("{}: its partial file has been removed", self.part.file);
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
            let message = format!("{path} cannot be written: an earlier write failed");
            return Err(RunFailure::new("File", message));
        };
        let worked = move || match work(&mut file) {
            Ok(()) => Ok(file),
            Err(error) => Err(cannot_write(&path, &error)),
        };
        self.file = Some(blocking(worked).await?);
        Ok(())
    }
}

/// Replaces the final file by a complete partial file, unless the earlier try has done so. False if neither file exists:
/// the earlier try ran on another machine, or the file was removed.
pub(super) async fn finish(files: &Files, part: PartialFile) -> Result<bool, RunFailure> {
    let files = files.clone();
    blocking(move || {
        let location = files.locate(&part.file)?;
        Ok(location.finish_part(&part.name)? || location.has_length(part.length))
    })
    .await
}

/// Removes the partial file of an earlier run. A failure is only logged.
pub(super) async fn remove(files: &Files, part: PartialFile) {
    let (files, file) = (files.clone(), part.file.clone());
    let removed = blocking(move || {
        // A process that still writes the file writes into an unlinked one.
        files.locate(&part.file)?.remove_part(&part.name)
    });
    match removed.await {
        Ok(()) => info!("Removed the partial file of an earlier run for {file}"),
        Err(error) => warn!(
            "Cannot remove the partial file of an earlier run for {file}: {}",
            error.message
        ),
    }
}

/// Opens a partial file after the bytes that count; none if it is shorter, or if another process is writing it.
fn reopen(location: &FileLocation, part: &PartialFile) -> Result<Option<File>, String> {
    let failed = |error: std::io::Error| cannot_write(&part.file, &error);
    let Some(mut file) = location.open_part(&part.name)? else {
        return Ok(None);
    };
    if file.metadata().map_err(failed)?.len() < part.length {
        return Ok(None);
    }
    file.set_len(part.length).map_err(failed)?;
    file.seek(SeekFrom::Start(part.length)).map_err(failed)?;
    Ok(Some(file))
}

fn cannot_write(path: &str, error: &std::io::Error) -> String {
    format!("{path} cannot be written: {error}")
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, RunFailure> {
    let done = on_thread(THREAD, work).await;
    done.map_err(|message| RunFailure::new("File", message))
}

/// Sends each block to a server in one call.
#[derive(Debug)]
pub(super) struct HttpSink {
    call: Call,
    client: Client,
    run: Uuid,
    calls: u64,
}

impl HttpSink {
    /// Continues after `calls` successful calls of the run.
    ///
    /// # Errors
    /// The HTTP client cannot be made.
    pub(super) fn open(call: Call, run: Uuid, calls: u64) -> Result<Self, RunFailure> {
        Ok(Self {
            client: call.client()?,
            call,
            run,
            calls,
        })
    }

    /// The number of successful calls.
    pub(super) fn calls(&self) -> u64 {
        self.calls
    }

    pub(super) async fn put(&mut self, http: &Http, lines: String) -> Result<(), RunFailure> {
        if lines.is_empty() {
            return Ok(());
        }
        let key = idempotency_key(self.run, self.calls, &lines);
        self.call.set_lines(lines);
        let answer = http
            .send_by(&self.client, &self.call, key, ANSWER_BYTES)
            .await?;
        answer.check_status()?;
        self.calls += 1;
        Ok(())
    }
}

/// The idempotency key of a call. It depends on the lines, because instances may change between two tries, and the server
/// must not take the new lines for the old ones.
fn idempotency_key(run: Uuid, call: u64, lines: &str) -> Uuid {
    let of_call = Uuid::new_v5(&run, &call.to_be_bytes());
    Uuid::new_v5(&of_call, lines.as_bytes())
}
