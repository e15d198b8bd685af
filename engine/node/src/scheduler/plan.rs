//! Decides what a node does about a job: a pure function over what the node has seen.

use std::time::Duration;

use weft_model::clock::Timestamp;
use weft_model::schedule::{DueDecision, decide_due_run};
use weft_model::{IllegalMove, Job, JobDesired, JobEvent, JobStatus, TriggerState};

use super::executor::Slots;
use super::slots::SlotOffer;
use crate::job::next_run::{NextRun, can_start_later};
use crate::job::schedule::{schedule_of, seed_of};

/// Everything the decision depends on.
#[derive(Clone, Debug)]
pub struct Seen<'a> {
    /// The row.
    pub job: &'a Job,
    /// The slots that jobs of its type take here, if this node knows the type.
    pub slots: Option<Slots>,
    /// Whether any node may run it now, whatever its affinity.
    pub ignores_affinity: bool,
    /// Whether this node matches the job's affinity.
    pub matches_affinity: bool,
    /// The slot that this node has for one more job of the type.
    pub slot: SlotOffer,
    /// How long to hesitate before taking a slot above the recommended size.
    pub exceptional_pause: Duration,
    /// Whether this node session is running the job.
    pub is_running_here: bool,
    /// Whether this node session owns the job.
    pub is_owned_here: bool,
    /// Whether the node session that owns the job is over.
    pub owner_is_dead: bool,
    /// This node's place among the live nodes that may claim the job; 0 is first.
    pub rank: u32,
    /// How long this node has known that the job is due, on its own clock.
    pub waited: Duration,
    /// The wall clock.
    pub now: Timestamp,
    /// Whether the wall clock is near enough to the store's to start jobs at their times.
    pub clock_is_near: bool,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Do nothing: the job has ended, runs here, or already has its next hint.
    Pass,
    /// Claim it, with this slot.
    Claim(SlotOffer),
    /// No node has to check it before this time.
    NotBefore(Timestamp),
    /// It cannot run here now: write a hint for later, so that a node that can run it checks it.
    Defer(Obstacle),
    /// It can run here, but no slot is free: wait for one.
    AwaitSlot,
    /// Check it again here after this pause.
    Again(Duration),
    /// A live node owns it: check it again here after this pause.
    LeaveToOwner(Duration),
    /// Move the row without a run: no node runs the job.
    Move(RowMove),
    /// Notify the jobs that wait for its last end. The node that ended it may have died before it could.
    Notify,
}

/// A move of a row that no live node owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowMove {
    /// Carries out a stop whose owner died.
    Terminate,
    /// Carries out a restart whose owner died.
    StartOver,
    /// Passes over a missed time, to the next one if there is a later one.
    PassTo(Option<Timestamp>),
}

impl RowMove {
    /// The row after this move, under a higher fence.
    ///
    /// # Errors
    /// The stored status has no such move.
    pub fn apply(self, job: &Job, now: Timestamp) -> Result<Job, IllegalMove> {
        let fence = job.fence + 1;
        let job = job.clone();
        Ok(match self {
            Self::Terminate => Job {
                status: job.status.next(JobEvent::Stopped)?,
                archived: true,
                end_time: Some(now),
                next_run: None,
                fence,
                ..job
            },
            Self::StartOver => Job {
                status: job.status.next(JobEvent::RestartReady)?,
                desired: JobDesired::Run,
                worker: None,
                owner_incarnation: None,
                next_run: None,
                tries: 0,
                runs: job.runs + 1,
                fence,
                ..job
            },
            Self::PassTo(next)
                if next.is_some()
                    || job.triggers.fired_for.is_some()
                    || can_start_later(&job, job.runs, now) =>
            {
                let next = NextRun::earliest(next, job.triggers.fired_for);
                Job {
                    status: job.status.next(next.event())?,
                    next_run: next.next_run,
                    planned_run: next.planned_run,
                    triggers: TriggerState {
                        fired_for: next.fired_for,
                        ..job.triggers
                    },
                    notes: Some("a missed run was passed over".to_owned()),
                    fence,
                    ..job
                }
            }
            Self::PassTo(_) => Job {
                status: job.status.next(JobEvent::PassedOver)?,
                archived: true,
                next_run: None,
                notes: Some("the last run was missed and passed over".to_owned()),
                fence,
                ..job
            },
        })
    }
}

