//! Statements: text in, frames out as they come.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};
use utoipa::ToSchema;
use uuid::Uuid;
use weft_model::BatchId;
use weft_model::Session;
use weft_statement::{End, EndStatus, Frame};

use crate::api::StatementRun;
use crate::extract::{Caller, JsonBody};
use crate::mirror::mirror;
use crate::problem::{Code, FieldError, Problem};
use crate::server::{App, StatementSlot};

/// The longest statement.
pub const MAX_STATEMENT_BYTES: usize = 64 * 1_024;

const FRAMES_IN_FLIGHT: usize = 256;
const FRAMES_PER_WRITE: usize = 64;

/// A statement to run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StatementRequest {
    /// The text, at most 64 KiB.
    #[schema(max_length = 65536)]
    pub statement: String,
    /// The session of the last answer, if there was one.
    #[serde(default)]
    pub session: Option<StatementSession>,
}

/// What a client carries from statement to statement; nodes keep none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct StatementSession {
    /// SET values; inherited by the jobs and batches that the session starts.
    #[schema(required = false)]
    pub scope: BTreeMap<String, String>,
    /// Attached instances: logical unit → instance id.
    #[schema(required = false)]
    pub attached: BTreeMap<String, String>,
    /// The last asynchronous batch.
    #[schema(required = false)]
    pub last_batch: Option<Uuid>,
    /// What this session is called where it began a trace, which ends with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub trace_session: Option<Uuid>,
}

impl From<StatementSession> for Session {
    fn from(session: StatementSession) -> Self {
        Self {
            scope: session.scope,
            attached: session.attached,
            last_batch: session.last_batch.map(BatchId),
            trace_session: session.trace_session,
        }
    }
}

impl From<Session> for StatementSession {
    fn from(session: Session) -> Self {
        Self {
            scope: session.scope,
            attached: session.attached,
            last_batch: session.last_batch.map(|BatchId(id)| id),
            trace_session: session.trace_session,
        }
    }
}

/// One line of an answer. Columns come before rows; `end` comes last and exactly once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "frame", rename_all = "snake_case")]
pub enum StatementFrame {
    /// A table begins; an answer may have several tables.
    Columns {
        /// The columns' names.
        columns: Vec<String>,
    },
    /// A row of the table.
    Row {
        /// As many values as columns.
        row: Vec<Value>,
    },
    /// How far a synchronous batch is.
    Progress {
        /// The batch.
        batch: Uuid,
        /// Its status, e.g. `GENERATE_IID`.
        status: String,
        /// Handled entities.
        done: i64,
        /// Failed ones among them.
        failed: i64,
        /// All entities, once the list is complete.
        total: Option<i64>,
        /// Entities per second in the last window.
        pace: f64,
        /// Why nothing happens, if nothing does.
        note: Option<String>,
    },
    /// Something a person should read.
    Notice {
        /// The sentence.
        message: String,
    },
    /// The statement has ended.
    End {
        /// How.
        status: StatementEnd,
        /// What went wrong, as rendered for people.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        error: Option<String>,
        /// Send it with the next statement.
        session: StatementSession,
    },
}

mirror! {
    /// How a statement ended.
    StatementEnd of EndStatus, "snake_case" {
        /// All well.
        Ok,
        /// The command failed.
        Failed,
        /// The text cannot be read.
        Usage,
        /// The batch ended FAILED, or DONE with failed entities.
        BatchFailed,
        /// The batch ended CANCELLED.
        Cancelled,
        /// What was named does not exist.
        NotFound,
        /// The principal may not do this.
        NotAllowed,
        /// The store or the node cannot be reached.
        Unreachable,
    }
}

impl From<Frame> for StatementFrame {
    fn from(frame: Frame) -> Self {
        match frame {
            Frame::Columns { columns } => Self::Columns { columns },
            Frame::Row { row } => Self::Row { row },
            Frame::Progress(progress) => Self::Progress {
                batch: progress.batch.0,
                status: progress.status,
                done: progress.done,
                failed: progress.failed,
                total: progress.total,
                pace: progress.pace,
                note: progress.note,
            },
            Frame::Notice { message } => Self::Notice { message },
            Frame::End(end) => Self::End {
                status: end.status.into(),
                error: end.error,
                session: end.session.into(),
            },
        }
    }
}

/// Run a statement
///
/// The answer begins at once and its frames follow as they come, one JSON object per line; an empty line is a sign
/// of life. How the statement ended is in the last frame, not in the HTTP status. Closing the connection ends the
/// waiting, not the work: a batch that was started goes on.
#[utoipa::path(post, path = "/api/v1/statements", tag = "statements", request_body = StatementRequest,
    responses(
        (status = 200, body = StatementFrame, content_type = "application/x-ndjson", description = "Frames, one per line"),
        (status = 413, body = Problem), (status = 415, body = Problem), (status = 422, body = Problem),
    ))]
