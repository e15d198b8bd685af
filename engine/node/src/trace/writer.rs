//! The one thread that writes trace files, so that no caller waits for a disk.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use super::file::{self, TraceFile};
use super::line::{Event, full_line};
use super::{Trace, TraceError, TraceState};

/// The most events that wait to be written.
const QUEUE: usize = 1_024;

/// The work of the thread, done in the order of the requests.
#[derive(Debug)]
pub(super) enum Work {
    /// Finds the traces of earlier processes.
    Earlier(Answer<Vec<Trace>>),
    /// Creates the file of a trace with its first line.
    Open(Arc<Trace>, Value, Answer<()>),
    /// Writes an event into the file of a trace.
    Write(Arc<Trace>, Arc<Event>),
    /// Reads the last lines of a trace.
    Tail(Arc<Trace>, usize, Answer<Vec<Value>>),
    /// Deletes the file of a trace.
    Remove(Arc<Trace>, Answer<()>),
    /// Closes the files of traces that are no longer on.
    Close(Answer<()>),
}

pub(super) type Answer<T> = oneshot::Sender<io::Result<T>>;

/// Sends work to the thread, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct WriterHandle(mpsc::Sender<Work>);

impl WriterHandle {
    pub(super) fn start(folder: PathBuf, most_bytes: u64) -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let writer = Writer {
            folder,
            most_bytes,
            files: BTreeMap::new(),
        };
        std::thread::Builder::new()
            .name("weft-traces".to_owned())
            .spawn(move || writer.run(receiver))?;
        Ok(Self(sender))
    }

    /// Queues work without waiting; answers whether the queue had room.
    pub(super) fn offer(&self, work: Work) -> bool {
        self.0.try_send(work).is_ok()
    }

    /// Queues work and waits for its answer; `path` is the file or folder that it uses.
    pub(super) async fn ask<T>(
        &self,
        path: &Path,
        work: impl FnOnce(Answer<T>) -> Work,
    ) -> Result<T, TraceError> {
        let (sender, answer) = oneshot::channel();
        let sent = self.0.send(work(sender)).await;
        sent.map_err(|_| TraceError::Ended)?;
        let answer = answer.await.map_err(|_| TraceError::Ended)?;
        answer.map_err(|source| TraceError::file(path, source))
    }
}

struct Writer {
    folder: PathBuf,
    most_bytes: u64,
    files: BTreeMap<u64, (Arc<Trace>, TraceFile)>,
}

impl Writer {
    fn run(mut self, mut queue: mpsc::Receiver<Work>) {
        while let Some(work) = queue.blocking_recv() {
            self.carry_out(work);
            while let Ok(work) = queue.try_recv() {
                self.carry_out(work);
            }
            // Flushed once for all events that have come meanwhile.
            self.flush();
        }
    }

    /// A caller may no longer wait for its answer, so a failed send is ignored.
    fn carry_out(&mut self, work: Work) {
        match work {
            Work::Earlier(answer) => {
                let _ = answer.send(file::find_earlier(&self.folder));
            }
            Work::Open(trace, header, answer) => {
                let _ = answer.send(self.open(trace, &header));
            }
            Work::Write(trace, event) => self.write(&trace, &event),
            Work::Tail(trace, count, answer) => {
                self.flush();
                let _ = answer.send(file::read_tail(&trace.path, count));
            }
            Work::Remove(trace, answer) => {
                self.files.remove(&trace.number);
                let removed = std::fs::remove_file(&trace.path);
                let gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
                let _ = answer.send(match removed {
                    Err(error) if gone(&error) => Ok(()),
                    removed => removed,
                });
            }
            Work::Close(answer) => {
                self.flush();
                let _ = answer.send(Ok(()));
            }
        }
    }

    fn open(&mut self, trace: Arc<Trace>, header: &Value) -> io::Result<()> {
        if !trace.is_on() {
            // It was removed before it began.
            return Ok(());
        }
        let mut file = TraceFile::create(&trace.path, self.most_bytes)?;
        file.write(header)?;
        file.flush()?;
        trace.count_line();
        self.files.insert(trace.number, (trace, file));
        Ok(())
    }

    fn write(&mut self, trace: &Trace, event: &Event) {
        let Some((trace, file)) = self.files.get_mut(&trace.number) else {
            // It was turned off while the event was in the queue.
            return;
        };
        // The file became full while the event was in the queue.
        if trace.state() == TraceState::Full {
            return;
        }
        let written = match file.write(&event.to_json()) {
            Ok(true) => Ok(()),
            Ok(false) => {
                trace.end(TraceState::Full);
                file.write_last(&full_line(trace, event.time))
            }
            Err(error) => Err(error),
        };
        match written {
            Ok(()) => trace.count_line(),
            Err(error) => fail(trace, &error),
        }
    }

    /// Makes the written lines visible to readers, and closes the files of traces that are no longer on.
    fn flush(&mut self) {
        for (trace, file) in self.files.values_mut() {
            if let Err(error) = file.flush() {
                fail(trace, &error);
            }
        }
        self.files.retain(|_, (trace, _)| trace.is_on());
    }
}

fn fail(trace: &Trace, error: &io::Error) {
    if trace.end(TraceState::Failed) {
        let path = trace.path.display();
        warn!(error = %error, "Trace {} ends: {path} cannot be written: {error}", trace.number);
    }
}
