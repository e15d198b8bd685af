//! Faults that are planted on purpose, to show that the tests notice them.
//!
//! A build under `--cfg weft_bugs` has all of them, and [`plant`] switches one on for the current thread; the simulation runs
//! each node of a seed on one thread. In every other build [`Bug::is_planted`] is a constant `false`, and the compiler
//! removes the faults.

/// Declares the faults: name, meaning.
macro_rules! bugs {
    ($($bug:ident: $meaning:literal,)*) => {
        /// A fault that can be planted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Bug {
            $(#[doc = $meaning] $bug,)*
        }

        impl Bug {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$bug),*];

            /// What is wrong, in one line.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$bug => $meaning,)*
                }
            }
        }
    };
}

bugs! {
    FlushWithoutFence: "a flush is accepted whatever the fence and the worker of its chunk",
    UnknownIsFailure: "an answer of Unknown counts as a refusal",
    UnknownIsApplied: "an answer of Unknown counts as applied",
    UnknownIsRead: "an answer of Unknown is settled by reading the row",
    LeaseEnds: "the heartbeats of a node do not renew its claims, which end after T_dead",
    PlainRequest: "a request is written to the row of a batch without a condition",
    EarlyTakeover: "a node counts as dead long before T_dead",
    NoSelfFence: "a node that cannot heartbeat continues to work",
    ListBeforeRows: "a list of ids counts as complete before its last chunk is opened",
    OutageIsSilence: "the silence of other nodes grows while the store does not answer",
    FlushWithoutSeq: "a flush is accepted whatever the number of the flush before it",
    CancelWithoutFences: "a cancel leaves open chunks as they are",
    TakeoverWithoutSeal: "a takeover of a list leaves its empty reserved numbers as they are",
    DoneWithoutSums: "a batch is DONE without a look at the sums of its chunks",
    CancelSparesEntities: "a cancel does not reach the entities that run",
    NoIsolation: "an entity that ends the process of its node runs again and again",
    WrongClockFires: "a node with a wrong clock starts jobs at their times",
    DuplicatesForgotten: "a takeover of a list counts the ids read before it as new",
    LeftTooEarly: "a node says that it has left before its work has ended",
    OutageFailsBatch: "an outage of the store fails the batches that need it",
    HintsInHandForgotten: "a node counts hints as read although their jobs are still in hand",
    HintsOfOutageSkipped: "a node that starts reads no hints from before its start",
    DeferWithoutHint: "a node that cannot run a job passes its hint without a later one",
    ClaimWithoutHint: "a claim of a job leaves no hint for the case that its node dies",
    GateOpen: "ALLOW_MULTIPLE=false does not keep a second batch from starting",
    EndWithoutFence: "the end of a run is accepted whatever its fence",
    ClaimKeepsFence: "a claim of a chunk does not raise its fence",
    RequestUnseen: "the end of a run overrules a request that it has not read",
}

#[cfg(weft_bugs)]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// Plants a fault on the current thread, or none, in a build that has them.
pub fn plant(bug: Option<Bug>) {
    #[cfg(weft_bugs)]
    PLANTED.set(bug);
    let _ = bug;
}

impl Bug {
    /// Whether this build has the faults.
    pub const IN_BUILD: bool = cfg!(weft_bugs);

    /// The fault of this name.
    pub fn named(name: &str) -> Option<Self> {
        let mut all = Self::ALL.iter().copied();
        all.find(|bug| format!("{bug:?}") == name)
    }

    /// Whether this fault is planted on the current thread.
    #[cfg(weft_bugs)]
    pub fn is_planted(self) -> bool {
        PLANTED.get() == Some(self)
    }

    /// Whether this fault is planted: never in this build.
    #[cfg(not(weft_bugs))]
    #[inline(always)]
    pub const fn is_planted(self) -> bool {
        false
    }
}
