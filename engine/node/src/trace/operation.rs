//! What can be traced.

use std::fmt;

/// Repeated work of a node that can be traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TracedOperation {
    /// Runs of jobs begin and end.
    JobExecutor,
    /// Rows are read and decided on.
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

impl TracedOperation {
    /// All operations, in the order of their display.
    pub const ALL: [Self; 6] = [
        Self::JobExecutor,
        Self::JobsReconcile,
        Self::JobsScheduler,
        Self::JobsPoolExecutorGet,
        Self::JobsPoolExecutorSubmit,
        Self::FolderPoller,
    ];

    /// The category of all operations.
    pub const CATEGORY: &'static str = "jobs";

    /// Finds the operation of this name, in any case.
    pub fn find(name: &str) -> Option<Self> {
        let is_it = |operation: &Self| operation.name().eq_ignore_ascii_case(name);
        Self::ALL.into_iter().find(is_it)
    }

    /// The name, as in Fabric.
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

    /// How many events it has: `info` for one or two per run, `debug` for more.
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

    /// What its events report, in one sentence.
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

    /// Its bit in a set of operations.
    pub(super) fn bit(self) -> u32 {
        1 << self as u32
    }
}

impl fmt::Display for TracedOperation {
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
        for operation in TracedOperation::ALL {
            let name = operation.name();
            assert_eq!(
                TracedOperation::find(&name.to_uppercase()),
                Some(operation),
                "{name}"
            );
            assert!(TRACE_WORDS.contains(&name), "{name}");
            assert_eq!(bits & operation.bit(), 0, "{name}");
            bits |= operation.bit();
        }
        assert_eq!(TracedOperation::find("sftpReader"), None);
    }
}
