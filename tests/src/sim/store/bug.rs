//! Errors that a store could be made with, to show that the invariants notice them.

/// An error planted in the store, not in the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlantedBug {
    /// A flush does not look at the fence.
    FlushWithoutFence,
    /// An answer of Unknown is told as a refusal.
    UnknownIsFailure,
}
