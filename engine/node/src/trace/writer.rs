//! The one thread that writes traces: whoever has an event to tell never waits for a disk.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use super::file::{self, TraceFile};
use super::{Event, Trace, TraceState};

/// What the thread is asked for, in this order.
#[derive(Debug)]
pub(super) enum Work {
    /// Looks for what an earlier process left.
    Earlier(Answer<Vec<Trace>>),
    /// Makes the file of a trace, with its first line.
    Open(Arc<Trace>, Value, Answer<()>),
    /// Writes an event into the file of a trace.
    Write(Arc<Trace>, Arc<Event>),
    /// Reads the last lines of a trace.
    Tail(Arc<Trace>, usize, Answer<Vec<Value>>),
    /// Deletes the file of a trace.
    Remove(Arc<Trace>, Answer<()>),
    /// Closes the files of traces that are not on any more.
    Close(Answer<()>),
}

type Answer<T> = oneshot::Sender<io::Result<T>>;

/// Starts the thread; it ends when nobody holds the sender any more.
pub(super) fn start(
    folder: PathBuf,
    most_bytes: u64,
    queue: usize,
) -> io::Result<mpsc::Sender<Work>> {
    let (sender, receiver) = mpsc::channel(queue);
    let writer = Writer {
        folder,
        most_bytes,
        files: BTreeMap::new(),
    };
    std::thread::Builder::new()
        .name("weft-traces".to_owned())
        .spawn(move || writer.run(receiver))?;
    Ok(sender)
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
            // Only then: a disk is asked once for whatever has come meanwhile.
            self.settle();
        }
    }

    /// Those who asked may have gone: nobody hears the answer then.
    fn carry_out(&mut self, work: Work) {
        match work {
            Work::Earlier(answer) => {
                let _ = answer.send(file::earlier(&self.folder));
            }
            Work::Open(trace, header, answer) => {
                let _ = answer.send(self.open(trace, &header));
            }
            Work::Write(trace, event) => self.write(&trace, &event),
            Work::Tail(trace, count, answer) => {
                self.settle();
                let _ = answer.send(file::tail(&trace.path, count));
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
                self.settle();
                let _ = answer.send(Ok(()));
            }
        }
    }

    fn open(&mut self, trace: Arc<Trace>, header: &Value) -> io::Result<()> {
        if !trace.is_on() {
            // Somebody removed it before it began.
            return Ok(());
        }
        let mut file = TraceFile::create(&trace.path, self.most_bytes)?;
        file.write(header)?;
        file.flush()?;
        trace.wrote_line();
        self.files.insert(trace.number, (trace, file));
        Ok(())
    }

    fn write(&mut self, trace: &Trace, event: &Event) {
        let Some((trace, file)) = self.files.get_mut(&trace.number) else {
            // It was turned off while the event was on its way.
            return;
        };
        // An event that was on its way when it became full.
        if trace.state() == TraceState::Full {
            return;
        }
        let written = match file.write(&event.to_json()) {
            Ok(true) => Ok(()),
            Ok(false) => {
                trace.end(TraceState::Full);
                file.write_last(&trace.full(event.time))
            }
            Err(error) => Err(error),
        };
        match written {
            Ok(()) => trace.wrote_line(),
            Err(error) => failed(trace, &error),
        }
    }

    /// What was written is there for readers, and what is not on is closed.
    fn settle(&mut self) {
        for (trace, file) in self.files.values_mut() {
            if let Err(error) = file.flush() {
                failed(trace, &error);
            }
        }
        self.files.retain(|_, (trace, _)| trace.is_on());
    }
}

fn failed(trace: &Trace, error: &io::Error) {
    if trace.end(TraceState::Failed) {
        let path = trace.path.display();
        warn!(error = %error, "Trace {} ends: {path} cannot be written: {error}", trace.number);
    }
}
