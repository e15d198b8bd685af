//! Why a request about traces failed.

use std::io;
use std::path::{Path, PathBuf};

use super::MOST_TRACES;

/// Why a request about traces failed.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The node has no folder for their files.
    #[error("this node has no data folder, so it cannot trace")]
    NoFolder,
    /// The node has as many traces as it may keep.
    #[error("this node has {MOST_TRACES} traces, and keeps no more")]
    TooMany,
    /// No trace has this number.
    #[error("there is no trace {number}")]
    NoSuchTrace {
        /// The number.
        number: u64,
        /// The numbers of the traces that exist.
        there: Vec<u64>,
    },
    /// The folder or a file cannot be used.
    #[error("{path} cannot be used: {source}", path = path.display())]
    File {
        /// The path.
        path: PathBuf,
        /// The error of the file system.
        source: io::Error,
    },
    /// The writer thread has ended.
    #[error("the thread that writes traces has ended")]
    Ended,
}

impl TraceError {
    pub(super) fn file(path: &Path, source: io::Error) -> Self {
        Self::File {
            path: path.to_owned(),
            source,
        }
    }
}
