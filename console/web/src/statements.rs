//! Statements: a text in, frames out as they are made.

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
use weft_model::Session;
use weft_statement::{End, EndStatus, Frame};

use crate::app::{App, StatementSlot};
use crate::extract::{Caller, JsonBody};
use crate::problem::{Code, FieldError, Problem};

/// The longest text of statements.
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
    /// The session of the previous answer; a new session by default.
    #[serde(default)]
    #[schema(value_type = Option<StatementSession>)]
    pub session: Option<Session>,
}

/// The session. The client sends it with each statement, because nodes do not keep it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct StatementSession {
    /// The values that SET assigned. Jobs and batches that the session starts inherit them.
    #[schema(required = false)]
    pub scope: BTreeMap<String, String>,
    /// The attached instances: logical unit → instance id.
    #[schema(required = false)]
    pub attached: BTreeMap<String, String>,
    /// The id of the last asynchronous batch.
    #[schema(required = false)]
    pub last_batch: Option<Uuid>,
    /// The id of the session. Set once the session has started a trace, which ends with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub trace_session: Option<Uuid>,
}

/// One line of an answer. `columns` comes before rows; `end` comes last and exactly once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "frame", rename_all = "snake_case")]
pub enum StatementFrame {
    /// The start of a table; an answer may have several tables.
    Columns {
        /// The names of the columns.
        columns: Vec<String>,
    },
    /// A row of the table.
    Row {
        /// One value for each column.
        row: Vec<Value>,
    },
    /// The progress of a synchronous batch.
    Progress {
        /// The id of the batch.
        batch: Uuid,
        /// The status of the batch, e.g. `GENERATE_IID`.
        status: String,
        /// The number of entities that have run.
        done: i64,
        /// The number of those that failed.
        failed: i64,
        /// The number of entities; null until the list of ids is complete.
        total: Option<i64>,
        /// Entities per second in the last window.
        pace: f64,
        /// Why the batch waits; null if nothing is in its way.
        note: Option<String>,
    },
    /// A message for people.
    Notice {
        /// The text of the message.
        message: String,
    },
    /// The end of the statement.
    End {
        /// How the statement ended.
        status: StatementEnd,
        /// The error as text for people.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        error: Option<String>,
        /// The session to send with the next statement.
        session: StatementSession,
    },
}

/// How a statement ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StatementEnd {
    /// The statement succeeded.
    Ok,
    /// The command failed.
    Failed,
    /// The text is invalid.
    Usage,
    /// The batch ended FAILED, or DONE with failed entities.
    BatchFailed,
    /// The batch ended CANCELLED.
    Cancelled,
    /// The statement names something that does not exist.
    NotFound,
    /// The principal may not do this.
    NotAllowed,
    /// The store or the node cannot be reached.
    Unreachable,
}

/// Run a statement
///
/// The answer starts immediately. Its frames follow as they are made, one JSON object per line; an empty line shows that
/// the connection is alive. The last frame says how the statement ended; the HTTP status does not. Closing the connection
/// ends the wait, not the work: a batch that was started continues.
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
    let text = request.statement;
    if text.len() > MAX_STATEMENT_BYTES {
        return Err(too_long(text.len()));
    }
    let slot = app.statement_slot()?;
    let session = request.session.unwrap_or_default();
    let (sender, frames) = mpsc::channel(FRAMES_IN_FLIGHT);
    let stop = CancellationToken::new();
    let answer = Answer {
        frames,
        session: session.clone(),
        shutdown: app.shutdown.clone(),
        heartbeat_interval: app.options.heartbeat_interval,
        has_ended: false,
        _stop: stop.clone().drop_guard(),
        slot: Arc::clone(&slot),
    };
    let backend = app.backend.clone();
    // The statement has its own task, so it is not cut off when the client disconnects. It only stops waiting then.
    app.tasks.spawn(async move {
        match backend.statements() {
            Ok(statements) => {
                let run = statements.run(&principal, &text, session, sender, stop);
                run.await;
            }
            Err(refusal) => {
                let end = end_of(refusal.status(), refusal.message(), session);
                // A client that has gone needs no answer.
                let _ = sender.send(end).await;
            }
        }
        drop(slot);
    });
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((kind, Body::from_stream(answer.into_stream())).into_response())
}

