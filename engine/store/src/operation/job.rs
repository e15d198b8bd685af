//! Operations on the row of a job.

use weft_model::TriggerState;
use weft_model::clock::Timestamp;
use weft_model::{Bug, DueHint, Fence, Holder, Job, JobDesired, JobKey, JobRun, JobStatus, Token};

use super::job_definition::JobDefinition;
use super::{CompareAndSet, StoredRow, changes_existing_row, sent_by};

/// A node takes a job: `IF status = <seen> AND fence = <seen>` → IN_PROCESS, fence + 1.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimJob {
    /// The job.
    pub key: JobKey,
    /// The status that was seen: WAITING, SCHEDULED, or IN_PROCESS of a dead node.
    pub seen_status: JobStatus,
    /// The fence that was seen.
    pub seen_fence: Fence,
    /// The node that takes it.
    pub holder: Holder,
    /// Start of the run.
    pub now: Timestamp,
    /// When another node must re-check the job if the claimer dies. Written before the claim.
    pub due: DueHint,
    /// The history row of the run before, which the death of its process cut short. Inserted once the claim has taken effect,
    /// unless that run has a row.
    pub cut_short: Option<JobRun>,
    /// Names this attempt.
    pub token: Token,
}

/// The end of a run: `IF worker_id, owner_inc, fence = <held> AND desired_seq = <seen> AND status = <seen>`.
#[derive(Clone, Debug, PartialEq)]
pub struct EndJob {
    /// The job.
    pub key: JobKey,
    /// The node that held it.
    pub holder: Holder,
    /// The fence under which it was held.
    pub fence: Fence,
    /// The status that was seen: IN_PROCESS, or STOPPING and RESTART where that was requested.
    pub seen_status: JobStatus,
    /// The last request that was seen.
    pub desired_seq: i64,
    /// The new status.
    pub to: JobStatus,
    /// The fence from then on: the same for an end, + 1 for a release.
    pub to_fence: Fence,
    /// The requested state that remains, now that this request is carried out.
    pub desired: JobDesired,
    /// Clears the worker from the row, so that no node has precedence (as in Fabric).
    pub forget_worker: bool,
    /// End of the run.
    pub now: Timestamp,
    /// What it returned; none leaves the column.
    pub output: Option<String>,
    /// Why it failed, as JSON; none clears the column.
    pub error: Option<String>,
    /// Failed runs so far.
    pub tries: i32,
    /// Runs that ended so far.
    pub runs: i64,
    /// The next run, where there is one.
    pub next_run: Option<Timestamp>,
    /// The scheduled time that the next run is for.
    pub planned_run: Option<Timestamp>,
    /// Why it waits, for people.
    pub notes: Option<String>,
    /// The state of its triggers, and the dependents that it still has to notify.
    pub triggers: TriggerState,
    /// When a node must check the job next. Written before the row; none for an ended job.
    pub due: Option<DueHint>,
    /// The history row, written once before the row; none for a release.
    pub run: Option<JobRun>,
    /// Names this attempt.
    pub token: Token,
}

impl EndJob {
    /// The run that `holder` has of `job` ends with status `to`, without output, history row or next run.
    pub fn of(job: &Job, holder: Holder, to: JobStatus, now: Timestamp, token: Token) -> Self {
        Self {
            key: job.key.clone(),
            holder,
            fence: job.fence,
            seen_status: job.status,
            desired_seq: job.desired_seq,
            to,
            to_fence: job.fence,
            desired: job.desired,
            forget_worker: false,
            now,
            output: None,
            error: None,
            tries: job.tries,
            runs: job.runs,
            next_run: None,
            planned_run: None,
            notes: None,
            triggers: job.triggers.clone(),
            due: None,
            run: None,
            token,
        }
    }
}

/// What of a row must still hold for [`WriteJob`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobSeen {
    /// Its status.
    pub status: JobStatus,
    /// Its fence.
    pub fence: Fence,
    /// Its last request.
    pub desired_seq: i64,
}

impl JobSeen {
    /// What this row has.
    pub fn of(job: &Job) -> Self {
        Self {
            status: job.status,
            fence: job.fence,
            desired_seq: job.desired_seq,
        }
    }
}

/// A row that no node holds is replaced as a whole: a job is started, resumed, changed, or ended where no run has to be
/// stopped first; or a batch that is not finished has no job, or one that has ended.
///
/// Missing: `IF NOT EXISTS`. Present: `IF status, fence, desired_seq = <seen>`, and the fence in `job` is greater.
#[derive(Clone, Debug, PartialEq)]
pub struct WriteJob {
    /// The new row. Its `op_token` becomes `token`.
    pub job: Job,
    /// The row that was seen; none = missing.
    pub seen: Option<JobSeen>,
    /// When a node must check the job. Written before the row; none for a job that ends.
    pub due: Option<DueHint>,
    /// Names this attempt.
    pub token: Token,
}