/// Why a job cannot be claimed here now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// Its affinity names other nodes.
    Affinity,
    /// No slot is free, and too many jobs wait in memory.
    NoSlot,
    /// This node does not know the job type; a newer node may.
    UnknownKind,
    /// The clock of this node is wrong, and the job has a time.
    Clock,
}

/// How long each node in the order waits for the one before it.
pub const RANK_PAUSE: Duration = Duration::from_millis(300);

/// How often to check a job that a live node owns.
const OWNED_PAUSE: Duration = Duration::from_secs(5);

/// Decides what to do about a job.
pub fn plan(seen: &Seen<'_>) -> Plan {
    let job = seen.job;
    if !job.triggers.pending_notifications.is_empty()
        && job.holder().is_none()
        && !is_due(job, seen.now)
    {
        return Plan::Notify;
    }
    if job.archived || job.status.is_ended() || seen.is_running_here {
        return Plan::Pass;
    }
    match job.status {
        JobStatus::InProcess | JobStatus::Stopping | JobStatus::Restart => {
            // This session may own it without knowing, if the answer to its claim was lost. Then it claims again.
            if !seen.is_owned_here && !seen.owner_is_dead {
                return Plan::LeaveToOwner(OWNED_PAUSE);
            }
            if job.status != JobStatus::InProcess {
                return Plan::Move(match job.desired {
                    JobDesired::Restart => RowMove::StartOver,
                    JobDesired::Run | JobDesired::Stop | JobDesired::Kill => RowMove::Terminate,
                });
            }
        }
        JobStatus::Waiting | JobStatus::Scheduled => {
            let has_no_time = job.status == JobStatus::Scheduled && job.next_run.is_none();
            if has_no_time || (job.policy.paused && job.status == JobStatus::Scheduled) {
                // The end of a job that it waits for, or UPDATEJOB with the end of the pause, writes a hint.
                return Plan::Pass;
            }
            if let Some(next_run) = job.next_run.filter(|next_run| *next_run > seen.now) {
                return Plan::NotBefore(next_run);
            }
            if job.next_run.is_some() && !seen.clock_is_near {
                return Plan::Defer(Obstacle::Clock);
            }
            if let Some(passed) = pass_over(job, seen.now) {
                return Plan::Move(passed);
            }
        }
        JobStatus::Processed | JobStatus::Terminated | JobStatus::Failed => return Plan::Pass,
    }
    if let Some(planned) = started_run_time(job).filter(|planned| *planned > seen.now) {
        return Plan::NotBefore(planned);
    }
    plan_claim(seen)
}

/// The plan for a job that is due: a claim, unless a node has to wait for a slot or for other nodes.
fn plan_claim(seen: &Seen<'_>) -> Plan {
    if seen.slots.is_none() {
        return Plan::Defer(Obstacle::UnknownKind);
    }
    if !seen.matches_affinity && !seen.ignores_affinity {
        return Plan::Defer(Obstacle::Affinity);
    }
    let pause = match &seen.slot {
        SlotOffer::Full => return Plan::AwaitSlot,
        SlotOffer::Exceptional(_) => seen.exceptional_pause,
        SlotOffer::Free(_) => Duration::ZERO,
    };
    // Each node gives the one before it time, so that normally one node claims.
    let turn = pause + RANK_PAUSE * seen.rank;
    if seen.waited < turn {
        return Plan::Again(turn - seen.waited);
    }
    Plan::Claim(seen.slot.clone())
}

/// Whether a run is due. It goes first: its end sends the pending notifications together with its own.
fn is_due(job: &Job, now: Timestamp) -> bool {
    match job.status {
        JobStatus::Waiting => job.next_run.is_none_or(|next_run| next_run <= now),
        JobStatus::Scheduled => {
            !job.policy.paused && job.next_run.is_some_and(|next_run| next_run <= now)
        }
        _ => false,
    }
}

