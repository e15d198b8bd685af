//! The two steps that write a batch and its job, in that order: submission and end.

use weft_model::{Batch, BatchId, DueHint, Job, Token};

use super::{CompareAndSet, EndJob, MoveBatch, WriteJob, sent_by};

/// Step 3: batch row WAITING_FOR_JOB, then its job row WAITING. Both carry `token` as `op_token`.
///
/// Order: directory by day, directory by name, due hint (plain hints), batch `IF NOT EXISTS`, job `IF NOT EXISTS`. A row
/// found with our token counts as ours, so a re-sending continues where the first sending stopped. Lost: another batch or
/// job has the id.
#[derive(Clone, Debug, PartialEq)]
pub struct SubmitBatch {
    /// The batch, status WAITING_FOR_JOB.
    pub batch: Batch,
    /// Its job, status WAITING.
    pub job: Job,
    /// When a node must check the job.
    pub due: DueHint,
    /// Names this submission.
    pub token: Token,
}

impl SubmitBatch {
    /// The second half: the job's row.
    pub fn job(&self) -> WriteJob {
        WriteJob {
            job: self.job.clone(),
            seen: None,
            due: Some(self.due.clone()),
            token: self.token,
        }
    }
}

/// Which half of a [`SubmitBatch`] was refused.
#[derive(Clone, Debug, PartialEq)]
pub enum SubmitLost {
    /// Another submission has this batch id; nothing was written.
    Batch(Box<Batch>),
    /// Another job has this key; the batch row was written and the reconciler will find it.
    Job(Box<Job>),
}

/// Step 9: the batch's last move and the end of its job, in that order.
///
/// Lost names the row that refused. If the batch's half was applied and the job's half lost, the answer is
/// `Lost(FinishLost::Job)`.
#[derive(Clone, Debug, PartialEq)]
pub struct FinishBatch {
    /// The batch's move to an end state.
    pub batch: MoveBatch,
    /// The end of its job.
    pub job: EndJob,
}

/// Which half of a [`FinishBatch`] was refused, with the row found.
#[derive(Clone, Debug, PartialEq)]
pub enum FinishLost {
    /// The batch row; nothing was written.
    Batch(Option<Box<Batch>>),
    /// The job row; the batch has ended.
    Job(Option<Box<Job>>),
}

sent_by! {
    submit_batch: SubmitBatch, SubmitLost;
}

#[async_trait::async_trait]
impl crate::Conditional for FinishBatch {
    type Found = FinishLost;

    fn verb(&self) -> &'static str {
        "finish_batch"
    }

    async fn attempt(&self, store: &dyn crate::Store) -> crate::AttemptResult<FinishLost> {
        store.finish_batch(self).await
    }

    fn hint_to_renew(&self, was_sent_again: bool) -> Option<&DueHint> {
        self.job.hint_to_renew(was_sent_again)
    }
}

/// The first half of the submission: the batch's row.
impl CompareAndSet for SubmitBatch {
    type Row = Batch;

    fn key(&self) -> BatchId {
        self.batch.id
    }

    fn is_applied(&self, row: Option<&Batch>) -> bool {
        row.is_some_and(|batch| batch.op_token == Some(self.token))
    }

    fn holds(&self, row: Option<&Batch>) -> bool {
        row.is_none()
    }

    fn apply(&self, _: Option<Batch>) -> Option<Batch> {
        Some(Batch {
            op_token: Some(self.token),
            ..self.batch.clone()
        })
    }

    fn due(&self) -> Option<&DueHint> {
        Some(&self.due)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;
    use weft_model::clock::Timestamp;
    use weft_model::{BatchSpec, EntitySource, batch_job, batch_job_key};

    use super::super::{loses, moves_on};
    use super::*;

    #[test]
    fn a_submission_writes_rows_that_are_missing() {
        let spec = BatchSpec::new("customer", EntitySource::List { ids: Vec::new() }, "ECHO");
        let batch = Batch::waiting(BatchId(Uuid::from_u128(1)), spec, Timestamp(1));
        let submit = |token| SubmitBatch {
            job: batch_job(&batch),
            due: DueHint {
                due_at: Timestamp(1),
                key: batch_job_key(&batch),
            },
            batch: batch.clone(),
            token: Token(Uuid::from_u128(token)),
        };
        let written = moves_on(&submit(1), None);
        loses(&submit(2), written);
        let written = moves_on(&submit(1).job(), None);
        loses(&submit(2).job(), written);
    }
}