impl WriteJob {
    /// Replaces the row that was seen, with a due hint where the job has one.
    pub fn of(job: Job, seen: Option<JobSeen>, now: Timestamp, token: Token) -> Self {
        Self {
            due: job.due_hint(now),
            job,
            seen,
            token,
        }
    }
}

/// A request about a job that a node holds: `IF status, fence = <seen> AND desired_seq = <seen>` → + 1. It makes the
/// owner's next operation lose, and so the owner reads it. It leaves the owner's token alone.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestJob {
    /// The job.
    pub key: JobKey,
    /// The row that was seen.
    pub seen: JobSeen,
    /// The requested state.
    pub desired: JobDesired,
    /// The status that the row shows from now on: STOPPING, RESTART, or the one it has.
    pub status: JobStatus,
    /// The definition from the next run on; none leaves it.
    pub definition: Option<JobDefinition>,
    /// Names this attempt, as `desired_token`.
    pub token: Token,
}

impl RequestJob {
    /// A request about the row that was seen, which leaves its definition.
    pub fn of(row: &Job, desired: JobDesired, status: JobStatus, token: Token) -> Self {
        Self {
            key: row.key.clone(),
            seen: JobSeen::of(row),
            desired,
            status,
            definition: None,
            token,
        }
    }
}

/// How a job changes, whether a node holds it or not.
#[derive(Clone, Debug, PartialEq)]
pub enum ChangeJob {
    /// No node holds it: its row is written.
    Write(Box<WriteJob>),
    /// A node holds it: a request is left in its row.
    Request(Box<RequestJob>),
}

/// An archived job is removed, with its entries in the directory and in the history: `IF status, fence, desired_seq,
/// op_token = <seen>`.
///
/// The token of the last writer is part of the condition, so that a delayed copy cannot remove a job of the same key that
/// was started anew and ended with the same numbers. A missing row answers Applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteJob {
    /// The job.
    pub key: JobKey,
    /// The row that was seen.
    pub seen: JobSeen,
    /// The token of its last writer.
    pub seen_token: Option<Token>,
    /// When it was started: its history is not older.
    pub started: Timestamp,
    /// When it ended: later entries in directory and history belong to another job of this key.
    pub ended: Timestamp,
}

impl DeleteJob {
    /// For a job that has ended; none for one that has not.
    pub fn of(job: &Job) -> Option<Self> {
        let times = [Some(job.creation_time), job.start_time, job.end_time];
        (job.archived && job.status.is_ended()).then(|| Self {
            key: job.key.clone(),
            seen: JobSeen::of(job),
            seen_token: job.op_token,
            started: job.creation_time,
            ended: times.into_iter().flatten().max().unwrap_or_default(),
        })
    }
}

sent_by! {
    claim_job: ClaimJob, Option<Job>;
    end_job: EndJob, Option<Job>;
    delete_job: DeleteJob, Option<Job>;
}

#[async_trait::async_trait]
impl crate::Conditional for ChangeJob {
    type Found = Option<Job>;

    fn verb(&self) -> &'static str {
        match self {
            Self::Write(write) => write.verb(),
            Self::Request(request) => request.verb(),
        }
    }

    async fn attempt(&self, store: &dyn crate::Store) -> crate::AttemptResult<Option<Job>> {
        match self {
            Self::Write(write) => write.attempt(store).await,
            Self::Request(request) => request.attempt(store).await,
        }
    }

    fn hint_to_renew(&self, was_sent_again: bool) -> Option<&DueHint> {
        match self {
            Self::Write(write) => write.hint_to_renew(was_sent_again),
            Self::Request(request) => request.hint_to_renew(was_sent_again),
        }
    }
}

impl StoredRow for Job {
    type Key = JobKey;
}

changes_existing_row!(ClaimJob, Job, op_token, |claim| claim.key.clone(), due: (!Bug::ClaimWithoutHint.is_planted()).then_some(&claim.due));
changes_existing_row!(EndJob, Job, op_token, |end| end.key.clone(), due: end.due.as_ref());
changes_existing_row!(RequestJob, Job, desired_token, |request| request
    .key
    .clone());

impl ClaimJob {
    /// See [`CompareAndSet::holds`].
    pub fn holds(&self, job: &Job) -> bool {
        job.status == self.seen_status && job.fence == self.seen_fence
    }

