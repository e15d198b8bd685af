//! Where the frames of a statement go.

use serde_json::Value;
use tokio::sync::mpsc;

use super::{Frame, Progress};

/// Sends frames. A receiver that has gone stops nothing that writes; whatever only reads looks at
/// [`Output::is_gone`] and ends.
#[derive(Clone, Debug)]
pub struct Output(mpsc::Sender<Frame>);

impl Output {
    /// Frames go to `frames`.
    pub fn new(frames: mpsc::Sender<Frame>) -> Self {
        Self(frames)
    }

    /// A table begins.
    pub async fn columns<C: AsRef<str>>(&self, columns: &[C]) {
        let columns = columns
            .iter()
            .map(|name| name.as_ref().to_owned())
            .collect();
        self.send(Frame::Columns { columns }).await;
    }

    /// A row of the table.
    pub async fn row(&self, row: Vec<Value>) {
        self.send(Frame::Row { row }).await;
    }

    /// A table of one row.
    pub async fn one_row<C: AsRef<str>>(&self, columns: &[C], row: Vec<Value>) {
        debug_assert_eq!(
            columns.len(),
            row.len(),
            "a row has a value for each column"
        );
        self.columns(columns).await;
        self.row(row).await;
    }

    /// Something a person should read.
    pub async fn notice(&self, message: impl Into<String>) {
        self.send(Frame::Notice {
            message: message.into(),
        })
        .await;
    }

    /// How far a batch is. Left out where the receiver is behind: the next one says more.
    pub fn progress(&self, progress: Progress) {
        let _ = self.0.try_send(Frame::Progress(progress));
    }

    /// The receiver has gone.
    pub fn is_gone(&self) -> bool {
        self.0.is_closed()
    }

    /// Resolves when the receiver has gone.
    pub async fn gone(&self) {
        self.0.closed().await;
    }

    /// Any frame.
    pub async fn send(&self, frame: Frame) {
        // Nobody reads any more: what goes on goes on without words.
        let _ = self.0.send(frame).await;
    }
}
