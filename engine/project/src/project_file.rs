//! A file of a project that is kept as it is.

use super::finding::Spot;

/// A file of a logical unit that the engine keeps as it is; whoever runs it reads it (see
/// [`Validator`](super::Validator)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectFile {
    /// Its path, relative to the project's folder.
    pub path: String,
    /// What it says.
    pub text: String,
}

impl ProjectFile {
    /// Its first line, as a place for findings.
    pub fn spot(&self) -> Spot {
        Spot::start_of(self.path.as_str())
    }
}