    /// See [`CompareAndSet::apply`].
    pub fn apply(&self, job: Job) -> Job {
        Job {
            status: JobStatus::InProcess,
            worker: Some(self.holder.node.clone()),
            owner_incarnation: Some(self.holder.incarnation),
            fence: self.seen_fence + 1,
            start_time: Some(self.now),
            op_token: Some(self.token),
            ..job
        }
    }
}

impl EndJob {
    /// See [`CompareAndSet::holds`].
    pub fn holds(&self, job: &Job) -> bool {
        let is_held = job.worker.as_ref() == Some(&self.holder.node)
            && job.owner_incarnation == Some(self.holder.incarnation);
        job.status == self.seen_status
            && (is_held || Bug::EndWithoutFence.is_planted())
            && (job.fence == self.fence || Bug::EndWithoutFence.is_planted())
            && (job.desired_seq == self.desired_seq || Bug::RequestUnseen.is_planted())
    }

    /// See [`CompareAndSet::apply`].
    pub fn apply(&self, job: Job) -> Job {
        let (worker, owner_incarnation) = match self.forget_worker {
            true => (None, None),
            false => (job.worker, job.owner_incarnation),
        };
        Job {
            status: self.to,
            archived: self.to.is_ended(),
            fence: self.to_fence,
            end_time: Some(self.now),
            output: self.output.clone().or(job.output),
            error: self.error.clone(),
            tries: self.tries,
            next_run: self.next_run,
            notes: self.notes.clone(),
            desired: self.desired,
            runs: self.runs,
            planned_run: self.planned_run,
            triggers: self.triggers.clone(),
            worker,
            owner_incarnation,
            op_token: Some(self.token),
            ..job
        }
    }
}

impl CompareAndSet for WriteJob {
    type Row = Job;

    fn key(&self) -> JobKey {
        self.job.key.clone()
    }

    fn is_applied(&self, row: Option<&Job>) -> bool {
        row.is_some_and(|job| job.op_token == Some(self.token))
    }

    fn holds(&self, row: Option<&Job>) -> bool {
        row.map(JobSeen::of) == self.seen
    }

    fn apply(&self, _: Option<Job>) -> Option<Job> {
        Some(Job {
            op_token: Some(self.token),
            ..self.job.clone()
        })
    }

    fn due(&self) -> Option<&DueHint> {
        self.due.as_ref()
    }

    fn wakes_resting_row(&self) -> bool {
        self.seen.is_some()
    }
}

impl RequestJob {
    /// See [`CompareAndSet::holds`].
    pub fn holds(&self, job: &Job) -> bool {
        JobSeen::of(job) == self.seen
    }

    /// See [`CompareAndSet::apply`].
    pub fn apply(&self, job: Job) -> Job {
        let job = match &self.definition {
            Some(definition) => definition.applied_to(&job),
            None => job,
        };
        Job {
            status: self.status,
            desired: self.desired,
            desired_seq: self.seen.desired_seq + 1,
            desired_token: Some(self.token),
            ..job
        }
    }
}

impl ChangeJob {
    /// The row afterwards, for the row that it was decided for.
    pub fn apply(&self, job: Job) -> Job {
        match self {
            Self::Write(write) => write.job.clone(),
            Self::Request(request) => request.apply(job),
        }
    }
}

impl CompareAndSet for DeleteJob {
    type Row = Job;

    fn key(&self) -> JobKey {
        self.key.clone()
    }

    fn is_applied(&self, row: Option<&Job>) -> bool {
        row.is_none()
    }

    fn holds(&self, row: Option<&Job>) -> bool {
        row.is_some_and(|job| JobSeen::of(job) == self.seen && job.op_token == self.seen_token)
    }