fn end_of(status: EndStatus, error: &str, session: Session) -> Frame {
    Frame::End(End {
        status,
        error: Some(error.to_owned()),
        session,
    })
}

fn too_long(bytes: usize) -> Problem {
    let detail = format!("the statement has {bytes} bytes, the limit is {MAX_STATEMENT_BYTES}");
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

/// The answer on its way to the client. Dropping it asks the statement to stop waiting.
struct Answer {
    frames: mpsc::Receiver<Frame>,
    session: Session,
    shutdown: CancellationToken,
    heartbeat_interval: Duration,
    has_ended: bool,
    _stop: DropGuard,
    slot: Arc<StatementSlot>,
}

impl Answer {
    fn into_stream(self) -> impl futures::Stream<Item = Result<Bytes, Infallible>> {
        futures::stream::unfold(self, |mut answer| async {
            answer.next().await.map(|bytes| (Ok(bytes), answer))
        })
    }

    /// The next lines; `None` after the end.
    async fn next(&mut self) -> Option<Bytes> {
        if self.has_ended {
            return None;
        }
        let mut frames = Vec::new();
        tokio::select! {
            biased;
            () = self.shutdown.cancelled() => {
                while let Ok(frame) = self.frames.try_recv() {
                    frames.push(frame);
                }
                let message = "the node is shutting down; work that was started continues on other nodes";
                frames.push(Frame::Notice { message: message.to_owned() });
                frames.push(self.end(EndStatus::Unreachable, "the node is shutting down"));
            }
            count = self.frames.recv_many(&mut frames, FRAMES_PER_WRITE) => {
                if count == 0 {
                    let error = "the statement did not finish; the log of the node says why";
                    frames.push(self.end(EndStatus::Failed, error));
                }
            }
            () = tokio::time::sleep(self.heartbeat_interval) => {
                return Some(Bytes::from_static(b"\n"));
            }
        }
        if frames
            .iter()
            .any(|frame| matches!(frame, Frame::Progress(_)))
        {
            self.slot.lend();
        }
        let (lines, has_ended) = lines_of(&frames);
        self.has_ended = has_ended;
        Some(lines)
    }

    fn end(&self, status: EndStatus, error: &str) -> Frame {
        end_of(status, error, self.session.clone())
    }
}

/// The frames as lines up to the end, and whether the end is among them.
fn lines_of(frames: &[Frame]) -> (Bytes, bool) {
    let mut lines = Vec::new();
    for frame in frames {
        serde_json::to_writer(&mut lines, frame).expect("the keys of a frame are text");
        lines.push(b'\n');
        if matches!(frame, Frame::End(_)) {
            return (lines.into(), true);
        }
    }
    (lines.into(), false)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use weft_model::BatchId;
    use weft_statement::Progress;

    use super::*;

    /// The document describes the frames of the engine, field by field.
    fn check(frame: Frame) {
        let sent = serde_json::to_value(&frame).unwrap();
        let described: StatementFrame = serde_json::from_value(sent.clone()).unwrap();
        assert_eq!(serde_json::to_value(described).unwrap(), sent);
    }

    #[test]
    fn the_document_describes_every_frame() {
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
        let session = Session {
            scope: [("a".to_owned(), "b".to_owned())].into(),
            attached: [("LU".to_owned(), "1".to_owned())].into(),
            last_batch: Some(BatchId(Uuid::from_u128(7))),
            trace_session: Some(Uuid::from_u128(8)),
        };
        for status in statuses {
            for error in [None, Some("e".to_owned())] {
                let session = session.clone();
                check(Frame::End(End {
                    status,
                    error,
                    session,
                }));
            }
        }
    }

    #[test]
    fn nothing_follows_the_end() {
        let notice = |message: &str| Frame::Notice {
            message: message.to_owned(),
        };
        let end = end_of(EndStatus::Failed, "e", Session::default());
        let (lines, has_ended) = lines_of(&[notice("one"), end.clone(), notice("two"), end]);
        assert_eq!(lines.iter().filter(|byte| **byte == b'\n').count(), 2);
        assert!(has_ended);
        let (_, has_ended) = lines_of(&[notice("one")]);
        assert!(!has_ended);
    }
}
