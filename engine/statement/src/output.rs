//! Where the frames of a statement go.

use serde_json::{Value, json};
use tokio::sync::mpsc;
use weft_model::clock::Timestamp;

use crate::frame::{Frame, Progress};

/// Sends frames. A receiver that has gone does not stop commands that write; commands that only read check
/// [`Output::is_gone`] and end.
#[derive(Clone, Debug)]
pub struct Output(mpsc::Sender<Frame>);

impl Output {
    /// Sends frames to `frames`.
    pub fn new(frames: mpsc::Sender<Frame>) -> Self {
        Self(frames)
    }

    /// Begins a table.
    pub async fn columns<C: AsRef<str>>(&self, columns: &[C]) {
        let columns = columns
            .iter()
            .map(|name| name.as_ref().to_owned())
            .collect();
        self.send(Frame::Columns { columns }).await;
    }

    /// Sends a row of the table.
    pub async fn row(&self, row: Vec<Value>) {
        self.send(Frame::Row { row }).await;
    }

    /// Sends a table of one row.
    pub async fn one_row<C: AsRef<str>>(&self, columns: &[C], row: Vec<Value>) {
        debug_assert_eq!(
            columns.len(),
            row.len(),
            "a row has a value for each column"
        );
        self.columns(columns).await;
        self.row(row).await;
    }

    /// Sends a sentence for people.
    pub async fn notice(&self, message: impl Into<String>) {
        self.send(Frame::Notice {
            message: message.into(),
        })
        .await;
    }

    /// Sends the progress of a batch. Dropped where the receiver is behind: the next one says more.
    pub fn progress(&self, progress: Progress) {
        let _ = self.0.try_send(Frame::Progress(progress));
    }

    /// Whether the receiver has gone.
    pub fn is_gone(&self) -> bool {
        self.0.is_closed()
    }

    /// Resolves when the receiver has gone.
    pub async fn gone(&self) {
        self.0.closed().await;
    }

    /// Sends any frame.
    pub async fn send(&self, frame: Frame) {
        // The receiver may be gone; the command continues without it.
        let _ = self.0.send(frame).await;
    }
}

/// A time in a table, to the second.
pub(crate) fn time_cell(time: Option<Timestamp>) -> Value {
    time.map_or(Value::Null, |time| json!(time.to_seconds_text()))
}
