//! What a node does about a job it looks at: a pure function over what it has seen.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::model::{Batch, BatchDesired, BatchStatus, Job, JobStatus, job_type};

/// Everything the decision depends on.
#[derive(Clone, Debug)]
pub struct Seen<'a> {
    /// The row.
    pub job: &'a Job,
    /// The batch it coordinates; none for other kinds, or where the row is missing.
    pub batch: Option<&'a Batch>,
    /// This node matches the job's affinity.
    pub matches: bool,
    /// This node has room for one more of the kind.
    pub has_room: bool,
    /// This life runs the job right now.
    pub runs_here: bool,
    /// The job is held by this very life.
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
    /// Take it.
    Claim,
    /// Nobody need look before this moment.
    NotBefore(Timestamp),
    /// Cannot be taken here now: leave a hint for later, so that whoever can will look.
    Defer(Obstacle),
    /// Look again here after this pause.
    Again(Duration),
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
    if job.archived || job.status.is_ended() || seen.runs_here {
        return Plan::Pass;
    }
    if job.key.job_type != job_type::BATCH_PROCESS {
        return Plan::Defer(Obstacle::UnknownKind);
    }
    match job.status {
        JobStatus::InProcess => {
            // Held by this life without its knowledge: an answer that never arrived. It is claimed again.
            if !seen.held_by_me && !seen.holder_is_dead {
                return Plan::Again(HELD_PAUSE);
            }
        }
        JobStatus::Waiting | JobStatus::Scheduled => {
            if let Some(next_run) = job.next_run.filter(|next_run| *next_run > seen.now) {
                return Plan::NotBefore(next_run);
            }
        }
        JobStatus::Stopping
        | JobStatus::Restart
        | JobStatus::Processed
        | JobStatus::Terminated
        | JobStatus::Failed => return Plan::Pass,
    }
    if !seen.matches && !anybody_may_end(seen.batch) {
        return Plan::Defer(Obstacle::Affinity);
    }
    if !seen.has_room {
        return Plan::Defer(Obstacle::NoRoom);
    }
    // Normally one node tries: each place in the order gives the one before it time.
    let turn = RANK_PAUSE * seen.rank;
    if seen.waited < turn {
        return Plan::Again(turn - seen.waited);
    }
    Plan::Claim
}

/// Any node may carry out a cancel or end the job of an ended batch, whatever the affinity (design
/// section 5, rule 9).
fn anybody_may_end(batch: Option<&Batch>) -> bool {
    batch.is_none_or(|batch| match batch.desired {
        BatchDesired::Cancel => true,
        BatchDesired::Pause => batch.status != BatchStatus::Paused,
        BatchDesired::Run => batch.status.is_final(),
    })
}
