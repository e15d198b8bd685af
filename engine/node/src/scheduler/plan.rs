//! What a node does about a job it looks at: a pure function over what it has seen.

use std::time::Duration;

use weft_model::clock::Timestamp;
use weft_model::schedule::{DueDecision, decide_due_run};
use weft_model::{IllegalMove, Job, JobDesired, JobEvent, JobStatus, TriggerState};

use super::executor::Slots;
use super::slots::Room;
use crate::job::next_run::{NextRun, can_start_later};
use crate::job::schedule::{schedule_of, seed_of};

/// Everything the decision depends on.
#[derive(Clone, Debug)]
pub struct Seen<'a> {
    /// The row.
    pub job: &'a Job,
    /// The slots that jobs of its type take here; none where this node does not know the type.
    pub slots: Option<Slots>,
    /// Any node may run it now, whatever its affinity.
    pub ignores_affinity: bool,
    /// This node matches the job's affinity.
    pub matches: bool,
    /// What room this node has for one more of the kind.
    pub room: Room,
    /// How long to hesitate before taking a slot above the recommended size.
    pub exceptional_pause: Duration,
    /// This life runs the job right now.
    pub runs_here: bool,
    /// The job is held by this very session.
    pub held_by_me: bool,
    /// The life that holds it is over.
    pub holder_is_dead: bool,
    /// This node's place among the live nodes that may take it; 0 goes first.
    pub rank: u32,
    /// How long this node has known that the job is due, on its own clock.
    pub waited: Duration,
    /// The wall clock.
    pub now: Timestamp,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Nothing: it has ended, is held by a live node, or its next hint stands already.
    Pass,
    /// Take it, with this slot.
    Claim(Room),
    /// Nobody need look before this moment.
    NotBefore(Timestamp),
    /// Cannot be taken here now: leave a hint for later, so that whoever can will look.
    Defer(Obstacle),
    /// It could run here and no slot is free: wait for one.
    AwaitRoom,
    /// Look again here after this pause.
    Again(Duration),
    /// Nobody runs it: the row is moved without a run.
    Move(RowMove),
    /// Others wait for its last end, and whoever ended it has perhaps not told them.
    Tell,
}

/// A move of a row that nobody holds any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowMove {
    /// A stop whose owner died is carried out.
    Terminate,
    /// A restart whose owner died is carried out.
    StartOver,
    /// A time that was missed is passed over; none = there is no later one.
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

/// Why a job cannot be taken here now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// Its affinity names other nodes.
    Affinity,
    /// No slot is free.
    NoRoom,
    /// This version does not know the kind; a newer node may.
    UnknownKind,
}

/// How long each place in the order waits for the one before it.
pub const RANK_PAUSE: Duration = Duration::from_millis(300);

const HELD_PAUSE: Duration = Duration::from_secs(5);