/// The scheduled time of a run that another node has started. That node's clock may be ahead. If the run were resumed before
/// this time, it would count as a manual run, and the scheduled time would get another run.
fn started_run_time(job: &Job) -> Option<Timestamp> {
    job.planned_run
        .filter(|planned| job.start_time.is_some_and(|start| *planned <= start))
}

/// The move that passes over a scheduled time, if it was missed by more than its policy allows.
fn pass_over(job: &Job, now: Timestamp) -> Option<RowMove> {
    let planned = job
        .planned_run
        .filter(|_| job.status == JobStatus::Scheduled)?;
    match decide_due_run(&schedule_of(job)?, &job.policy, planned, now, seed_of(job)) {
        DueDecision::Run => None,
        DueDecision::PassTo(next) => Some(RowMove::PassTo(next)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;
    use weft_model::{Incarnation, JobKey, NodeId};

    const NOW: Timestamp = Timestamp(1_000_000);

    fn job(status: JobStatus) -> Job {
        let key = JobKey {
            job_type: "PROCESS".to_owned(),
            name: "a.sh".to_owned(),
            uid: "1".to_owned(),
        };
        let mut job = Job::waiting(key, Timestamp(0));
        job.status = status;
        if matches!(
            status,
            JobStatus::InProcess | JobStatus::Stopping | JobStatus::Restart
        ) {
            job.worker = Some(NodeId("n2".to_owned()));
            job.owner_incarnation = Some(Incarnation(Uuid::from_u128(2)));
        }
        job
    }

    fn seen(job: &Job) -> Seen<'_> {
        Seen {
            job,
            slots: Some(Slots::Pool),
            ignores_affinity: false,
            matches_affinity: true,
            slot: SlotOffer::Free(None),
            exceptional_pause: Duration::from_secs(60),
            is_running_here: false,
            is_owned_here: false,
            owner_is_dead: false,
            rank: 0,
            waited: Duration::ZERO,
            now: NOW,
            clock_is_near: true,
        }
    }

    #[test]
    fn a_waiting_job_is_claimed_in_turn() {
        let job = job(JobStatus::Waiting);
        assert_eq!(plan(&seen(&job)), Plan::Claim(SlotOffer::Free(None)));
        let second = Seen {
            rank: 1,
            ..seen(&job)
        };
        assert_eq!(plan(&second), Plan::Again(RANK_PAUSE));
        let patient = Seen {
            waited: RANK_PAUSE,
            ..second
        };
        assert_eq!(plan(&patient), Plan::Claim(SlotOffer::Free(None)));
    }

    #[test]
    fn nothing_runs_before_its_time() {
        for status in [JobStatus::Waiting, JobStatus::Scheduled] {
            let mut job = job(status);
            job.next_run = Some(Timestamp(NOW.0 + 1));
            assert_eq!(plan(&seen(&job)), Plan::NotBefore(Timestamp(NOW.0 + 1)));
            job.next_run = Some(NOW);
            assert_eq!(plan(&seen(&job)), Plan::Claim(SlotOffer::Free(None)));
        }
    }

    #[test]
    fn a_node_whose_clock_is_wrong_starts_no_job_that_has_a_time() {
        for status in [JobStatus::Waiting, JobStatus::Scheduled] {
            let mut job = job(status);
            job.next_run = Some(NOW);
            let wrong = Seen {
                clock_is_near: false,
                ..seen(&job)
            };
            assert_eq!(plan(&wrong), Plan::Defer(Obstacle::Clock));
        }
        let job = job(JobStatus::Waiting);
        let wrong = Seen {
            clock_is_near: false,
            ..seen(&job)
        };
        assert_eq!(plan(&wrong), Plan::Claim(SlotOffer::Free(None)));
    }

    #[test]
    fn a_run_started_by_a_node_with_a_fast_clock_resumes_at_its_time() {
        let ahead = Timestamp(NOW.0 + 3_000);
        let mut job = job(JobStatus::InProcess);
        job.planned_run = Some(ahead);
        job.start_time = Some(ahead);
        let dead = Seen {
            owner_is_dead: true,
            ..seen(&job)
        };
        assert_eq!(plan(&dead), Plan::NotBefore(ahead));
        let at_its_time = Seen { now: ahead, ..dead };
        assert_eq!(plan(&at_its_time), Plan::Claim(SlotOffer::Free(None)));
        // Handed back.
        job.status = JobStatus::Waiting;
        assert_eq!(plan(&seen(&job)), Plan::NotBefore(ahead));
        // Started manually, before the scheduled time.
        job.start_time = Some(NOW);
        assert_eq!(plan(&seen(&job)), Plan::Claim(SlotOffer::Free(None)));
    }

    #[test]
    fn a_paused_schedule_does_not_run_but_a_manual_start_does() {
        let mut scheduled = job(JobStatus::Scheduled);
        scheduled.policy.paused = true;
        assert_eq!(plan(&seen(&scheduled)), Plan::Pass);
        let mut waiting = job(JobStatus::Waiting);
        waiting.policy.paused = true;
        assert_eq!(plan(&seen(&waiting)), Plan::Claim(SlotOffer::Free(None)));
    }

    #[test]
    fn a_job_that_cannot_run_here_is_deferred() {
        let job = job(JobStatus::Waiting);
        let elsewhere = Seen {
            matches_affinity: false,
            ..seen(&job)
        };
        assert_eq!(plan(&elsewhere), Plan::Defer(Obstacle::Affinity));
        let unknown = Seen {
            slots: None,
            ..seen(&job)
        };
        assert_eq!(plan(&unknown), Plan::Defer(Obstacle::UnknownKind));
        let full = Seen {
            slot: SlotOffer::Full,
            ..seen(&job)
        };
        assert_eq!(plan(&full), Plan::AwaitSlot);
        let with_limit = Seen {
            slots: Some(Slots::Limit(1)),
            ..full
        };
        assert_eq!(plan(&with_limit), Plan::AwaitSlot);
        let anywhere = Seen {
            matches_affinity: false,
            ignores_affinity: true,
            ..seen(&job)
        };
        assert_eq!(plan(&anywhere), Plan::Claim(SlotOffer::Free(None)));
    }

    #[test]
    fn a_slot_above_the_recommended_size_is_taken_after_a_pause() {
        let job = job(JobStatus::Waiting);
        let above = Seen {
            slot: SlotOffer::Exceptional("blue".to_owned()),
            ..seen(&job)
        };
        assert_eq!(plan(&above), Plan::Again(Duration::from_secs(60)));
        let later = Seen {
            waited: Duration::from_secs(60),
            ..above
        };
        let blue = SlotOffer::Exceptional("blue".to_owned());
        assert_eq!(plan(&later), Plan::Claim(blue));
    }

    #[test]
    fn jobs_of_live_nodes_are_left_alone_and_jobs_of_dead_nodes_continue() {
        let running = job(JobStatus::InProcess);
        assert_eq!(plan(&seen(&running)), Plan::LeaveToOwner(OWNED_PAUSE));
        let dead = |job| {
            plan(&Seen {
                owner_is_dead: true,
                ..seen(job)
            })
        };
        assert_eq!(dead(&running), Plan::Claim(SlotOffer::Free(None)));
        let mut stopping = job(JobStatus::Stopping);
        stopping.desired = JobDesired::Stop;
        assert_eq!(dead(&stopping), Plan::Move(RowMove::Terminate));
        let mut restart = job(JobStatus::Restart);
        restart.desired = JobDesired::Restart;
        assert_eq!(dead(&restart), Plan::Move(RowMove::StartOver));
    }

    #[test]
    fn ended_jobs_are_left_alone() {
        for status in [
            JobStatus::Processed,
            JobStatus::Terminated,
            JobStatus::Failed,
        ] {
            assert_eq!(plan(&seen(&job(status))), Plan::Pass);
        }
    }
}
