//! Runs a statement: sends it, shows its frames, answers its exit code.

use std::time::Duration;

use weft_lang::Statement;
use weft_model::BatchId;
use weft_model::Session;
use weft_statement::{End, Frame};

use super::client::{Client, Frames};
use super::local::{self, LocalStatement};
use super::progress::Display;
use crate::exit::{Failure, INTERRUPTED, OK, TIMEOUT, UNREACHABLE, USAGE};
use crate::output::{Format, TableWriter, stderr, stdout};

const WRITE_BYTES: usize = 64 * 1024;

/// Runs statements one after another in one session.
#[derive(Debug)]
pub struct Runner {
    /// The longest wait for a statement.
    pub timeout: Option<Duration>,
    /// Wider tables are written as `vertical`.
    pub max_width: Option<usize>,
    /// Set by EXIT and QUIT.
    pub is_leaving: bool,
    client: Client,
    format: Format,
    session: Session,
}

/// Why the console stopped waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StopReason {
    Interrupted,
    TimedOut,
}

impl Runner {
    /// A runner with an empty session.
    pub fn new(client: Client, format: Format) -> Self {
        Self {
            timeout: None,
            max_width: None,
            is_leaving: false,
            client,
            format,
            session: Session::default(),
        }
    }

    /// The client of the node.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Runs one statement and answers its exit code. Errors are printed.
    pub async fn run(&mut self, statement: &str) -> u8 {
        match local::parse(statement) {
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
            Err(stop) => self.report_stop(stop, batch),
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
        // After a failure too, so that the output stays well-formed.
        display.finish();
        stdout::data(&table.end());
        result
    }

    fn run_local(&mut self, statement: LocalStatement) -> u8 {
        match statement {
            LocalStatement::Output(Ok(format)) => {
                self.format = format;
                self.max_width = None;
                OK
            }
            LocalStatement::Output(Err(message)) => {
                stderr::error(&message);
                USAGE
            }
            LocalStatement::Leave => {
                self.is_leaving = true;
                OK
            }
        }
    }

    /// Resolves at Ctrl-C or at the timeout.
    async fn stopped(&self) -> StopReason {
        let time_is_up = async {
            match self.timeout {
                Some(timeout) => tokio::time::sleep(timeout).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            interrupted = tokio::signal::ctrl_c() => match interrupted {
                Ok(()) => StopReason::Interrupted,
                Err(_) => std::future::pending().await,
            },
            () = time_is_up => StopReason::TimedOut,
        }
    }

    fn report_stop(&self, reason: StopReason, batch: Option<BatchId>) -> u8 {
        let what = match reason {
            StopReason::Interrupted => "Stopped waiting",
            StopReason::TimedOut => "Timed out",
        };
        match batch {
            Some(batch) => {
                stderr::line(&format!("{what}; batch {batch} continues"));
                stderr::hint(&format!(
                    "BATCH_SUMMARY '{batch}'; shows it, BATCH_CANCEL '{batch}'; ends it"
                ));
            }
            None => stderr::line(&format!("{what}; what the statement has started continues")),
        }
        match reason {
            StopReason::Interrupted => INTERRUPTED,
            StopReason::TimedOut => TIMEOUT,
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
            Frame::Notice { message } => display.notice(&message),
            Frame::End(end) => {
                stdout::data(&pending);
                return Ok(end);
            }
        }
        // Large pieces while frames keep coming, otherwise at once.
        if pending.len() >= WRITE_BYTES || !frames.is_ready() {
            stdout::data(&std::mem::take(&mut pending));
        }
    }
    stdout::data(&pending);
    Err(unfinished(*batch))
}

/// The failure for an answer without an end: the node was stopped, or the connection lost.
fn unfinished(batch: Option<BatchId>) -> Failure {
    let failure = Failure::new(UNREACHABLE, "the answer ended before the statement did");
    match batch {
        Some(batch) => failure.hint(format!(
            "batch {batch} continues on the next node that is up; check it with BATCH_SUMMARY '{batch}';"
        )),
        None => failure.hint(
            "the node may have been stopped; what the statement has started continues on the next node that is up",
        ),
    }
}