pub(crate) async fn run_statement(
    State(app): State<App>,
    Caller(principal): Caller,
    JsonBody(request): JsonBody<StatementRequest>,
) -> Result<Response, Problem> {
    if request.statement.len() > MAX_STATEMENT_BYTES {
        return Err(too_long(request.statement.len()));
    }
    let slot = app
        .statement_slot()
        .ok_or_else(|| Problem::new(Code::Busy))?;
    let session = Session::from(request.session.unwrap_or_default());
    let (sender, frames) = mpsc::channel(FRAMES_IN_FLIGHT);
    let stop = CancellationToken::new();
    let answer = Answer {
        frames,
        session: session.clone(),
        shutdown: app.shutdown.clone(),
        heartbeat_interval: app.heartbeat_interval,
        ended: false,
        _stop: stop.clone().drop_guard(),
        _slot: Arc::clone(&slot),
    };
    let run = StatementRun {
        text: request.statement,
        session,
        frames: sender,
        stop,
    };
    let api = Arc::clone(&app.api);
    // A task of its own: when the client goes, what has begun is told to stop waiting, and not cut off half way.
    app.tasks.spawn(async move {
        api.run_statement(&principal, run).await;
        drop(slot);
    });
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((kind, Body::from_stream(answer.into_stream())).into_response())
}

fn too_long(bytes: usize) -> Problem {
    let detail = format!("the statement has {bytes} bytes, {MAX_STATEMENT_BYTES} are the most");
    Problem::new(Code::StatementTooLong)
        .detail(detail.clone())
        .at(FieldError {
            pointer: Some("/statement".to_owned()),
            parameter: None,
            line: None,
            column: None,
            detail,
        })
}

/// The answer on its way; dropping it tells the statement to stop waiting.
struct Answer {
    frames: mpsc::Receiver<Frame>,
    session: Session,
    shutdown: CancellationToken,
    heartbeat_interval: Duration,
    ended: bool,
    _stop: DropGuard,
    _slot: Arc<StatementSlot>,
}

impl Answer {
    fn into_stream(self) -> impl futures::Stream<Item = Result<Bytes, Infallible>> {
        futures::stream::unfold(self, |mut answer| async {
            answer.next().await.map(|bytes| (Ok(bytes), answer))
        })
    }

    /// The next lines; none behind the end.
    async fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        let mut frames = Vec::new();
        let mut lines = Vec::new();
        tokio::select! {
            biased;
            () = self.shutdown.cancelled() => {
                while let Ok(frame) = self.frames.try_recv() {
                    frames.push(frame);
                }
                self.write_all(frames, &mut lines);
                self.write_shutdown(&mut lines);
            }
            count = self.frames.recv_many(&mut frames, FRAMES_PER_WRITE) => {
                self.write_all(frames, &mut lines);
                if count == 0 {
                    let error = "the node gave up on the statement; its log says why";
                    self.write_end(EndStatus::Failed, error, &mut lines);
                }
            }
            () = tokio::time::sleep(self.heartbeat_interval) => lines.push(b'\n'),
        }
        Some(Bytes::from(lines))
    }

    fn write_all(&mut self, frames: Vec<Frame>, lines: &mut Vec<u8>) {
        for frame in frames {
            if self.ended {
                return;
            }
            self.ended = matches!(frame, Frame::End(_));
            write(frame, lines);
        }
    }

    fn write_shutdown(&mut self, lines: &mut Vec<u8>) {
        if self.ended {
            return;
        }
        let message =
            "the node is shutting down; what was started goes on on the other nodes".to_owned();
        write(Frame::Notice { message }, lines);
        self.write_end(EndStatus::Unreachable, "the node is shutting down", lines);
    }

    fn write_end(&mut self, status: EndStatus, error: &str, lines: &mut Vec<u8>) {
        self.ended = true;
        let end = End {
            status,
            error: Some(error.to_owned()),
            session: self.session.clone(),
        };
        write(Frame::End(end), lines);
    }
}

fn write(frame: Frame, lines: &mut Vec<u8>) {
    let begin = lines.len();
    match serde_json::to_writer(&mut *lines, &StatementFrame::from(frame)) {
        Ok(()) => lines.push(b'\n'),
        Err(error) => {
            // Only maps with other keys than texts cannot be written, and frames have none.
            tracing::error!("A frame cannot be written: {error}");
            lines.truncate(begin);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use weft_statement::Progress;

    fn check(frame: Frame) {
        let engine = serde_json::to_value(&frame).unwrap();
        let wire = serde_json::to_value(StatementFrame::from(frame)).unwrap();
        assert_eq!(engine, wire);
    }

    #[test]
    fn the_wire_says_what_the_engine_says() {
        check(Frame::Columns {
            columns: vec!["a".into()],
        });
        check(Frame::Row {
            row: vec![json!(1), json!(null)],
        });
        check(Frame::Notice {
            message: "m".into(),
        });
        check(Frame::Progress(Progress {
            batch: BatchId(Uuid::from_u128(7)),
            status: "IN_PROGRESS".into(),
            done: 5,
            failed: 1,
            total: Some(9),
            pace: 2.5,
            note: None,
        }));
        let statuses = [
            EndStatus::Ok,
            EndStatus::Failed,
            EndStatus::Usage,
            EndStatus::BatchFailed,
            EndStatus::Cancelled,
            EndStatus::NotFound,
            EndStatus::NotAllowed,
            EndStatus::Unreachable,
        ];
        for status in statuses {
            let session = Session {
                scope: [("a".to_owned(), "b".to_owned())].into(),
                attached: [("LU".to_owned(), "1".to_owned())].into(),
                last_batch: Some(BatchId(Uuid::from_u128(7))),
                trace_session: Some(Uuid::from_u128(8)),
            };
            assert_eq!(
                Session::from(StatementSession::from(session.clone())),
                session
            );
            check(Frame::End(End {
                status,
                error: Some("e".into()),
                session: session.clone(),
            }));
            check(Frame::End(End {
                status,
                error: None,
                session,
            }));
        }
    }
}