    fn apply(&self, _: Option<Job>) -> Option<Job> {
        None
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;
    use weft_model::{Incarnation, NodeId};

    use super::super::{loses, moves_on};
    use super::*;

    fn token(number: u128) -> Token {
        Token(Uuid::from_u128(number))
    }

    fn holder() -> Holder {
        Holder {
            node: NodeId("n1".to_owned()),
            incarnation: Incarnation(Uuid::from_u128(7)),
        }
    }

    fn waiting() -> Job {
        let key = JobKey {
            job_type: "ECHO".to_owned(),
            name: "a".to_owned(),
            uid: "1".to_owned(),
        };
        Job {
            fence: 4,
            desired_seq: 2,
            op_token: Some(token(99)),
            ..Job::waiting(key, Timestamp(1))
        }
    }

    fn claim() -> ClaimJob {
        let job = waiting();
        ClaimJob {
            due: DueHint {
                due_at: Timestamp(9),
                key: job.key.clone(),
            },
            key: job.key,
            seen_status: JobStatus::Waiting,
            seen_fence: 4,
            holder: holder(),
            now: Timestamp(5),
            cut_short: None,
            token: token(1),
        }
    }

    fn held() -> Job {
        claim().apply(waiting())
    }

    #[test]
    fn a_claim_takes_the_job_under_the_next_fence() {
        let after = moves_on(&claim(), Some(waiting())).expect("a row");
        assert_eq!(after.holder(), Some(holder()));
        assert_eq!((after.fence, after.start_time), (5, Some(Timestamp(5))));
        let mut others = [waiting(), waiting()];
        others[0].status = JobStatus::Scheduled;
        others[1].fence = 5;
        for other in others {
            loses(&claim(), Some(other));
        }
        loses(&claim(), None);
    }

    #[test]
    fn a_run_ends_as_it_was_held() {
        let end = EndJob {
            error: Some("{}".to_owned()),
            ..EndJob::of(&held(), holder(), JobStatus::Failed, Timestamp(8), token(2))
        };
        let after = moves_on(&end, Some(held())).expect("a row");
        assert!(after.archived);
        assert_eq!((after.fence, after.worker), (5, Some(holder().node)));
        let mut others = vec![held(); 5];
        others[0].status = JobStatus::Stopping;
        others[1].worker = None;
        others[2].owner_incarnation = None;
        others[3].fence += 1;
        others[4].desired_seq += 1;
        for other in others {
            loses(&end, Some(other));
        }
        loses(&end, None);
    }

    #[test]
    fn a_release_keeps_the_output_and_may_forget_the_worker() {
        let job = Job {
            output: Some("before".to_owned()),
            error: Some("{}".to_owned()),
            ..held()
        };
        let end = EndJob {
            to_fence: 6,
            forget_worker: true,
            ..EndJob::of(&job, holder(), JobStatus::Waiting, Timestamp(8), token(2))
        };
        let after = moves_on(&end, Some(job)).expect("a row");
        assert_eq!(after.output.as_deref(), Some("before"));
        assert_eq!((after.error, after.worker), (None, None));
        assert!(!after.archived);
    }

    #[test]
    fn a_row_is_written_where_none_is_or_as_it_was_seen() {
        let job = Job {
            fence: 5,
            ..waiting()
        };
        let write = |seen| WriteJob::of(job.clone(), seen, Timestamp(3), token(3));
        let after = moves_on(&write(None), None).expect("a row");
        assert_eq!(after.op_token, Some(token(3)));
        loses(&write(None), Some(waiting()));
        let seen = Some(JobSeen::of(&waiting()));
        moves_on(&write(seen), Some(waiting()));
        loses(&write(seen), None);
        loses(&write(seen), Some(held()));
    }

    #[test]
    fn a_request_leaves_the_owners_token_and_may_change_the_definition() {
        let plain = RequestJob::of(&held(), JobDesired::Stop, JobStatus::Stopping, token(4));
        let after = moves_on(&plain, Some(held())).expect("a row");
        assert_eq!((after.op_token, after.desired_seq), (Some(token(1)), 3));
        assert_eq!(
            (after.status, after.desired),
            (JobStatus::Stopping, JobDesired::Stop)
        );
        assert_eq!(JobDefinition::of(&after), JobDefinition::of(&held()));
        let other = RequestJob {
            token: token(5),
            ..plain.clone()
        };
        loses(&other, Some(after));
        loses(&plain, None);
        let definition = JobDefinition {
            arguments: r#"{"a":1}"#.to_owned(),
            ..JobDefinition::of(&held())
        };
        let changes = RequestJob {
            definition: Some(definition.clone()),
            ..RequestJob::of(&held(), JobDesired::Run, JobStatus::InProcess, token(4))
        };
        let after = moves_on(&changes, Some(held())).expect("a row");
        assert_eq!(JobDefinition::of(&after), definition);
    }

    #[test]
    fn only_the_archived_job_that_was_seen_is_removed() {
        assert_eq!(DeleteJob::of(&waiting()), None);
        let ended = EndJob::of(
            &held(),
            holder(),
            JobStatus::Processed,
            Timestamp(8),
            token(2),
        );
        let ended = ended.apply(held());
        let delete = DeleteJob::of(&ended).expect("it has ended");
        assert_eq!(moves_on(&delete, Some(ended.clone())), None);
        let started_anew = Job {
            op_token: Some(token(5)),
            ..ended
        };
        loses(&delete, Some(started_anew));
    }
}