/// Decides.
pub fn plan(seen: &Seen<'_>) -> Plan {
    let job = seen.job;
    if !job.triggers.pending_notifications.is_empty()
        && job.holder().is_none()
        && !is_due(job, seen.now)
    {
        return Plan::Tell;
    }
    if job.archived || job.status.is_ended() || seen.runs_here {
        return Plan::Pass;
    }
    match job.status {
        JobStatus::InProcess | JobStatus::Stopping | JobStatus::Restart => {
            // Held by this node session without its knowledge: an answer that never arrived. It is claimed again.
            if !seen.held_by_me && !seen.holder_is_dead {
                return Plan::Again(HELD_PAUSE);
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
            if let Some(passed) = passed_over(job, seen.now) {
                return Plan::Move(passed);
            }
        }
        JobStatus::Processed | JobStatus::Terminated | JobStatus::Failed => return Plan::Pass,
    }
    if let Some(planned) = begun_for(job).filter(|planned| *planned > seen.now) {
        return Plan::NotBefore(planned);
    }
    let Some(slots) = seen.slots else {
        return Plan::Defer(Obstacle::UnknownKind);
    };
    if !seen.matches && !seen.ignores_affinity {
        return Plan::Defer(Obstacle::Affinity);
    }
    let pause = match (&seen.room, slots) {
        (Room::Full, Slots::Limit(_)) => return Plan::Defer(Obstacle::NoRoom),
        (Room::Full, Slots::Pool | Slots::Unlimited) => return Plan::AwaitRoom,
        (Room::Exceptional(_), _) => seen.exceptional_pause,
        (Room::Free(_), _) => Duration::ZERO,
    };
    // Normally one node tries: each place in the order gives the one before it time.
    let turn = pause + RANK_PAUSE * seen.rank;
    if seen.waited < turn {
        return Plan::Again(turn - seen.waited);
    }
    Plan::Claim(seen.room.clone())
}

/// A run is due: it goes first, and its end tells what is owed with what it owes itself.
fn is_due(job: &Job, now: Timestamp) -> bool {
    match job.status {
        JobStatus::Waiting => job.next_run.is_none_or(|next_run| next_run <= now),
        JobStatus::Scheduled => {
            !job.policy.paused && job.next_run.is_some_and(|next_run| next_run <= now)
        }
        _ => false,
    }
}

/// The time of the run that another node has begun, whose clock may be ahead. Gone on with before that time, it would look
/// like a run by hand, which leaves the time to a run of its own.
fn begun_for(job: &Job) -> Option<Timestamp> {
    job.planned_run
        .filter(|planned| job.start_time.is_some_and(|start| *planned <= start))
}

/// A scheduled time that was missed by more than its policy allows is not run.
fn passed_over(job: &Job, now: Timestamp) -> Option<RowMove> {
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
            matches: true,
            room: Room::Free(None),
            exceptional_pause: Duration::from_secs(60),
            runs_here: false,
            held_by_me: false,
            holder_is_dead: false,
            rank: 0,
            waited: Duration::ZERO,
            now: NOW,
        }
    }

    #[test]
    fn a_waiting_job_is_claimed_in_turn() {
        let job = job(JobStatus::Waiting);
        assert_eq!(plan(&seen(&job)), Plan::Claim(Room::Free(None)));
        let second = Seen {
            rank: 1,
            ..seen(&job)
        };
        assert_eq!(plan(&second), Plan::Again(RANK_PAUSE));
        let patient = Seen {
            waited: RANK_PAUSE,
            ..second
        };
        assert_eq!(plan(&patient), Plan::Claim(Room::Free(None)));
    }

    #[test]
    fn nothing_runs_before_its_time() {
        for status in [JobStatus::Waiting, JobStatus::Scheduled] {
            let mut job = job(status);
            job.next_run = Some(Timestamp(NOW.0 + 1));
            assert_eq!(plan(&seen(&job)), Plan::NotBefore(Timestamp(NOW.0 + 1)));
            job.next_run = Some(NOW);
            assert_eq!(plan(&seen(&job)), Plan::Claim(Room::Free(None)));
        }
    }

    #[test]
    fn a_run_that_a_node_ahead_has_begun_is_gone_on_with_at_its_time() {
        let ahead = Timestamp(NOW.0 + 3_000);
        let mut job = job(JobStatus::InProcess);
        job.planned_run = Some(ahead);
        job.start_time = Some(ahead);
        let dead = Seen {
            holder_is_dead: true,
            ..seen(&job)
        };
        assert_eq!(plan(&dead), Plan::NotBefore(ahead));
        let at_its_time = Seen { now: ahead, ..dead };
        assert_eq!(plan(&at_its_time), Plan::Claim(Room::Free(None)));
        // Handed back.
        job.status = JobStatus::Waiting;
        assert_eq!(plan(&seen(&job)), Plan::NotBefore(ahead));
        // By hand, before the time of the schedule.
        job.start_time = Some(NOW);
        assert_eq!(plan(&seen(&job)), Plan::Claim(Room::Free(None)));
    }

    #[test]
    fn a_paused_schedule_stands_still_and_a_start_by_hand_does_not() {
        let mut scheduled = job(JobStatus::Scheduled);
        scheduled.policy.paused = true;
        assert_eq!(plan(&seen(&scheduled)), Plan::Pass);
        let mut waiting = job(JobStatus::Waiting);
        waiting.policy.paused = true;
        assert_eq!(plan(&seen(&waiting)), Plan::Claim(Room::Free(None)));
    }

    #[test]
    fn what_cannot_run_here_is_left_to_others() {
        let job = job(JobStatus::Waiting);
        let elsewhere = Seen {
            matches: false,
            ..seen(&job)
        };
        assert_eq!(plan(&elsewhere), Plan::Defer(Obstacle::Affinity));
        let unknown = Seen {
            slots: None,
            ..seen(&job)
        };
        assert_eq!(plan(&unknown), Plan::Defer(Obstacle::UnknownKind));
        let full = Seen {
            room: Room::Full,
            ..seen(&job)
        };
        assert_eq!(plan(&full), Plan::AwaitRoom);
        let with_limit = Seen {
            slots: Some(Slots::Limit(1)),
            ..full
        };
        assert_eq!(plan(&with_limit), Plan::Defer(Obstacle::NoRoom));
        let anywhere = Seen {
            matches: false,
            ignores_affinity: true,
            ..seen(&job)
        };
        assert_eq!(plan(&anywhere), Plan::Claim(Room::Free(None)));
    }

    #[test]
    fn above_the_recommended_size_a_node_hesitates() {
        let job = job(JobStatus::Waiting);
        let above = Seen {
            room: Room::Exceptional("blue".to_owned()),
            ..seen(&job)
        };
        assert_eq!(plan(&above), Plan::Again(Duration::from_secs(60)));
        let later = Seen {
            waited: Duration::from_secs(60),
            ..above
        };
        let blue = Room::Exceptional("blue".to_owned());
        assert_eq!(plan(&later), Plan::Claim(blue));
    }

    #[test]
    fn what_a_live_node_holds_is_left_to_it_and_what_a_dead_one_held_goes_on() {
        let running = job(JobStatus::InProcess);
        assert_eq!(plan(&seen(&running)), Plan::Again(HELD_PAUSE));
        let dead = |job| {
            plan(&Seen {
                holder_is_dead: true,
                ..seen(job)
            })
        };
        assert_eq!(dead(&running), Plan::Claim(Room::Free(None)));
        let mut stopping = job(JobStatus::Stopping);
        stopping.desired = JobDesired::Stop;
        assert_eq!(dead(&stopping), Plan::Move(RowMove::Terminate));
        let mut restart = job(JobStatus::Restart);
        restart.desired = JobDesired::Restart;
        assert_eq!(dead(&restart), Plan::Move(RowMove::StartOver));
    }

    #[test]
    fn what_has_ended_is_left_alone() {
        for status in [
            JobStatus::Processed,
            JobStatus::Terminated,
            JobStatus::Failed,
        ] {
            assert_eq!(plan(&seen(&job(status))), Plan::Pass);
        }
    }
}
