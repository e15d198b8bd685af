//! One statement: sent, its frames shown, its end turned into an exit code.

use std::time::Duration;

use weft_engine::model::BatchId;
use weft_engine::statement::{End, Frame, Session};
use weft_lang::Statement;

use super::client::{Client, Frames};
use super::local::{self, Local};
use super::progress::Display;
use crate::exit::{Failure, INTERRUPTED, OK, TIMEOUT, UNREACHABLE, USAGE};
use crate::output::{Format, TableWriter, stderr, stdout};

const WRITE_AT: usize = 64 * 1024;

/// Runs statements one after another in one session.
#[derive(Debug)]
pub struct Runner {
    /// Stop waiting after this.
    pub timeout: Option<Duration>,
    /// Tables wider than this are turned.
    pub max_width: Option<usize>,
    /// A person sits in front of it.
    pub is_interactive: bool,
    /// The console shall end.
    pub is_leaving: bool,
    client: Client,
    format: Format,
    session: Session,
}

/// Why nobody waits any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Interrupted,
    TimedOut,
}

impl Runner {
    /// A runner with an empty session.
    pub fn new(client: Client, format: Format) -> Self {
        Self {
            timeout: None,
            max_width: None,
            is_interactive: false,
            is_leaving: false,
            client,
            format,
            session: Session::default(),
        }
    }

    /// The node that is talked to.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Runs one statement; its exit code. What went wrong has been said.
    pub async fn run(&mut self, statement: &str) -> u8 {
        match local::of(statement) {
            Some(local) => return self.run_local(local),
            None => {
                if let Err(diagnostic) = Statement::parse(statement) {
                    stderr::error(&diagnostic.render(statement));
                    return USAGE;
                }
            }
        }
        let mut display = Display::new();
        let mut batch = None;
        let done = tokio::select! {
            biased;
            stop = self.stopped() => Err(stop),
            result = self.exchange(statement, &mut display, &mut batch) => Ok(result),
        };
        display.finish();
        match done {
            Ok(Ok(End {
                status,
                error,
                session,
            })) => {
                self.session = session;
                if let Some(error) = error {
                    stderr::error(&error);
                }
                status.exit_code()
            }
            Ok(Err(failure)) => {
                stderr::error(&failure.message);
                if let Some(hint) = &failure.hint {
                    stderr::hint(hint);
                }
                failure.code
            }
            Err(stop) => self.say_stopped(stop, batch),
        }
    }

    async fn exchange(
        &self,
        statement: &str,
        display: &mut Display,
        batch: &mut Option<BatchId>,
    ) -> Result<End, Failure> {
        let mut frames = self.client.statement(statement, &self.session).await?;
        let mut table = TableWriter::new(self.format, self.max_width);
        let result = show(&mut frames, &mut table, display, batch).await;
        // Also after a failure, so that what was written stays well-formed.
        display.finish();
        stdout::data(&table.end());
        result
    }

    fn run_local(&mut self, local: Local) -> u8 {
        match local {
            Local::Output(Ok(format)) => {
                self.format = format;
                self.max_width = None;
                OK
            }
            Local::Output(Err(message)) => {
                stderr::error(&message);
                USAGE
            }
            Local::Leave => {
                self.is_leaving = true;
                OK
            }
        }
    }

    /// Resolves when Ctrl-C was pressed or time is up.
    async fn stopped(&self) -> Stop {
        let time_is_up = async {
            match self.timeout {
                Some(timeout) => tokio::time::sleep(timeout).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            interrupted = tokio::signal::ctrl_c() => match interrupted {
                Ok(()) => Stop::Interrupted,
                Err(_) => std::future::pending().await,
            },
            () = time_is_up => Stop::TimedOut,
        }
    }

    fn say_stopped(&self, stop: Stop, batch: Option<BatchId>) -> u8 {
        let what = match stop {
            Stop::Interrupted => "Stopped waiting",
            Stop::TimedOut => "The time is up",
        };
        match batch {
            Some(batch) => {
                stderr::line(&format!("{what}; batch {batch} goes on"));
                stderr::hint(&format!(
                    "look at it with BATCH_SUMMARY '{batch}'; or end it with BATCH_CANCEL '{batch}';"
                ));
            }
            None => stderr::line(&format!("{what}; what the statement has started goes on")),
        }
        match stop {
            Stop::Interrupted => INTERRUPTED,
            Stop::TimedOut => TIMEOUT,
        }
    }
}

/// Shows frames until the end.
async fn show(
    frames: &mut Frames,
    table: &mut TableWriter,
    display: &mut Display,
    batch: &mut Option<BatchId>,
) -> Result<End, Failure> {
    let mut pending = String::new();
    while let Some(frame) = frames.next().await? {
        match frame {
            Frame::Columns { columns } => {
                display.finish();
                pending.push_str(&table.columns(columns));
            }
            Frame::Row { row } => pending.push_str(&table.row(row)),
            Frame::Progress(progress) => {
                *batch = Some(progress.batch);
                display.update(&progress);
            }
            Frame::Notice { message } => display.say(&message),
            Frame::End(end) => {
                stdout::data(&pending);
                return Ok(end);
            }
        }
        // Written in large pieces while frames keep coming, and at once when they do not.
        if pending.len() >= WRITE_AT || !frames.is_ready() {
            stdout::data(&std::mem::take(&mut pending));
        }
    }
    stdout::data(&pending);
    Err(unfinished(*batch))
}

/// The answer broke off: the node was stopped, or the connection lost.
fn unfinished(batch: Option<BatchId>) -> Failure {
    let failure = Failure::new(UNREACHABLE, "the answer ended before the statement did");
    match batch {
        Some(batch) => failure.hint(format!(
            "batch {batch} goes on with the next node that is up; look at it with BATCH_SUMMARY '{batch}';"
        )),
        None => failure.hint(
            "the node may have been stopped; what the statement has started goes on with the next node that is up",
        ),
    }
}
