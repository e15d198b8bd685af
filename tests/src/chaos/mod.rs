//! Histories: real nodes on a real Cassandra work on batches and jobs while something goes wrong, as a seed decides.
//! Afterwards their records are compared with effects that scripts have left outside of the system.

mod effects;
mod faults;
mod history;
mod judge;
mod outcome;
mod scripts;

pub use effects::{Effect, Tick};
pub use faults::{Kind, Servers};
pub use history::run;
pub use judge::{Crash, JobPlan, Judged, judge_batch, judge_jobs, judge_records};
pub use outcome::{Means, Outcome, move_kept};
