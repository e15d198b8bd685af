//! Jobs other than batches: what a kind of job is, and how one of its runs begins and ends.
//!
//! The scheduler claims a job and hands it to a [`JobRunner`]. The runner runs its [`JobKind`], watches for requests
//! meanwhile, and writes the end. [`try_end`] decides what the row becomes and knows no store.

pub mod arguments;
pub mod change;
mod checkpoint;
pub(crate) mod crash;
pub mod next_run;
mod notifications;
pub mod overlap;
mod runner;
pub mod schedule;
mod step;
pub mod triggers;
pub mod try_end;
mod watch;

pub use crate::kind::{
    DefinitionError, FailureKind, JobKind, JobKinds, Lender, Lent, OUTPUT_BYTES, Retry, Run,
    RunEnd, RunFailure, RunOutput, Slot, run_key,
};
pub use checkpoint::{CheckpointError, CheckpointHolder, CheckpointStore, Checkpoints};
pub(crate) use notifications::NOTE_AGE;
pub use notifications::notify_followers;
pub use runner::{EndedRun, JobRunner};
pub use step::Step;
