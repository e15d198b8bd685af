//! The entries of the writer's queue: verbs that are carried out, and answered, in their group.

use rusqlite::Connection;
use tokio::sync::oneshot;
use weft_model::clock::SharedClock;
use weft_store::{Attempt, AttemptResult, StoreError, StoreResult};

use super::failure::Failure;
use super::names::Names;

/// What a verb works with inside its group's transaction.
pub(super) struct Writing<'w> {
    /// The connection, in a transaction.
    pub(super) connection: &'w Connection,
    /// The numbers of batches, nodes and logical units.
    pub(super) names: &'w mut Names,
    /// The key of the next entity row.
    pub(super) next_entity_key: &'w mut i64,
    /// For the times that no operation carries.
    pub(super) clock: &'w SharedClock,
}

/// An answer that can also report a failed commit.
pub(super) trait Answer: Send + 'static {
    /// The verb definitely had no effect.
    fn refused(error: StoreError) -> Self;
    /// The outcome is unknown.
    fn unknown(reason: String) -> Self;
}

impl<F: Send + 'static> Answer for AttemptResult<F> {
    fn refused(error: StoreError) -> Self {
        Err(error)
    }

    fn unknown(reason: String) -> Self {
        Ok(Attempt::Unknown(reason))
    }
}

/// A plain write may be sent again freely, so its caller only needs to know that this one failed.
impl Answer for StoreResult<()> {
    fn refused(error: StoreError) -> Self {
        Err(error)
    }

    fn unknown(reason: String) -> Self {
        Err(StoreError::Unavailable(reason))
    }
}

/// A plain write that answers how many rows it changed.
impl Answer for StoreResult<usize> {
    fn refused(error: StoreError) -> Self {
        Err(error)
    }

    fn unknown(reason: String) -> Self {
        Err(StoreError::Unavailable(reason))
    }
}

/// A verb in the queue. It may be carried out more than once, each time in a fresh transaction.
pub(super) trait Queued: Send {
    /// How much it weighs in its group.
    fn rows(&self) -> usize;
    /// Works inside the group's transaction and keeps the answer.
    fn carry_out(&mut self, writing: &mut Writing<'_>) -> Result<(), Failure>;
    /// The group is durable: the answer leaves.
    fn committed(self: Box<Self>);
    /// It definitely had no effect.
    fn refused(self: Box<Self>, error: StoreError);
    /// The outcome is unknown.
    fn unknown(self: Box<Self>, reason: String);
}

/// A verb of the trait, as a closure.
pub(super) struct Verb<A, W> {
    rows: usize,
    work: W,
    answer: Option<A>,
    reply: oneshot::Sender<A>,
}

impl<A, W> Verb<A, W> {
    pub(super) fn new(rows: usize, work: W, reply: oneshot::Sender<A>) -> Self {
        Self {
            rows,
            work,
            answer: None,
            reply,
        }
    }
}

impl<A, W> Queued for Verb<A, W>
where
    A: Answer,
    W: FnMut(&mut Writing<'_>) -> Result<A, Failure> + Send,
{
    fn rows(&self) -> usize {
        self.rows
    }

    fn carry_out(&mut self, writing: &mut Writing<'_>) -> Result<(), Failure> {
        self.answer = Some((self.work)(writing)?);
        Ok(())
    }

    fn committed(self: Box<Self>) {
        if let Some(answer) = self.answer {
            // A caller that has gone away needs no answer.
            let _ = self.reply.send(answer);
        }
    }

    fn refused(self: Box<Self>, error: StoreError) {
        let _ = self.reply.send(A::refused(error));
    }

    fn unknown(self: Box<Self>, reason: String) {
        let _ = self.reply.send(A::unknown(reason));
    }
}

/// Answers when everything queued before it has been decided, however it was decided.
pub(super) struct Barrier(pub(super) oneshot::Sender<()>);

impl Queued for Barrier {
    fn rows(&self) -> usize {
        0
    }

    fn carry_out(&mut self, _: &mut Writing<'_>) -> Result<(), Failure> {
        Ok(())
    }

    fn committed(self: Box<Self>) {
        let _ = self.0.send(());
    }

    fn refused(self: Box<Self>, _: StoreError) {
        let _ = self.0.send(());
    }

    fn unknown(self: Box<Self>, _: String) {
        let _ = self.0.send(());
    }
}
