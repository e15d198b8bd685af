//! What can be traced.

use std::fmt;

/// Something that a node does over and over, and that a trace can write down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Runs of jobs begin and end.
    JobExecutor,
    /// Rows are looked at and something is decided.
    JobsReconcile,
    /// Hints come due, times are computed, jobs are claimed.
    JobsScheduler,
    /// Slots of the pool are taken.
    JobsPoolExecutorGet,
    /// Runs are handed over.
    JobsPoolExecutorSubmit,
    /// A listener looks for files.
    FolderPoller,
}

impl Operation {
    /// All of them, in the order they are shown.
    pub const ALL: [Self; 6] = [
        Self::JobExecutor,
        Self::JobsReconcile,
        Self::JobsScheduler,
        Self::JobsPoolExecutorGet,
        Self::JobsPoolExecutorSubmit,
        Self::FolderPoller,
    ];

    /// What all of them are about.
    pub const CATEGORY: &'static str = "jobs";

    /// The operation of this name, whatever its case.
    pub fn named(name: &str) -> Option<Self> {
        let is_it = |operation: &Self| operation.name().eq_ignore_ascii_case(name);
        Self::ALL.into_iter().find(is_it)
    }

    /// Its name, as Fabric has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::JobExecutor => "jobExecutor",
            Self::JobsReconcile => "jobsReconcile",
            Self::JobsScheduler => "jobsScheduler",
            Self::JobsPoolExecutorGet => "jobsPoolExecutorGet",
            Self::JobsPoolExecutorSubmit => "jobsPoolExecutorSubmit",
            Self::FolderPoller => "folderPoller",
        }
    }

    /// How much it says: `info` once or twice per run, `debug` more often.
    pub fn level(self) -> &'static str {
        match self {
            Self::JobExecutor => "info",
            Self::JobsReconcile
            | Self::JobsScheduler
            | Self::JobsPoolExecutorGet
            | Self::JobsPoolExecutorSubmit
            | Self::FolderPoller => "debug",
        }
    }

    /// What its events are, in one sentence.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::JobExecutor => "a run begins, and ends: how, and what became of the job",
            Self::JobsReconcile => "what looking at a due job decided, and why",
            Self::JobsScheduler => {
                "hints that were noted and came due, the times that were computed, claims and their answers"
            }
            Self::JobsPoolExecutorGet => {
                "a slot of the pool was taken, was not free, is free again"
            }
            Self::JobsPoolExecutorSubmit => "a claimed job was handed over to be run",
            Self::FolderPoller => "a listener looked for files, and what it found",
        }
    }

    /// Its place in a set of operations.
    pub(super) fn bit(self) -> u32 {
        1 << self as u32
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_lang::names::TRACE_WORDS;

    #[test]
    fn each_operation_has_a_name_of_its_own_that_the_language_offers() {
        let mut bits = 0;
        for operation in Operation::ALL {
            let name = operation.name();
            assert_eq!(
                Operation::named(&name.to_uppercase()),
                Some(operation),
                "{name}"
            );
            assert!(TRACE_WORDS.contains(&name), "{name}");
            assert_eq!(bits & operation.bit(), 0, "{name}");
            bits |= operation.bit();
        }
        assert_eq!(Operation::named("sftpReader"), None);
    }
}
