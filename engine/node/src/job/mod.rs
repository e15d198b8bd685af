//! Jobs that are not batches: what a kind of job is, and how one of its runs begins and ends.
//!
//! The scheduler claims a job and hands it to a [`JobRunner`], which runs its [`JobKind`], keeps an eye on what people
//! wish meanwhile, and writes the end. What the row becomes is decided by [`after`], which knows no store.

pub mod after;
pub mod arguments;
pub mod change;
mod checkpoint;
pub mod overlap;
mod runner;
mod telling;
pub mod triggered;

pub use crate::kind::{
    Check, FailureKind, JobKind, JobKinds, Lender, Lent, OUTPUT_BYTES, Retry, Run, RunEnd,
    RunFailure, RunOutput, Slot, run_key,
};
pub use checkpoint::{CheckpointError, CheckpointHolder, CheckpointStore, Checkpoints};
pub use runner::{EndedRun, JobRunner};
pub use telling::tell;
