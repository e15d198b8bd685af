//! The threads that read, each with a connection of its own.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};
use tracing::error;
use weft_store::{StoreError, StoreResult};

use super::connection;
use super::failure::{Failure, needs_reopening, store_error};
use super::names::Names;

/// Reads that may wait for a thread; further callers wait for a place.
const QUEUE: usize = 1_024;

/// What a read works with: one snapshot of the file.
pub(super) struct Reading<'r> {
    /// The connection, in a transaction.
    pub(super) connection: &'r Connection,
    /// The numbers of batches, nodes and logical units.
    pub(super) names: &'r mut Names,
}

type Request = Box<dyn FnOnce(Result<&mut Reading<'_>, StoreError>) -> bool + Send>;

/// The handle to the reader threads; ends them when dropped.
pub(super) struct Readers {
    queue: Option<mpsc::Sender<Request>>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    pub(super) fn start(path: &Path, count: usize) -> std::io::Result<Self> {
        let (queue, receiver) = mpsc::channel(QUEUE);
        let receiver = Arc::new(Mutex::new(receiver));
        let threads = (0..count.max(1))
            .map(|number| {
                let path = path.to_owned();
                let receiver = Arc::clone(&receiver);
                std::thread::Builder::new()
                    .name(format!("weft-sqlite-read{number}"))
                    .spawn(move || serve(&path, &receiver))
            })
            .collect::<std::io::Result<_>>()?;
        Ok(Self {
            queue: Some(queue),
            threads,
        })
    }

    /// Runs `work` on one snapshot of the file.
    pub(super) async fn read<T, W>(&self, work: W) -> StoreResult<T>
    where
        T: Send + 'static,
        W: FnOnce(&mut Reading<'_>) -> Result<T, Failure> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let request: Request = Box::new(move |reading| {
            let (answer, reopen) = match reading {
                Err(error) => (Err(error), true),
                Ok(reading) => match work(reading) {
                    Ok(found) => (Ok(found), false),
                    Err(failure) => {
                        let reopen =
                            matches!(&failure, Failure::Sqlite(error) if needs_reopening(error));
                        (Err(failure.into()), reopen)
                    }
                },
            };
            // A caller that has gone away needs no answer.
            let _ = reply.send(answer);
            reopen
        });
        let ended = || StoreError::Unavailable("the SQLite readers have ended".to_owned());
        match &self.queue {
            Some(queue) => queue.send(request).await.map_err(|_| ended())?,
            None => return Err(ended()),
        }
        answer.await.map_err(|_| ended())?
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.queue = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                error!("A SQLite reader thread ended in a panic");
            }
        }
    }
}

fn serve(path: &Path, receiver: &Mutex<mpsc::Receiver<Request>>) {
    let mut open: Option<Connection> = None;
    let mut names = Names::default();
    loop {
        // The lock is held while waiting, so the other threads take turns.
        let request = receiver
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .blocking_recv();
        let Some(request) = request else { return };
        if open.is_none() {
            match connection::reader(path) {
                Ok(connection) => open = Some(connection),
                Err(error) => {
                    request(Err(store_error(&error)));
                    continue;
                }
            }
        }
        let reopen = open
            .as_ref()
            .is_some_and(|connection| answer(connection, &mut names, request));
        if reopen {
            open = None;
            names.forget();
        }
    }
}

fn answer(connection: &Connection, names: &mut Names, request: Request) -> bool {
    let transaction = match connection.unchecked_transaction() {
        Ok(transaction) => transaction,
        Err(error) => return request(Err(store_error(&error))),
    };
    let reopen = request(Ok(&mut Reading { connection, names }));
    // Nothing was written: commit and rollback are the same, and an error shows at the next read.
    drop(transaction);
    reopen
}
