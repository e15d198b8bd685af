//! Statements for the parts of a node that statements need themselves: kinds of job, flows and functions are made before the
//! services that hold them.

use std::sync::{Arc, PoisonError, RwLock};

use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use weft_model::{Principal, Session};

use crate::frame::{End, EndStatus, Frame};
use crate::refusal::Refusal;
use crate::statements::Statements;

/// How many frames may be on their way.
const FRAMES: usize = 64;

/// Runs statements between [`serve`](Self::serve) and [`close`](Self::close). Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct LateStatements(Arc<RwLock<Option<Statements>>>);

/// The whole answer of a text of statements.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The columns of the last table.
    pub columns: Vec<String>,
    /// The rows of the last table, each as long as `columns`.
    pub rows: Vec<Vec<Value>>,
    /// Sentences for people.
    pub notices: Vec<String>,
    /// The session after the statement.
    pub session: Session,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Unanswered {
    /// How the statement ended.
    pub status: EndStatus,
    /// As rendered for people, with caret and hint where there is a place.
    pub message: String,
}

/// How much of an answer is kept in memory; a larger answer is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerLimits {
    /// The number of rows.
    pub rows: usize,
    /// The size of the rows as JSON, in bytes.
    pub bytes: usize,
}

impl Default for AnswerLimits {
    fn default() -> Self {
        Self {
            rows: 100_000,
            bytes: 16 * 1024 * 1024,
        }
    }
}

impl LateStatements {
    /// Runs with these statements from now on.
    pub fn serve(&self, statements: Statements) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(statements);
    }

    /// Runs no more statements. Their services hold this object, so the circle of references must be broken here.
    pub fn close(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The statements that are served.
    ///
    /// # Errors
    /// The node does not serve yet, or no more.
    pub fn get(&self) -> Result<Statements, Refusal> {
        let statements = self.0.read().unwrap_or_else(PoisonError::into_inner);
        statements
            .clone()
            .ok_or_else(|| Refusal::failed("the node does not run statements now"))
    }

    /// Runs `text` for `principal` and reads the whole answer. When `stop` is cancelled it stops waiting; commands that have
    /// started continue.
    ///
    /// # Errors
    /// The refusal as people read it, or an answer larger than `limits`.
    pub async fn answer(
        &self,
        principal: &Principal,
        text: &str,
        session: Session,
        limits: AnswerLimits,
        stop: &CancellationToken,
    ) -> Result<Answer, Unanswered> {
        let statements = self.get().map_err(|refusal| Unanswered {
            status: refusal.status(),
            message: refusal.to_string(),
        })?;
        let (sender, mut frames) = mpsc::channel(FRAMES);
        let running = statements.run(principal, text, session, sender, stop.clone());
        let (ended, ()) = tokio::join!(gather(&mut frames, limits), running);
        ended
    }
}

/// Reads frames to the end. Too many rows close the channel, which ends commands that only read.
async fn gather(
    frames: &mut mpsc::Receiver<Frame>,
    limits: AnswerLimits,
) -> Result<Answer, Unanswered> {
    let mut answer = Answer::default();
    let mut bytes = 0;
    while let Some(frame) = frames.recv().await {
        match frame {
            Frame::Columns { columns } => {
                answer.columns = columns;
                answer.rows.clear();
                bytes = 0;
            }
            Frame::Row { row } => {
                // Serialization fails only for maps whose keys are not texts, and these have none.
                bytes += serde_json::to_string(&row).map_or(0, |text| text.len());
                if answer.rows.len() == limits.rows || bytes > limits.bytes {
                    frames.close();
                    let message = format!(
                        "the answer is larger than {} rows or {} bytes; ask for less at a time",
                        limits.rows, limits.bytes
                    );
                    return Err(Unanswered {
                        status: EndStatus::Failed,
                        message,
                    });
                }
                answer.rows.push(row);
            }
            Frame::Notice { message } => answer.notices.push(message),
            Frame::Progress(_) => (),
            Frame::End(End {
                status: EndStatus::Ok,
                session,
                ..
            }) => {
                answer.session = session;
                return Ok(answer);
            }
            Frame::End(end) => {
                return Err(Unanswered {
                    status: end.status,
                    message: end
                        .error
                        .unwrap_or_else(|| "the statement failed".to_owned()),
                });
            }
        }
    }
    Err(Unanswered {
        status: EndStatus::Failed,
        message: "the statement ended without an answer".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn gathered(frames: Vec<Frame>, limits: AnswerLimits) -> Result<Answer, Unanswered> {
        let (sender, mut receiver) = mpsc::channel(FRAMES);
        for frame in frames {
            sender.send(frame).await.unwrap();
        }
        drop(sender);
        gather(&mut receiver, limits).await
    }

    fn row(text: &str) -> Frame {
        Frame::Row {
            row: vec![Value::from(text)],
        }
    }

    fn columns(name: &str) -> Frame {
        Frame::Columns {
            columns: vec![name.to_owned()],
        }
    }

    fn end(status: EndStatus, error: Option<&str>) -> Frame {
        Frame::End(End {
            status,
            error: error.map(str::to_owned),
            session: Session::default(),
        })
    }

    #[tokio::test]
    async fn the_last_table_is_the_answer_and_an_error_is_none() {
        let frames = vec![
            columns("a"),
            row("1"),
            columns("b"),
            row("2"),
            Frame::Notice {
                message: "n".to_owned(),
            },
            end(EndStatus::Ok, None),
        ];
        let answer = gathered(frames, AnswerLimits::default()).await.unwrap();
        assert_eq!(answer.columns, ["b"]);
        assert_eq!(answer.rows, [[Value::from("2")]]);
        assert_eq!(answer.notices, ["n"]);
        let frames = vec![columns("a"), end(EndStatus::NotFound, Some("error: none"))];
        let error = gathered(frames, AnswerLimits::default()).await.unwrap_err();
        assert_eq!(error.status, EndStatus::NotFound);
        assert_eq!(error.to_string(), "error: none");
        assert!(gathered(vec![], AnswerLimits::default()).await.is_err());
    }

    #[tokio::test]
    async fn an_answer_has_bounds() {
        let rows = || vec![columns("a"), row("1"), row("2"), end(EndStatus::Ok, None)];
        let limits = |rows, bytes| AnswerLimits { rows, bytes };
        assert!(gathered(rows(), limits(2, 100)).await.is_ok());
        for limits in [limits(1, 100), limits(2, 9)] {
            let error = gathered(rows(), limits).await.unwrap_err();
            assert!(error.message.contains("ask for less"), "{error}");
        }
    }
}
